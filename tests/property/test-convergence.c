/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host-agent/policy/policy.h"
#include "protocol/parse.h"
#include "protocol/units.h"
#include "tools/sim/random.h"

/*
 * How fast does the policy serve a step in demand? Guests that obey at the speed of real balloons settle; then the demand of some of them changes at
 * once. The time until each of them has what it now needs, as far as it is to have it at all, is compared with what the balloons allow: memory has to
 * come out of those that give before it goes to those that want. Fails where it takes more than 1.2 times as long, beside a report's time. Where
 * guests need more than all of memory, so that some cannot give what they are asked for, nobody can be served; such cases are left out.
 *
 *   test-convergence [--count CASES] [--seed N] [--verbose]
 */

#define VMS_MAX 12
#define TICK (100 * USEC_PER_MSEC)
#define REPORT (2 * USEC_PER_SEC)
#define PRESSURE (200 * USEC_PER_MSEC)         /* an agent near exhaustion looks this often */
#define INFLATE UINT64_C(922746880)
#define DEFLATE UINT64_C(2254857830)
#define SETTLE 900                             /* s; sharing in the surplus is slow on purpose */
#define AFTER 900
#define LATENCY REPORT                         /* who needs less tells with the next report; a burst takes a few reports to tell how large it is */
#define RATIO_PPM 1200000

struct guest {
        uint64_t need, told_usec, pressed_usec;
        uint64_t before, due;
};

struct world {
        struct policy_config config;
        struct policy_host host;
        struct policy_state state;
        struct policy_plan plan;
        struct policy_vm vms[VMS_MAX];
        struct policy_work work[VMS_MAX];
        struct guest guests[VMS_MAX];
        size_t n;
        uint64_t now, decide, other;
};

static void make_world(struct world *w, uint64_t *random) {
        uint64_t maxes = 0;

        *w = (struct world) { .now = 1000 * USEC_PER_SEC, .n = 2 + random_below(random, VMS_MAX - 1) };
        policy_config_init(&w->config);
        for (size_t i = 0; i < w->n; i++) {
                struct policy_vm_input *in = &w->vms[i].input;
                uint64_t max = (2 + random_below(random, 15)) * GIB;

                maxes += max;
                *in = (struct policy_vm_input) {
                        .id = i, .max_bytes = max, .floor_bytes = max / 8, .weight = 1000 * (1 + random_below(random, 3)),
                        .pin_bytes = AEROSTAT_UNKNOWN,
                        .managed = true, .started_usec = 1, .balloon_confirmed = true, .actual_bytes = max, .target_bytes = AEROSTAT_UNKNOWN,
                        .overhead_bytes = 64 * MIB, .run_usec = AEROSTAT_UNKNOWN, .guest_psi_some_total_usec = AEROSTAT_UNKNOWN,
                        .guest_refault_bytes = AEROSTAT_UNKNOWN, .guest_swap_in_bytes = AEROSTAT_UNKNOWN, .guest_oom_kills = AEROSTAT_UNKNOWN,
                };
                w->guests[i].need = 256 * MIB + random_below(random, max / 4);
        }
        w->host = (struct policy_host) {
                .total_bytes = maxes / 2 + random_below(random, maxes / 3), .limit_bytes = AEROSTAT_UNKNOWN,
                .swap_limit_bytes = AEROSTAT_UNKNOWN, .arc_reclaimable_bytes = AEROSTAT_UNKNOWN,
                .psi_some_ppm = 0, .psi_full_ppm = 0,
        };
        w->other = w->host.total_bytes / 20;
}

static void live(struct world *w, size_t i) {
        struct policy_vm_input *in = &w->vms[i].input;
        struct guest *g = &w->guests[i];
        uint64_t available;
        bool pressure;

        if (in->target_bytes != AEROSTAT_UNKNOWN && in->actual_bytes > in->target_bytes) { /* not below what is in use */
                uint64_t most = u64_sub(in->actual_bytes, MIN(g->need, in->actual_bytes));

                in->actual_bytes -= MIN(MIN(INFLATE / 10, in->actual_bytes - in->target_bytes), most);
        } else if (in->target_bytes != AEROSTAT_UNKNOWN)
                in->actual_bytes = MIN(in->actual_bytes + DEFLATE / 10, in->target_bytes);
        in->rss_bytes = in->actual_bytes + in->overhead_bytes;
        available = u64_sub(in->actual_bytes, g->need);
        pressure = available < w->vms[i].plan.pressure_below_bytes && w->now - g->pressed_usec >= PRESSURE;
        if (!pressure && w->now - g->told_usec < REPORT)
                return;
        if (pressure) {
                g->pressed_usec = w->now;
                w->decide = w->now;
        }
        g->told_usec = in->report_usec = w->now;
        in->report_actual_bytes = in->guest_total_bytes = in->actual_bytes;
        in->guest_available_bytes = in->guest_free_bytes = available;
        in->guest_cache_bytes = 0;
        in->guest_pressure = pressure;
}

