/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "protocol/base.h"
#include "tools/aerostatctl/client.h"
#include "tools/aerostatctl/field.h"
#include "tools/aerostatctl/table.h"
#include "tools/aerostatctl/text.h"

static enum style style_of_state(const char *state) {
        if (!state || strcmp(state, "unknown") == 0)
                return STYLE_WARN;
        if (strcmp(state, "uncooperative") == 0 || strcmp(state, "breaching") == 0)
                return STYLE_BAD;
        return strcmp(state, "managed") == 0 ? STYLE_PLAIN : STYLE_HEADER;
}

static const struct column columns[] = {
        { "NAME", false, 0 },
        { "STATE", false, 1 },
        { "MAX", true, 3 },
        { "FLOOR", true, 8 },
        { "TARGET", true, 2 },
        { "ACTUAL", true, 0 },
        { "DEMAND", true, 4 },
        { "ENTITLED", true, 9 },
        { "RSS", true, 7 },
        { "SWAP", true, 6 },
        { "SOURCE", false, 10 },
        { "AGE", true, 5 },
        { "REASON", false, 0 },
};

/* The columns with sizes, in the order of the table; "" for the others. */
static const char *const sizes[ARRAY_SIZE(columns)] = {
        "", "", "max_bytes", "floor_bytes", "target_bytes", "actual_bytes", "demand_bytes", "entitled_bytes", "rss_bytes", "swap_bytes",
        "", "", "",
};

static void add_row(struct table *table, const json_t *vm, uint64_t totals[static ARRAY_SIZE(columns)]) {
        const char *state = field_text(vm, "state"), *source = field_text(vm, "source");
        char buf[MAX(FORMAT_SIZE_MAX, FORMAT_DURATION_MAX)], reason[128];

        table_add(table, field_text(vm, "name") ?: "-", STYLE_PLAIN);
        table_add(table, state ?: "-", style_of_state(state));
        for (size_t i = 0; i < ARRAY_SIZE(columns); i++) {
                uint64_t bytes;
                bool swaps;

                if (!*sizes[i])
                        continue;
                bytes = field_count(vm, sizes[i]);
                if (bytes != AEROSTAT_UNKNOWN) /* the total stays unknown until one of them is known */
                        totals[i] = totals[i] == AEROSTAT_UNKNOWN ? bytes : u64_add(totals[i], bytes);
                swaps = strcmp(sizes[i], "swap_bytes") == 0 && bytes != AEROSTAT_UNKNOWN && bytes > 0;
                table_add(table, format_size(bytes, buf), swaps ? STYLE_WARN : STYLE_PLAIN);
        }
        table_add(table, !source ? "-" : strcmp(source, "balloon_stats") == 0 ? "balloon" : source, STYLE_PLAIN);
        table_add(table, field_duration(vm, "report_age_seconds", buf), STYLE_PLAIN);
        snprintf(reason, sizeof(reason), "%s%s", field_text(vm, "reason") ?: "-", field_is_true(vm, "limits_by_hand") ? "; limits by hand" : "");
        table_add(table, reason, STYLE_FAINT);
}

static void add_totals(struct table *table, size_t n, const uint64_t totals[static ARRAY_SIZE(columns)]) {
        char buf[FORMAT_SIZE_MAX];

        snprintf(buf, sizeof(buf), "%zu VM%s", n, n == 1 ? "" : "s");
        table_add(table, buf, STYLE_HEADER);
        for (size_t i = 1; i < ARRAY_SIZE(columns); i++)
                table_add(table, *sizes[i] ? format_size(totals[i], buf) : "", STYLE_HEADER);
}

static int run_list(const struct context *context, const struct args *args) {
        uint64_t totals[ARRAY_SIZE(columns)];
        const json_t *vms, *vm;
        const char *automation;
        bool connected;
        struct table *table;
        json_t *reply;
        size_t i;
        int r;

        r = client_call_or_print(context, "List", NULL, &reply);
        if (r != CTL_DONE || !reply)
                return r;
        for (i = 0; i < ARRAY_SIZE(totals); i++)
                totals[i] = AEROSTAT_UNKNOWN;
        connected = !json_is_false(json_object_get(reply, "connected"));
        vms = json_object_get(reply, "vms");
        if (json_array_size(vms) == 0)
                puts(connected ? "No VM is running." : "No VM is known.");
        else {
                table = table_new(columns, ARRAY_SIZE(columns));
                json_array_foreach(vms, i, vm)
                        add_row(table, vm, totals);
                add_totals(table, json_array_size(vms), totals);
                table_print(table, stdout);
                table_free(table);
        }
        if (!connected)
                printf("\n%slibvirt does not answer: this may be old, or not all; see `aerostatctl status`.%s\n", text_style(STYLE_BAD),
                       text_end(STYLE_BAD));
        automation = field_text(reply, "automation");
        if (automation && strcmp(automation, "running") != 0)
                printf("\n%sAutomation is %s%s\n", text_style(STYLE_WARN),
                       strcmp(automation, "paused") == 0 ? "paused: no VM is moved until `aerostatctl resume`." : "in dry-run: no VM is moved.",
                       text_end(STYLE_WARN));
        json_decref(reply);
        return CTL_DONE;
}

const struct verb verb_list = {
        .name = "list",
        .operands = "",
        .summary = "A line for each VM: what it has, needs and is to have",
        .help = "MAX and FLOOR are its limits, TARGET is what its balloon was asked to leave it, ACTUAL what it has, DEMAND what it\n"
                "needs with headroom, ENTITLED what it gets when everybody wants everything, RSS and SWAP what its QEMU takes on the\n"
                "host. AGE is that of its last report, SOURCE who made it. On a narrow terminal some columns are left out.",
        .run = run_list,
};
