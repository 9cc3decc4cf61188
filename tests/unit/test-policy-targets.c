/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/policy/internal.h"
#include "tests/unit/policy.h"

static uint64_t next(uint64_t *s) {
        *s = *s * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        return *s >> 33;
}

static double least(double a, double b) {
        return a < b ? a : b;
}

/* The level by bisection, in floating point: slow, and obviously right. */
static double slow_level(const struct policy_work *work, size_t n, double amount) {
        double low = 0, high = 1e18;

        for (unsigned i = 0; i < 300; i++) {
                double level = (low + high) / 2, sum = 0;

                for (size_t k = 0; k < n; k++)
                        if (work[k].moves)
                                sum += least((double) work[k].cap, level * (double) work[k].weight);
                if (sum <= amount)
                        low = level;
                else
                        high = level;
        }
        return low;
}

static void test_water_filling(void **state) {
        struct policy_work work[24];
        uint64_t seed = 42;

        for (unsigned round = 0; round < 20000; round++) {
                size_t n = 1 + next(&seed) % ARRAY_SIZE(work);
                uint64_t amount, caps = 0, given = 0, left;
                double level;

                for (size_t i = 0; i < n; i++) {
                        work[i] = (struct policy_work) { .moves = next(&seed) % 8 != 0, .cap = next(&seed) % 4 ? next(&seed) * MIB / 1024 : 0,
                                                         .weight = next(&seed) % 10 ? 1 + next(&seed) % 100000 : 0 };
                        if (work[i].moves && work[i].weight > 0)
                                caps += work[i].cap;
                }
                amount = next(&seed) % 4 ? (uint64_t) ((double) caps * (double) (next(&seed) % 1000) / 1000) : next(&seed) * GIB / 1024;
                left = policy_fill(work, n, amount);
                level = slow_level(work, n, (double) MIN(amount, caps));
                for (size_t i = 0; i < n; i++) {
                        double expected = work[i].moves && work[i].weight > 0 ? least((double) work[i].cap, level * (double) work[i].weight) : 0;

                        given += work[i].fill;
                        assert_true(work[i].fill <= work[i].cap);
                        if ((double) work[i].fill > expected + 64 + expected * 1e-6 || (double) work[i].fill < expected - 64 - expected * 1e-6)
                                fail_msg("round %u: %zu gets %llu, not %.0f", round, i, (unsigned long long) work[i].fill, expected);
                }
                assert_int_equal(given + left, amount);
        }
}

static void test_fits(void **state) {
        struct fixture f;

        fixture_init(&f);
        for (unsigned i = 0; i < 3; i++)
                fixture_add(&f, 4 * GIB, 2 * GIB, GIB);
        fixture_decide(&f);
        assert_true(f.plan.fits);
        for (unsigned i = 0; i < 3; i++) {
                assert_int_equal(f.vms[i].plan.ideal_bytes, 4 * GIB);
                assert_int_equal(f.vms[i].plan.target_bytes, 4 * GIB);
        }
}

/* 16 GiB, reserve 1, others 1: 14 GiB for three guests of 8 GiB that need 1, 2 and 7 GiB. Pool 4 % = 573 MiB. */
static void test_short(void **state) {
        struct fixture f;

        fixture_init(&f);
        fixture_add(&f, 8 * GIB, 4 * GIB, GIB);
        fixture_add(&f, 8 * GIB, 4 * GIB, 2 * GIB);
        fixture_add(&f, 8 * GIB, 4 * GIB, 4 * GIB - 200 * MIB);
        fixture_decide(&f);
        assert_int_equal(f.plan.capacity_bytes, 14 * GIB);
        assert_false(f.plan.fits);
        assert_near(f.plan.pool_bytes, 14 * GIB * 4 / 100, MIB);
        assert_near(f.vms[0].plan.entitled_bytes, (14 * GIB - f.plan.pool_bytes - MARGIN) / 3, MIB);
        /* demand: 1.2, 2.4 and 4.56 GiB; the rest of 5.28 GiB in equal parts */
        assert_near(f.vms[0].plan.ideal_bytes, (uint64_t) ((1.2 + 5.28 / 3) * (double) GIB), 100 * MIB);
        assert_near(f.vms[1].plan.ideal_bytes, (uint64_t) ((2.4 + 5.28 / 3) * (double) GIB), 100 * MIB);
        assert_near(f.vms[2].plan.ideal_bytes, (uint64_t) ((4.56 + 5.28 / 3) * (double) GIB), 100 * MIB);
        assert_reason(&f.vms[2], POLICY_REASON_GRANTED); /* from what is free */
        assert_reason(&f.vms[0], POLICY_REASON_EQUALIZES); /* nobody waits for it */
}

