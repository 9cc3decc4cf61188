/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/policy.h"

static void test_reserve(void **state) {
        assert_int_equal(policy_auto_reserve(0), 0);
        assert_near(policy_auto_reserve(10 * GIB), 10 * GIB * 6 / 100, MIB);   /* 6 % while that is less ... */
        assert_int_equal(policy_auto_reserve(28 * GIB), 899 * MIB);
        assert_near(policy_auto_reserve(128 * GIB), 899 * MIB + GIB, MIB);     /* ... then 1 % of what is beyond 28 GiB */
        assert_true(policy_auto_reserve(UINT64_MAX) < POLICY_SIZE_MAX);
}

/* 16 GiB, 1 GiB reserve, VMs hold 4 GiB, 10 GiB are available: others use 2 GiB. */
static void plain_host(struct fixture *f) {
        fixture_init(f);
        fixture_add(f, 8 * GIB, 4 * GIB, GIB);
        f->host.available_bytes = 10 * GIB;
        f->host.swap_total_bytes = 10 * GIB;
}

static void test_modes(void **state) {
        struct fixture f;

        plain_host(&f);
        fixture_decide(&f);
        assert_int_equal(f.plan.other_bytes, 2 * GIB);
        assert_int_equal(f.plan.capacity_bytes, 13 * GIB);
        assert_int_equal(f.plan.allowance_bytes, 3 * GIB); /* 30 % of 10 GiB */
        assert_int_equal(f.plan.envelope_bytes, 13 * GIB);
        assert_int_equal(f.plan.committed_bytes, 4 * GIB);
        assert_false(f.plan.unsafe);
        assert_int_equal(f.plan.guarantee, POLICY_FULL);

        plain_host(&f);
        f.config.mode = POLICY_SWAP_BACKED;
        fixture_decide(&f);
        assert_int_equal(f.plan.envelope_bytes, 16 * GIB);

        plain_host(&f);
        f.config.mode = POLICY_OPPORTUNISTIC;
        fixture_decide(&f);
        assert_int_equal(f.plan.envelope_bytes, 24 * GIB);
        assert_int_equal(f.plan.guarantee, POLICY_NONE);
        assert_true(f.plan.weaknesses & POLICY_WEAK_MODE);
}

static void test_allowance(void **state) {
        struct fixture f;

        plain_host(&f); /* others use 1 GiB of swap, the VM half a GiB; zswap may take 256 MiB */
        f.vms[0].input.swap_bytes = GIB / 2;
        f.host.swap_used_bytes = GIB + GIB / 2;
        f.host.zswap_bytes = 256 * MIB;
        fixture_decide(&f);
        assert_int_equal(f.plan.allowance_bytes, 3 * GIB - GIB - 256 * MIB);

        plain_host(&f); /* the VM has 1 GiB in swap, a third of all of which is on disk: others have the rest of that */
        f.vms[0].input.swap_bytes = GIB;
        f.host.swap_used_bytes = GIB;
        f.host.swap_zram_used_bytes = 2 * GIB;
        fixture_decide(&f);
        assert_int_equal(f.plan.allowance_bytes, 3 * GIB - (GIB - GIB / 3));

        plain_host(&f); /* what an administrator lets VMs swap is less than the ceiling; more changes nothing */
        f.host.swap_limit_bytes = GIB;
        f.config.mode = POLICY_SWAP_BACKED;
        fixture_decide(&f);
        assert_int_equal(f.plan.allowance_bytes, GIB);
        assert_int_equal(f.plan.envelope_bytes, f.plan.capacity_bytes + GIB);
        f.host.swap_limit_bytes = 20 * GIB;
        fixture_decide(&f);
        assert_int_equal(f.plan.allowance_bytes, 3 * GIB);

        plain_host(&f); /* zram earns nothing */
        f.host.swap_total_bytes = 0;
        f.host.only_zram = true;
        f.config.mode = POLICY_SWAP_BACKED;
        fixture_decide(&f);
        assert_int_equal(f.plan.envelope_bytes, f.plan.capacity_bytes);
        assert_true(f.plan.weaknesses & POLICY_WEAK_ONLY_ZRAM);
}

