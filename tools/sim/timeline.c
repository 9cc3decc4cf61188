/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/sim/timeline.h"

#include <errno.h>

#include "protocol/units.h"

static json_t *guest_line(const struct run *run, size_t vm) {
        const struct guest *g = &run->guests[run->guest_of[vm]];
        const struct policy_vm *p = &run->vms[vm];

        return json_pack("{s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:s,s:s}", "name", g->spec->name,
                         "actual_bytes", (json_int_t) g->actual_bytes,
                         "target_bytes", (json_int_t) p->plan.target_bytes,
                         "ideal_bytes", (json_int_t) p->plan.ideal_bytes,
                         "wanted_bytes", (json_int_t) g->want_bytes,
                         "unmet_bytes", (json_int_t) g->unmet_bytes,
                         "cache_bytes", (json_int_t) g->cache_bytes,
                         "demand_bytes", (json_int_t) p->plan.demand_bytes,
                         "entitled_bytes", (json_int_t) p->plan.entitled_bytes,
                         "rss_bytes", (json_int_t) host_guest_rss(g),
                         "state", policy_class_to_string(p->plan.class),
                         "reason", policy_reason_to_string(p->plan.reason));
}

int timeline_write(struct run *run) {
        const struct policy_plan *p = &run->plan;
        json_t *line, *guests;
        int r;

        if (run->now_usec % USEC_PER_SEC >= run->scenario->step_usec)
                return 0;
        guests = json_array();
        for (size_t k = 0; k < run->n_vms; k++)
                json_array_append_new(guests, guest_line(run, k));
        line = json_pack("{s:f,s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:b,s:o}", "seconds", (double) run->now_usec / 1e6,
                         "state", policy_host_state_to_string(p->host_state),
                         "capacity_bytes", (json_int_t) p->capacity_bytes,
                         "envelope_bytes", (json_int_t) p->envelope_bytes,
                         "rule_bytes", (json_int_t) p->rule_bytes,
                         "committed_bytes", (json_int_t) p->committed_bytes,
                         "reserved_bytes", (json_int_t) run_reserved_bytes(run),
                         "available_bytes", (json_int_t) run->host.available_bytes,
                         "other_bytes", (json_int_t) run->host.others_bytes,
                         "swap_used_bytes", (json_int_t) run->host.swap_used_bytes,
                         "unsafe", p->unsafe,
                         "guests", guests);
        if (!line)
                return -ENOMEM;
        r = json_dumpf(line, run->timeline, JSON_COMPACT) == 0 && fputc('\n', run->timeline) != EOF ? 0 : -EIO;
        json_decref(line);
        return r;
}
