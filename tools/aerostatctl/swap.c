/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "protocol/base.h"
#include "protocol/units.h"
#include "tools/aerostatctl/args.h"
#include "tools/aerostatctl/client.h"
#include "tools/aerostatctl/field.h"
#include "tools/aerostatctl/swap_file.h"
#include "tools/aerostatctl/table.h"
#include "tools/aerostatctl/text.h"

#define DEFAULT_FILE "/var/lib/aerostat/swapfile"

static void print_safe(const char *text) {
        _cleanup_free_ char *safe = text_safe(text);

        fputs(safe ?: "-", stdout);
}

static void print_kept_by(const json_t *s) {
        const char *method = field_text(s, "method") ?: "none", *group = field_text(s, "group"), *note = field_text(s, "note");
        char limit[FORMAT_SIZE_MAX], lifted[FORMAT_SIZE_MAX];

        printf("Kept by   ");
        if (strcmp(method, "none") == 0)
                printf("nobody%s", !field_is_true(s, "enforce")       ? ": [swap] enforce = no"
                                   : field_automation_is(s, "paused")  ? ": automation is paused"
                                   : field_automation_is(s, "dry_run") ? ": in dry-run"
                                                                       : "");
        else if (strcmp(method, "cgroup_v1_swappiness") == 0)
                printf("swappiness of the VMs (cgroup v1), now %" PRIu64, field_count(s, "swappiness"));
        else {
                printf("the kernel: memory.swap.max of %s", group ? "" : "each VM");
                if (group)
                        print_safe(group);
                printf(" = %s%s%s", field_size(s, "limit_bytes", limit), strcmp(method, "systemd") == 0 ? ", set through systemd" : "",
                       field_is_true(s, "per_vm_limits") ? ", and shares of it for each VM" : "");
        }
        puts("");
        if (field_count(s, "lifted_bytes") != AEROSTAT_UNKNOWN && field_count(s, "lifted_bytes") > 0)
                printf("          %slifted by %s, because memory is nearly gone%s\n", text_style(STYLE_BAD), field_size(s, "lifted_bytes", lifted),
                       text_end(STYLE_BAD));
        if (note) {
                printf("          %s", text_style(STYLE_WARN));
                print_safe(note);
                printf("%s\n", text_end(STYLE_WARN));
        }
}

static void print_vms(const json_t *s) {
        static const struct column columns[] = { { "VM", false, 0 }, { "RSS", true, 1 }, { "SWAP", true, 0 } };
        struct table *table = table_new(columns, ARRAY_SIZE(columns));
        const json_t *vms = json_object_get(s, "vms"), *vm;
        char size[FORMAT_SIZE_MAX];
        size_t i;

        json_array_foreach(vms, i, vm) {
                table_add(table, field_text(vm, "name") ?: "-", STYLE_PLAIN);
                table_add(table, field_size(vm, "rss_bytes", size), STYLE_PLAIN);
                table_add(table, field_size(vm, "swap_bytes", size), STYLE_PLAIN);
        }
        if (json_array_size(vms) > 0) {
                puts("");
                table_print(table, stdout);
        }
        table_free(table);
}

static void print_swap(const json_t *s) {
        char a[FORMAT_SIZE_MAX], b[FORMAT_SIZE_MAX], c[FORMAT_SIZE_MAX], d[FORMAT_SIZE_MAX], percent[FIELD_PERCENT_MAX];

        if (field_count(s, "total_bytes") == 0)
                puts("Swap      none; `aerostatctl swap plan` tells how much there should be");
        else
                printf("Swap      %s of %s on disk used; with zram %s of %s\n", field_size(s, "disk_used_bytes", a),
                       field_size(s, "disk_total_bytes", b), field_size(s, "used_bytes", c), field_size(s, "total_bytes", d));
        printf("Ceiling   %s = %s%s; VMs may have %s\n", field_percent(s, "ceiling_ratio", percent), field_size(s, "ceiling_bytes", a),
               field_is_true(s, "above_ceiling") ? " (above it now)" : "", field_size(s, "allowance_bytes", b));
        print_kept_by(s);
        if (field_count(s, "in_pages_per_second") != AEROSTAT_UNKNOWN)
                printf("Traffic   %" PRIu64 " pages/s in, %" PRIu64 " out%s\n", field_count(s, "in_pages_per_second"),
                       field_count(s, "out_pages_per_second"), field_is_true(s, "thrashing") ? ": thrashing" : "");
        print_vms(s);
}

static int show(const struct context *context, const char *method, json_t *parameters, void (*print)(const json_t *reply)) {
        json_t *reply;
        int r = client_call_or_print(context, method, parameters, &reply);

        if (r != CTL_DONE || !reply)
                return r;
        print(reply);
        json_decref(reply);
        return CTL_DONE;
}

static void print_ceiling(const json_t *s) {
        char a[FORMAT_SIZE_MAX], percent[FIELD_PERCENT_MAX];

        printf("The swap ceiling is %s = %s until the configuration is read again; [swap] ceiling in aerostatd.conf keeps it.\n",
               field_percent(s, "ceiling_ratio", percent), field_size(s, "ceiling_bytes", a));
}

static int run_ceiling(const struct context *context, const char *text) {
        uint64_t ppm;

        if (!text)
                return complain(CTL_USAGE, "swap ceiling takes a share of swap, as in: aerostatctl swap ceiling 30%%");
        if (parse_percent(text, &ppm) < 0 || ppm > PPM_ONE)
                return complain(CTL_USAGE, "\"%s\" is no share of swap: it is from 0%% to 100%%, with its percent sign", text);
        return show(context, "SetSwapCeiling", json_pack("{s:f}", "ceiling_ratio", (double) ppm / (double) PPM_ONE), print_ceiling);
}

