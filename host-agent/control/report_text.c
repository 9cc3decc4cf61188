/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/control/report_text.h"

#include <inttypes.h>
#include <stdio.h>

#include "host-agent/control/put.h"
#include "protocol/parse.h"
#include "protocol/units.h"

static const char *duration(uint64_t msec, char buf[static FORMAT_DURATION_MAX]) {
        return format_duration(u64_mul(msec, USEC_PER_MSEC), buf);
}

static uint64_t percent(uint64_t part, uint64_t whole) {
        return whole > 0 ? (u64_mul(part, 100) + whole / 2) / whole : 0;
}

/* Whether the host was ever worse off than an operator wants it. */
static bool was_in_need(const struct report_sum *s) {
        return s->unsafe_msec > 0 || s->tight_msec + s->hard_msec + s->critical_msec > 0;
}

static void say_dry_run(struct put_list *t, const struct report_sum *s) {
        char a[FORMAT_SIZE_MAX], b[FORMAT_SIZE_MAX], c[FORMAT_DURATION_MAX], d[FORMAT_DURATION_MAX];
        char would[FORMAT_DURATION_MAX + 32] = "not have happened";

        if (s->would_unsafe_msec > 0)
                snprintf(would, sizeof(would), "have been %s", duration(s->would_unsafe_msec, d));
        format_size(s->committed_bytes, a);
        format_size(s->envelope_bytes, b);
        if (!was_in_need(s)) {
                put_sentence(t, "There was nothing to help with: the VMs could take %s at most, and the host "
                                "can bear %s. What Aerostat brings here is room for more VMs.", a, b);
                return;
        }
        if (s->unsafe_msec > 0)
                put_sentence(t, "The VMs could take up to %s, and the host can bear %s: for %s (%" PRIu64 "%% of the time) all of them using what "
                                "they had would have driven it beyond its limit. With Aerostat at work that would %s.",
                             a, b, duration(s->unsafe_msec, c), percent(s->unsafe_msec, s->watched_msec), would);
        if (s->demand_bytes > s->envelope_bytes)
                put_sentence(t, "It would have helped, but not with everything: what the VMs "
                                "needed came to %s at its peak, more than the host can bear.",
                             format_size(s->demand_bytes, a));
        else if (s->would_unsafe_msec <= s->unsafe_msec / 2 && s->unsafe_msec > 0)
                put_sentence(t, "It would have helped: what the VMs really needed (%s at its peak) fits.", format_size(s->demand_bytes, a));
        else
                put_sentence(t, "It would not have helped much: floors and what cannot be "
                                "moved take too large a part; `aerostatctl list` shows which.");
}

static void say_live(struct put_list *t, const struct report_sum *s) {
        char a[FORMAT_SIZE_MAX], b[FORMAT_SIZE_MAX], c[FORMAT_DURATION_MAX];

        if (s->unsafe_msec == 0)
                put_sentence(t, "The promise held all the time: the VMs could take %s at most, and the host can bear %s.",
                             format_size(s->committed_bytes, a), format_size(s->envelope_bytes, b));
        else
                put_sentence(t, "For %s (%" PRIu64 "%% of the time) the VMs could take more than the host can bear, as when one starts at its "
                                "maximum: up to %s of %s.",
                             duration(s->unsafe_msec, c), percent(s->unsafe_msec, s->watched_msec), format_size(s->committed_bytes, a),
                             format_size(s->envelope_bytes, b));
}