/* What is merged is resident once: 2 GiB of the VM's 4 GiB are, so others use 4 GiB; half of what is saved may be promised again. */
static void test_ksm_credit(void **state) {
        struct fixture f;

        plain_host(&f);
        f.host.ksm_saved_bytes = 2 * GIB;
        fixture_decide(&f);
        assert_int_equal(f.plan.other_bytes, 4 * GIB);
        assert_int_equal(f.plan.capacity_bytes, 11 * GIB);
        assert_int_equal(f.plan.ksm_credit_bytes, GIB);
        assert_int_equal(f.plan.envelope_bytes, 12 * GIB);

        plain_host(&f); /* un-sharing is backed by swap: without it no credit */
        f.host.ksm_saved_bytes = 2 * GIB;
        f.host.swap_total_bytes = 0;
        fixture_decide(&f);
        assert_int_equal(f.plan.ksm_credit_bytes, 0);
}

static void test_limits_and_budget(void **state) {
        struct fixture f;

        plain_host(&f); /* a cgroup's limit above all VMs */
        f.host.limit_bytes = 6 * GIB;
        fixture_decide(&f);
        assert_int_equal(f.plan.capacity_bytes, 5 * GIB);

        plain_host(&f); /* a budget of 12 GiB: others' 2 GiB are within the 4 GiB left to them */
        f.config.memory_bytes = 12 * GIB;
        fixture_decide(&f);
        assert_int_equal(f.plan.other_bytes, 0);
        assert_int_equal(f.plan.capacity_bytes, 11 * GIB);
        assert_int_equal(f.plan.available_bytes, 8 * GIB);

        plain_host(&f); /* reclaimable ARC is not other use */
        f.host.arc_reclaimable_bytes = GIB;
        fixture_decide(&f);
        assert_int_equal(f.plan.other_bytes, GIB);
        f.host.available_bytes = 0; /* nor is it missing when it fills memory */
        f.host.arc_reclaimable_bytes = 10 * GIB;
        f.now_usec += USEC_PER_SEC;
        fixture_decide(&f);
        assert_int_equal(f.plan.correction_bytes, 0);
}

/* Others: up at once, down slowly. */
static void test_other_use(void **state) {
        struct fixture f;

        plain_host(&f);
        fixture_decide(&f);
        f.host.available_bytes = 6 * GIB;
        f.now_usec += USEC_PER_SEC;
        fixture_decide(&f);
        assert_int_equal(f.plan.other_bytes, 6 * GIB);
        f.host.available_bytes = 10 * GIB;
        f.now_usec += USEC_PER_SEC;
        fixture_decide(&f);
        assert_true(f.plan.other_bytes > 5 * GIB && f.plan.other_bytes < 6 * GIB);
        for (unsigned i = 0; i < 300; i++) {
                f.now_usec += USEC_PER_SEC;
                f.vms[0].input.report_usec = f.now_usec;
                fixture_decide(&f);
        }
        assert_int_equal(f.plan.other_bytes, 2 * GIB);
}

/* A VM that the daemon has just found is no other any more; it was, while nothing was known of its process. */
static void test_newcomer_was_no_other(void **state) {
        struct fixture f;
        uint64_t rss;

        plain_host(&f);
        rss = f.vms[0].input.rss_bytes;
        f.vms[0].input.rss_bytes = AEROSTAT_UNKNOWN;
        fixture_decide(&f);
        assert_int_equal(f.plan.other_bytes, 2 * GIB + rss);
        f.vms[0].input.rss_bytes = rss;
        f.now_usec += USEC_PER_SEC;
        fixture_decide(&f);
        assert_int_equal(f.plan.other_bytes, 2 * GIB);
}

static void test_committed(void **state) {
        struct fixture f;
        struct policy_vm *vm;

        fixture_init(&f);
        vm = fixture_add(&f, 8 * GIB, 4 * GIB, GIB);
        vm->input.overhead_bytes = 100 * MIB;
        fixture_decide(&f);
        assert_int_equal(vm->plan.committed_bytes, 4 * GIB + 100 * MIB);

        vm->input.rss_bytes = 5 * GIB; /* evidence beats the claim */
        vm->input.swap_bytes = GIB;
        fixture_decide(&f);
        assert_int_equal(vm->plan.committed_bytes, 6 * GIB);

        vm->input.rss_bytes = GIB; /* a boot counts at max, whatever `actual` says */
        vm->input.swap_bytes = 0;
        vm->input.started_usec = f.now_usec;
        vm->input.balloon_confirmed = false;
        vm->input.report_usec = 0;
        fixture_decide(&f);
        assert_int_equal(vm->plan.committed_bytes, 8 * GIB + 100 * MIB);
        assert_int_equal(vm->plan.class, POLICY_BOOTING);
        assert_string_equal(policy_class_to_string(vm->plan.class), "unknown");
        assert_reason(vm, POLICY_REASON_BOOTING);
}

