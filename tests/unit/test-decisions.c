/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/unit.h"

#include "host-agent/manager/decisions.h"
#include "protocol/units.h"

static void add(struct decisions *d, uint64_t at_sec, uint64_t before, uint64_t after, enum policy_reason reason, bool dry_run) {
        decisions_add(d, &(struct decision) { .last_usec = at_sec * USEC_PER_SEC, .before_bytes = before, .after_bytes = after, .demand_bytes = after,
                                              .reason = reason, .dry_run = dry_run });
}

static void test_empty(void **state) {
        struct decisions d = {};

        assert_int_equal(decisions_count(&d), 0);
}

/* The ring keeps the newest, in order, and never more than it holds. */
static void test_ring(void **state) {
        struct decisions d = {};

        for (uint64_t i = 0; i < 3 * DECISIONS_MAX + 5; i++) {
                add(&d, i * 100, i, i + 1, i % 2 ? POLICY_REASON_FUNDS : POLICY_REASON_GRANTED, false);
                assert_int_equal(decisions_count(&d), MIN(i + 1, (uint64_t) DECISIONS_MAX));
                assert_int_equal(decisions_get(&d, 0)->after_bytes, i + 1);
        }
        for (size_t i = 0; i < DECISIONS_MAX; i++)
                assert_int_equal(decisions_get(&d, i)->after_bytes, 3 * DECISIONS_MAX + 5 - i);
}

static void test_joins(void **state) {
        struct decisions d = {};

        add(&d, 1, 1000, 900, POLICY_REASON_EQUALIZES, false);
        add(&d, 11, 900, 800, POLICY_REASON_EQUALIZES, false);
        add(&d, 71, 800, 700, POLICY_REASON_EQUALIZES, false);
        assert_int_equal(decisions_count(&d), 1);
        assert_int_equal(decisions_get(&d, 0)->before_bytes, 1000);
        assert_int_equal(decisions_get(&d, 0)->after_bytes, 700);
        assert_int_equal(decisions_get(&d, 0)->steps, 3);
        assert_int_equal(decisions_get(&d, 0)->first_usec, USEC_PER_SEC);
        assert_int_equal(decisions_get(&d, 0)->last_usec, 71 * USEC_PER_SEC);
        add(&d, 72, 700, 800, POLICY_REASON_EQUALIZES, false); /* the other way */
        assert_int_equal(decisions_count(&d), 2);
        add(&d, 133, 800, 900, POLICY_REASON_EQUALIZES, false); /* too late to be one story */
        assert_int_equal(decisions_count(&d), 3);
        add(&d, 134, 900, 1000, POLICY_REASON_GRANTED, false); /* another reason */
        assert_int_equal(decisions_count(&d), 4);
}

/* What a dry run would do stays to be done: it is one story for as long as it is the same. */
static void test_dry_run(void **state) {
        struct decisions d = {};

        for (uint64_t i = 0; i < 100; i++)
                add(&d, i * 600, 1000, 900, POLICY_REASON_FUNDS, true);
        assert_int_equal(decisions_count(&d), 1);
        assert_int_equal(decisions_get(&d, 0)->steps, 100);
        assert_true(decisions_get(&d, 0)->dry_run);
        add(&d, 60000, 1000, 900, POLICY_REASON_FUNDS, false);
        assert_int_equal(decisions_count(&d), 2);
}

/* Nothing asked before: no direction to continue. */
static void test_unknown(void **state) {
        struct decisions d = {};

        add(&d, 1, AEROSTAT_UNKNOWN, 900, POLICY_REASON_FUNDS, false);
        add(&d, 2, 900, 800, POLICY_REASON_FUNDS, false);
        assert_int_equal(decisions_count(&d), 2);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_empty), cmocka_unit_test(test_ring), cmocka_unit_test(test_joins), cmocka_unit_test(test_dry_run),
                cmocka_unit_test(test_unknown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
