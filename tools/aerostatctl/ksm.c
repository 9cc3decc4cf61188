/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "protocol/base.h"
#include "tools/aerostatctl/client.h"
#include "tools/aerostatctl/field.h"
#include "tools/aerostatctl/table.h"
#include "tools/aerostatctl/text.h"

static void print_safe(const char *text) {
        _cleanup_free_ char *safe = text_safe(text);

        fputs(safe ?: "-", stdout);
}

static void print_phase(const json_t *k) {
        const char *phase = field_text(k, "phase") ?: "-";
        char left[FORMAT_DURATION_MAX];

        if (strcmp(phase, "resting") == 0)
                printf("resting, for scanning brought nothing; looks again in %s, or when a VM starts", field_duration(k, "probe_in_seconds", left));
        else if (strcmp(phase, "idle") == 0)
                printf("idle: memory is plentiful, or fewer than two VMs can merge");
        else if (strcmp(phase, "standing_back") == 0)
                printf("standing back");
        else
                print_safe(phase);
}

/* A size that may be less than nothing: what the kernel keeps for it can be more than is saved. */
static char *signed_size(const json_t *object, const char *key, char buf[static FORMAT_SIZE_MAX + 1]) {
        json_int_t value = json_integer_value(json_object_get(object, key));

        if (!json_is_integer(json_object_get(object, key)) || value >= 0)
                return field_size(object, key, buf);
        buf[0] = '-';
        format_size(-(uint64_t) value, buf + 1);
        return buf;
}

static void print_vms(const json_t *k) {
        static const struct column columns[] = { { "VM", false, 0 }, { "SAVED", true, 0 }, { "MERGED", true, 1 }, { "ZERO", true, 2 },
                                                 { "PROFIT", true, 1 }, { "NOTE", false, 0 } };
        struct table *table = table_new(columns, ARRAY_SIZE(columns));
        const json_t *vms = json_object_get(k, "vms"), *vm;
        char size[FORMAT_SIZE_MAX + 1];
        size_t i;

        json_array_foreach(vms, i, vm) {
                table_add(table, field_text(vm, "name") ?: "-", STYLE_PLAIN);
                table_add(table, field_size(vm, "saved_bytes", size), STYLE_PLAIN);
                table_add(table, field_size(vm, "merged_bytes", size), STYLE_PLAIN);
                table_add(table, field_size(vm, "zero_bytes", size), STYLE_PLAIN);
                table_add(table, signed_size(vm, "profit_bytes", size), STYLE_PLAIN);
                table_add(table, field_text(vm, "why_not") ?: "", STYLE_FAINT);
        }
        if (json_array_size(vms) > 0) {
                puts("");
                table_print(table, stdout);
        }
        table_free(table);
}

