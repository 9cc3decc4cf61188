/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/unit.h"

#include <string.h>

#include "host-agent/policy/ksm.h"
#include "protocol/units.h"

/*
 * A ksmd in virtual time. Each second it does what its knobs let it, at a cost for each page, over `pages` pages of which `equal` merge on the
 * second scan that finds them unchanged.
 */
struct world {
        struct ksm_config config;
        struct ksm_input in;
        struct ksm_state state;
        struct ksm_plan plan;
        uint64_t pages, equal;                 /* of all mergeable memory */
        uint64_t cost_nsec;                    /* of a page */
        uint64_t position, merged, seen;       /* seen: of the pages now there, how many have been scanned once */
        uint64_t cow_per_sec;                  /* merged pages that are written each second, while there are any */
        uint64_t cpu_spent_usec;
        bool hidden;                           /* ksmd cannot be seen: its CPU time is not known */
};

static void setup(struct world *w, enum ksm_mode mode) {
        *w = (struct world) {
                .config = { .mode = mode, .cpu_normal_ppm = 50000, .cpu_critical_ppm = 600000 },
                .in = { .now_usec = USEC_PER_HOUR, .memory_bytes = 16 * GIB, .short_of_memory = true, .n_mergeable = 2, .n_starts = 2 },
                .pages = 500000, .equal = 200000, .cost_nsec = 2000,
        };
}

static void scan(struct world *w) {
        uint64_t cycle_nsec = w->plan.sleep_msec * 1000000 + w->plan.pages_to_scan * w->cost_nsec;
        uint64_t n = w->plan.pages_to_scan * 1000000000 / cycle_nsec;

        w->in.cpu_usec = w->hidden ? AEROSTAT_UNKNOWN : w->in.cpu_usec + n * w->cost_nsec / 1000;
        w->cpu_spent_usec += n * w->cost_nsec / 1000;
        while (n > 0) {
                uint64_t step = MIN(n, w->pages - w->position), ripe = MIN(w->seen, w->equal);

                w->position += step, n -= step;
                w->merged = MIN(ripe, w->merged + step * w->equal / w->pages + 1);
                if (w->position == w->pages) {
                        w->position = 0;
                        w->seen = w->pages;
                        w->in.full_scans++;
                }
        }
}

static void second(struct world *w) {
        uint64_t broken = MIN(w->cow_per_sec, w->merged);

        assert_true(w->plan.sleep_msec > 0 || w->in.now_usec == USEC_PER_HOUR);
        w->in.now_usec += USEC_PER_SEC;
        if (w->plan.run)
                scan(w);
        w->merged -= broken;
        w->in.cow_pages += broken;
        w->in.saved_bytes = w->merged * 4096;
        w->in.metadata_bytes = w->seen * 64;
        ksm_decide(&w->config, &w->in, &w->state, &w->plan);
}

static void run(struct world *w, unsigned seconds) {
        for (unsigned i = 0; i < seconds; i++)
                second(w);
}

static unsigned run_until(struct world *w, enum ksm_phase phase, unsigned seconds) {
        for (unsigned i = 1; i <= seconds; i++) {
                second(w);
                if (w->plan.phase == phase)
                        return i;
        }
        fail_msg("not %s within %u s", ksm_phase_to_string(phase), seconds);
        return 0;
}

/* Until it has looked again, twice, at VMs that have just started. */
static void settle(struct world *w) {
        for (int i = 0; i < 2; i++) {
                run_until(w, KSM_RESTING, 600);
                assert_int_equal(run_until(w, KSM_SCANNING, 60), 20 << i);
        }
        run_until(w, KSM_RESTING, 600);
}

