/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "protocol/base.h"
#include "protocol/units.h"
#include "tools/aerostatctl/args.h"
#include "tools/aerostatctl/client.h"
#include "tools/aerostatctl/field.h"
#include "tools/aerostatctl/table.h"

enum { REPORT_SINCE, REPORT_SIZE };

static void wrap(const char *first, const char *text, size_t indent) {
        _cleanup_free_ char *safe = text_safe(text ?: ""), *line = NULL;

        if (safe && asprintf(&line, "%s%s", first, safe) >= 0)
                text_print_wrapped(line, indent);
}

/* The figures: as it was and, in a dry run, as it would have been. */
struct figures {
        struct table *table;
        bool dry_run;
};

static void add(struct figures *f, const char *title, const char *was, const char *would) {
        table_add(f->table, title, STYLE_PLAIN);
        table_add(f->table, was, STYLE_PLAIN);
        if (f->dry_run)
                table_add(f->table, would, STYLE_PLAIN);
}

static char *size_and_share(const json_t *reply, const char *key, const char *ratio, char buf[static 64]) {
        char size[FORMAT_SIZE_MAX], share[FIELD_PERCENT_MAX];
        double value;

        field_size(reply, key, size);
        if (field_ratio(reply, ratio, &value))
                snprintf(buf, 64, "%s, %s", size, field_percent(reply, ratio, share));
        else
                snprintf(buf, 64, "%s", size);
        return buf;
}

static char *moves(const json_t *reply, const char *key, const char *bytes_key, char buf[static 64]) {
        char size[FORMAT_SIZE_MAX];
        uint64_t n = field_count(reply, key);

        if (n == AEROSTAT_UNKNOWN)
                strcpy(buf, "-");
        else
                snprintf(buf, 64, "%" PRIu64 ", %s", n, field_size(reply, bytes_key, size));
        return buf;
}

static char *bursts(const json_t *reply, char buf[static 96]) {
        snprintf(buf, 96, "%" PRIu64 " at once, %" PRIu64 " late, %" PRIu64 " unmet", field_count(reply, "bursts_at_once"),
                 field_count(reply, "bursts_late"), field_count(reply, "bursts_unmet"));
        return buf;
}

static char *how_long(const json_t *object, const char *key, char buf[static FORMAT_DURATION_MAX]) {
        if (field_usec(object, key) != 0)
                return field_duration(object, key, buf);
        return strcpy(buf, "never");
}

static void print_figures(const json_t *reply) {
        static const struct column columns[] = { { "", false, 0 }, { "AS IT WAS", true, 0 }, { "WITH AEROSTAT", true, 0 } };
        static const char *const states[] = { "tight", "hard", "critical" };
        uint64_t dry_run = field_usec(reply, "dry_run_seconds");
        struct figures f = { .dry_run = dry_run != AEROSTAT_UNKNOWN && dry_run > 0 };
        char a[96], b[96];

        f.table = table_new(columns, f.dry_run ? 3 : 2);
        add(&f, "host can bear, at least", field_size(reply, "envelope_bytes", a), "");
        add(&f, "VMs could take, at most", size_and_share(reply, "committed_peak_bytes", "committed_peak_ratio", a),
            size_and_share(reply, "would_committed_peak_bytes", "would_committed_peak_ratio", b));
        add(&f, "VMs needed, at most", field_size(reply, "demand_peak_bytes", a), "");
        add(&f, "beyond what it can bear for", how_long(reply, "unsafe_seconds", a), how_long(reply, "would_unsafe_seconds", b));
        add(&f, "moves", moves(reply, "moves", "moved_bytes", a), moves(reply, "would_moves", "would_moved_bytes", b));
        add(&f, "guests that needed more", f.dry_run ? "" : bursts(reply, a), bursts(reply, b));
        for (size_t i = 0; i < ARRAY_SIZE(states); i++)
                if (field_usec(json_object_get(reply, "state_seconds"), states[i]) > 0) {
                        snprintf(b, sizeof(b), "host %s for", states[i]);
                        add(&f, b, field_duration(json_object_get(reply, "state_seconds"), states[i], a), "");
                }
        snprintf(b, sizeof(b), "swap used, at most (ceiling %s)", field_size(reply, "swap_ceiling_bytes", a));
        add(&f, b, field_size(reply, "swap_peak_bytes", a), "");
        putchar('\n');
        table_print(f.table, stdout);
        table_free(f.table);
}

static void print_vms(const json_t *vms) {
        bool any = false;
        const json_t *vm;
        size_t i;

        json_array_foreach(vms, i, vm) {
                _cleanup_free_ char *safe = text_safe(field_text(vm, "name") ?: "-"), *line = NULL;

                if (!field_text(vm, "suggestion"))
                        continue;
                if (!any)
                        puts("\nVMs of the wrong size (a new maximum holds from the next start):");
                any = true;
                if (safe && asprintf(&line, "%s: ", safe) >= 0)
                        wrap(line, field_text(vm, "suggestion"), 4);
        }
}

static int run_report(const struct context *context, const struct args *args) {
        uint64_t since_usec, bytes;
        json_t *parameters = json_object(), *reply;
        const json_t *sentence;
        size_t i;
        int r = parameters ? CTL_DONE : complain(CTL_FAILED, "out of memory");

        if (r == CTL_DONE && args->values[REPORT_SINCE]) {
                r = args_duration(args->values[REPORT_SINCE], &since_usec);
                if (r == CTL_DONE)
                        json_object_set_new(parameters, "since_seconds", json_real((double) since_usec / (double) USEC_PER_SEC));
        }
        if (r == CTL_DONE && args->values[REPORT_SIZE]) {
                r = args_size(args->values[REPORT_SIZE], &bytes);
                if (r == CTL_DONE && bytes == 0)
                        r = complain(CTL_USAGE, "any number of VMs of %s fit", args->values[REPORT_SIZE]);
                if (r == CTL_DONE)
                        json_object_set_new(parameters, "size_bytes", json_integer((json_int_t) bytes));
        }
        if (r != CTL_DONE) {
                json_decref(parameters);
                return r;
        }
        r = client_call_or_print(context, "Report", parameters, &reply);
        if (r != CTL_DONE || !reply)
                return r;
        json_array_foreach(json_object_get(reply, "sentences"), i, sentence)
                wrap("", json_string_value(sentence), 0);
        if (field_usec(reply, "watched_seconds") > 0) {
                print_figures(reply);
                print_vms(json_object_get(reply, "vms"));
        }
        json_decref(reply);
        return CTL_DONE;
}

const struct verb verb_report = {
        .name = "report",
        .operands = "",
        .summary = "What the last days were like, or would have been",
        .help = "The last 7 days, or --since DURATION (14 days at most): whether guests got what they needed, and in time; what the VMs\n"
                "could take against what the host can bear; how many more VMs fit, such as run here or of --size SIZE; VMs much too large or\n"
                "too small. In a dry run the same host with Aerostat at work is reckoned beside the real one, and both are shown.",
        .options = { [REPORT_SINCE] = { "--since", "DURATION" }, [REPORT_SIZE] = { "--size", "SIZE" } },
        .run = run_report,
};
