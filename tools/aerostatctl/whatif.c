/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "protocol/base.h"
#include "tools/aerostatctl/args.h"
#include "tools/aerostatctl/client.h"
#include "tools/aerostatctl/field.h"
#include "tools/aerostatctl/table.h"

#define HOW "`aerostatctl whatif --help` shows how it is written"

static int take_size(json_t *parameters, const char *change, const char *key, const char *text, bool may_be_zero) {
        uint64_t bytes;

        if (json_object_get(parameters, key))
                return complain(CTL_USAGE, "`%s` is given twice", change);
        if (args_size(text, &bytes) != CTL_DONE)
                return CTL_USAGE;
        if (bytes == 0 && !may_be_zero)
                return complain(CTL_USAGE, "`%s %s` changes nothing", change, text);
        if (json_object_set_new(parameters, key, json_integer((json_int_t) bytes)) < 0)
                return complain(CTL_FAILED, "out of memory");
        return CTL_DONE;
}

/* Appends to a list of the parameters, made where there is none. */
static int append(json_t *parameters, const char *key, json_t *value) {
        if (!value)
                return complain(CTL_USAGE, "names have to be valid UTF-8");
        if (!json_object_get(parameters, key))
                json_object_set_new(parameters, key, json_array());
        return json_array_append_new(json_object_get(parameters, key), value) < 0 ? complain(CTL_FAILED, "out of memory") : CTL_DONE;
}

static int take_start(json_t *parameters, const char *text) {
        uint64_t bytes;

        if (args_size(text, &bytes) != CTL_DONE)
                return CTL_USAGE;
        if (bytes == 0)
                return complain(CTL_USAGE, "a VM of %s needs no room", text);
        return append(parameters, "start_bytes", json_integer((json_int_t) bytes));
}

static int take_change(json_t *parameters, const char *change, const char *value) {
        static const char *const changes[] = { "start", "swap", "burst", "host-use", NULL };
        const char *nearest;
        size_t i = 0;

        while (changes[i] && strcmp(change, changes[i]) != 0)
                i++;
        if (!changes[i]) {
                nearest = parse_nearest(change, changes);
                if (nearest)
                        return complain(CTL_USAGE, "there is no change \"%s\": did you mean \"%s\"? " HOW, change, nearest);
                return complain(CTL_USAGE, "there is no change \"%s\"; " HOW, change);
        }
        if (!value)
                return complain(CTL_USAGE, "`%s` needs %s; " HOW, change, i == 2 ? "the name of a VM, or \"all\"" : "a size");
        switch (i) {
        case 0:
                return take_start(parameters, value);
        case 1:
                return take_size(parameters, change, "swap_bytes", value, true);
        case 2:
                if (strcmp(value, "all") != 0)
                        return append(parameters, "burst", json_string(value));
                return json_object_set_new(parameters, "burst_all", json_true()) < 0 ? complain(CTL_FAILED, "out of memory") : CTL_DONE;
        default:
                return take_size(parameters, change, "host_use_bytes", value, false);
        }
}

static void print_vms(const json_t *vms) {
        static const struct column columns[] = {
                { "VM", false, 0 }, { "MAX", true, 1 }, { "NOW", true, 0 }, { "THEN", true, 0 }, { "CHANGE", true, 0 }, { "WHY THEN", false, 0 },
        };
        struct table *table = table_new(columns, ARRAY_SIZE(columns));
        size_t i, same = 0;
        const json_t *vm;

        json_array_foreach(vms, i, vm) {
                uint64_t now = field_count(vm, "now_bytes"), then = field_count(vm, "then_bytes");
                char size[FORMAT_SIZE_MAX], change[FORMAT_SIZE_MAX + 1];

                if (now == then && !field_is_true(vm, "bursts")) {
                        same++;
                        continue;
                }
                snprintf(change, sizeof(change), "%s%s", then > now ? "+" : then < now ? "-" : "", format_size(u64_distance(now, then), size));
                table_add(table, field_text(vm, "name") ?: "-", STYLE_PLAIN);
                table_add(table, field_size(vm, "max_bytes", size), STYLE_PLAIN);
                table_add(table, field_size(vm, "now_bytes", size), STYLE_PLAIN);
                table_add(table, field_size(vm, "then_bytes", size), STYLE_PLAIN);
                table_add(table, change, then < now ? STYLE_WARN : STYLE_PLAIN);
                table_add(table, field_text(vm, "reason") ?: "-", STYLE_PLAIN);
        }
        if (same < i) {
                putchar('\n');
                table_print(table, stdout);
        }
        if (same > 0)
                printf(same == i ? "\nNo VM would change its size.\n" : "%zu more would stay as they are.\n", same);
        table_free(table);
}

static void add_row(struct table *table, const char *title, const char *now, const char *then, enum style style) {
        table_add(table, title, STYLE_PLAIN);
        table_add(table, now, STYLE_PLAIN);
        table_add(table, then, style);
}

