/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/policy/internal.h"
#include "host-agent/policy/swap.h"

/*
 * What the host can bear (docs/POLICY.md, "The envelope"). A guest can touch every byte that its balloon leaves it, at once and without
 * asking; the sum of what all could touch has to stay inside.
 */

#define OTHER_DECAY_USEC (30 * USEC_PER_SEC)           /* time constant with which other use comes down */
#define CORRECTION_DECAY_USEC (60 * USEC_PER_SEC)
#define CORRECTION_HOLD_USEC (2 * USEC_PER_SEC)        /* huge pages that were partly unmapped are freed this late */
#define PSI_STEP_PPM 20000                             /* of capacity, for each event of host pressure ... */
#define PSI_CORRECTION_MAX_PPM 100000                  /* ... up to this */

/* value comes down toward `to` with the time constant given, by at least 1 MiB a second so that it arrives. */
static uint64_t decay(uint64_t value, uint64_t to, uint64_t elapsed_usec, uint64_t constant_usec) {
        uint64_t distance = u64_sub(value, to);
        uint64_t step = MAX(u64_mul_div(distance, elapsed_usec, constant_usec), u64_mul_div(MIB, elapsed_usec, USEC_PER_SEC));

        return value - MIN(step, distance);
}

uint64_t policy_follow_other(const struct policy_context *c, uint64_t before, uint64_t raw) {
        return raw >= before || c->newcomers ? raw : decay(before, raw, c->elapsed_usec, OTHER_DECAY_USEC);
}

static uint64_t other_use(struct policy_context *c, uint64_t total, uint64_t available, uint64_t vm_resident) {
        struct policy_state *s = c->state;

        c->newcomers = c->n_measured > s->n_measured || s->decided_usec == 0;
        s->n_measured = c->n_measured;
        s->other_bytes = policy_follow_other(c, s->other_bytes, u64_sub(u64_sub(total, available), vm_resident));
        return s->other_bytes;
}

static uint64_t vms_on_disk(const struct policy_context *c) {
        return swap_on_disk(c->swap_bytes, c->host->swap_used_bytes, c->host->swap_zram_used_bytes);
}

/* Disk-backed swap that may back promises: the ceiling, less what others already use, less the RAM that zswap takes for it; and no more than an
 * administrator's own limit lets VMs swap. */
static uint64_t swap_allowance(const struct policy_context *c) {
        uint64_t ceiling = policy_share(policy_size(c->host->swap_total_bytes, 0), c->config->swap_ceiling_ppm);
        uint64_t others = u64_sub(policy_size(c->host->swap_used_bytes, 0), vms_on_disk(c));

        return MIN(u64_sub(u64_sub(ceiling, others), policy_size(c->host->zswap_bytes, 0)), policy_size(c->host->swap_limit_bytes, POLICY_SIZE_MAX));
}

/*
 * Feedback from reality. Available memory under the reserve means that the reckoning is off by the shortfall, less what the rule itself already
 * asks back: rise at once by the rest. It comes down slowly while there is clearly more than the reserve; in between it stays.
 *
 * Where swap backs promises, a shortfall that swap can still take is one of these promises being kept, and no error: the kernel does not swap before
 * memory is used up, reserve and all, and brings pages back whenever there is room. Squeezing for that would go on until nothing is backed by swap.
 */
static uint64_t shortfall_bytes(const struct policy_context *c) {
        const struct policy_plan *p = c->plan;
        uint64_t backed = c->config->mode == POLICY_GUARANTEED ? 0 : u64_sub(p->allowance_bytes, vms_on_disk(c));

        return u64_sub(u64_sub(p->reserve_bytes, p->available_bytes), backed);
}

static void correct(struct policy_context *c, uint64_t committed) {
        struct policy_state *s = c->state;
        struct policy_plan *p = c->plan;
        uint64_t shortfall = shortfall_bytes(c);
        uint64_t excess = u64_sub(u64_add(committed, policy_size(c->host->reserved_bytes, 0)), u64_sub(p->envelope_bytes, s->correction_bytes));
        uint64_t clear = u64_add(p->reserve_bytes, p->reserve_bytes / 4);
        bool holding = c->now_usec < s->correction_hold_until_usec;

        if (c->host->psi_event && !holding) {
                uint64_t step = policy_share(p->capacity_bytes, PSI_STEP_PPM), most = policy_share(p->capacity_bytes, PSI_CORRECTION_MAX_PPM);

                if (s->correction_bytes < most)
                        s->correction_bytes = MIN(u64_add(s->correction_bytes, step), most);
                s->correction_hold_until_usec = u64_add(c->now_usec, CORRECTION_HOLD_USEC);
                holding = true;
        }
        if (shortfall > 0) {
                uint64_t more = u64_sub(shortfall, holding ? MAX(excess, s->correction_shortfall_bytes) : excess);

                if (more > 0) {
                        s->correction_bytes = MIN(u64_add(s->correction_bytes, more), p->envelope_bytes);
                        s->correction_shortfall_bytes = shortfall;
                        s->correction_hold_until_usec = u64_add(c->now_usec, CORRECTION_HOLD_USEC);
                }
        } else {
                s->correction_shortfall_bytes = 0;
                if (p->available_bytes > clear && !holding)
                        s->correction_bytes = decay(s->correction_bytes, 0, c->elapsed_usec, CORRECTION_DECAY_USEC);
        }
        p->correction_bytes = s->correction_bytes;
}

