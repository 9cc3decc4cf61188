/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The lines about the host, the most important first: a small terminal loses the last of them. */

#include <inttypes.h>
#include <string.h>

#include "protocol/base.h"
#include "tools/aerostatctl/field.h"
#include "tools/aerostatctl/top.h"
#include "tools/aerostatctl/top_text.h"

#define ALERTS_MAX 3            /* shown, the worst first, where there is room for them: */
#define ROWS_FOR_ALERTS 14
#define BAR_WIDTH 16u           /* leaves each line whole at 80 columns */

static bool is(const char *text, const char *what) {
        return text && strcmp(text, what) == 0;
}

static char *size_of(const json_t *object, const char *key, char buf[static TOP_SIZE_MAX]) {
        return top_size(field_count(object, key), buf);
}

static void label(struct top_pen *pen, const char *name) {
        top_putf(pen, STYLE_HEADER, "%-10s ", name);
}

/* "[####....] " in the style that the share deserves. */
static void bar(struct top_pen *pen, uint64_t part, uint64_t whole, enum style style) {
        char buf[TEXT_BAR_MAX];

        top_put(pen, STYLE_PLAIN, "[");
        top_put(pen, style, text_bar(buf, BAR_WIDTH, part == AEROSTAT_UNKNOWN ? 0 : (double) part, whole == AEROSTAT_UNKNOWN ? 0 : (double) whole));
        top_put(pen, STYLE_PLAIN, "] ");
}

static void put_safe(struct top_pen *pen, enum style style, const char *text) {
        _cleanup_free_ char *safe = text_safe(text ?: "-");

        top_put(pen, style, safe ?: "-");
}

static void draw_state(const struct top_view *view, struct top_pen *pen) {
        const json_t *s = view->status;
        const char *state = field_text(s, "state"), *automation = field_text(s, "automation"), *guarantee = field_text(s, "guarantee");
        struct top_pen right = { .row = pen->row, .column = MAX(0, pen->end - 8), .end = pen->end };
        struct tm tm;
        char clock[16] = "";

        if (localtime_r(&view->heard, &tm))
                strftime(clock, sizeof(clock), "%H:%M:%S", &tm);
        if (*view->error) {
                put_safe(pen, STYLE_BAD, view->error);
                top_putf(pen, STYLE_BAD, "; trying again. All this is of %s", clock);
                return;
        }
        label(pen, "Host");
        put_safe(pen, is(state, "normal") ? STYLE_GOOD : is(state, "hard") || is(state, "critical") ? STYLE_BAD : STYLE_WARN,
                 state ?: "no decision yet");
        top_put(pen, STYLE_PLAIN, ", guarantee ");
        put_safe(pen, is(guarantee, "full") ? STYLE_GOOD : is(guarantee, "conditional") ? STYLE_WARN : STYLE_BAD, guarantee);
        if (is(automation, "running"))
                top_put(pen, STYLE_PLAIN, ", automation running");
        else
                top_putf(pen, STYLE_WARN, ", automation %s", is(automation, "dry_run") ? "in dry-run" : is(automation, "paused") ? "PAUSED" : "-");
        if (pen->column < right.column - 1)
                top_put(&right, STYLE_FAINT, clock);
}

static void draw_alert(struct top_pen *pen, const json_t *alert) {
        const char *severity = field_text(alert, "severity");

        put_safe(pen, is(severity, "critical") ? STYLE_BAD : is(severity, "info") ? STYLE_PLAIN : STYLE_WARN, field_text(alert, "name"));
        top_put(pen, STYLE_PLAIN, " ");
        put_safe(pen, STYLE_PLAIN, field_text(alert, "message") ?: "");
}

static void draw_alerts(const struct top_view *view, struct top_pen *pen) {
        const json_t *alerts = json_object_get(view->status, "alerts");
        size_t n = json_array_size(alerts);

        label(pen, "Alerts");
        if (json_is_false(json_object_get(view->status, "connected")))
                top_put(pen, STYLE_BAD, "libvirt does not answer: VMs keep what they have; ");
        if (n > 1)
                top_putf(pen, STYLE_PLAIN, "%zu: ", n);
        if (n == 0)
                top_put(pen, STYLE_PLAIN, "none");
        else
                draw_alert(pen, json_array_get(alerts, 0));
}

static void draw_envelope(const struct top_view *view, struct top_pen *pen) {
        const json_t *s = view->status;
        uint64_t committed = field_count(s, "committed_bytes"), reserved = field_count(s, "reserved_bytes"), rule = field_count(s, "rule_bytes");
        uint64_t deficit = field_count(s, "deficit_bytes");
        bool bad = deficit != AEROSTAT_UNKNOWN && deficit > 0;
        char a[TOP_SIZE_MAX], b[TOP_SIZE_MAX];

        if (committed != AEROSTAT_UNKNOWN && reserved != AEROSTAT_UNKNOWN)
                committed = u64_add(committed, reserved);
        label(pen, "Envelope");
        bar(pen, committed, rule, bad ? STYLE_BAD : STYLE_GOOD);
        top_putf(pen, STYLE_PLAIN, "%s of %s committed, ", top_size(committed, a), top_size(rule, b));
        if (bad)
                top_putf(pen, STYLE_BAD, "%s TOO MUCH", top_size(deficit, a));
        else
                top_putf(pen, STYLE_PLAIN, "%s free", size_of(s, "free_bytes", a));
}