static void test_budget_by_state(void **state) {
        struct ksm_config config = { .cpu_normal_ppm = 50000, .cpu_critical_ppm = 600000 };

        assert_int_equal(ksm_budget_ppm(&config, POLICY_NORMAL), 50000);
        assert_int_equal(ksm_budget_ppm(&config, POLICY_TIGHT), 150000);
        assert_int_equal(ksm_budget_ppm(&config, POLICY_HARD), 300000);
        assert_int_equal(ksm_budget_ppm(&config, POLICY_CRITICAL), 600000);
        config.cpu_critical_ppm = 0; /* below normal: normal counts */
        assert_int_equal(ksm_budget_ppm(&config, POLICY_CRITICAL), 50000);
        config.cpu_normal_ppm = AEROSTAT_UNKNOWN;
        assert_int_equal(ksm_budget_ppm(&config, POLICY_HARD), PPM_ONE);
}

/* Over a minute the CPU time taken stays within 20 % of the budget, whatever a page costs and whatever the state. */
static void test_budget_is_kept(void **state) {
        static const uint64_t costs[] = { 700, 2000, 7000, 40000, 400000 };

        for (size_t i = 0; i < ARRAY_SIZE(costs); i++)
                for (enum policy_host_state s = POLICY_NORMAL; s <= POLICY_CRITICAL; s++) {
                        struct world w;
                        uint64_t budget;

                        setup(&w, KSM_MODE_ON);
                        w.cost_nsec = costs[i];
                        w.in.host_state = s;
                        w.pages = UINT64_C(1) << 40;
                        run(&w, 20);
                        w.cpu_spent_usec = 0;
                        run(&w, 60);
                        budget = ksm_budget_ppm(&w.config, s) * 60;
                        if (w.plan.pages_to_scan < KSM_PAGES_MAX) { /* beyond the most that one wake-up may scan there is nothing to be had */
                                assert_in_range(w.cpu_spent_usec, budget * 8 / 10, budget * 12 / 10);
                                assert_in_range(w.plan.cpu_ppm, w.plan.budget_ppm * 8 / 10, w.plan.budget_ppm * 12 / 10);
                        } else
                                assert_true(w.cpu_spent_usec <= budget);
                }
}

/* A scan of cheap pages turns into merging: the overshoot is bounded and short. */
static void test_cost_jumps(void **state) {
        struct world w;

        setup(&w, KSM_MODE_ON);
        w.pages = UINT64_C(1) << 40;
        w.cost_nsec = 200;
        run(&w, 30);
        w.cost_nsec = 5000;
        w.cpu_spent_usec = 0;
        run(&w, 60);
        assert_true(w.cpu_spent_usec <= 60 * 50000 * 12 / 10);
}

static void test_without_ksmd_in_sight(void **state) {
        struct world w;

        setup(&w, KSM_MODE_ON);
        w.hidden = true;
        run(&w, 10);
        assert_true(w.plan.run);
        assert_true(w.plan.cpu_ppm == AEROSTAT_UNKNOWN);
        assert_in_range(w.plan.pages_to_scan, 200, 300); /* 5 % at 4 us for a page */
}

/* Merges what there is, then rests and keeps it. */
static void test_rests_when_done(void **state) {
        struct world w;
        unsigned took;

        setup(&w, KSM_MODE_AUTO);
        second(&w);
        assert_int_equal(w.plan.phase, KSM_SCANNING);
        took = run_until(&w, KSM_RESTING, 600);
        assert_true(took > 20);
        assert_false(w.plan.run);
        assert_int_equal(w.merged, w.equal);
        assert_false(w.plan.unprofitable);
        assert_int_equal(run_until(&w, KSM_SCANNING, 60), 20);
        run_until(&w, KSM_RESTING, 600);
        assert_int_equal(run_until(&w, KSM_SCANNING, 60), 40);
        run_until(&w, KSM_RESTING, 600);
        assert_int_equal(w.plan.probe_usec, w.in.now_usec + 10 * USEC_PER_MINUTE);
        w.cpu_spent_usec = 0;
        run(&w, 590);
        assert_int_equal(w.cpu_spent_usec, 0);
        assert_int_equal(run_until(&w, KSM_SCANNING, 20), 10);
}