static void say_bursts(struct put_list *t, const struct report_sum *s, bool dry_run) {
        uint64_t all = s->bursts_at_once + s->bursts_late + s->bursts_unmet;
        char mean[FORMAT_DURATION_MAX], most[FORMAT_DURATION_MAX], size[FORMAT_SIZE_MAX], late[160] = "", times[32];

        put_sentence(t, dry_run ? "It would have made %" PRIu64 " moves of %s together." : "It made %" PRIu64 " moves of %s together.",
                     dry_run ? s->would_moves : s->moves, format_size(dry_run ? s->would_moved_bytes : s->moved_bytes, size));
        if (all == 0) {
                put_sentence(t, "No guest ever needed more than it %s.", dry_run ? "would have had" : "had");
                return;
        }
        if (s->bursts_late > 0)
                snprintf(late, sizeof(late), " (after %s on average, %s at most)", duration(s->late_msec / s->bursts_late, mean),
                         duration(s->late_max_msec, most));
        snprintf(times, sizeof(times), all == 1 ? "once" : "%" PRIu64 " times", all);
        put_sentence(t, "Guests needed more than they %s %s: met at once %" PRIu64 ", late %" PRIu64 "%s, not within a minute %" PRIu64 ".",
                     dry_run ? "would have had" : "had", times, s->bursts_at_once, s->bursts_late, late, s->bursts_unmet);
}

static void say_fit(struct put_list *t, const struct report_fit *fit, bool sized) {
        char max[FORMAT_SIZE_MAX], demand[FORMAT_SIZE_MAX], more[48];

        if (fit->more == AEROSTAT_UNKNOWN)
                return;
        format_size(fit->max_bytes, max);
        format_size(fit->demand_bytes, demand);
        snprintf(more, sizeof(more), fit->more == 0 ? "No more VMs" : fit->more == 1 ? "One more VM" : "%" PRIu64 " more VMs", fit->more);
        if (sized)
                put_sentence(t, "%s of %s fit%s, needing as much of it as those that run (%s at the peak).", more, max,
                             fit->more == 1 ? "s" : "", demand);
        else
                put_sentence(t, "%s such as run here fit%s (%s, of which %s is needed at the peak).", more, fit->more == 1 ? "s" : "", max, demand);
}

json_t *report_text(const struct host_view *host, const struct report_sum *s, const struct report_fit *fit, bool sized) {
        struct put_list t = put_list_new();
        bool dry_run = s->dry_run_msec > s->watched_msec / 2;
        char watched[FORMAT_DURATION_MAX], part[FORMAT_DURATION_MAX];

        if (s->watched_msec == 0)
                put_sentence(&t, "Nothing was watched in that time: ask again in a few minutes.");
        else {
                duration(s->watched_msec, watched);
                if (s->dry_run_msec > 0 && s->dry_run_msec < s->watched_msec)
                        put_sentence(&t, "Watched for %s, %s of it in a dry run.", watched, duration(s->dry_run_msec, part));
                else
                        put_sentence(&t, "Watched for %s%s.", watched, dry_run ? ", in a dry run: nothing was moved" : "");
                if (dry_run)
                        say_dry_run(&t, s);
                else
                        say_live(&t, s);
                say_bursts(&t, s, dry_run);
                say_fit(&t, fit, sized);
                if (dry_run && host->automation == AUTOMATION_DRY_RUN)
                        put_sentence(&t, "To let it act: [host] dry-run = no in aerostatd.conf (or start it without --dry-run).");
        }
        return put_list_end(&t);
}

char *report_text_vm(const char *name, const struct report_vm_sum *vm, char buf[static EXPLAIN_MAX]) {
        char max[FORMAT_SIZE_MAX], demand[FORMAT_SIZE_MAX], time[FORMAT_DURATION_MAX];
        uint64_t mib = vm->suggested_bytes / MIB;

        format_size(vm->max_bytes, max);
        format_size(vm->demand_bytes, demand);
        switch (vm->size) {
        case REPORT_SIZE_TOO_LARGE:
                snprintf(buf, EXPLAIN_MAX, "never needed more than %s of %s: virsh setmaxmem %.128s %" PRIu64 "M --config", demand, max, name, mib);
                return buf;
        case REPORT_SIZE_TOO_SMALL:
                snprintf(buf, EXPLAIN_MAX, "near its maximum of %s for %s: virsh setmaxmem %.128s %" PRIu64 "M --config", max,
                         duration(vm->near_max_msec, time), name, mib);
                return buf;
        case REPORT_SIZE_FINE:
        case REPORT_SIZE_UNKNOWN:
                return NULL;
        }
        return NULL;
}