static void draw_memory(const struct top_view *view, struct top_pen *pen) {
        const json_t *s = view->status;
        uint64_t memory = field_count(s, "memory_bytes"), available = field_count(s, "available_bytes"), reserve = field_count(s, "reserve_bytes");
        bool known = memory != AEROSTAT_UNKNOWN && available != AEROSTAT_UNKNOWN && reserve != AEROSTAT_UNKNOWN;
        char a[TOP_SIZE_MAX], b[TOP_SIZE_MAX], c[TOP_SIZE_MAX];
        double ratio;

        label(pen, "Memory");
        bar(pen, known ? u64_sub(memory, available) : 0, memory,
            !known || available > reserve ? STYLE_GOOD : available > reserve / 2 ? STYLE_WARN : STYLE_BAD);
        top_putf(pen, STYLE_PLAIN, "%s of %s available; capacity %s", top_size(available, a), top_size(memory, b), size_of(s, "capacity_bytes", c));
        if (field_ratio(s, "overcommit_ratio", &ratio))
                top_putf(pen, STYLE_PLAIN, " (%.2f x)", ratio);
}

static void draw_swap(const struct top_view *view, struct top_pen *pen) {
        const json_t *swap = json_object_get(view->status, "swap");
        uint64_t total = field_count(swap, "total_bytes"), used = field_count(swap, "disk_used_bytes"), ceiling = field_count(swap, "ceiling_bytes");
        char a[TOP_SIZE_MAX], b[TOP_SIZE_MAX], percent[FIELD_PERCENT_MAX];
        enum style style = field_swap_style(swap);

        label(pen, "Swap");
        if (total == AEROSTAT_UNKNOWN || total == 0) {
                top_put(pen, STYLE_PLAIN, total == 0 ? "none" : "-");
                return;
        }
        if (used == AEROSTAT_UNKNOWN || ceiling == AEROSTAT_UNKNOWN || ceiling == 0) {
                top_putf(pen, STYLE_PLAIN, "%s of %s used", size_of(swap, "used_bytes", a), top_size(total, b));
                return;
        }
        bar(pen, used, ceiling, style == STYLE_PLAIN ? STYLE_GOOD : style);
        top_putf(pen, style, "%.0f%%", (double) used * 100 / (double) ceiling);
        top_putf(pen, STYLE_PLAIN, " of the ceiling: %s of %s (%s of swap)", top_size(used, a), top_size(ceiling, b),
                 field_percent(swap, "ceiling_ratio", percent));
}

static void draw_pressure(const struct top_view *view, struct top_pen *pen) {
        const json_t *psi = json_object_get(view->status, "psi"), *ksm = json_object_get(view->status, "ksm");
        uint64_t run = field_count(ksm, "run");
        char a[TOP_SIZE_MAX], some[FIELD_PERCENT_MAX], full[FIELD_PERCENT_MAX];
        double ratio;

        label(pen, "Pressure");
        if (field_ratio(psi, "some_ratio", &ratio))
                top_putf(pen, ratio >= 0.1 ? STYLE_BAD : ratio >= 0.01 ? STYLE_WARN : STYLE_PLAIN, "some %s, full %s",
                         field_percent(psi, "some_ratio", some), field_percent(psi, "full_ratio", full));
        else
                top_put(pen, STYLE_PLAIN, "unknown");
        top_put(pen, STYLE_HEADER, "   KSM ");
        if (run == AEROSTAT_UNKNOWN)
                top_put(pen, STYLE_PLAIN, "not in this kernel");
        else
                top_putf(pen, STYLE_PLAIN, "%s, saves %s", run == 1 ? "scanning" : run == 0 ? "not scanning" : "unmerging",
                         size_of(ksm, "saved_bytes", a));
        if (field_ratio(ksm, "cpu_ratio", &ratio))
                top_putf(pen, STYLE_PLAIN, ", takes %s of a CPU", field_percent(ksm, "cpu_ratio", some));
}

int top_draw_host(const struct top_view *view, int rows, int columns) {
        static void (*const lines[])(const struct top_view *, struct top_pen *) = {
                draw_state, draw_alerts, draw_envelope, draw_memory, draw_swap, draw_pressure,
        };
        const json_t *alerts = json_object_get(view->status, "alerts");
        int row = 0, more = rows < ROWS_FOR_ALERTS ? 0 : (int) CLAMP(json_array_size(alerts), (size_t) 1, (size_t) ALERTS_MAX) - 1;

        for (size_t i = 0; i < ARRAY_SIZE(lines) && row < rows; i++) {
                struct top_pen pen = { .row = row++, .column = 0, .end = columns };

                lines[i](view, &pen);
                if (lines[i] != draw_alerts)
                        continue;
                for (int alert = 1; alert <= more; alert++) {
                        pen = (struct top_pen) { .row = row++, .column = 14, .end = columns }; /* under the first, behind "Alerts     3: " */
                        draw_alert(&pen, json_array_get(alerts, (size_t) alert));
                }
        }
        return row;
}
