/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/sim/invariants_internal.h"

#include <stdarg.h>
#include <stdio.h>

#include "protocol/units.h"

#define HOLD_USEC USEC_PER_MINUTE              /* freshly unknown */
#define DOUBT_USEC (500 * USEC_PER_MSEC)       /* a grant that was taken back */

void invariants_violate(struct violations *v, unsigned which, const char *format, ...) {
        va_list ap;
        int n;

        v->count[which]++;
        if (v->first[0])
                return;
        n = snprintf(v->first, sizeof(v->first), "I%u: ", which);
        va_start(ap, format);
        vsnprintf(v->first + n, sizeof(v->first) - (size_t) n, format, ap);
        va_end(ap);
}

uint64_t invariants_total(const struct violations *v) {
        uint64_t total = 0;

        for (unsigned i = 1; i <= INVARIANTS; i++)
                total += v->count[i];
        return total;
}

struct reckoned invariants_reckon(const struct policy_vm *vm, uint64_t now_usec) {
        const struct policy_vm_input *in = &vm->input;
        struct reckoned r = { .max = size(in->max_bytes, 0) };
        /* What it was granted and is to have no more, it may have taken before it heard of that. */
        uint64_t doubt = u64_sub(now_usec, vm->state.revoked_usec) < DOUBT_USEC ? MIN(vm->state.revoked_bytes, r.max) : 0;
        uint64_t counted;

        r.floor = MIN(size(in->floor_bytes, 0), r.max);
        r.overhead = size(in->overhead_bytes, POLICY_OVERHEAD_DEFAULT);
        r.actual = in->balloon_confirmed ? MIN(size(in->actual_bytes, r.max), r.max) : r.max;
        r.base = MIN(size(in->target_bytes, r.actual), r.max);
        r.after = vm->plan.set ? vm->plan.target_bytes : r.base;
        counted = !in->managed || in->fixed || vm->state.breaching || vm->state.distrust_until_usec > now_usec ? r.max : r.actual;
        r.committed = MAX(counted + r.overhead, u64_add(size(in->rss_bytes, 0), size(in->swap_bytes, 0)));
        if (in->hugepages && in->managed)
                r.committed = r.liable = r.liable_after = r.overhead;
        else {
                r.liable = MAX(r.committed, MAX(r.base, doubt) + r.overhead);
                r.liable_after = MAX(r.committed, MAX(r.after, doubt) + r.overhead);
        }
        r.movable = in->managed && !in->fixed && !in->hugepages && !in->held && !in->unresponsive &&
                    (vm->plan.class == POLICY_MANAGED || vm->plan.class == POLICY_PINNED || vm->plan.class == POLICY_UNCOOPERATIVE ||
                     (vm->plan.class == POLICY_UNKNOWN && vm->plan.reason != POLICY_REASON_UNKNOWN_HELD)) &&
                    vm->plan.reason != POLICY_REASON_STUCK && vm->plan.reason != POLICY_REASON_TAKES;
        r.resident = in->cannot_swap || in->fixed;
        r.least = in->hugepages && in->managed ? r.overhead : vm->plan.floor_bytes + r.overhead;
        return r;
}

