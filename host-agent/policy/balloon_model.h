/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A balloon that obeys, and a guest that cannot give what it uses: for what is foreseen (whatif.h) and what would have been (shadow.h). */

#include "host-agent/policy/internal.h"

#define BALLOON_MODEL_FREE_MIN (2 * MIB)               /* the balloon leaves a guest this much (measured) */

/* Whether its balloon moves, by what is known of it. */
static inline bool balloon_model_obeys(const struct policy_vm *vm) {
        const struct policy_vm_input *in = &vm->input;

        return in->managed && in->balloon_confirmed && !in->fixed && !in->hugepages && !in->held && !in->unresponsive && !vm->state.breaching &&
               !vm->state.uncooperative && vm->plan.reason != POLICY_REASON_STUCK;
}

/* What the guest uses, by its own word, or else by what QEMU holds. */
static inline uint64_t balloon_model_need(const struct policy_vm *vm, bool reports) {
        uint64_t actual = policy_actual(vm);

        return reports ? u64_sub(policy_size(vm->input.report_actual_bytes, actual), policy_size(vm->input.guest_available_bytes, 0))
                       : MIN(u64_sub(policy_evidence(vm), policy_overhead(vm)), actual);
}

/* The balloon's size after so much time. */
static inline uint64_t balloon_model_step(uint64_t actual, uint64_t target, uint64_t need, uint64_t inflate_bps, uint64_t deflate_bps,
                                          uint64_t elapsed_usec) {
        if (actual > target) {
                uint64_t least = MIN(MAX(target, u64_add(need, BALLOON_MODEL_FREE_MIN)), actual);

                return actual - MIN(u64_mul_div(inflate_bps, elapsed_usec, USEC_PER_SEC), actual - least);
        }
        return actual + MIN(u64_mul_div(deflate_bps, elapsed_usec, USEC_PER_SEC), target - actual);
}
