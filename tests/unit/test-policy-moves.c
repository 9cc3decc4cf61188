/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/policy.h"

/* What is done now toward the ideals. */

static uint64_t committed(const struct fixture *f) {
        uint64_t sum = 0;

        for (size_t i = 0; i < f->n; i++)
                sum += MAX(f->vms[i].input.actual_bytes, f->vms[i].plan.target_bytes);
        return sum;
}

/* 14 GiB, two guests with 5 and 8.4 GiB; the first wants 3 GiB more than it has. */
static void burst(struct fixture *f) {
        fixture_init(f);
        fixture_add(f, 12 * GIB, 5 * GIB, 5 * GIB - 2 * MIB);
        fixture_add(f, 12 * GIB, 8 * GIB + 400 * MIB, GIB);
}

static void test_free_first_then_grant(void **state) {
        struct fixture f;
        struct policy_vm *wants, *gives;
        uint64_t freed = 0;

        burst(&f);
        wants = &f.vms[0];
        gives = &f.vms[1];
        fixture_decide(&f);
        assert_int_equal(f.plan.free_bytes, 14 * GIB - 13 * GIB - 400 * MIB);
        assert_near(wants->plan.target_bytes, 5 * GIB + f.plan.free_bytes - MARGIN, 4 * MIB); /* at once, from what is free */
        assert_true(gives->plan.set);
        assert_reason(gives, POLICY_REASON_FUNDS);
        assert_true(gives->plan.target_bytes < 8 * GIB);
        assert_true(committed(&f) <= 14 * GIB);
        for (unsigned step = 0; step < 30; step++) { /* the giver frees 100 MiB in each step: that much is granted, and no more */
                for (size_t i = 0; i < 2; i++)
                        if (f.vms[i].plan.set)
                                f.vms[i].input.target_bytes = f.vms[i].plan.target_bytes;
                wants->input.actual_bytes = wants->input.report_actual_bytes = wants->input.rss_bytes = wants->input.target_bytes;
                wants->input.guest_available_bytes = MIB;
                gives->input.actual_bytes -= MIN(100 * MIB, gives->input.actual_bytes - gives->input.target_bytes);
                gives->input.rss_bytes = gives->input.actual_bytes;
                f.host.available_bytes = 15 * GIB - wants->input.actual_bytes - gives->input.actual_bytes;
                freed = 14 * GIB - gives->input.actual_bytes;
                f.now_usec += 100 * USEC_PER_MSEC;
                wants->input.report_usec = gives->input.report_usec = f.now_usec;
                fixture_decide(&f);
                assert_true(wants->plan.target_bytes <= freed);
                assert_true(wants->plan.target_bytes + 4 * MIB + MARGIN >= freed);
                assert_int_equal(f.plan.next_usec, 100 * USEC_PER_MSEC);
        }
        assert_true(wants->plan.target_bytes > 8 * GIB);
}

static void test_pool_serves_at_once_and_is_refilled(void **state) {
        struct fixture f;
        struct policy_vm *vm;
        uint64_t before;

        fixture_init(&f);
        for (unsigned i = 0; i < 4; i++)
                fixture_add(&f, 6 * GIB, 3 * GIB, GIB);
        fixture_run(&f, 600);
        assert_near(f.plan.free_bytes, f.plan.pool_bytes, f.plan.pool_bytes / 4);
        vm = &f.vms[0];
        before = vm->input.target_bytes;
        vm->input.guest_available_bytes = 2 * MIB;
        vm->input.guest_pressure = true;
        f.now_usec += 100 * USEC_PER_MSEC;
        vm->input.report_usec = f.now_usec;
        fixture_decide(&f);
        assert_near(vm->plan.target_bytes - before, f.plan.free_bytes - MARGIN, 4 * MIB); /* in this decision, not the next */
        assert_reason(vm, POLICY_REASON_GRANTED);
        for (unsigned i = 1; i < 4; i++)
                assert_true(f.vms[i].plan.set && f.vms[i].plan.reason == POLICY_REASON_FUNDS);
}

/* Demand that wobbles by 20 MiB moves nobody: neither who wobbles (1 % of 6 GiB is 61 MiB) nor those that want what it leaves. */
static void test_dead_band(void **state) {
        struct fixture f;

        fixture_init(&f);
        fixture_add(&f, 6 * GIB, 3 * GIB, GIB);
        for (unsigned i = 0; i < 3; i++)
                fixture_add(&f, 6 * GIB, 3 * GIB, 5 * GIB);
        fixture_run(&f, 600);
        for (unsigned round = 0; round < 20; round++) {
                f.vms[0].input.guest_available_bytes += round % 2 ? 20 * MIB : 0;
                f.now_usec += USEC_PER_SEC;
                for (unsigned i = 0; i < 4; i++)
                        f.vms[i].input.report_usec = f.now_usec;
                fixture_decide(&f);
                for (unsigned i = 0; i < 4; i++)
                        assert_false(f.vms[i].plan.set);
                f.vms[0].input.guest_available_bytes -= round % 2 ? 20 * MIB : 0;
        }
}

