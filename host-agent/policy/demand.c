/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/policy/internal.h"

/*
 * need   = actual - MemAvailable, both from one moment, and what the guest has swapped beyond its ceiling, so that it can come back. Right with and
 * without autodeflate, and hides nothing: crash kernel, memmap and firmware are in it. demand = need + hot cache + headroom.
 *
 * Hot cache is learnt as TMO's Senpai learns a container's size (Weiner et al., ASPLOS'22): by what hurts. Cache counts as cold until the guest
 * reads back what was taken (refaults) or stalls (PSI); then the estimate grows at once by what was missed, more the more it hurts. While nothing
 * hurts it is probed: it shrinks by a tenth, after an interval that doubles from 1 to 30 min each time that a probe hurt, so that it settles.
 */

#define HEADROOM_MIN (64 * MIB)
#define REFAULT_TARGET_BYTES_PER_SEC MIB               /* less than this a second is noise */
#define ERROR_MAX_PPM (4 * PPM_ONE)                    /* one report counts for no more than four times the target */
#define PROBE_FIRST_USEC USEC_PER_MINUTE
#define PROBE_LAST_USEC (30 * USEC_PER_MINUTE)
#define PRESSURE_HOLD_USEC (2 * USEC_PER_SEC)          /* longer than a report interval: pressure does not flicker */
#define UNTOUCHED_USEC (10 * USEC_PER_MINUTE)
#define EVIDENCE_SLACK (32 * MIB)                      /* rss is sampled at another moment than the report */

/* The growth of a counter since the last report; 0 where it is unknown, new, or went backwards. */
static uint64_t counter_delta(uint64_t now, uint64_t seen) {
        return now == AEROSTAT_UNKNOWN || seen == AEROSTAT_UNKNOWN ? 0 : u64_sub(now, seen);
}

/* What was missed is hot beside what is there, not beside what the estimate says already: else a guest that cannot be given more would seem to want
 * ever more. */
static void grow_hot_cache(struct policy_vm_state *s, uint64_t bytes, uint64_t cache, uint64_t max, bool probing) {
        uint64_t step = MIN(bytes, max / 4), there = cache == AEROSTAT_UNKNOWN ? s->hot_cache_bytes : MIN(cache, max);

        s->hot_cache_bytes = MIN(MAX(s->hot_cache_bytes, u64_add(there, step)), max);
        if (probing)
                s->probe_interval_usec = MIN(u64_mul(s->probe_interval_usec, 2), PROBE_LAST_USEC);
}

static void learn(const struct policy_context *c, struct policy_vm *vm) {
        const struct policy_vm_input *in = &vm->input;
        struct policy_vm_state *s = &vm->state;
        uint64_t max = policy_max(vm), elapsed = u64_sub(in->report_usec, s->seen_report_usec);

        if (s->seen_report_usec != 0 && elapsed > 0) {
                uint64_t refault = counter_delta(in->guest_refault_bytes, s->seen_refault_bytes);
                uint64_t swap_in = counter_delta(in->guest_swap_in_bytes, s->seen_swap_in_bytes);
                uint64_t psi_ppm = u64_mul_div(counter_delta(in->guest_psi_some_total_usec, s->seen_psi_usec), PPM_ONE, elapsed);
                uint64_t missed = u64_add(refault, u64_mul(swap_in, 2)); /* swap-in is strong pressure */
                uint64_t hurt_ppm = MIN(u64_mul_div(psi_ppm, PPM_ONE, MAX(c->config->psi_target_ppm, 1)), ERROR_MAX_PPM);
                bool squeezed = u64_add(policy_actual(vm), policy_dead_band(max)) < max;
                bool misses = u64_mul_div(missed, USEC_PER_SEC, elapsed) > REFAULT_TARGET_BYTES_PER_SEC;

                if (squeezed && misses) {
                        bool probing = s->probe_after_usec != 0 && u64_add(s->probe_after_usec, 10 * USEC_PER_SEC) > c->now_usec;

                        grow_hot_cache(s, u64_add(missed, u64_mul_div(missed, hurt_ppm, PPM_ONE)), in->guest_cache_bytes, max, probing);
                        s->probe_after_usec = u64_add(c->now_usec, s->probe_interval_usec);
                }
                if (counter_delta(in->guest_oom_kills, s->seen_oom_kills) > 0) {
                        grow_hot_cache(s, max / 10, AEROSTAT_UNKNOWN, max, true);
                        s->pressure_until_usec = u64_add(c->now_usec, PRESSURE_HOLD_USEC);
                }
        }
        s->seen_report_usec = in->report_usec;
        s->seen_refault_bytes = in->guest_refault_bytes;
        s->seen_swap_in_bytes = in->guest_swap_in_bytes;
        s->seen_psi_usec = in->guest_psi_some_total_usec;
        s->seen_oom_kills = in->guest_oom_kills;
}