static void tick(struct world *w) {
        uint64_t used = w->other;

        w->now += TICK;
        for (size_t i = 0; i < w->n; i++) {
                live(w, i);
                used += w->vms[i].input.rss_bytes;
        }
        if (w->now < w->decide)
                return;
        w->host.available_bytes = u64_sub(w->host.total_bytes, used);
        policy_decide(&w->config, &w->host, w->now, &w->state, w->vms, w->work, w->n, &w->plan);
        for (size_t i = 0; i < w->n; i++)
                if (w->vms[i].plan.set)
                        w->vms[i].input.target_bytes = w->vms[i].plan.target_bytes;
        w->decide = w->now + w->plan.next_usec;
}

static void change(struct world *w, uint64_t *random) {
        for (size_t i = 0; i < w->n; i++) {
                w->guests[i].before = w->vms[i].input.actual_bytes;
                if (random_below(random, 3) == 0)
                        w->guests[i].need = 256 * MIB + random_below(random, w->vms[i].input.max_bytes - 512 * MIB);
        }
}

/* What the balloons allow: the least time in which `missing` comes out of those that give, and in which the largest growth goes in. */
static uint64_t bound_usec(const struct world *w, uint64_t free_bytes) {
        uint64_t missing = 0, grow = 0, t;

        for (size_t i = 0; i < w->n; i++) {
                uint64_t more = u64_sub(w->guests[i].due, w->guests[i].before);

                missing += more;
                grow = MAX(grow, more);
        }
        missing = u64_sub(missing, free_bytes);
        for (t = 0;; t += TICK) {
                uint64_t freed = 0;

                for (size_t i = 0; i < w->n; i++)
                        freed += MIN(u64_sub(w->guests[i].before, w->vms[i].input.actual_bytes), u64_mul_div(INFLATE, t, USEC_PER_SEC));
                if (freed >= missing || t > 300 * USEC_PER_SEC)
                        break;
        }
        return MAX(t, u64_mul_div(grow, USEC_PER_SEC, DEFLATE));
}

static bool somebody_could_not_give(const struct world *w) {
        for (size_t i = 0; i < w->n; i++)
                if (w->vms[i].state.practical_floor_bytes > 0)
                        return true;
        return false;
}

/* Returns the ratio of measured to possible, in ppm; 0 where nobody had to grow. */
static uint64_t measure(uint64_t seed, bool verbose) {
        static struct world w, replay;
        uint64_t random = seed, bound, last = 0, free_bytes;

        random_next(&random);
        make_world(&w, &random);
        for (unsigned i = 0; i < SETTLE * 10; i++)
                tick(&w);
        free_bytes = w.plan.free_bytes;
        change(&w, &random);
        replay = w;
        for (unsigned i = 0; i < AFTER * 10; i++)
                tick(&w);
        for (size_t i = 0; i < w.n; i++) { /* what it needs with headroom, or what it got in the end where that is less; surplus may come slowly */
                uint64_t need = w.guests[i].need + MAX(w.guests[i].need / 5, 64 * MIB), band = MAX(w.vms[i].input.max_bytes / 100, 16 * MIB);

                w.guests[i].due = u64_sub(MIN(need, w.vms[i].input.actual_bytes), band + MIB);
                replay.guests[i].due = w.guests[i].due;
        }
        if (somebody_could_not_give(&w))
                return 0;
        bound = bound_usec(&w, free_bytes);
        for (uint64_t t = TICK; t <= AFTER * USEC_PER_SEC; t += TICK) {
                tick(&replay);
                for (size_t i = 0; i < w.n; i++)
                        if (replay.vms[i].input.actual_bytes < w.guests[i].due)
                                last = t;
        }
        if (verbose)
                printf("seed %llu: %zu guests, possible %.1f s, took %.1f s\n", (unsigned long long) seed, w.n, (double) bound / 1e6,
                       (double) last / 1e6);
        return last == 0 ? 0 : u64_mul_div(u64_sub(last, LATENCY), PPM_ONE, MAX(bound, TICK));
}

int main(int argc, char **argv) {
        uint64_t count = 500, seed = 1, worst = 0, worst_seed = 0, slow = 0, grew = 0, sum = 0;
        bool verbose = false;

        for (int i = 1; i < argc; i++)
                if (strcmp(argv[i], "--verbose") == 0)
                        verbose = true;
                else if (i + 1 >= argc || parse_u64(argv[i + 1], strcmp(argv[i], "--seed") == 0 ? &seed : &count) < 0) {
                        fprintf(stderr, "usage: test-convergence [--count CASES] [--seed N] [--verbose]\n");
                        return 2;
                } else
                        i++;
        for (uint64_t s = seed; s < seed + count; s++) {
                uint64_t ratio = measure(s, verbose);

                grew += ratio > 0;
                sum += ratio;
                slow += ratio > RATIO_PPM;
                if (ratio > worst) {
                        worst = ratio;
                        worst_seed = s;
                }
        }
        printf("%llu changes, %llu with growth that took time: mean %.2f, worst %.2f of what the balloons allow (seed %llu), %llu over 1.2\n",
               (unsigned long long) count, (unsigned long long) grew, grew ? (double) sum / 1e6 / (double) grew : 0, (double) worst / 1e6,
               (unsigned long long) worst_seed, (unsigned long long) slow);
        return slow > 0;
}