static void test_lazy_shrinking_is_slow(void **state) {
        struct fixture f;
        struct policy_vm *rich;
        uint64_t before;

        fixture_init(&f);
        rich = fixture_add(&f, 10 * GIB, 9 * GIB, GIB);
        fixture_add(&f, 10 * GIB, 4 * GIB, GIB); /* its demand is met: it would only share in the surplus */
        fixture_run(&f, 30);
        before = rich->input.target_bytes;
        fixture_run(&f, 50); /* 5 s at 2 % of 10 GiB a second */
        assert_true(before - rich->input.target_bytes <= 6 * 10 * GIB / 50);
        assert_true(before > rich->input.target_bytes);
}

/* What nobody waits for comes in steps that are worth a move, though the other gives it back in smaller ones. */
static void test_surplus_comes_in_steps(void **state) {
        struct policy_vm *slow, *sharer;
        uint64_t before;
        struct fixture f;

        fixture_init(&f);
        slow = fixture_add(&f, 10 * GIB, 9 * GIB, GIB);
        sharer = fixture_add(&f, 10 * GIB, 4 * GIB, GIB);
        before = sharer->input.target_bytes;
        for (unsigned i = 0; i < 600; i++) {
                uint64_t actual = slow->input.actual_bytes;

                f.now_usec += 100 * USEC_PER_MSEC;
                fixture_decide(&f);
                if (sharer->plan.set && sharer->plan.target_bytes != sharer->plan.ideal_bytes)
                        assert_true(sharer->plan.target_bytes - sharer->input.target_bytes >= 39 * MIB); /* of 10 GiB; whole MiB, rounded down */
                for (size_t k = 0; k < f.n; k++)
                        fixture_obey(&f, &f.vms[k]);
                if (slow->input.actual_bytes < actual) { /* 5 MiB in a step */
                        uint64_t holds = MAX(slow->input.actual_bytes, actual - 5 * MIB);

                        f.host.available_bytes = u64_sub(f.host.available_bytes, holds - slow->input.actual_bytes);
                        slow->input.actual_bytes = slow->input.rss_bytes = slow->input.report_actual_bytes = holds;
                        slow->input.guest_available_bytes = slow->input.guest_free_bytes = slow->input.actual_bytes - GIB;
                }
        }
        assert_true(sharer->input.target_bytes >= before + GIB);
}

/* The same on a host under pressure (PSI some above 10 %: hard): four times as fast, and looked at four times as often when all is calm. */
static void test_faster_on_a_short_host(void **state) {
        struct fixture f;
        struct policy_vm *rich;
        uint64_t before;

        fixture_init(&f);
        rich = fixture_add(&f, 10 * GIB, 9 * GIB, GIB);
        fixture_add(&f, 10 * GIB, 4 * GIB, GIB);
        f.host.psi_some_ppm = 120000;
        fixture_run(&f, 12);
        before = rich->input.target_bytes;
        fixture_run(&f, 12);
        assert_int_equal(f.plan.host_state, POLICY_HARD);
        assert_true(before - rich->input.target_bytes >= 4 * 10 * GIB / 50 - MIB);
        assert_true(before - rich->input.target_bytes <= 2 * 4 * 10 * GIB / 50);
        fixture_run(&f, 600);
        assert_int_equal(f.plan.next_usec, 250 * USEC_PER_MSEC);
        f.host.psi_some_ppm = 0;
        fixture_run(&f, 2);
        assert_int_equal(f.plan.host_state, POLICY_NORMAL);
        assert_int_equal(f.plan.next_usec, USEC_PER_SEC);
}

static void test_unsafe_grants_nothing(void **state) {
        struct fixture f;

        fixture_init(&f);
        fixture_add(&f, 12 * GIB, 4 * GIB, 4 * GIB - MIB);
        fixture_add(&f, 12 * GIB, 11 * GIB, GIB);
        f.host.available_bytes = 0;
        fixture_decide(&f);
        assert_true(f.plan.unsafe);
        assert_int_equal(f.vms[0].plan.target_bytes, 4 * GIB);
        assert_reason(&f.vms[0], POLICY_REASON_WAITS);
        assert_reason(&f.vms[1], POLICY_REASON_FUNDS);
        /* all that is missing, and what the first waits for, is asked for at once: at balloon speed */
        assert_true(f.vms[1].plan.target_bytes + f.plan.deficit_bytes <= 11 * GIB);
}

