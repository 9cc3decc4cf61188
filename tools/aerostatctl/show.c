/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "protocol/base.h"
#include "tools/aerostatctl/client.h"
#include "tools/aerostatctl/field.h"
#include "tools/aerostatctl/text.h"

static void print_text(const char *label, const char *text) {
        _cleanup_free_ char *safe = text ? text_safe(text) : NULL;

        printf("  %-12s %s\n", label, safe ?: "-");
}

static void print_size(const char *label, const json_t *object, const char *key, const char *comment) {
        char size[FORMAT_SIZE_MAX];

        printf("  %-12s %10s%s%s\n", label, field_size(object, key, size), *comment ? "  " : "", comment);
}

static void print_pin(const json_t *vm) {
        char size[FORMAT_SIZE_MAX], left[FORMAT_DURATION_MAX];

        if (field_count(vm, "pin_bytes") == AEROSTAT_UNKNOWN)
                return;
        printf("  %-12s %10s  ", "Set by hand", field_size(vm, "pin_bytes", size));
        if (field_usec(vm, "pin_seconds_left") == AEROSTAT_UNKNOWN)
                puts("until `aerostatctl auto`");
        else
                printf("for another %s\n", field_duration(vm, "pin_seconds_left", left));
}

static void print_demand(const json_t *vm) {
        char need[FORMAT_SIZE_MAX], hot[FORMAT_SIZE_MAX], headroom[FORMAT_SIZE_MAX], comment[4 * FORMAT_SIZE_MAX];

        if (field_count(vm, "demand_bytes") == AEROSTAT_UNKNOWN)
                comment[0] = 0;
        else
                snprintf(comment, sizeof(comment), "%s in use, %s hot cache, %s headroom", field_size(vm, "need_bytes", need),
                         field_size(vm, "hot_cache_bytes", hot), field_size(vm, "headroom_bytes", headroom));
        print_size("Demand", vm, "demand_bytes", comment);
}

static void print_guest(const json_t *vm) {
        const json_t *guest = json_object_get(vm, "guest");
        const char *source = field_text(vm, "source");
        char age[FORMAT_DURATION_MAX], some[FIELD_PERCENT_MAX], full[FIELD_PERCENT_MAX], used[FORMAT_SIZE_MAX],
                        total[FORMAT_SIZE_MAX];
        uint64_t kills = field_count(guest, "oom_kills");

        if (!source || strcmp(source, "none") == 0) {
                puts("\nGuest: has not reported");
                return;
        }
        printf("\nGuest, %s ago, by ", field_duration(vm, "report_age_seconds", age));
        if (strcmp(source, "agent") == 0) {
                _cleanup_free_ char *version = text_safe(field_text(vm, "agent_version") ?: "-");

                printf("its agent (%s)\n", version ?: "-");
        } else
                puts("its balloon's statistics");
        print_size("Total", guest, "total_bytes", "");
        print_size("Available", guest, "available_bytes", "");
        print_size("Free", guest, "free_bytes", "");
        print_size("Cache", guest, "cache_bytes", "");
        printf("  %-12s %10s  of %s\n", "Swap", field_size(guest, "swap_used_bytes", used),
               field_size(guest, "swap_total_bytes", total));
        printf("  %-12s %10s  some, %s full\n", "Pressure", field_percent(guest, "psi_some_ratio", some),
               field_percent(guest, "psi_full_ratio", full));
        print_size("Refaults", guest, "refault_bytes_per_second", "a second");
        if (kills != AEROSTAT_UNKNOWN)
                printf("  %-12s %10" PRIu64 "\n", "OOM kills", kills);
}

static void print_vm(const json_t *vm) {
        _cleanup_free_ char *name = text_safe(field_text(vm, "name") ?: "-");
        char ago[FORMAT_DURATION_MAX], comment[FORMAT_DURATION_MAX + 32];

        printf("%s%s%s  %s\n", text_style(STYLE_HEADER), name ?: "-", text_end(STYLE_HEADER), field_text(vm, "uuid") ?: "");
        print_text("State", field_text(vm, "state"));
        print_text("Why", field_text(vm, "explanation"));
        if (field_text(vm, "nodes"))
                print_text("NUMA nodes", field_text(vm, "nodes"));
        if (field_text(vm, "note"))
                print_text("Note", field_text(vm, "note"));
        puts("");
        print_size("Maximum", vm, "max_bytes",
                   field_is_true(vm, "autodeflate") ? "autodeflate: the guest takes memory back on its own OOM" : "");
        print_size("Floor", vm, "floor_bytes", field_is_true(vm, "limits_by_hand") ? "limits set by hand: `aerostatctl limits`" : "");
        print_demand(vm);
        print_size("Entitled", vm, "entitled_bytes", "when everybody wants everything");
        print_size("Ideal", vm, "ideal_bytes", "where it should end up");
        if (field_usec(vm, "last_set_age_seconds") == AEROSTAT_UNKNOWN)
                comment[0] = 0;
        else
                snprintf(comment, sizeof(comment), "last asked %s ago", field_duration(vm, "last_set_age_seconds", ago));
        print_size("Target", vm, "target_bytes", comment);
        print_pin(vm);
        print_size("Actual", vm, "actual_bytes", "");
        print_size("Committed", vm, "committed_bytes", "what the host must be able to bear for it");
        print_size("Resident", vm, "rss_bytes", "of QEMU, on the host");
        print_size("Swapped", vm, "swap_bytes", "of QEMU, on the host");
        print_size("Overhead", vm, "overhead_bytes", "of QEMU, beside the guest's memory");
        printf("  %-12s %10" PRIi64 "\n  %-12s %10" PRIi64 "\n", "Weight",
               (int64_t) json_integer_value(json_object_get(vm, "weight")), "Priority",
               (int64_t) json_integer_value(json_object_get(vm, "priority")));
        print_guest(vm);
}

static int run_show(const struct context *context, const struct args *args) {
        json_t *reply;
        int r;

        r = client_call_vm(context, "Show", args->operands[0], &reply);
        if (r != CTL_DONE || !reply)
                return r;
        print_vm(reply);
        json_decref(reply);
        return CTL_DONE;
}

const struct verb verb_show = {
        .name = "show",
        .operands = "VM",
        .summary = "All about one VM, and why it has what it has",
        .min_operands = 1,
        .max_operands = 1,
        .run = run_show,
};