/* The shorter the host, the sooner. */
static void probe(const struct policy_context *c, struct policy_vm_state *s) {
        uint64_t ahead;

        if (s->probe_interval_usec == 0)
                s->probe_interval_usec = PROBE_FIRST_USEC;
        if (s->hot_cache_bytes == 0)
                return;
        ahead = s->probe_interval_usec - s->probe_interval_usec / policy_pace(c);
        if (s->probe_after_usec == 0)
                s->probe_after_usec = u64_add(c->now_usec, s->probe_interval_usec);
        else if (u64_add(c->now_usec, ahead) >= s->probe_after_usec && !c->state->fits) {
                s->hot_cache_bytes -= MAX(s->hot_cache_bytes / 10, MIN(s->hot_cache_bytes, 4 * MIB));
                s->probe_after_usec = u64_add(c->now_usec, s->probe_interval_usec);
        }
}

/* Where there is no fresh report: what the host sees is all that can be said. */
static void demand_from_evidence(struct policy_vm *vm) {
        struct policy_vm_plan *p = &vm->plan;

        p->need_bytes = MIN(u64_sub(policy_evidence(vm), policy_overhead(vm)), policy_max(vm));
        p->hot_bytes = 0;
}

/* A guest that uses all it has says nothing about how much it wants: it is offered twice as much, so that a burst is met in a few steps, also
 * where reports come only with the statistics. */
static bool is_at_its_end(const struct policy_context *c, const struct policy_vm *vm) {
        return policy_is_fresh(c, vm) &&
               policy_size(vm->input.guest_available_bytes, POLICY_SIZE_MAX) < MIN(policy_exhaustion(vm), vm->plan.pressure_below_bytes);
}

/*
 * What of its need the guest claims and the host has not seen it touch: a kernel may hold on to memory that it never used. Where that has brought
 * it to its end, taking back what it was offered then, as soon as it says that it is well, would bring it there again, and so on for ever. So for a
 * while its word counts, for as much as the offer.
 */
static uint64_t untouched_bytes(const struct policy_context *c, struct policy_vm *vm, uint64_t claimed) {
        uint64_t untouched = u64_sub(claimed, vm->plan.need_bytes);

        if (untouched > 0 && is_at_its_end(c, vm))
                vm->state.untouched_until_usec = u64_add(c->now_usec, UNTOUCHED_USEC);
        return vm->state.untouched_until_usec > c->now_usec ? untouched : 0;
}

/* What the guest has in its own swap beyond the ceiling for guests. It is the guest's word, and like all of it buys no more than the entitlement. */
static uint64_t swap_excess(const struct policy_vm_input *in) {
        return policy_size(in->guest_swap_excess_bytes, 0);
}

void policy_demand(const struct policy_context *c, struct policy_vm *vm) {
        const struct policy_vm_input *in = &vm->input;
        struct policy_vm_state *s = &vm->state;
        struct policy_vm_plan *p = &vm->plan;
        uint64_t max = policy_max(vm), claimed = 0, untouched;

        if (policy_is_fresh(c, vm)) {
                uint64_t actual = policy_size(in->report_actual_bytes, policy_actual(vm));

                if (in->report_usec != s->seen_report_usec)
                        learn(c, vm);
                probe(c, s);
                p->need_bytes = claimed = u64_sub(MIN(actual, max), policy_size(in->guest_available_bytes, 0));
                if (in->rss_bytes != AEROSTAT_UNKNOWN) /* what was never touched cannot be in use */
                        p->need_bytes = MIN(p->need_bytes, u64_add(policy_evidence(vm), EVIDENCE_SLACK));
                p->need_bytes = MIN(u64_add(p->need_bytes, swap_excess(in)), max);
                p->hot_bytes = s->hot_cache_bytes;
        } else
                demand_from_evidence(vm);

        p->headroom_bytes = MAX(policy_share(p->need_bytes, c->config->headroom_ppm), HEADROOM_MIN);
        p->pressure_below_bytes = p->headroom_bytes / 2;
        untouched = untouched_bytes(c, vm, claimed);
        if (is_at_its_end(c, vm))
                p->headroom_bytes = MAX(p->headroom_bytes, p->need_bytes);
        else
                p->headroom_bytes = MAX(p->headroom_bytes, MIN(u64_add(p->headroom_bytes, untouched), p->need_bytes));
        p->demand_bytes = MIN(u64_add(u64_add(p->need_bytes, p->hot_bytes), p->headroom_bytes), max);
        if (policy_is_fresh(c, vm) && (in->guest_pressure || swap_excess(in) > 0 ||
                                       policy_size(in->guest_available_bytes, POLICY_SIZE_MAX) < p->pressure_below_bytes))
                s->pressure_until_usec = MAX(s->pressure_until_usec, u64_add(in->report_usec, PRESSURE_HOLD_USEC));
}
