/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/policy.h"

/*
 * The second bound: what cannot swap, with the floors of the rest, fits memory itself. 16 GiB, 1 GiB of reserve, others use 1 GiB: capacity is 14 GiB; 30 % of
 * 20 GiB of swap make an envelope of 20 GiB.
 */
static void swap_backed_host(struct fixture *f) {
        fixture_init(f);
        f->config.mode = POLICY_SWAP_BACKED;
        f->host.swap_total_bytes = 20 * GIB;
}

/* Two that cannot swap and take what they get, and one that can, has touched 1 of its 4 GiB, and does not move. */
static struct policy_vm *two_and_one(struct fixture *f) {
        struct policy_vm *plain;

        swap_backed_host(f);
        for (unsigned i = 0; i < 2; i++)
                fixture_add(f, 12 * GIB, 5 * GIB, 5 * GIB)->input.cannot_swap = true;
        plain = fixture_add(f, 4 * GIB, 4 * GIB, GIB);
        plain->input.rss_bytes = GIB;
        f->host.available_bytes = 16 * GIB - GIB - 2 * 5 * GIB - GIB;
        return plain;
}

static void test_swap_does_not_back_what_cannot_swap(void **state) {
        struct fixture f;
        struct policy_vm *plain = two_and_one(&f);
        uint64_t most = 14 * GIB - 256 * MIB - MARGIN; /* capacity, less the other's floor, less what is never given away */

        fixture_decide(&f);
        assert_int_equal(f.plan.capacity_bytes, 14 * GIB);
        assert_int_equal(f.plan.envelope_bytes, 20 * GIB);
        assert_int_equal(f.plan.resident_rule_bytes, 14 * GIB);
        assert_int_equal(f.plan.resident_bytes, 2 * 5 * GIB + 256 * MIB);
        assert_int_equal(f.plan.resident_least_bytes, 3 * 256 * MIB);
        assert_false(f.plan.unsafe);

        fixture_run_without(&f, 300, plain);
        assert_true(f.vms[0].input.target_bytes + f.vms[1].input.target_bytes <= most);
        assert_near(f.vms[0].input.target_bytes + f.vms[1].input.target_bytes, most, 128 * MIB + 4 * MIB); /* the dead band of each is 120 MiB */
        assert_near(f.vms[0].input.target_bytes, f.vms[1].input.target_bytes, 128 * MIB);
        assert_int_equal(plain->input.target_bytes, 4 * GIB); /* swap backs its surplus */
        assert_false(f.plan.unsafe);
        assert_int_equal(f.plan.guarantee, POLICY_FULL);
}

static void test_deficit_is_funded_by_those_that_cannot_swap(void **state) {
        struct fixture f;
        struct policy_vm *plain = two_and_one(&f);
        uint64_t held;

        fixture_run_without(&f, 300, plain);
        held = f.vms[0].input.target_bytes + f.vms[1].input.target_bytes;
        f.host.available_bytes = 0; /* a host process takes 1.3 GiB, and 1 GiB of the third is on disk */
        plain->input.rss_bytes = 0, plain->input.swap_bytes = GIB;
        f.now_usec += 100 * USEC_PER_MSEC;
        fixture_decide(&f);
        assert_int_equal(f.plan.capacity_bytes, held - GIB); /* others: 16 GiB - held; and the reserve */
        assert_int_equal(f.plan.deficit_bytes, 0);           /* the envelope bears it */
        assert_int_equal(f.plan.resident_deficit_bytes, GIB + 256 * MIB);
        assert_true(f.plan.unsafe);
        assert_int_equal(f.plan.guarantee, POLICY_NONE);
        assert_true(held - f.vms[0].plan.target_bytes - f.vms[1].plan.target_bytes >= GIB + 256 * MIB);
        assert_reason(&f.vms[0], POLICY_REASON_FUNDS);
        assert_false(plain->plan.set);
}

static void test_reservation_is_resident(void **state) {
        struct fixture f;
        struct policy_vm *plain = two_and_one(&f);

        fixture_run_without(&f, 300, plain);
        f.host.reserved_bytes = 5 * GIB;
        fixture_run_without(&f, 30, plain);
        assert_true(f.vms[0].input.target_bytes + f.vms[1].input.target_bytes <= 14 * GIB - 256 * MIB - 5 * GIB);
        assert_int_equal(f.plan.resident_deficit_bytes, 0);
        assert_true(f.plan.floors_fit);
        f.host.reserved_bytes = 14 * GIB; /* with three floors it is too much */
        fixture_run_without(&f, 1, plain);
        assert_false(f.plan.floors_fit);
        assert_true(f.plan.weaknesses & POLICY_WEAK_FLOORS);
}

