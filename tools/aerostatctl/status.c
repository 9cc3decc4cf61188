/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "protocol/base.h"
#include "tools/aerostatctl/client.h"
#include "tools/aerostatctl/field.h"
#include "tools/aerostatctl/text.h"

#define BAR_WIDTH 30

static void label(const char *name) {
        printf("%-11s ", name);
}

static void print_styled(const char *text, enum style style) {
        _cleanup_free_ char *safe = text_safe(text);

        printf("%s%s%s", text_style(style), safe ?: "-", text_end(style));
}

static bool is(const char *text, const char *what) {
        return text && strcmp(text, what) == 0;
}

static void print_state(const json_t *s) {
        const char *state = field_text(s, "state"), *automation = field_text(s, "automation");
        char uptime[FORMAT_DURATION_MAX];

        label("State");
        print_styled(state ?: "no decision yet", is(state, "normal")                          ? STYLE_GOOD
                                                 : is(state, "hard") || is(state, "critical") ? STYLE_BAD
                                                                                              : STYLE_WARN);
        printf(", automation ");
        print_styled(is(automation, "dry_run") ? "dry-run: nothing is changed" : automation ?: "-",
                     is(automation, "running") ? STYLE_PLAIN : STYLE_WARN);
        printf(", up %s\n", field_duration(s, "uptime_seconds", uptime));
        if (json_is_false(json_object_get(s, "connected"))) {
                label("");
                print_styled("libvirt does not answer: VMs keep what they have (systemctl status libvirtd)", STYLE_BAD);
                puts("");
        }
}

static void print_guarantee(const json_t *s) {
        const char *guarantee = field_text(s, "guarantee");
        const json_t *texts = json_object_get(s, "guarantee_explanations"), *text;
        size_t i;

        label("Guarantee");
        print_styled(guarantee ?: "-", is(guarantee, "full") ? STYLE_GOOD : is(guarantee, "conditional") ? STYLE_WARN : STYLE_BAD);
        printf(" (mode %s)\n", field_text(s, "mode") ?: "-");
        json_array_foreach(texts, i, text) {
                label("");
                printf("- ");
                print_styled(json_string_value(text) ?: "-", STYLE_PLAIN);
                puts("");
        }
}

static void print_envelope(const json_t *s) {
        uint64_t committed = field_count(s, "committed_bytes"), reserved = field_count(s, "reserved_bytes"),
                 rule = field_count(s, "rule_bytes");
        uint64_t deficit = field_count(s, "deficit_bytes");
        char a[FORMAT_SIZE_MAX], b[FORMAT_SIZE_MAX], c[FORMAT_SIZE_MAX], bar[TEXT_BAR_MAX];
        double ratio;

        label("Envelope");
        if (committed == AEROSTAT_UNKNOWN || rule == AEROSTAT_UNKNOWN) {
                puts("-");
                return;
        }
        if (reserved != AEROSTAT_UNKNOWN)
                committed = u64_add(committed, reserved);
        printf("[%s] %s of %s, ", text_bar(bar, BAR_WIDTH, (double) committed, (double) rule), format_size(committed, a),
               format_size(rule, b));
        if (deficit != AEROSTAT_UNKNOWN && deficit > 0) {
                char text[FORMAT_SIZE_MAX + 32];

                snprintf(text, sizeof(text), "%s TOO MUCH", format_size(deficit, c));
                print_styled(text, STYLE_BAD);
        } else
                printf("%s free", field_size(s, "free_bytes", c));
        if (field_count(s, "correction_bytes") != 0)
                printf(", corrected by %s", field_size(s, "correction_bytes", c));
        puts("");
        label("Overcommit");
        if (field_ratio(s, "overcommit_ratio", &ratio))
                printf("%.2f x: the VMs' maximum is %s, the capacity %s\n", ratio, field_size(s, "max_bytes", a),
                       field_size(s, "capacity_bytes", b));
        else
                puts("-");
}

static void print_memory(const json_t *s) {
        char memory[FORMAT_SIZE_MAX], available[FORMAT_SIZE_MAX], reserve[FORMAT_SIZE_MAX], other[FORMAT_SIZE_MAX];

        label("Memory");
        printf("%s, %s available; %s kept in reserve, %s used by others\n", field_size(s, "memory_bytes", memory),
               field_size(s, "available_bytes", available), field_size(s, "reserve_bytes", reserve),
               field_size(s, "other_bytes", other));
}