/* Where nothing merges, the looks that are followed by another one soon are shorter than those that decide for ten minutes. */
static void test_settling_is_cheap(void **state) {
        static const uint64_t scans[] = { 3, 3, 4 };
        struct world w;

        setup(&w, KSM_MODE_AUTO);
        w.equal = 0;
        for (size_t i = 0; i < ARRAY_SIZE(scans); i++) {
                uint64_t before = w.in.full_scans;

                run_until(&w, KSM_SCANNING, 60);
                run_until(&w, KSM_RESTING, 600);
                assert_int_equal(w.in.full_scans - before, scans[i]);
        }
}

/* Random data: looks again after 10 min, doubling to 2 h, and says that it does not pay. */
static void test_unprofitable(void **state) {
        static const unsigned minutes[] = { 10, 20, 40, 80, 120, 120 };
        struct world w;

        setup(&w, KSM_MODE_AUTO);
        w.equal = 0;
        settle(&w);
        for (size_t i = 0; i < ARRAY_SIZE(minutes); i++) {
                unsigned took;

                if (i > 0)
                        run_until(&w, KSM_RESTING, 600);
                assert_true(w.plan.unprofitable);
                took = run_until(&w, KSM_SCANNING, 8000);
                assert_in_range(took, minutes[i] * 60 - 1, minutes[i] * 60 + 1);
        }
}

/* Memory that is plentiful for a while does not make unprofitable scanning worth while: the rest goes on, and so does its doubling. */
static void test_rest_outlasts_calm(void **state) {
        struct world w;
        uint64_t probe_usec;

        setup(&w, KSM_MODE_AUTO);
        w.equal = 0;
        settle(&w);
        for (unsigned minutes = 10; minutes <= 40; minutes *= 2) {
                probe_usec = w.plan.probe_usec;
                assert_int_equal(probe_usec, w.in.now_usec + minutes * USEC_PER_MINUTE);
                w.cpu_spent_usec = 0;
                for (int i = 0; i < 3; i++) {
                        w.in.short_of_memory = false;
                        run_until(&w, KSM_IDLE, 60);
                        run(&w, 60);
                        w.in.short_of_memory = true;
                        second(&w);
                        assert_int_equal(w.plan.phase, KSM_RESTING);
                        assert_true(w.plan.probe_usec == probe_usec);
                        assert_true(w.plan.unprofitable);
                }
                assert_int_equal(w.cpu_spent_usec, 0);
                run_until(&w, KSM_SCANNING, 3600);
                assert_in_range(w.in.now_usec, probe_usec, probe_usec + USEC_PER_SEC);
                run_until(&w, KSM_RESTING, 600);
        }
        w.in.short_of_memory = false; /* until after the next look is due: it is made as soon as memory is short */
        run(&w, 5000);
        assert_int_equal(w.plan.phase, KSM_IDLE);
        w.in.short_of_memory = true;
        second(&w);
        assert_int_equal(w.plan.phase, KSM_SCANNING);
        run_until(&w, KSM_RESTING, 600);
        w.in.short_of_memory = false;
        run_until(&w, KSM_IDLE, 60);
        w.in.n_starts++; /* a VM that starts meanwhile is looked at as soon as memory is short */
        run(&w, 60);
        w.in.short_of_memory = true;
        second(&w);
        assert_int_equal(w.plan.phase, KSM_SCANNING);
        settle(&w);
        assert_int_equal(w.plan.probe_usec, w.in.now_usec + 10 * USEC_PER_MINUTE);
}

static void test_wakes_when_a_vm_starts(void **state) {
        struct world w;

        setup(&w, KSM_MODE_AUTO);
        w.equal = 0;
        settle(&w);
        run_until(&w, KSM_SCANNING, 700);
        run_until(&w, KSM_RESTING, 600);
        run(&w, 30);
        w.in.n_starts++;
        w.in.n_mergeable++;
        w.equal = 150000;
        second(&w);
        assert_int_equal(w.plan.phase, KSM_SCANNING);
        settle(&w);
        assert_int_equal(w.merged, w.equal);
        assert_int_equal(w.plan.probe_usec, w.in.now_usec + 10 * USEC_PER_MINUTE);
}