/* A daemon that starts on a full host: a guest reports, but its balloon was not heard of yet. What it was asked for once is on its way. */
static void test_not_asked_again_before_its_balloon_is_heard(void **state) {
        struct fixture f;
        struct policy_vm *vm;
        uint64_t asked;

        fixture_init(&f);
        fixture_add(&f, 8 * GIB, 8 * GIB, 2 * GIB);
        fixture_add(&f, 8 * GIB, 8 * GIB, 2 * GIB);
        vm = &f.vms[0];
        vm->input.balloon_confirmed = false;
        fixture_decide(&f);
        assert_true(f.plan.unsafe && vm->plan.set);
        asked = vm->plan.target_bytes;
        for (unsigned i = 0; i < 9; i++) { /* no answer so far */
                for (size_t k = 0; k < f.n; k++)
                        if (f.vms[k].plan.set)
                                f.vms[k].input.target_bytes = f.vms[k].plan.target_bytes;
                f.now_usec += 100 * USEC_PER_MSEC;
                fixture_decide(&f);
                assert_true(vm->input.target_bytes >= asked);
        }
}

/* A grant that is taken back while the guest is using it: what it may have taken by then is nobody else's until its size is known again. */
static void test_revoked_grant_is_not_free_yet(void **state) {
        struct fixture f;
        struct policy_vm *first, *second;
        uint64_t granted;

        fixture_init(&f);
        first = fixture_add(&f, 12 * GIB, 2 * GIB, GIB);
        second = fixture_add(&f, 12 * GIB, 4 * GIB, 8 * GIB);
        first->input.target_bytes = 10 * GIB - 16 * MIB; /* of 14 that VMs may have */
        fixture_decide(&f);
        assert_true(first->plan.set && first->plan.target_bytes < 9 * GIB + 512 * MIB && second->plan.target_bytes < 4 * GIB + 16 * MIB);
        granted = second->plan.target_bytes;
        for (unsigned i = 0; i < 4; i++) {
                for (size_t k = 0; k < f.n; k++)
                        f.vms[k].input.target_bytes = f.vms[k].plan.target_bytes;
                f.now_usec += 100 * USEC_PER_MSEC;
                fixture_decide(&f);
                assert_false(f.plan.unsafe);
                assert_int_equal(second->plan.target_bytes, granted);
        }
        for (unsigned i = 0; i < 3; i++) {
                f.now_usec += 100 * USEC_PER_MSEC;
                fixture_decide(&f);
        }
        assert_true(second->plan.target_bytes > granted + 512 * MIB);
}

/* One whose balloon gives back 20 MiB a second is not waited for where the host is unsafe: others cover for it, and get theirs back when it has
 * come. */
static void test_slow_balloon_is_covered(void **state) {
        struct fixture f;
        struct policy_vm *slow;

        fixture_init(&f);
        for (unsigned i = 0; i < 3; i++)
                fixture_add(&f, 12 * GIB, 6 * GIB, GIB);
        slow = &f.vms[2];
        f.host.available_bytes = 0;
        for (unsigned i = 0; i < 60; i++) {
                fixture_run_without(&f, 1, slow);
                slow->input.actual_bytes -= 2 * MIB;
                slow->input.report_actual_bytes = slow->input.rss_bytes = slow->input.actual_bytes;
                slow->input.guest_available_bytes = slow->input.actual_bytes - GIB;
        }
        assert_int_equal(f.plan.deficit_bytes, 0);
        assert_true(slow->input.actual_bytes > slow->input.target_bytes + GIB);
        assert_true(f.vms[0].input.target_bytes < slow->input.target_bytes);
        fixture_run(&f, 600); /* there */
        assert_near(f.vms[0].input.target_bytes, slow->input.target_bytes, 256 * MIB);
}

static void test_reservation(void **state) {
        struct fixture f;

        fixture_init(&f);
        for (unsigned i = 0; i < 4; i++)
                fixture_add(&f, 6 * GIB, 3 * GIB + 256 * MIB, GIB);
        fixture_run(&f, 300);
        f.host.reserved_bytes = 4 * GIB;
        f.now_usec += 100 * USEC_PER_MSEC;
        fixture_decide(&f);
        assert_false(f.plan.unsafe); /* the VMs themselves are within the rule */
        assert_true(f.plan.deficit_bytes > 3 * GIB);
        fixture_run(&f, 20);
        assert_int_equal(f.plan.deficit_bytes, 0);
        assert_true(f.plan.committed_bytes + 4 * GIB <= f.plan.rule_bytes);
}