static void print_ksm(const json_t *k) {
        char a[FORMAT_SIZE_MAX], b[FORMAT_SIZE_MAX + 1], c[FORMAT_SIZE_MAX];
        char cpu[FIELD_PERCENT_MAX], budget[FIELD_PERCENT_MAX], total[FORMAT_DURATION_MAX];
        const char *note = field_text(k, "note");

        printf("Mode      ");
        print_safe(field_text(k, "mode") ?: "-");
        printf("%s, ", field_is_true(k, "manual_mode") ? " (by hand, until the configuration is read again)" : "");
        print_phase(k);
        puts("");
        if (note) {
                printf("          %s", text_style(STYLE_WARN));
                print_safe(note);
                printf("%s\n", text_end(STYLE_WARN));
        }
        if (!field_automation_is(k, "running"))
                printf("          %s\n", field_automation_is(k, "paused") ? "automation is paused: KSM stays as it is until `aerostatctl resume`"
                                                                    : "in dry-run: KSM is not set");
        if (!field_is_true(k, "present"))
                return;
        printf("Saves     %s; profit %s%s; %s promised again\n", field_size(k, "saved_bytes", a), signed_size(k, "profit_bytes", b),
               field_is_true(k, "profit_estimated") ? " (estimated)" : "", field_size(k, "credit_bytes", c));
        printf("Costs     %s of a CPU, of %s allowed; %s of CPU time since boot\n", field_percent(k, "cpu_ratio", cpu),
               field_percent(k, "cpu_budget_ratio", budget), field_duration(k, "ksmd_cpu_seconds", total));
        printf("Scanning  %" PRIu64 " pages every %" PRIu64 " ms%s; %" PRIu64 " full scans; the last brought %s\n", field_count(k, "pages_to_scan"),
               field_count(k, "sleep_msec"), field_is_true(k, "advisor") ? " (within the kernel's advisor)" : "", field_count(k, "full_scans"),
               field_size(k, "gain_bytes", a));
        if (field_count(k, "backoff") != AEROSTAT_UNKNOWN && field_count(k, "backoff") > 0)
                printf("          backing off: merged pages are written as fast as they merge (%" PRIu64 " copies/s)\n",
                       field_count(k, "cow_pages_per_second"));
        if (field_count(k, "zero_pages") != AEROSTAT_UNKNOWN)
                printf("Zeros     %" PRIu64 " pages merged with the kernel's own (use_zero_pages is %s)\n", field_count(k, "zero_pages"),
                       field_is_true(k, "use_zero_pages") ? "on" : "off");
        if (json_is_boolean(json_object_get(k, "merge_across_nodes")))
                printf("NUMA      pages merge %s\n", field_is_true(k, "merge_across_nodes") ? "across nodes" : "within their node only");
        print_vms(k);
}

/* Leaving KSM alone also works while automation does not. */
static void print_mode_set(const json_t *k, const char *mode) {
        if (strcmp(mode, "leave") == 0 || field_automation_is(k, "running"))
                printf("KSM is %s until the configuration is read again; [ksm] mode in aerostatd.conf keeps it.\n", mode);
        else if (field_automation_is(k, "paused"))
                printf("KSM will be %s from `aerostatctl resume` on, until the configuration is read again: automation is paused, and KSM stays as "
                       "it is.\n",
                       mode);
        else
                printf("KSM would be %s until the configuration is read again: in dry-run it is not set.\n", mode);
}

static int run_ksm(const struct context *context, const struct args *args) {
        const char *what = args->n_operands > 0 ? args->operands[0] : "status";
        static const char *const verbs[] = { "status", "auto", "on", "off", "leave", "unmerge", NULL };
        json_t *parameters = NULL, *reply;
        const char *nearest;
        int verb = parse_choice(what, verbs), r;

        if (verb < 0) {
                nearest = parse_nearest(what, verbs);
                if (nearest)
                        return complain(CTL_USAGE, "ksm takes status, auto, on, off, leave or unmerge: did you mean \"%s\"?", nearest);
                return complain(CTL_USAGE, "ksm takes status, auto, on, off, leave or unmerge, not \"%s\"", what);
        }
        if (verb > 0) {
                parameters = json_pack("{s:s}", "mode", what);
                if (!parameters)
                        return complain(CTL_FAILED, "out of memory");
        }
        r = client_call_or_print(context, verb > 0 ? "SetKsm" : "Ksm", parameters, &reply);
        if (r != CTL_DONE || !reply)
                return r;
        if (verb == 0)
                print_ksm(reply);
        else if (strcmp(what, "unmerge") == 0)
                puts("All merged pages are being taken apart; `aerostatctl ksm` shows how far it is. KSM is off until `aerostatctl ksm auto`.");
        else
                print_mode_set(reply, what);
        json_decref(reply);
        return CTL_DONE;
}

const struct verb verb_ksm = {
        .name = "ksm",
        .operands = "[status|auto|on|off|leave|unmerge]",
        .summary = "Merging of equal pages: what it saves and costs; switch it",
        .help = "status shows savings, CPU cost and profit, for each VM, too, and which VMs do not take part. auto merges as long as it\n"
                "pays, on always; off stops scanning and keeps what is merged; leave does not touch KSM. unmerge takes all merged pages\n"
                "apart, where there is memory for that, and leaves KSM off.",
        .max_operands = 1,
        .run = run_ksm,
};
