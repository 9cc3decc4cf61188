/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "protocol/units.h"
#include "tests/property/case.h"
#include "tools/sim/random.h"

#define SETTLE_USEC (25 * USEC_PER_MINUTE)     /* the longest that anything is remembered is 10 min; corrections decay within 20 */
#define CALM_USEC (10 * USEC_PER_MINUTE)
#define BALLOON_SHARE 8                        /* of max, that a balloon moves in a second at least */

#define LLU(x) ((unsigned long long) (x))

unsigned violations_first(const struct violations *v) {
        for (unsigned i = 1; i <= INVARIANTS; i++)
                if (v->count[i] > 0)
                        return i;
        return 0;
}

/* I7 */
static void check_repeated(const struct test_case *test, const struct snapshot *s, const struct policy_state *before, struct policy_vm *copy,
                           const struct policy_vm *vms, const struct policy_plan *plan, struct violations *v) {
        struct policy_work work[CASE_VMS];
        struct policy_state state = *before;
        struct policy_plan again;

        memset(work, 0xa5, sizeof(work)); /* scratch means nothing between calls */
        policy_decide(&test->config, &s->host, s->now_usec, &state, copy, work, test->n_vms, &again);
        if (memcmp(&again, plan, sizeof(again)) != 0)
                invariants_violate(v, 7, "the same decision came out differently");
        for (size_t i = 0; i < test->n_vms; i++)
                if (memcmp(&copy[i].plan, &vms[i].plan, sizeof(vms[i].plan)) != 0)
                        invariants_violate(v, 7, "vm %zu: the same decision came out differently", i);
}

/* A guest of the calm world: what it needs stays the same, it does what it is asked at the speed of a balloon, and reports. Returns what it holds. */
static uint64_t live(struct policy_vm *vm, uint64_t need, uint64_t now_usec, uint64_t elapsed_usec) {
        struct policy_vm_input *in = &vm->input;
        uint64_t max = MIN(in->max_bytes, POLICY_SIZE_MAX), step = u64_mul_div(max / BALLOON_SHARE, elapsed_usec, USEC_PER_SEC) + MIB, overhead;

        if (vm->plan.set)
                in->target_bytes = vm->plan.target_bytes;
        if (!in->balloon_confirmed || in->actual_bytes > max)
                in->actual_bytes = max;
        if (in->target_bytes != AEROSTAT_UNKNOWN && in->managed && !in->fixed && !in->hugepages && !in->held && !in->unresponsive)
                in->actual_bytes = in->actual_bytes > in->target_bytes ? in->actual_bytes - MIN(step, in->actual_bytes - in->target_bytes)
                                                                       : MIN(in->actual_bytes + step, MIN(in->target_bytes, max));
        overhead = in->overhead_bytes == AEROSTAT_UNKNOWN ? POLICY_OVERHEAD_DEFAULT : MIN(in->overhead_bytes, POLICY_SIZE_MAX);
        in->balloon_confirmed = true;
        in->rss_bytes = in->hugepages ? overhead : in->actual_bytes + overhead;
        in->swap_bytes = 0;
        in->report_usec = now_usec;
        in->report_actual_bytes = in->guest_total_bytes = in->actual_bytes;
        in->guest_available_bytes = in->guest_free_bytes = u64_sub(in->actual_bytes, need);
        in->guest_cache_bytes = in->guest_swap_excess_bytes = 0;
        in->guest_pressure = false;
        in->guest_refault_bytes = in->guest_swap_in_bytes = in->guest_psi_some_total_usec = in->guest_oom_kills = AEROSTAT_UNKNOWN;
        return in->rss_bytes;
}