/* Largest surplus first: levelled down, not taken in equal parts. */
static void test_largest_surplus_gives_first(void **state) {
        struct fixture f;

        fixture_init(&f);
        fixture_add(&f, 12 * GIB, 6 * GIB, GIB);
        fixture_add(&f, 12 * GIB, 3 * GIB, GIB);
        fixture_add(&f, 12 * GIB, 4 * GIB, 4 * GIB - MIB);
        f.vms[2].input.guest_pressure = true;
        fixture_decide(&f);
        assert_true(f.vms[0].plan.target_bytes < 6 * GIB);
        assert_true(6 * GIB - f.vms[0].plan.target_bytes > 3 * GIB - f.vms[1].plan.target_bytes);
}

static void test_constant_input_settles(void **state) {
        struct fixture f;

        fixture_init(&f);
        fixture_add(&f, 12 * GIB, 12 * GIB, GIB);
        fixture_add(&f, 12 * GIB, 6 * GIB, 5 * GIB);
        fixture_add(&f, 8 * GIB, 2 * GIB, GIB);
        f.host.available_bytes = 0;
        fixture_run(&f, 1500);
        for (unsigned i = 0; i < 600; i++) {
                fixture_run(&f, 10);
                for (size_t k = 0; k < f.n; k++)
                        assert_false(f.vms[k].plan.set);
        }
}

/* A fixed VM was asked once, before a device was plugged in: nothing comes from it, others have to give. */
static void test_fixed_vm_is_not_waited_for(void **state) {
        struct fixture f;

        fixture_init(&f);
        fixture_add(&f, 10 * GIB, 10 * GIB, GIB);
        fixture_add(&f, 8 * GIB, 8 * GIB, GIB);
        f.vms[0].input.fixed = true;
        f.vms[0].input.target_bytes = 0;
        f.host.available_bytes = 0;
        fixture_decide(&f);
        assert_true(f.plan.deficit_bytes > 2 * GIB);
        assert_true(f.vms[1].plan.target_bytes + f.plan.deficit_bytes <= 8 * GIB);
}

/* Its floor is raised while it does not obey: shrinking it further cannot mean to raise it. */
static void test_uncooperative_below_its_floor(void **state) {
        struct fixture f;
        struct policy_vm *vm;

        fixture_init(&f);
        vm = fixture_add(&f, 8 * GIB, 3 * GIB, GIB);
        fixture_add(&f, 14 * GIB, 13 * GIB, GIB);
        f.host.available_bytes = 0;
        vm->state = (struct policy_vm_state) { .boot_usec = 1, .uncooperative = true, .stuck_usec = 4 * USEC_PER_SEC };
        vm->input.target_bytes = 3 * GIB + 200 * MIB;
        vm->input.floor_bytes = 6 * GIB;
        fixture_decide(&f);
        assert_true(f.plan.deficit_bytes > 0);
        assert_true(vm->plan.target_bytes <= 3 * GIB + 200 * MIB);
}

static void test_hostile_numbers(void **state) {
        struct fixture f;

        fixture_init(&f);
        for (unsigned i = 0; i < 4; i++) {
                struct policy_vm *vm = fixture_add(&f, UINT64_MAX - i, UINT64_MAX, UINT64_MAX);

                vm->input.rss_bytes = vm->input.swap_bytes = vm->input.overhead_bytes = UINT64_MAX - 1;
                vm->input.floor_bytes = vm->input.weight = UINT64_MAX;
                vm->input.guest_refault_bytes = UINT64_MAX - 1;
        }
        f.host.total_bytes = f.host.swap_total_bytes = f.host.reserved_bytes = UINT64_MAX;
        fixture_decide(&f);
        fixture_run(&f, 20);
        assert_true(f.plan.unsafe);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_free_first_then_grant), cmocka_unit_test(test_pool_serves_at_once_and_is_refilled),
                cmocka_unit_test(test_dead_band),
                cmocka_unit_test(test_lazy_shrinking_is_slow), cmocka_unit_test(test_surplus_comes_in_steps),
                cmocka_unit_test(test_unsafe_grants_nothing), cmocka_unit_test(test_reservation),
                cmocka_unit_test(test_largest_surplus_gives_first), cmocka_unit_test(test_constant_input_settles),
                cmocka_unit_test(test_hostile_numbers), cmocka_unit_test(test_not_asked_again_before_its_balloon_is_heard),
                cmocka_unit_test(test_revoked_grant_is_not_free_yet), cmocka_unit_test(test_slow_balloon_is_covered),
                cmocka_unit_test(test_faster_on_a_short_host),
                cmocka_unit_test(test_fixed_vm_is_not_waited_for), cmocka_unit_test(test_uncooperative_below_its_floor),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