/* Of a host with several NUMA nodes: those that VMs are bound to, and what is promised there. */
static void print_nodes(const json_t *s) {
        const char *heading = "Nodes";
        const json_t *node;
        size_t i;

        json_array_foreach(json_object_get(s, "nodes"), i, node) {
                char a[FORMAT_SIZE_MAX], b[FORMAT_SIZE_MAX], c[FORMAT_SIZE_MAX], d[FORMAT_SIZE_MAX];
                uint64_t deficit = field_count(node, "deficit_bytes");

                label(heading);
                heading = "";
                printf("%s: %s of %s available", field_text(node, "nodes") ?: "-", field_size(node, "available_bytes", a),
                       field_size(node, "total_bytes", b));
                if (field_count(node, "rule_bytes") != AEROSTAT_UNKNOWN)
                        printf("; the %" PRIi64 " VM(s) bound to it can take %s of %s", (int64_t) json_integer_value(json_object_get(node, "vms")),
                               field_size(node, "committed_bytes", c), field_size(node, "rule_bytes", d));
                if (deficit != AEROSTAT_UNKNOWN && deficit > 0) {
                        char text[FORMAT_SIZE_MAX + 32];

                        snprintf(text, sizeof(text), "%s TOO MUCH", format_size(deficit, c));
                        printf(", ");
                        print_styled(text, STYLE_BAD);
                }
                puts("");
        }
}

static void print_swap(const json_t *s) {
        const json_t *swap = json_object_get(s, "swap");
        uint64_t total = field_count(swap, "total_bytes"), used = field_count(swap, "disk_used_bytes"),
                 ceiling = field_count(swap, "ceiling_bytes");
        char a[FORMAT_SIZE_MAX], b[FORMAT_SIZE_MAX], percent[FIELD_PERCENT_MAX];

        label("Swap");
        if (total == AEROSTAT_UNKNOWN || total == 0) {
                puts(total == 0 ? "none" : "-");
                return;
        }
        printf("%s of %s used", field_size(swap, "used_bytes", a), format_size(total, b));
        if (ceiling != AEROSTAT_UNKNOWN && ceiling > 0 && used != AEROSTAT_UNKNOWN) {
                char text[32];

                snprintf(text, sizeof(text), "%.0f%%", (double) used * 100 / (double) ceiling);
                printf("; ");
                print_styled(text, field_swap_style(swap));
                printf(" of the ceiling (%s = %s)", field_percent(swap, "ceiling_ratio", percent), format_size(ceiling, a));
        }
        puts("");
}

static void print_ksm(const json_t *s) {
        const json_t *ksm = json_object_get(s, "ksm");
        uint64_t run = field_count(ksm, "run");
        char saved[FORMAT_SIZE_MAX], profit[FORMAT_SIZE_MAX], cpu[FIELD_PERCENT_MAX];

        label("KSM");
        if (run == AEROSTAT_UNKNOWN)
                puts("not in this kernel");
        else
                printf("%s, saves %s (profit %s), takes %s of a CPU\n",
                       run == 1   ? "scanning"
                       : run == 0 ? "not scanning"
                                  : "unmerging",
                       field_size(ksm, "saved_bytes", saved), field_size(ksm, "profit_bytes", profit),
                       field_percent(ksm, "cpu_ratio", cpu));
}

static void print_psi(const json_t *s) {
        const json_t *psi = json_object_get(s, "psi");
        char some[FIELD_PERCENT_MAX], full[FIELD_PERCENT_MAX];
        double ratio;

        label("Pressure");
        if (field_ratio(psi, "some_ratio", &ratio))
                printf("some %s, full %s of the last 10 s\n", field_percent(psi, "some_ratio", some),
                       field_percent(psi, "full_ratio", full));
        else
                puts("unknown: this kernel has no PSI (psi=1 on its command line?)");
}

static void print_vms(const json_t *s) {
        const char *state, *separator = ": ";
        json_t *count;

        label("VMs");
        printf("%" PRIi64, (int64_t) json_integer_value(json_object_get(s, "vms")));
        json_object_foreach(json_object_get(s, "vm_states"), state, count) {
                bool bad = is(state, "breaching") || is(state, "uncooperative");
                char text[64];

                if (json_integer_value(count) == 0)
                        continue;
                snprintf(text, sizeof(text), "%" PRIi64 " %.32s", (int64_t) json_integer_value(count), state);
                fputs(separator, stdout);
                print_styled(text, bad ? STYLE_BAD : STYLE_PLAIN);
                separator = ", ";
        }
        puts("");
}

static void print_alerts(const json_t *s) {
        const json_t *alerts = json_object_get(s, "alerts"), *alert;
        size_t i;

        label("Alerts");
        if (json_array_size(alerts) == 0)
                puts("none");
        json_array_foreach(alerts, i, alert) {
                if (i > 0)
                        label("");
                print_styled(field_text(alert, "name") ?: "-", STYLE_BAD);
                printf(" ");
                print_styled(field_text(alert, "message") ?: "", STYLE_PLAIN);
                puts("");
        }
}

static int run_status(const struct context *context, const struct args *args) {
        json_t *reply;
        int r;

        r = client_call_or_print(context, "Status", NULL, &reply);
        if (r != CTL_DONE || !reply)
                return r;
        print_state(reply);
        print_guarantee(reply);
        print_envelope(reply);
        print_memory(reply);
        print_nodes(reply);
        print_swap(reply);
        print_ksm(reply);
        print_psi(reply);
        print_vms(reply);
        print_alerts(reply);
        json_decref(reply);
        return CTL_DONE;
}

const struct verb verb_status = {
        .name = "status",
        .operands = "",
        .summary = "The host at a glance: is all well, how much is promised, how much is left",
        .run = run_status,
};
