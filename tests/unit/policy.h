/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A host of 16 GiB and guests on it, for the policy's tests: what a test does not mention is calm and ordinary. */

#include "host-agent/policy/policy.h"
#include "protocol/units.h"
#include "tests/unit/unit.h"

#define FIXTURE_VMS 16
#define START (1000 * USEC_PER_SEC)

struct fixture {
        struct policy_config config;
        struct policy_host host;
        struct policy_state state;
        struct policy_vm vms[FIXTURE_VMS];
        struct policy_work work[FIXTURE_VMS];
        size_t n;
        uint64_t now_usec;
        struct policy_plan plan;
};

static inline void fixture_init(struct fixture *f) {
        *f = (struct fixture) { .now_usec = START };
        policy_config_init(&f->config);
        f->config.reserve_bytes = GIB; /* round numbers */
        f->host = (struct policy_host) {
                .total_bytes = 16 * GIB, .available_bytes = 15 * GIB, .limit_bytes = AEROSTAT_UNKNOWN,
                .arc_reclaimable_bytes = AEROSTAT_UNKNOWN, .swap_limit_bytes = AEROSTAT_UNKNOWN,
                .psi_some_ppm = AEROSTAT_UNKNOWN, .psi_full_ppm = AEROSTAT_UNKNOWN,
        };
}

#define MARGIN (4 * MIB) /* never given away, of up to 16 VMs */

/* A guest that obeys, reports now, and needs `need` of its `actual`. Overhead 0, so that sums are round. */
static inline struct policy_vm *fixture_add(struct fixture *f, uint64_t max, uint64_t actual, uint64_t need) {
        struct policy_vm *vm = &f->vms[f->n++];

        *vm = (struct policy_vm) { .input = {
                .id = f->n, .max_bytes = max, .floor_bytes = 256 * MIB, .weight = 1000, .pin_bytes = AEROSTAT_UNKNOWN, .managed = true,
                .started_usec = 1, .balloon_confirmed = true, .actual_bytes = actual, .target_bytes = actual, .rss_bytes = actual, .swap_bytes = 0,
                .overhead_bytes = 0, .run_usec = AEROSTAT_UNKNOWN, .report_usec = f->now_usec, .report_actual_bytes = actual,
                .guest_total_bytes = actual, .guest_available_bytes = u64_sub(actual, need), .guest_free_bytes = u64_sub(actual, need),
                .guest_cache_bytes = 0, .guest_psi_some_total_usec = 0, .guest_refault_bytes = 0, .guest_swap_in_bytes = 0,
        } };
        f->host.available_bytes = u64_sub(f->host.available_bytes, actual);
        return vm;
}

static inline void fixture_decide(struct fixture *f) {
        policy_decide(&f->config, &f->host, f->now_usec, &f->state, f->vms, f->work, f->n, &f->plan);
}

/* Everybody does what was asked, and reports: need as it was. */
static inline void fixture_obey(struct fixture *f, struct policy_vm *vm) {
        struct policy_vm_input *in = &vm->input;
        uint64_t need = u64_sub(in->report_actual_bytes, in->guest_available_bytes), before = in->actual_bytes;

        if (vm->plan.set)
                in->target_bytes = vm->plan.target_bytes;
        in->actual_bytes = in->report_actual_bytes = in->guest_total_bytes = in->rss_bytes = in->target_bytes;
        in->guest_available_bytes = in->guest_free_bytes = u64_sub(in->actual_bytes, need);
        in->report_usec = f->now_usec;
        f->host.available_bytes = u64_sub(u64_add(f->host.available_bytes, before), in->actual_bytes);
}

/* Decides and obeys, 100 ms a step. */
static inline void fixture_run(struct fixture *f, unsigned steps) {
        while (steps-- > 0) {
                f->now_usec += 100 * USEC_PER_MSEC;
                fixture_decide(f);
                for (size_t i = 0; i < f->n; i++)
                        fixture_obey(f, &f->vms[i]);
        }
}

/* Time passes in which guest i does nothing but report; others obey. */
static inline void fixture_run_without(struct fixture *f, unsigned steps, const struct policy_vm *idle) {
        while (steps-- > 0) {
                f->now_usec += 100 * USEC_PER_MSEC;
                fixture_decide(f);
                for (size_t i = 0; i < f->n; i++)
                        if (&f->vms[i] != idle)
                                fixture_obey(f, &f->vms[i]);
                        else {
                                f->vms[i].input.report_usec = f->now_usec;
                                if (f->vms[i].plan.set)
                                        f->vms[i].input.target_bytes = f->vms[i].plan.target_bytes;
                        }
        }
}

#define assert_reason(vm, expected) assert_string_equal(policy_reason_to_string((vm)->plan.reason), policy_reason_to_string(expected))
#define assert_near(a, b, tolerance)                                                                                                    \
        do {                                                                                                                            \
                if (u64_distance(a, b) > (tolerance))                                                                                   \
                        fail_msg(#a " is %llu, not %llu", (unsigned long long) (a), (unsigned long long) (b));                          \
        } while (0)