void policy_envelope(struct policy_context *c) {
        const struct policy_config *config = c->config;
        const struct policy_host *host = c->host;
        struct policy_plan *p = c->plan;
        /* The host's ZFS cache gives way as page cache does, but MemAvailable does not know of it. Counted in one place, or what capacity promises
         * would be a shortfall to the correction. */
        uint64_t total = policy_size(host->total_bytes, 0), arc = policy_size(host->arc_reclaimable_bytes, 0);
        uint64_t available = MIN(u64_add(policy_size(host->available_bytes, 0), arc), total);
        uint64_t liable = c->liable_bytes, vm_resident, other, beyond;
        uint64_t reserved = policy_size(host->reserved_bytes, 0);

        vm_resident = u64_sub(c->rss_bytes, policy_size(host->ksm_saved_bytes, 0)); /* a merged page is resident once */

        p->memory_bytes = MIN(policy_size(config->memory_bytes, total), total);
        p->reserve_bytes = policy_size(config->reserve_bytes, policy_auto_reserve(p->memory_bytes));
        p->available_bytes = MIN(available, u64_sub(p->memory_bytes, vm_resident));
        p->over_bytes = u64_sub(vm_resident, p->memory_bytes);
        other = other_use(c, total, available, vm_resident);
        beyond = u64_sub(total, p->memory_bytes); /* a budget leaves this to others */
        p->other_bytes = u64_sub(other, beyond);

        /* A cgroup's limit knows nothing of what others use outside of it. */
        p->capacity_bytes = u64_sub(MIN(u64_sub(p->memory_bytes, p->other_bytes), policy_size(host->limit_bytes, POLICY_SIZE_MAX)), p->reserve_bytes);
        p->allowance_bytes = swap_allowance(c);
        p->ksm_credit_bytes = MIN(policy_share(policy_size(host->ksm_saved_bytes, 0), config->ksm_credit_ppm), p->allowance_bytes);
        switch (config->mode) {
        case POLICY_GUARANTEED:
                p->envelope_bytes = u64_add(p->capacity_bytes, p->ksm_credit_bytes);
                break;
        case POLICY_SWAP_BACKED:
                p->envelope_bytes = u64_add(p->capacity_bytes, p->allowance_bytes);
                break;
        case POLICY_OPPORTUNISTIC:
                p->envelope_bytes = policy_share(u64_add(p->capacity_bytes, p->allowance_bytes), MAX(config->overcommit_factor_ppm, PPM_ONE));
                break;
        }
        correct(c, c->committed_bytes);

        p->rule_bytes = u64_sub(p->envelope_bytes, p->correction_bytes);
        p->committed_bytes = c->committed_bytes;
        p->liable_bytes = liable;
        p->max_bytes = c->max_bytes;
        p->deficit_bytes = u64_sub(u64_add(liable, reserved), p->rule_bytes);
        p->free_bytes = u64_sub(p->rule_bytes, u64_add(liable, reserved));
        /* The second bound: what cannot swap, and what was guaranteed, has to fit memory itself, whatever swap backs. */
        p->resident_rule_bytes = u64_sub(p->capacity_bytes, p->correction_bytes);
        p->resident_bytes = c->resident_bytes;
        p->resident_least_bytes = c->resident_least_bytes;
        p->resident_deficit_bytes = u64_sub(u64_add(c->resident_bytes, reserved), p->resident_rule_bytes);
        p->unsafe = liable > p->rule_bytes || c->unswappable_bytes > p->resident_rule_bytes;
        c->state->unsafe = p->unsafe;
}

uint64_t policy_least_bytes(const struct policy_vm *vms, size_t n_vms, size_t index, uint64_t bytes) {
        uint64_t least = 0;

        for (size_t i = 0; i < n_vms; i++) {
                const struct policy_vm *vm = &vms[i];
                uint64_t overhead = policy_overhead(vm);

                if (i == index)
                        least = u64_add(least, u64_add(bytes, overhead));
                else if (vm->plan.class == POLICY_MANAGED || vm->plan.class == POLICY_UNKNOWN || vm->plan.class == POLICY_BOOTING)
                        least = u64_add(least, u64_add(vm->plan.floor_bytes, overhead));
                else if (vm->plan.class == POLICY_PINNED)
                        least = u64_add(least, u64_add(vm->plan.ideal_bytes, overhead));
                else
                        least = u64_add(least, vm->plan.committed_bytes);
        }
        return least;
}