/* What is there is where its VM is bound to be, and else everywhere alike. */
static void settle_nodes(struct policy_host *host, const struct policy_vm *vms, size_t n_vms, uint64_t other, uint64_t total) {
        uint64_t n = MIN(host->n_nodes, CASE_NODES), with_memory = 0;

        for (size_t i = 0; i < n; i++)
                with_memory |= (uint64_t) (host->nodes[i].total_bytes > 0) << i;
        for (size_t i = 0; i < n; i++) {
                uint64_t size = MIN(host->nodes[i].total_bytes, POLICY_SIZE_MAX), used = u64_mul_div(other, size, MAX(total, 1));

                for (size_t k = 0; k < n_vms; k++) {
                        uint64_t mask = vms[k].input.node_mask & with_memory, within = 0;

                        if (mask == 0)
                                mask = with_memory;
                        for (size_t j = 0; j < n; j++)
                                if (mask >> j & 1)
                                        within = u64_add(within, MIN(host->nodes[j].total_bytes, POLICY_SIZE_MAX));
                        if (mask >> i & 1)
                                used = u64_add(used, u64_mul_div(vms[k].input.rss_bytes, size, within));
                }
                host->nodes[i].available_bytes = u64_sub(size, used);
        }
}

/* I6: from here on nothing changes but what the policy changes; after a while it changes nothing. */
static void check_convergence(const struct test_case *test, const struct snapshot *last, const struct policy_state *before,
                              const struct policy_vm *from, struct violations *v) {
        struct policy_vm vms[CASE_VMS];
        struct policy_work work[CASE_VMS];
        struct policy_state state = *before;
        struct policy_host host = last->host;
        struct policy_plan plan = { 0 };
        uint64_t now = last->now_usec, needs[CASE_VMS], total = MIN(host.total_bytes, POLICY_SIZE_MAX), elapsed = 0;
        uint64_t other = total / 16;

        memcpy(vms, from, sizeof(vms));
        for (size_t i = 0; i < test->n_vms; i++) {
                vms[i].state.hot_cache_bytes = 0; /* pressure is frozen: what was learnt from it would be probed for hours */
                needs[i] = u64_sub(MIN(vms[i].input.actual_bytes, vms[i].input.max_bytes), vms[i].input.guest_available_bytes);
        }
        host.psi_event = false;
        host.swap_out_bytes_per_sec = 0;
        host.ksm_saved_bytes = 0;
        while (now < last->now_usec + SETTLE_USEC + CALM_USEC) {
                uint64_t used = other;

                for (size_t i = 0; i < test->n_vms; i++)
                        used = u64_add(used, live(&vms[i], needs[i], now, elapsed));
                host.available_bytes = u64_sub(total, used);
                settle_nodes(&host, vms, test->n_vms, other, total);
                policy_decide(&test->config, &host, now, &state, vms, work, test->n_vms, &plan);
                for (size_t i = 0; i < test->n_vms; i++)
                        if (vms[i].plan.set && now > last->now_usec + SETTLE_USEC) {
                                invariants_violate(v, 6, "vm %zu moves to %llu (%s) after %llu s of constant input", i, LLU(vms[i].plan.target_bytes),
                                                   policy_reason_to_string(vms[i].plan.reason), LLU((now - last->now_usec) / USEC_PER_SEC));
                                return;
                        }
                elapsed = MAX(plan.next_usec, 100 * USEC_PER_MSEC);
                now += elapsed;
        }
}

void case_check(const struct test_case *test, uint64_t seed, bool thorough, struct violations *v) {
        struct policy_vm vms[CASE_VMS] = { 0 }, copy[CASE_VMS];
        struct policy_work work[CASE_VMS];
        struct policy_state state = { 0 };
        struct policy_plan plan;

        for (size_t s = 0; s < test->n_steps; s++) {
                const struct snapshot *step = &test->steps[s];
                struct policy_state before = state;
                struct invariants_before stood = { .unsafe = before.unsafe, .host_state = before.host_state };

                for (size_t i = 0; i < test->n_vms; i++)
                        vms[i].input = step->vms[i];
                memcpy(copy, vms, sizeof(copy));
                case_check_pairs(test, vms, &before, &step->host, step->now_usec, seed + s, v);
                policy_decide(&test->config, &step->host, step->now_usec, &state, vms, work, test->n_vms, &plan);
                invariants_check(&test->config, &step->host, step->now_usec, &stood, vms, test->n_vms, &plan, v);
                check_repeated(test, step, &before, copy, vms, &plan, v);
                /* The other modes promise more than there is: when guests here use all they hold, available memory is no constant. */
                if (thorough && s + 1 == test->n_steps && test->config.mode == POLICY_GUARANTEED)
                        check_convergence(test, step, &before, vms, v);
        }
}