static void add_size(struct table *table, const char *title, const json_t *now, const json_t *then, const char *key) {
        char a[FORMAT_SIZE_MAX], b[FORMAT_SIZE_MAX];

        add_row(table, title, field_size(now, key, a), field_size(then, key, b), STYLE_PLAIN);
}

static char *describe_swap(const json_t *host, char buf[static 64]) {
        char used[FORMAT_SIZE_MAX], total[FORMAT_SIZE_MAX];
        double ratio;

        field_size(host, "worst_swap_bytes", used);
        if (field_ratio(host, "worst_swap_ratio", &ratio))
                snprintf(buf, 64, "%s of %s, %.0f%%", used, field_size(host, "swap_total_bytes", total), ratio * 100);
        else
                snprintf(buf, 64, "%s, and there is none", used);
        return buf;
}

static const char *yes_or_no(const json_t *host, const char *key) {
        return field_is_true(host, key) ? "YES" : "no";
}

static void print_worst(const json_t *now, const json_t *then) {
        static const struct column columns[] = { { "", false, 0 }, { "NOW", true, 0 }, { "THEN", true, 0 } };
        struct table *table = table_new(columns, ARRAY_SIZE(columns));
        char a[64], b[64];

        printf("\nThe worst case: all guests use all they have, and all merged pages are written\n");
        add_size(table, "the VMs need", now, then, "worst_needed_bytes");
        add_size(table, "memory for them", now, then, "worst_memory_bytes");
        add_row(table, "in swap", describe_swap(now, a), describe_swap(then, b), STYLE_PLAIN);
        add_row(table, "above the ceiling", yes_or_no(now, "worst_above_ceiling"), yes_or_no(then, "worst_above_ceiling"),
                field_is_true(then, "worst_above_ceiling") ? STYLE_BAD : STYLE_GOOD);
        add_row(table, "host out of memory", yes_or_no(now, "worst_oom_possible"), yes_or_no(then, "worst_oom_possible"),
                field_is_true(then, "worst_oom_possible") ? STYLE_BAD : STYLE_GOOD);
        add_row(table, "guarantee", field_text(now, "guarantee") ?: "-", field_text(then, "guarantee") ?: "-", STYLE_PLAIN);
        table_print(table, stdout);
        table_free(table);
}

static void print_sentences(const json_t *list, const char *bullet) {
        const json_t *one;
        size_t i;

        json_array_foreach(list, i, one) {
                _cleanup_free_ char *safe = text_safe(json_string_value(one) ?: ""), *line = NULL;

                if (safe && asprintf(&line, "%s%s", bullet, safe) >= 0)
                        text_print_wrapped(line, strlen(bullet));
        }
}

static void print_reply(const json_t *reply) {
        const json_t *now = json_object_get(reply, "now"), *then = json_object_get(reply, "then");
        char speed[FORMAT_SIZE_MAX], took[FORMAT_DURATION_MAX];

        print_sentences(json_object_get(reply, "sentences"), "");
        print_vms(json_object_get(reply, "vms"));
        if (field_usec(reply, "settled_seconds") != AEROSTAT_UNKNOWN && field_usec(reply, "settled_seconds") > 0)
                printf("Balloons come to rest after %s, at %s a second (%s).\n", field_duration(reply, "settled_seconds", took),
                       field_size(reply, "inflate_bytes_per_second", speed),
                       field_is_true(reply, "speed_measured") ? "measured here" : "not measured here yet");
        print_worst(now, then);
        if (json_array_size(json_object_get(then, "guarantee_explanations")) > 0)
                puts("\nWhat weakens the guarantee then:");
        print_sentences(json_object_get(then, "guarantee_explanations"), "- ");
}

static int run_whatif(const struct context *context, const struct args *args) {
        json_t *parameters = json_object(), *reply;
        int r = parameters ? CTL_DONE : complain(CTL_FAILED, "out of memory");

        for (unsigned i = 0; i < args->n_operands && r == CTL_DONE; i += 2)
                r = take_change(parameters, args->operands[i], i + 1 < args->n_operands ? args->operands[i + 1] : NULL);
        if (r != CTL_DONE) {
                json_decref(parameters);
                return r;
        }
        r = client_call_or_print(context, "WhatIf", parameters, &reply);
        if (r != CTL_DONE || !reply)
                return r;
        print_reply(reply);
        json_decref(reply);
        return CTL_DONE;
}

const struct verb verb_whatif = {
        .name = "whatif",
        .operands = "[start SIZE|swap SIZE|burst all|burst VM|host-use SIZE]...",
        .summary = "What would happen, and the worst case; changes nothing",
        .help = "Runs the policy on a copy of what the daemon knows, changed so, until balloons would come to rest: would it fit, who would\n"
                "give what, how long would it take. start: a VM of that size starts (with a reservation, as libvirt's hook makes it). swap:\n"
                "there is that much swap on disks. burst: this VM, or every one, uses all that it can get. host-use: others than VMs take so\n"
                "much more. Changes combine. Without any: what would happen by itself, and the worst case as it is. Exit status 0, whether it\n"
                "fits or not.",
        .max_operands = VERB_OPERANDS_MAX,
        .run = run_whatif,
};
