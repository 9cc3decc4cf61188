/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>

#include "protocol/base.h"
#include "tools/aerostatctl/client.h"
#include "tools/aerostatctl/field.h"
#include "tools/aerostatctl/table.h"

static const struct column columns[] = {
        { "WHEN", false, 0 }, { "FROM", true, 0 }, { "TO", true, 0 }, { "DEMAND", true, 2 }, { "STEPS", true, 1 }, { "WHY", false, 0 },
};

static void say(const json_t *reply, const char *key) {
        _cleanup_free_ char *safe = text_safe(field_text(reply, key) ?: "");

        if (safe && *safe)
                printf("%s\n", safe);
}

static void print_moves(const json_t *moves) {
        struct table *table;
        const json_t *move;
        size_t i;

        if (json_array_size(moves) == 0) {
                puts("\nIt has not been moved since the daemon started.");
                return;
        }
        puts("\nIts last moves, newest first:");
        table = table_new(columns, ARRAY_SIZE(columns));
        json_array_foreach(moves, i, move) {
                char age[FORMAT_DURATION_MAX], when[FORMAT_DURATION_MAX + 8], size[FORMAT_SIZE_MAX], steps[24], why[128];

                snprintf(when, sizeof(when), "%s ago", field_duration(move, "last_age_seconds", age));
                snprintf(steps, sizeof(steps), "%" PRIu64, field_count(move, "steps"));
                snprintf(why, sizeof(why), "%s%s", field_text(move, "reason") ?: "-", field_is_true(move, "applied") ? "" : " (dry run: not done)");
                table_add(table, when, STYLE_PLAIN);
                table_add(table, field_size(move, "before_bytes", size), STYLE_PLAIN);
                table_add(table, field_size(move, "after_bytes", size), STYLE_PLAIN);
                table_add(table, field_size(move, "demand_bytes", size), STYLE_PLAIN);
                table_add(table, steps, STYLE_PLAIN);
                table_add(table, why, STYLE_PLAIN);
        }
        table_print(table, stdout);
        table_free(table);
}

static int run_explain(const struct context *context, const struct args *args) {
        json_t *reply;
        char target[FORMAT_SIZE_MAX];
        int r;

        r = client_call_vm(context, "Explain", args->operands[0], &reply);
        if (r != CTL_DONE || !reply)
                return r;
        if (field_text(reply, "reason")) {
                _cleanup_free_ char *name = text_safe(field_text(reply, "name") ?: "-");

                printf("%s%s%s: %s, %s\n\n", text_style(STYLE_HEADER), name ?: "-", text_end(STYLE_HEADER), field_size(reply, "target_bytes", target),
                       field_text(reply, "reason"));
                say(reply, "need");
                say(reply, "entitlement");
                say(reply, "explanation");
                say(reply, "more");
        } else
                puts("Nothing has been decided about it yet: ask again in a few seconds.");
        say(reply, "note");
        print_moves(json_object_get(reply, "decisions"));
        json_decref(reply);
        return CTL_DONE;
}

const struct verb verb_explain = {
        .name = "explain",
        .operands = "VM",
        .summary = "Why a VM has what it has, what would give it more, its last moves",
        .min_operands = 1,
        .max_operands = 1,
        .run = run_explain,
};