static void test_fixed_and_excluded(void **state) {
        struct fixture f;
        struct policy_vm *fixed, *huge, *excluded, *stale;

        fixture_init(&f);
        fixed = fixture_add(&f, 4 * GIB, GIB, GIB / 2);
        fixed->input.fixed = true;
        huge = fixture_add(&f, 4 * GIB, 4 * GIB, GIB);
        huge->input.hugepages = true;
        huge->input.overhead_bytes = 96 * MIB;
        huge->input.rss_bytes = 96 * MIB;
        excluded = fixture_add(&f, 2 * GIB, GIB, GIB);
        excluded->input.managed = false;
        stale = fixture_add(&f, 64 * GIB, AEROSTAT_UNKNOWN, 0); /* nothing is known of its balloon: max */
        stale->input.target_bytes = AEROSTAT_UNKNOWN;
        f.host.available_bytes = 10 * GIB;
        fixture_decide(&f);
        assert_int_equal(fixed->plan.committed_bytes, 4 * GIB);
        assert_int_equal(huge->plan.committed_bytes, 96 * MIB); /* the pool is gone from MemAvailable already */
        assert_int_equal(excluded->plan.committed_bytes, 2 * GIB);
        assert_int_equal(stale->plan.committed_bytes, 64 * GIB);
        assert_false(fixed->plan.set || huge->plan.set || excluded->plan.set);
        assert_true(f.plan.unsafe);
        assert_true(f.plan.deficit_bytes > 50 * GIB);
        assert_int_equal(f.plan.guarantee, POLICY_NONE);
}

/* opportunistic: 17.5 GiB are within the envelope of 25.5 GiB, yet half a GiB of the reserve is gone, and swap is at its ceiling. Corrected at once,
 * and once for each shortfall. */
static void test_correction(void **state) {
        struct fixture f;

        fixture_init(&f);
        f.config.mode = POLICY_OPPORTUNISTIC;
        f.host.swap_total_bytes = 10 * GIB;
        fixture_add(&f, 16 * GIB, 14 * GIB + 512 * MIB, 2 * GIB);
        f.host.available_bytes = 512 * MIB;
        f.vms[0].input.swap_bytes = f.host.swap_used_bytes = 3 * GIB;
        fixture_decide(&f);
        assert_int_equal(f.plan.envelope_bytes, 25 * GIB + 512 * MIB);
        assert_int_equal(f.plan.committed_bytes, 17 * GIB + 512 * MIB);
        assert_int_equal(f.plan.correction_bytes, 512 * MIB);
        assert_int_equal(f.plan.rule_bytes, 25 * GIB);
        for (unsigned i = 0; i < 19; i++) { /* nothing has come back yet: MemAvailable lags */
                f.now_usec += 100 * USEC_PER_MSEC;
                fixture_decide(&f);
                assert_int_equal(f.plan.correction_bytes, 512 * MIB);
        }
        f.now_usec += 200 * USEC_PER_MSEC; /* it still is missing: the rule has to bite */
        fixture_decide(&f);
        assert_int_equal(f.plan.correction_bytes, GIB);
}

static void test_correction_decays(void **state) {
        struct fixture f;

        fixture_init(&f);
        fixture_add(&f, 16 * GIB, 4 * GIB, 2 * GIB);
        f.host.available_bytes = GIB / 2; /* and others hold the rest, which is in capacity already */
        f.state.correction_bytes = GIB;
        f.state.decided_usec = 1;
        f.host.available_bytes = GIB + GIB / 8; /* between 100 and 125 % it stays */
        fixture_decide(&f);
        assert_int_equal(f.plan.correction_bytes, GIB);
        f.host.available_bytes = 2 * GIB;
        for (unsigned i = 0; i < 10; i++) {
                f.now_usec += USEC_PER_SEC;
                fixture_decide(&f);
        }
        assert_true(f.plan.correction_bytes < GIB && f.plan.correction_bytes > GIB / 2);
}