static void check_vm(const struct policy_config *config, uint64_t now_usec, const struct invariants_before *before, const struct policy_vm *vm,
                     const struct reckoned *r, size_t i, struct violations *v) {
        const struct policy_vm_input *in = &vm->input;
        const struct policy_vm_plan *p = &vm->plan;
        bool fresh = in->report_usec != 0 && u64_sub(now_usec, in->report_usec) <= config->fresh_usec;
        uint64_t silent_since = in->report_usec != 0 ? u64_add(in->report_usec, config->fresh_usec) : in->started_usec;
        bool freshly_unknown = !fresh && u64_sub(now_usec, silent_since) < HOLD_USEC && (!before->unsafe || !in->balloon_confirmed);
        uint64_t pin = MAX(MIN(size(in->pin_bytes, 0), r->max), p->floor_bytes);

        /* A floor may have been raised, or found: on the way up to it is where a grant may end. */
        if (p->set && (r->after > r->max || r->after < MIN(p->floor_bytes, r->base)))
                invariants_violate(v, 1, "vm %zu: target %llu outside %llu .. %llu", i, LLU(r->after), LLU(p->floor_bytes), LLU(r->max));
        if (!p->set && p->target_bytes != r->base)
                invariants_violate(v, 1, "vm %zu: target %llu shown, but %llu stands", i, LLU(p->target_bytes), LLU(r->base));
        if (p->floor_bytes < r->floor)
                invariants_violate(v, 1, "vm %zu: floor %llu in force is under its own %llu", i, LLU(p->floor_bytes), LLU(r->floor));
        if (p->set && (in->held || in->unresponsive))
                invariants_violate(v, 4, "vm %zu: moved while paused, migrating or not answering", i);
        if (p->set && freshly_unknown && in->pin_bytes == AEROSTAT_UNKNOWN && r->after < r->base)
                invariants_violate(v, 4, "vm %zu: shrunk while freshly unknown", i);
        if (p->set && (!in->managed || in->fixed || in->hugepages))
                invariants_violate(v, 9, "vm %zu: moved, though excluded or fixed", i);
        if (p->set && in->pin_bytes != AEROSTAT_UNKNOWN && before->host_state != POLICY_CRITICAL && !vm->state.breaching &&
            vm->state.distrust_until_usec <= now_usec && vm->state.stuck_usec == 0 &&
            (r->after > r->base ? r->after > MAX(pin, r->base) : r->after < MIN(pin, r->base)))
                invariants_violate(v, 9, "vm %zu: pinned at %llu, moved from %llu to %llu", i, LLU(pin), LLU(r->base), LLU(r->after));
}

/* I5: who is fresh and does as it is asked ends up with its demand or its entitlement. */
static void check_entitlement(const struct policy_config *config, const struct policy_vm *vm, size_t i, const struct policy_plan *plan,
                              struct violations *v) {
        const struct policy_vm_plan *p = &vm->plan;
        uint64_t due = MIN(p->demand_bytes, p->entitled_bytes);

        if (p->class != POLICY_MANAGED || p->reason == POLICY_REASON_STUCK || !plan->floors_fit || config->mode != POLICY_GUARANTEED)
                return;
        if (u64_add(p->ideal_bytes, MIB) < due)
                invariants_violate(v, 5, "vm %zu: ideal %llu under its due %llu", i, LLU(p->ideal_bytes), LLU(due));
}

/* Sums over all VMs, as reckoned here. Bytes. */
struct sums {
        uint64_t liable, after;                /* of each: now, and when all has been done that was asked */
        uint64_t asked, could_give;            /* what will be left when balloons are there; what could be asked for beside */
};

/* I2, the second bound: what cannot swap, with what the others have been guaranteed, stays within memory itself. */
static void check_resident(const struct policy_plan *plan, const struct sums *s, uint64_t reserved, uint64_t unswappable, size_t n_vms,
                           struct violations *v) {
        uint64_t rule = u64_sub(plan->capacity_bytes, plan->correction_bytes), deficit = u64_sub(u64_add(s->liable, reserved), rule);

        if (deficit != plan->resident_deficit_bytes || rule != plan->resident_rule_bytes)
                invariants_violate(v, 2, "%llu short of resident memory counted as %llu", LLU(deficit), LLU(plan->resident_deficit_bytes));
        if (s->after > s->liable && u64_add(s->after, reserved) > rule)
                invariants_violate(v, 2, "what cannot swap, and floors, grow from %llu to %llu of %llu", LLU(s->liable), LLU(s->after), LLU(rule));
        if (deficit > 0 && u64_add(s->asked, reserved) > u64_add(rule, GRAIN) && s->could_give > (n_vms + 1) * MIB)
                invariants_violate(v, 2, "%llu of resident memory are missing, %llu could still be asked for",
                                   LLU(u64_add(s->asked, reserved) - rule), LLU(s->could_give));
        if (unswappable > rule && !plan->unsafe)
                invariants_violate(v, 2, "%llu cannot swap, and %llu is there, but the host counts as safe", LLU(unswappable), LLU(rule));
}

