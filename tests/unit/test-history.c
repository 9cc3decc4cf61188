/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/unit.h"

#include <stdlib.h>

#include "host-agent/history.h"
#include "protocol/base.h"
#include "protocol/units.h"

struct seen {
        size_t n;
        struct history_point first, last;
};

static void give(const struct history_point *point, void *userdata) {
        struct seen *seen = userdata;

        if (seen->n > 0)
                assert_true(point->at_sec > seen->last.at_sec);
        else
                seen->first = *point;
        seen->last = *point;
        seen->n++;
}

static void test_rings(void **state) {
        struct history *h = calloc(1, sizeof(*h));
        struct seen seen = {};
        uint64_t day = 86400, end = 2 * day;

        history_walk(h, 0, USEC_PER_DAY, give, &seen);
        assert_int_equal(seen.n, 0);
        for (uint64_t sec = 0; sec < end; sec++)
                history_add(h, sec * USEC_PER_SEC, (const uint64_t[]) { sec * MIB, 7 * MIB, 0, AEROSTAT_UNKNOWN });
        history_walk(h, end * USEC_PER_SEC, 5 * USEC_PER_MINUTE, give, &seen);
        assert_int_equal(seen.n, HISTORY_FINE);
        assert_int_equal(seen.last.mib[0], end - 1); /* the higher of its two */
        assert_int_equal(seen.last.mib[3], UINT32_MAX);
        seen = (struct seen) {};
        history_walk(h, end * USEC_PER_SEC, USEC_PER_DAY, give, &seen);
        assert_int_equal(seen.n, HISTORY_COARSE);
        assert_int_equal(seen.first.at_sec, day);
        assert_int_equal(seen.last.mib[0], end - 1);
        seen = (struct seen) {};
        history_walk(h, end * USEC_PER_SEC, 10 * USEC_PER_SEC, give, &seen);
        assert_int_equal(seen.n, 5);
        free(h);
}

static void test_unknown_and_gaps(void **state) {
        struct history *h = calloc(1, sizeof(*h));
        struct seen seen = {};

        history_add(h, 0, (const uint64_t[]) { AEROSTAT_UNKNOWN, 5 * MIB, UINT64_MAX - 1, 0 });
        history_add(h, USEC_PER_SEC, (const uint64_t[]) { 3 * MIB, AEROSTAT_UNKNOWN, 0, 0 });
        history_add(h, 100 * USEC_PER_SEC, (const uint64_t[]) { 0, 0, 0, 0 });
        history_walk(h, 100 * USEC_PER_SEC, 5 * USEC_PER_MINUTE, give, &seen);
        assert_int_equal(seen.n, 2);
        assert_int_equal(seen.first.mib[0], 3);
        assert_int_equal(seen.first.mib[1], 5);
        assert_int_equal(seen.first.mib[2], UINT32_MAX - 1);
        free(h);
}

int main(void) {
        const struct CMUnitTest tests[] = { cmocka_unit_test(test_rings), cmocka_unit_test(test_unknown_and_gaps) };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