/* What the kernel still knows of a VM that ended is let go of when ksmd comes by; the next rest is the longer one all the same. */
static void test_wakes_when_a_vm_ends(void **state) {
        struct world w;

        setup(&w, KSM_MODE_AUTO);
        w.equal = 0;
        w.in.n_mergeable = 4;
        settle(&w);
        run(&w, 30);
        assert_int_equal(w.plan.phase, KSM_RESTING);
        w.in.n_mergeable = 3;
        second(&w);
        assert_int_equal(w.plan.phase, KSM_SCANNING);
        run_until(&w, KSM_RESTING, 600);
        assert_int_equal(w.plan.probe_usec, w.in.now_usec + 20 * USEC_PER_MINUTE);
        w.in.short_of_memory = false; /* one that ends while memory is plentiful: as soon as it is short */
        run_until(&w, KSM_IDLE, 60);
        w.in.n_mergeable = 2;
        run(&w, 60);
        w.in.short_of_memory = true;
        second(&w);
        assert_int_equal(w.plan.phase, KSM_SCANNING);
}

static void test_live_bytes(void **state) {
        const uint64_t no = AEROSTAT_UNKNOWN;

        assert_int_equal(ksm_live_bytes(200 * MIB, 100 * MIB, 300 * MIB), 200 * MIB); /* three VMs with 100 MiB that are equal */
        assert_int_equal(ksm_live_bytes(200 * MIB, 100 * MIB, 200 * MIB), 100 * MIB); /* one of them has ended, and ksmd is stopped */
        assert_int_equal(ksm_live_bytes(200 * MIB, 100 * MIB, 0), 0);
        assert_int_equal(ksm_live_bytes(200 * MIB, 100 * MIB, 900 * MIB), 200 * MIB); /* never more than the kernel says */
        assert_int_equal(ksm_live_bytes(200 * MIB, 100 * MIB, no), 200 * MIB);
        assert_int_equal(ksm_live_bytes(200 * MIB, no, 100 * MIB), 200 * MIB);
        assert_true(ksm_live_bytes(no, 100 * MIB, 100 * MIB) == no);
}

static void test_wakes_when_it_comes_apart(void **state) {
        struct world w;
        unsigned took;

        setup(&w, KSM_MODE_AUTO);
        settle(&w);
        w.cow_per_sec = 400;
        took = run_until(&w, KSM_SCANNING, 300);
        assert_in_range(took, 50, 130); /* a tenth of 200000 pages */
}

static void test_only_where_memory_is_short(void **state) {
        struct world w;

        setup(&w, KSM_MODE_AUTO);
        w.in.short_of_memory = false;
        run(&w, 5);
        assert_int_equal(w.plan.phase, KSM_IDLE);
        assert_false(w.plan.run);
        w.in.host_state = POLICY_TIGHT;
        second(&w);
        assert_int_equal(w.plan.phase, KSM_SCANNING);
        w.in.host_state = POLICY_NORMAL;
        run(&w, 20);
        assert_int_equal(w.plan.phase, KSM_SCANNING); /* not at the first sign of relief */
        run(&w, 20);
        assert_int_equal(w.plan.phase, KSM_IDLE);
        w.in.short_of_memory = true;
        w.in.n_mergeable = 1;
        run(&w, 5);
        assert_int_equal(w.plan.phase, KSM_IDLE);
}

static void test_cow_storm(void **state) {
        struct world w;

        setup(&w, KSM_MODE_ON);
        run(&w, 100);
        assert_int_equal(w.plan.backoff, 0);
        w.cow_per_sec = 20000;
        run(&w, 60);
        assert_int_equal(w.plan.backoff, KSM_BACKOFF_MAX);
        assert_int_equal(w.plan.budget_ppm, 50000 / 8);
        run(&w, 20); /* debts are paid */
        w.cpu_spent_usec = 0;
        run(&w, 60);
        assert_true(w.cpu_spent_usec <= 60 * 50000 / 8 * 13 / 10);
        w.cow_per_sec = 0;
        run(&w, 63);
        assert_int_equal(w.plan.backoff, KSM_BACKOFF_MAX - 1);
        run(&w, 130);
        assert_int_equal(w.plan.backoff, 0);
}