void invariants_check(const struct policy_config *config, const struct policy_host *host, uint64_t now_usec, const struct invariants_before *before,
                      const struct policy_vm *vms, size_t n_vms, const struct policy_plan *plan, struct violations *v) {
        uint64_t reserved = size(host->reserved_bytes, 0), liable = reserved, liable_after = reserved, committed = 0, grants = 0, asked = reserved;
        uint64_t could_give = 0, unswappable = 0, deficit;
        struct sums resident = { 0 };

        for (size_t i = 0; i < n_vms; i++) {
                struct reckoned r = invariants_reckon(&vms[i], now_usec);

                check_vm(config, now_usec, before, &vms[i], &r, i, v);
                check_entitlement(config, &vms[i], i, plan, v);
                liable = u64_add(liable, r.liable);
                liable_after = u64_add(liable_after, r.liable_after);
                committed = u64_add(committed, r.committed);
                grants = u64_add(grants, u64_sub(r.liable_after, r.liable));
                /* a balloon that is on its way has been asked, whatever is the matter with its guest */
                asked = u64_add(asked, r.movable || vms[i].plan.gap ? r.after + r.overhead : r.liable_after);
                if (r.movable)
                        could_give = u64_add(could_give, u64_sub(r.after, MAX(vms[i].plan.floor_bytes, vms[i].plan.ideal_bytes)));
                resident.liable = u64_add(resident.liable, r.resident ? r.liable : r.least);
                resident.after = u64_add(resident.after, r.resident ? r.liable_after : r.least);
                resident.asked = u64_add(resident.asked, !r.resident ? r.least
                                                         : r.movable || vms[i].plan.gap ? r.after + r.overhead : r.liable_after);
                if (r.resident)
                        unswappable = u64_add(unswappable, r.liable);
                if (r.resident && r.movable)
                        resident.could_give = u64_add(resident.could_give, u64_sub(r.after, MAX(vms[i].plan.floor_bytes, vms[i].plan.ideal_bytes)));
                if (plan->deficit_bytes > 0 && r.liable_after > r.liable)
                        invariants_violate(v, 2, "vm %zu: granted %llu while %llu are missing", i, LLU(r.liable_after - r.liable),
                                           LLU(plan->deficit_bytes));
        }
        deficit = u64_sub(liable, plan->rule_bytes);
        if (committed != plan->committed_bytes)
                invariants_violate(v, 2, "committed %llu counted as %llu", LLU(committed), LLU(plan->committed_bytes));
        if (deficit != plan->deficit_bytes)
                invariants_violate(v, 2, "deficit %llu counted as %llu", LLU(deficit), LLU(plan->deficit_bytes));
        if (deficit == 0 && liable_after > plan->rule_bytes)
                invariants_violate(v, 2, "%llu promised of %llu", LLU(liable_after), LLU(plan->rule_bytes));
        /* All that is missing has been asked for, or there is nobody to ask. */
        if (deficit > 0 && asked > u64_add(plan->rule_bytes, GRAIN) && could_give > (n_vms + 1) * MIB)
                invariants_violate(v, 2, "%llu are missing, %llu could still be asked for", LLU(asked - plan->rule_bytes), LLU(could_give));
        check_resident(plan, &resident, reserved, unswappable, n_vms, v);
        if (grants > u64_sub(plan->rule_bytes, liable))
                invariants_violate(v, 3, "granted %llu where %llu are free", LLU(grants), LLU(u64_sub(plan->rule_bytes, liable)));
        invariants_check_nodes(host, now_usec, vms, n_vms, plan, v);
        if (plan->rule_bytes > plan->envelope_bytes || (plan->deficit_bytes > 0 && plan->free_bytes > 0) || plan->available_bytes > POLICY_SIZE_MAX ||
            plan->capacity_bytes > POLICY_SIZE_MAX)
                invariants_violate(v, 10, "rule %llu, envelope %llu, deficit %llu, free %llu, capacity %llu", LLU(plan->rule_bytes),
                                   LLU(plan->envelope_bytes), LLU(plan->deficit_bytes), LLU(plan->free_bytes), LLU(plan->capacity_bytes));
}