/* Merged pages are promised again, and swap stands for them: not to those that cannot swap. */
static void test_ksm_credit(void **state) {
        struct fixture f;

        fixture_init(&f);
        f.host.swap_total_bytes = 20 * GIB;
        f.host.ksm_saved_bytes = 4 * GIB;
        fixture_add(&f, 15 * GIB, 14 * GIB, 14 * GIB)->input.cannot_swap = true;
        f.host.available_bytes += 4 * GIB;
        fixture_decide(&f);
        assert_int_equal(f.plan.capacity_bytes, 14 * GIB);
        assert_int_equal(f.plan.envelope_bytes, 16 * GIB);
        assert_true(f.plan.free_bytes >= 2 * GIB);
        assert_int_equal(f.vms[0].plan.target_bytes, 14 * GIB);
}

/* A fixed VM cannot swap: pinned pages, or there is no telling. It fits the envelope, but not capacity. */
static void test_fixed(void **state) {
        struct fixture f;

        swap_backed_host(&f);
        fixture_add(&f, 15 * GIB, 4 * GIB, GIB)->input.fixed = true;
        fixture_decide(&f);
        assert_int_equal(f.plan.deficit_bytes, 0);
        assert_int_equal(f.plan.resident_deficit_bytes, GIB);
        assert_true(f.plan.unsafe);
        assert_false(f.plan.floors_fit);
}

/* What swap can still take is no shortfall where swap backs promises; what it cannot is. */
static void test_correction_where_swap_backs(void **state) {
        struct fixture f;

        swap_backed_host(&f);
        fixture_add(&f, 16 * GIB, 15 * GIB, 15 * GIB);
        f.host.available_bytes = 0;
        fixture_run(&f, 20);
        assert_int_equal(f.plan.correction_bytes, 0);
        assert_false(f.plan.unsafe);

        swap_backed_host(&f);
        fixture_add(&f, 16 * GIB, 15 * GIB, 15 * GIB);
        f.host.available_bytes = 0;
        f.vms[0].input.swap_bytes = f.host.swap_used_bytes = 6 * GIB - 256 * MIB;
        fixture_decide(&f);
        assert_int_equal(f.plan.correction_bytes, GIB - 256 * MIB - (f.plan.committed_bytes - f.plan.envelope_bytes)); /* less what the rule asks back */
}

/* Next to nothing is left under this bound, and more under the other: that is no reason to ask a balloon for what it has, ten times a second. */
static void test_no_crumbs(void **state) {
        struct fixture f;
        struct policy_vm *vm, *other;
        uint64_t most = 14 * GIB - 300 * MIB - MARGIN, actual = (most - MIB / 2) & ~(MIB / 4 - 1);

        fixture_init(&f);
        vm = fixture_add(&f, 16 * GIB, actual, GIB);
        vm->input.cannot_swap = true;
        vm->input.pin_bytes = 16 * GIB;
        other = fixture_add(&f, GIB, 280 * MIB, 100 * MIB); /* below its floor of 300 MiB by what the first bound has left */
        other->input.floor_bytes = 300 * MIB;
        other->input.pin_bytes = 280 * MIB;
        other->input.held = true;
        f.host.available_bytes = 16 * GIB - GIB - actual - 280 * MIB;
        fixture_decide(&f);
        assert_true(f.plan.free_bytes - MARGIN > 4 * MIB);
        assert_true(f.plan.resident_rule_bytes - f.plan.resident_bytes - MARGIN < MIB);
        assert_false(vm->plan.set);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_swap_does_not_back_what_cannot_swap), cmocka_unit_test(test_deficit_is_funded_by_those_that_cannot_swap),
                cmocka_unit_test(test_reservation_is_resident), cmocka_unit_test(test_ksm_credit), cmocka_unit_test(test_fixed),
                cmocka_unit_test(test_no_crumbs),
                cmocka_unit_test(test_correction_where_swap_backs),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