/* Guests that are a small part of the host are not emptied for the pressure of all of it. */
static void test_correction_by_pressure(void **state) {
        struct fixture f;

        fixture_init(&f);
        f.host.available_bytes = 2 * GIB;
        fixture_add(&f, GIB, GIB / 2, GIB / 4);
        f.host.psi_event = true;
        fixture_decide(&f);
        assert_true(f.plan.capacity_bytes < 2 * GIB);
        assert_int_equal(f.plan.correction_bytes, f.plan.capacity_bytes / 50);
        for (unsigned i = 0; i < 20; i++) {
                f.now_usec += 3 * USEC_PER_SEC;
                f.host.psi_event = true;
                f.host.available_bytes = GIB + GIB / 8; /* so that nothing decays */
                fixture_decide(&f);
        }
        assert_in_range(f.plan.correction_bytes, f.plan.capacity_bytes / 20, f.plan.capacity_bytes / 8);
}

static void test_states(void **state) {
        struct fixture f;

        fixture_init(&f);
        fixture_add(&f, 4 * GIB, 2 * GIB, GIB);
        f.config.reserve_bytes = 1000 * MIB;
        static const struct {
                uint64_t available;
                enum policy_host_state expected;
        } steps[] = {
                { 5000 * MIB, POLICY_NORMAL }, { 990 * MIB, POLICY_TIGHT }, { 630 * MIB, POLICY_HARD }, { 310 * MIB, POLICY_CRITICAL },
                { 390 * MIB, POLICY_CRITICAL }, { 410 * MIB, POLICY_HARD }, { 790 * MIB, POLICY_HARD }, { 810 * MIB, POLICY_TIGHT },
                { 1240 * MIB, POLICY_TIGHT }, { 1260 * MIB, POLICY_NORMAL }, { 1010 * MIB, POLICY_NORMAL },
        };
        for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
                f.host.available_bytes = steps[i].available;
                f.now_usec += USEC_PER_SEC;
                fixture_decide(&f);
                assert_string_equal(policy_host_state_to_string(f.plan.host_state), policy_host_state_to_string(steps[i].expected));
        }
}

static void test_states_by_pressure_and_swap(void **state) {
        struct fixture f;

        fixture_init(&f);
        fixture_add(&f, 4 * GIB, 2 * GIB, GIB);
        f.host.swap_total_bytes = 10 * GIB;
        f.host.psi_some_ppm = 30000;
        fixture_decide(&f);
        assert_int_equal(f.plan.host_state, POLICY_TIGHT);
        f.host.psi_full_ppm = 60000;
        fixture_decide(&f);
        assert_int_equal(f.plan.host_state, POLICY_CRITICAL);
        f.host.psi_some_ppm = f.host.psi_full_ppm = 0;
        f.host.swap_used_bytes = 3 * GIB; /* at its ceiling, but written long ago */
        fixture_decide(&f);
        assert_int_equal(f.plan.host_state, POLICY_NORMAL);
        f.host.swap_out_bytes_per_sec = MIB;
        fixture_decide(&f);
        assert_int_equal(f.plan.host_state, POLICY_CRITICAL);
        f.host.swap_out_bytes_per_sec = 0;
        f.now_usec += 31 * USEC_PER_SEC;
        fixture_decide(&f);
        assert_int_equal(f.plan.host_state, POLICY_NORMAL);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_reserve), cmocka_unit_test(test_modes), cmocka_unit_test(test_allowance), cmocka_unit_test(test_ksm_credit),
                cmocka_unit_test(test_limits_and_budget), cmocka_unit_test(test_other_use), cmocka_unit_test(test_newcomer_was_no_other),
                cmocka_unit_test(test_committed),
                cmocka_unit_test(test_fixed_and_excluded), cmocka_unit_test(test_correction), cmocka_unit_test(test_correction_decays),
                cmocka_unit_test(test_correction_by_pressure),
                cmocka_unit_test(test_states), cmocka_unit_test(test_states_by_pressure_and_swap),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