static void print_plan(const json_t *p) {
        char a[FORMAT_SIZE_MAX], b[FORMAT_SIZE_MAX], c[FORMAT_SIZE_MAX], percent[FIELD_PERCENT_MAX];
        bool zswap = field_count(p, "zswap_bytes") != AEROSTAT_UNKNOWN && field_count(p, "zswap_bytes") > 0;
        const char *mode = field_text(p, "mode") ?: "-";
        uint64_t backed = field_count(p, "backed_bytes"), missing = field_count(p, "missing_bytes");

        printf("VMs       %s at most, with QEMU's own; the host bears %s without swap\n", field_size(p, "vms_bytes", a),
               field_size(p, "capacity_bytes", b));
        printf("Needs     ");
        if (backed == 0)
                printf("none for %s mode", mode);
        else if (field_count(p, "needed_bytes") == AEROSTAT_UNKNOWN)
                printf("more than any swap can back: the ceiling is 0 %%");
        else
                printf("%s: %s mode has %s to back, within %s of swap%s%s", field_size(p, "needed_bytes", a), mode, format_size(backed, b),
                       field_percent(p, "ceiling_ratio", percent), zswap ? " less zswap's " : "", zswap ? field_size(p, "zswap_bytes", c) : "");
        printf("\nRule      %s for %s of memory (2 x up to 2 GiB, + 2 GiB up to 16 GiB, 8 GiB above)\n", field_size(p, "classic_bytes", a),
               field_size(p, "memory_bytes", b));
        printf("There is  %s\nAdvice    %s", field_size(p, "total_bytes", a), field_size(p, "advised_bytes", b));
        if (missing == 0)
                puts(": enough");
        else if (missing != AEROSTAT_UNKNOWN)
                printf(": add %s, as with `aerostatctl swap add %" PRIu64 "M`\n", format_size(missing, c), (missing + MIB - 1) / MIB);
        else
                puts("");
}

static int run_plan(const struct context *context, const char *size) {
        json_t *parameters = NULL;
        uint64_t bytes;
        int r;

        if (size) {
                r = args_size(size, &bytes);
                if (r != CTL_DONE)
                        return r;
                parameters = json_pack("{s:I}", "vms_bytes", (json_int_t) bytes);
        }
        return show(context, "SwapPlan", parameters, print_plan);
}

/* The daemon knows the reserve; where there is none, swap can be removed all the same. */
static uint64_t ask_reserve(const struct context *context) {
        uint64_t bytes = AEROSTAT_UNKNOWN;
        json_t *reply;

        if (client_ask(context, "Status", &reply)) {
                bytes = field_count(reply, "reserve_bytes");
                json_decref(reply);
        }
        return bytes;
}

static int run_add(const struct context *context, const char *size, const char *path) {
        uint64_t bytes;
        int r;

        if (!size)
                return complain(CTL_USAGE, "swap add takes a size, as in: aerostatctl swap add 4G");
        r = args_size(size, &bytes);
        return r == CTL_DONE ? swap_file_add(context, path ?: DEFAULT_FILE, bytes) : r;
}

static int run_swap(const struct context *context, const struct args *args) {
        static const char *const verbs[] = { "status", "ceiling", "plan", "add", "remove", NULL };
        const char *what = args->n_operands > 0 ? args->operands[0] : "status";
        const char *a = args->n_operands > 1 ? args->operands[1] : NULL, *b = args->n_operands > 2 ? args->operands[2] : NULL, *nearest;
        int verb = parse_choice(what, verbs);

        if (verb < 0) {
                nearest = parse_nearest(what, verbs);
                return complain(CTL_USAGE, nearest ? "swap takes status, ceiling, plan, add or remove: did you mean \"%s\"?"
                                                   : "swap takes status, ceiling, plan, add or remove, not \"%s\"", nearest ?: what);
        }
        if ((a && verb == 0) || (b && verb != 3))
                return complain(CTL_USAGE, "swap %s does not take \"%s\"", what, verb == 0 ? a : b);
        switch (verb) {
        case 0:
                return show(context, "Swap", NULL, print_swap);
        case 1:
                return run_ceiling(context, a);
        case 2:
                return run_plan(context, a);
        case 3:
                return run_add(context, a, b);
        default:
                if (!a)
                        return complain(CTL_USAGE, "swap remove takes the path of a swap file; /proc/swaps lists them");
                return swap_file_remove(context, a, ask_reserve(context));
        }
}

const struct verb verb_swap = {
        .name = "swap",
        .operands = "[status|ceiling|plan|add|remove]...",
        .summary = "Host swap: its use against the ceiling; plan, add, remove",
        .help = "  swap status            the ceiling, what keeps it, and what each VM has in swap\n"
                "  swap ceiling P%        change the share of swap that may be used\n"
                "  swap plan [SIZE]       how much swap there should be, for the VMs that run or for VMs of SIZE altogether\n"
                "  swap add SIZE [PATH]   make a swap file (" DEFAULT_FILE ") and swap on it\n"
                "  swap remove PATH       stop that, if all in it fits into memory, and remove a file that add made\n\n"
                "add and remove need root, and work without the daemon.",
        .max_operands = 3,
        .run = run_swap,
};
