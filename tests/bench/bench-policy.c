/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * How long one decision takes: many guests with mixed demand on a host that is short, everything in motion. Targets on one core: under 200 us for
 * 1,000 VMs, 3 ms for 10,000, 50 ms for 100,000; near-linear. Printed, not asserted.
 */

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "host-agent/policy/policy.h"
#include "host-agent/policy/whatif.h"
#include "protocol/units.h"
#include "tools/sim/random.h"

#define ROUNDS 40

static uint64_t now_nsec(void) {
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t) t.tv_sec * 1000000000u + (uint64_t) t.tv_nsec;
}

static int compare(const void *a, const void *b) {
        uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;

        return x < y ? -1 : x > y;
}

static void make_vm(uint64_t *random, size_t i, struct policy_vm *vm) {
        uint64_t max = (1 + random_below(random, 16)) * GIB, actual = max / 4 + random_below(random, max / 2), used = random_below(random, actual);

        vm->input = (struct policy_vm_input) {
                .id = i, .max_bytes = max, .floor_bytes = max / 8, .weight = 1000 * (1 + random_below(random, 4)), .pin_bytes = AEROSTAT_UNKNOWN,
                .managed = true, .started_usec = 1, .balloon_confirmed = true, .actual_bytes = actual, .target_bytes = actual, .rss_bytes = actual,
                .overhead_bytes = 64 * MIB, .run_usec = AEROSTAT_UNKNOWN, .report_usec = 1000 * USEC_PER_SEC, .report_actual_bytes = actual,
                .guest_total_bytes = actual, .guest_available_bytes = actual - used, .guest_free_bytes = 0, .guest_cache_bytes = actual - used,
                .guest_pressure = random_below(random, 50) == 0,
        };
}

/* A request of an operator, in the daemon's loop: everything in motion, so that all of its steps are made. Target: under 100 ms up to 1,000 VMs. */
static void bench_whatif(const struct whatif_live *live, struct policy_work *work) {
        size_t n = live->n_vms;
        struct whatif_request request = {
                .start_bytes = n * GIB / 8, .swap_total_bytes = AEROSTAT_UNKNOWN, .inflate_bps = 20 * MIB, .deflate_bps = 20 * MIB,
        };
        struct whatif_vm *models = calloc(n, sizeof(*models));
        struct policy_vm *scratch = calloc(n, sizeof(*scratch));
        struct whatif_result result;
        uint64_t start = now_nsec();

        if (models && scratch) {
                policy_whatif(live, &request, models, scratch, work, &result);
                printf("policy_whatif %6zu VMs: %10.1f ms, %u steps\n", n, (double) (now_nsec() - start) / 1e6, result.steps);
        }
        free(models);
        free(scratch);
}

static int bench(size_t n) {
        struct policy_vm *vms = calloc(n, sizeof(*vms));
        struct policy_work *work = calloc(n, sizeof(*work));
        struct policy_state state = { 0 };
        struct policy_plan plan;
        struct policy_config config;
        uint64_t random = 1, actual = 0, times[ROUNDS], moves = 0, now = 1000 * USEC_PER_SEC;

        if (!vms || !work) {
                free(vms);
                free(work);
                return 1;
        }
        policy_config_init(&config);
        for (size_t i = 0; i < n; i++) {
                make_vm(&random, i, &vms[i]);
                actual += vms[i].input.actual_bytes + vms[i].input.overhead_bytes;
        }
        struct policy_host host = {
                .total_bytes = actual + actual / 16, .available_bytes = actual / 16, .limit_bytes = AEROSTAT_UNKNOWN,
                .swap_limit_bytes = AEROSTAT_UNKNOWN, .arc_reclaimable_bytes = AEROSTAT_UNKNOWN,
                .swap_total_bytes = actual / 2, .psi_some_ppm = 0, .psi_full_ppm = 0,
        };
        for (unsigned round = 0; round < ROUNDS; round++) {
                uint64_t start = now_nsec();

                policy_decide(&config, &host, now, &state, vms, work, n, &plan);
                times[round] = now_nsec() - start;
                now += 100 * USEC_PER_MSEC;
                for (size_t i = 0; i < n; i++) { /* a tenth reports something else, all obey */
                        if (vms[i].plan.set) {
                                moves++;
                                vms[i].input.target_bytes = vms[i].plan.target_bytes;
                        }
                        vms[i].input.actual_bytes = vms[i].input.report_actual_bytes = vms[i].input.rss_bytes = vms[i].input.target_bytes;
                        vms[i].input.report_usec = now;
                        if (random_below(&random, 10) == 0)
                                vms[i].input.guest_available_bytes = random_below(&random, vms[i].input.actual_bytes + 1);
                }
        }
        qsort(times, ROUNDS, sizeof(times[0]), compare);
        printf("policy_decide %7zu VMs: median %10.1f us, worst %10.1f us, %6.1f ns a VM, %llu moves in %d decisions\n", n,
               (double) times[ROUNDS / 2] / 1000,
               (double) times[ROUNDS - 1] / 1000, (double) times[ROUNDS / 2] / (double) n, (unsigned long long) moves, ROUNDS);
        bench_whatif(&(const struct whatif_live) { &config, &host, &state, vms, n, now }, work);
        free(vms);
        free(work);
        return 0;
}

int main(void) {
        return bench(1000) | bench(10000) | bench(100000);
}