static void test_modes(void **state) {
        struct world w;

        setup(&w, KSM_MODE_OFF);
        second(&w);
        assert_int_equal(w.plan.phase, KSM_OFF);
        assert_false(w.plan.run);
        setup(&w, KSM_MODE_LEAVE);
        second(&w);
        assert_int_equal(w.plan.phase, KSM_LEFT);
        setup(&w, KSM_MODE_ON); /* whatever it brings and whether or not it is needed */
        w.in.short_of_memory = false;
        w.in.n_mergeable = 0;
        w.equal = 0;
        run(&w, 3600);
        assert_int_equal(w.plan.phase, KSM_SCANNING);
}

static void test_unmerge(void **state) {
        uint64_t need;

        assert_true(ksm_unmerge_fits(GIB, 2 * GIB, GIB, &need));
        assert_int_equal(need, 2 * GIB);
        assert_false(ksm_unmerge_fits(GIB + 1, 2 * GIB, GIB, &need));
        assert_false(ksm_unmerge_fits(AEROSTAT_UNKNOWN, AEROSTAT_UNKNOWN - 1, 0, &need));
        assert_false(ksm_unmerge_fits(0, AEROSTAT_UNKNOWN, 0, &need));
}

/* Anything goes in; knobs that the kernel takes come out. */
static void test_any_input(void **state) {
        static const uint64_t values[] = { 0, 1, 63, 50000, PPM_ONE, GIB, UINT64_C(1) << 52, UINT64_MAX - 1, UINT64_MAX };
        struct ksm_state s = { 0 };
        uint64_t seed = 1, now = 0;

#define ANY (seed = seed * 6364136223846793005 + 1442695040888963407, values[(seed >> 33) % ARRAY_SIZE(values)])
        for (int i = 0; i < 200000; i++) {
                struct ksm_config config = { .mode = (enum ksm_mode)((seed >> 40) % 4), .cpu_normal_ppm = ANY, .cpu_critical_ppm = ANY };
                struct ksm_input in = {
                        .full_scans = ANY, .saved_bytes = ANY, .metadata_bytes = ANY, .cow_pages = ANY, .cpu_usec = ANY, .memory_bytes = ANY,
                        .host_state = (enum policy_host_state)((seed >> 35) % 4), .short_of_memory = (seed >> 50) & 1, .n_mergeable = ANY,
                        .n_starts = ANY,
                };
                struct ksm_plan plan;

                now = u64_add(now, MIN(ANY, USEC_PER_DAY));
                in.now_usec = now;
                ksm_decide(&config, &in, &s, &plan);
                assert_in_range(plan.pages_to_scan, 1, KSM_PAGES_MAX);
                assert_in_range(plan.sleep_msec, 1, 1000);
                assert_true(plan.budget_ppm <= PPM_ONE);
                assert_true(plan.backoff <= KSM_BACKOFF_MAX);
        }
#undef ANY
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_budget_by_state),
                cmocka_unit_test(test_budget_is_kept),
                cmocka_unit_test(test_cost_jumps),
                cmocka_unit_test(test_without_ksmd_in_sight),
                cmocka_unit_test(test_rests_when_done),
                cmocka_unit_test(test_settling_is_cheap),
                cmocka_unit_test(test_unprofitable),
                cmocka_unit_test(test_rest_outlasts_calm),
                cmocka_unit_test(test_wakes_when_a_vm_starts),
                cmocka_unit_test(test_wakes_when_a_vm_ends),
                cmocka_unit_test(test_live_bytes),
                cmocka_unit_test(test_wakes_when_it_comes_apart),
                cmocka_unit_test(test_only_where_memory_is_short),
                cmocka_unit_test(test_cow_storm),
                cmocka_unit_test(test_modes),
                cmocka_unit_test(test_unmerge),
                cmocka_unit_test(test_any_input),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