static void test_weights(void **state) {
        struct fixture f;
        struct policy_vm *one, *two, *none;

        fixture_init(&f);
        one = fixture_add(&f, 16 * GIB, 4 * GIB, 4 * GIB - MIB);
        two = fixture_add(&f, 16 * GIB, 4 * GIB, 4 * GIB - MIB);
        none = fixture_add(&f, 16 * GIB, 4 * GIB, 4 * GIB - MIB);
        one->input.floor_bytes = two->input.floor_bytes = 0;
        two->input.weight = 2000;
        none->input.weight = 0;
        none->input.floor_bytes = 2 * GIB;
        fixture_decide(&f);
        assert_int_equal(none->plan.ideal_bytes, 2 * GIB); /* no surplus, but its floor */
        assert_near(two->plan.ideal_bytes, 2 * one->plan.ideal_bytes, 4 * MIB);
}

/* Weight 0 takes no surplus, but what it needs, where the others have what they need. */
static void test_weight_zero(void **state) {
        struct fixture f;
        struct policy_vm *none;

        fixture_init(&f);
        none = fixture_add(&f, 8 * GIB, 4 * GIB, 2 * GIB);
        none->input.weight = 0;
        fixture_add(&f, 8 * GIB, 4 * GIB, 2 * GIB);
        fixture_add(&f, 8 * GIB, 4 * GIB, GIB);
        fixture_decide(&f);
        assert_int_equal(none->plan.demand_bytes, 2 * GIB + 2 * GIB / 5);
        assert_near(none->plan.ideal_bytes, none->plan.demand_bytes, MIB);
        assert_true(f.vms[1].plan.ideal_bytes > 5 * GIB && f.vms[2].plan.ideal_bytes > 4 * GIB); /* the surplus is theirs */
}

static void test_floors_do_not_fit(void **state) {
        struct fixture f;

        fixture_init(&f);
        for (unsigned i = 0; i < 3; i++)
                fixture_add(&f, 8 * GIB, 6 * GIB, GIB)->input.floor_bytes = 6 * GIB;
        f.host.available_bytes = 0;
        fixture_decide(&f);
        assert_false(f.plan.floors_fit);
        assert_true(f.plan.weaknesses & POLICY_WEAK_FLOORS);
        for (unsigned i = 0; i < 3; i++) {
                assert_int_equal(f.vms[i].plan.ideal_bytes, 6 * GIB);
                assert_reason(&f.vms[i], POLICY_REASON_FLOORS_DO_NOT_FIT);
        }
}

/* swap_backed: demand has to fit capacity; the allowance is for what is beyond. */
static void test_swap_backed_demand(void **state) {
        struct fixture f;
        uint64_t shares = 0;

        fixture_init(&f);
        f.config.mode = POLICY_SWAP_BACKED;
        f.host.swap_total_bytes = 10 * GIB;
        for (unsigned i = 0; i < 2; i++)
                fixture_add(&f, 16 * GIB, 7 * GIB, 7 * GIB - MIB);
        fixture_decide(&f);
        assert_int_equal(f.plan.envelope_bytes, 17 * GIB);
        for (unsigned i = 0; i < 2; i++)
                shares += f.work[i].share;
        assert_true(shares <= f.plan.capacity_bytes);
}

static void test_pin(void **state) {
        struct fixture f;
        struct policy_vm *vm;

        fixture_init(&f);
        vm = fixture_add(&f, 8 * GIB, 4 * GIB, GIB);
        fixture_add(&f, 12 * GIB, 4 * GIB, GIB);
        vm->input.pin_bytes = 3 * GIB;
        fixture_run(&f, 50);
        assert_int_equal(vm->input.target_bytes, 3 * GIB);
        assert_int_equal(vm->plan.class, POLICY_PINNED);
        vm->input.pin_bytes = 1; /* never below the floor */
        fixture_run(&f, 50);
        assert_int_equal(vm->input.target_bytes, 256 * MIB);
        vm->input.pin_bytes = AEROSTAT_UNKNOWN;
        fixture_run(&f, 50);
        assert_int_equal(vm->plan.class, POLICY_MANAGED);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_water_filling), cmocka_unit_test(test_fits), cmocka_unit_test(test_short), cmocka_unit_test(test_weights),
                cmocka_unit_test(test_weight_zero),
                cmocka_unit_test(test_floors_do_not_fit), cmocka_unit_test(test_swap_backed_demand), cmocka_unit_test(test_pin),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
