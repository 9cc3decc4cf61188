/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/unit.h"

#include "guest-agent/pace.h"

#define TOTAL GIB
#define THRESHOLD (32 * MIB) /* what the own rule gives for a guest that uses little */
#define START (1000 * USEC_PER_SEC)

static struct pace fresh(void) {
        struct pace pace;

        pace_reset(&pace);
        return pace;
}

/* The first look is made and reported; from there on only time and memory count. */
static struct pace begun(uint64_t available) {
        struct pace pace = fresh();
        struct pace_decision d = pace_look(&pace, START, TOTAL, available, false);

        assert_int_equal(d.reason, REPORT_REQUESTED);
        return pace;
}

static void test_threshold(void **state) {
        struct pace pace = fresh();

        assert_int_equal(pace_threshold(&pace, GIB, 900 * MIB), 32 * MIB);
        assert_int_equal(pace_threshold(&pace, 10 * GIB, 0), GIB);
        assert_int_equal(pace_threshold(&pace, 1, 2), 32 * MIB);
        pace.threshold_bytes = 7;
        assert_int_equal(pace_threshold(&pace, GIB, 900 * MIB), 7);
        pace.threshold_bytes = 0;
        assert_int_equal(pace_threshold(&pace, GIB, 900 * MIB), 0);
}

/* A calm guest: one look a second, a report every two. */
static void test_calm(void **state) {
        struct pace pace = fresh();
        uint64_t now = START, looks = 0, reports = 0;

        while (now < START + 100 * USEC_PER_SEC) {
                struct pace_decision d = pace_look(&pace, now, TOTAL, 900 * MIB, false);

                assert_true(d.next_usec > now);
                looks++;
                reports += d.reason != 0;
                assert_true(d.reason == 0 || d.reason == (now == START ? REPORT_REQUESTED : REPORT_PERIODIC));
                now = d.next_usec + 80; /* a timer is never early */
        }
        assert_in_range(looks, 99, 101);
        assert_in_range(reports, 49, 51);
}

static void test_long_interval(void **state) {
        struct pace pace = begun(900 * MIB);
        struct pace_decision d;

        pace.interval_usec = USEC_PER_HOUR;
        d = pace_look(&pace, START + USEC_PER_SEC, TOTAL, 900 * MIB, false);
        assert_int_equal(d.reason, 0);
        assert_int_equal(d.next_usec, START + 2 * USEC_PER_SEC); /* still looks */
        /* With no threshold wanted there is nothing to look for. */
        pace.threshold_bytes = 0;
        d = pace_look(&pace, START + 2 * USEC_PER_SEC, TOTAL, MIB, false);
        assert_int_equal(d.reason, 0);
        assert_int_equal(d.next_usec, START + USEC_PER_HOUR);
        /* PSI is still told of. */
        d = pace_look(&pace, START + 3 * USEC_PER_SEC, TOTAL, MIB, true);
        assert_int_equal(d.reason, REPORT_PRESSURE);
        pace.interval_usec = 100 * USEC_PER_MSEC;
        d = pace_look(&pace, START + 4 * USEC_PER_SEC, TOTAL, MIB, false);
        assert_int_equal(d.reason, REPORT_PERIODIC);
        assert_int_equal(d.next_usec, START + 4 * USEC_PER_SEC + 100 * USEC_PER_MSEC);
}

static void test_zones(void **state) {
        static const struct {
                uint64_t available, step;
        } cases[] = {
                { 900 * MIB, PACE_CALM_USEC }, { 3 * THRESHOLD, PACE_CALM_USEC }, { 3 * THRESHOLD - 1, PACE_NEAR_USEC },
                { 2 * THRESHOLD, PACE_NEAR_USEC }, { THRESHOLD * 3 / 2, PACE_NEAR_USEC }, { THRESHOLD * 3 / 2 - 1, PACE_CLOSE_USEC },
                { THRESHOLD, PACE_CLOSE_USEC }, { THRESHOLD - 1, PACE_MIN_USEC }, { 0, PACE_MIN_USEC },
        };
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct pace pace = fresh();
                struct pace_decision d;

                pace.threshold_bytes = THRESHOLD;
                d = pace_look(&pace, START, TOTAL, cases[i].available, false);
                assert_int_equal(d.next_usec - START, cases[i].step);
        }
}

/* Bursts of every speed from far away: when available has fallen below the threshold, a pressure report follows within 250 ms,
 * mostly much sooner, and the following reports keep up. */
static void test_burst(void **state) {
        for (uint64_t rate = 25 * MIB; rate <= 400 * MIB; rate *= 2) {
                struct pace pace = fresh();
                uint64_t begin = START + 700 * USEC_PER_MSEC, start_bytes = 800 * MIB;
                uint64_t crossing = begin + u64_mul_div(start_bytes - THRESHOLD, USEC_PER_SEC, rate), told = 0, after = 0;

                pace.threshold_bytes = THRESHOLD;
                for (uint64_t now = START; now < crossing + USEC_PER_SEC;) {
                        uint64_t taken = u64_mul_div(u64_sub(now, begin), rate, USEC_PER_SEC);
                        struct pace_decision d = pace_look(&pace, now, TOTAL, u64_sub(start_bytes, taken), false);

                        if (now >= crossing && d.reason == REPORT_PRESSURE) {
                                if (told == 0)
                                        told = now;
                                after++;
                        }
                        now = d.next_usec;
                }
                assert_true(told > 0);
                assert_in_range(told - crossing, 0, 100 * USEC_PER_MSEC);
                assert_true(after >= 2);
        }
}

/* From the usual place of a squeezed guest, twice the threshold. */
static void test_burst_from_nearby(void **state) {
        for (uint64_t phase = 0; phase < 1000 * USEC_PER_MSEC; phase += 37 * USEC_PER_MSEC) {
                struct pace pace = fresh();
                uint64_t begin = START + phase, rate = 300 * MIB, crossing = begin + u64_mul_div(THRESHOLD, USEC_PER_SEC, rate), told = 0;

                pace.threshold_bytes = THRESHOLD;
                for (uint64_t now = START; told == 0;) {
                        uint64_t taken = u64_mul_div(u64_sub(now, begin), rate, USEC_PER_SEC);
                        struct pace_decision d = pace_look(&pace, now, TOTAL, u64_sub(2 * THRESHOLD, taken), false);

                        if (d.reason == REPORT_PRESSURE)
                                told = now;
                        now = d.next_usec;
                }
                /* Told in time, or at the crossing's threshold of noise before it: the drop alone was worth it. */
                assert_true(told <= crossing + PACE_NEAR_USEC);
        }
}

static void test_below_threshold(void **state) {
        struct pace pace = begun(900 * MIB);
        uint64_t now = START + USEC_PER_SEC, reports = 0, looks = 0;
        struct pace_decision d;

        pace.threshold_bytes = THRESHOLD;
        d = pace_look(&pace, now, TOTAL, 20 * MIB, false);
        assert_int_equal(d.reason, REPORT_PRESSURE);
        /* The rate limit, then noise, then a change that matters. */
        d = pace_look(&pace, now + 10 * USEC_PER_MSEC, TOTAL, 5 * MIB, false);
        assert_int_equal(d.reason, 0);
        d = pace_look(&pace, now + 60 * USEC_PER_MSEC, TOTAL, 19 * MIB, false);
        assert_int_equal(d.reason, 0);
        d = pace_look(&pace, now + 120 * USEC_PER_MSEC, TOTAL, 10 * MIB, false);
        assert_int_equal(d.reason, REPORT_PRESSURE);
        /* Nobody helps: it stays as it is, and so costs little. */
        now += 200 * USEC_PER_MSEC;
        while (now < START + 61 * USEC_PER_SEC) {
                d = pace_look(&pace, now, TOTAL, 10 * MIB, false);
                looks++;
                reports += d.reason != 0;
                assert_true(d.reason == 0 || d.reason == REPORT_PERIODIC);
                now = d.next_usec;
        }
        assert_in_range(reports, 28, 31);
        assert_in_range(looks, 0, 60 * 5);
        /* Coming back above and falling again is told again. */
        d = pace_look(&pace, now, TOTAL, 200 * MIB, false);
        now = d.next_usec + 2 * USEC_PER_SEC;
        d = pace_look(&pace, now, TOTAL, 200 * MIB, false);
        assert_int_equal(d.reason, REPORT_PERIODIC);
        d = pace_look(&pace, now + USEC_PER_SEC, TOTAL, THRESHOLD - 1, false);
        assert_int_equal(d.reason, REPORT_PRESSURE);
}

static void test_large_drop(void **state) {
        struct pace pace = begun(900 * MIB);
        struct pace_decision d;

        pace.threshold_bytes = 64 * MIB;
        d = pace_look(&pace, START + 500 * USEC_PER_MSEC, TOTAL, 869 * MIB, false); /* 31 MiB: not more than half the threshold */
        assert_int_equal(d.reason, 0);
        d = pace_look(&pace, START + 600 * USEC_PER_MSEC, TOTAL, 867 * MIB, false);
        assert_int_equal(d.reason, REPORT_PERIODIC);
        /* A rise can wait. */
        d = pace_look(&pace, START + 700 * USEC_PER_MSEC, TOTAL, 1000 * MIB, false);
        assert_int_equal(d.reason, 0);
        /* Close to the threshold the drop is pressure. */
        d = pace_look(&pace, START + 800 * USEC_PER_MSEC, TOTAL, 90 * MIB, false);
        assert_int_equal(d.reason, REPORT_PRESSURE);
}

static void test_psi(void **state) {
        struct pace pace = begun(900 * MIB);
        struct pace_decision d;

        d = pace_look(&pace, START + 60 * USEC_PER_MSEC, TOTAL, 900 * MIB, true);
        assert_int_equal(d.reason, REPORT_PRESSURE);
        /* Held back by the rate limit, it is not forgotten. */
        d = pace_look(&pace, START + 70 * USEC_PER_MSEC, TOTAL, 900 * MIB, true);
        assert_int_equal(d.reason, 0);
        d = pace_look(&pace, START + 130 * USEC_PER_MSEC, TOTAL, 900 * MIB, false);
        assert_int_equal(d.reason, REPORT_PRESSURE);
        d = pace_look(&pace, START + 190 * USEC_PER_MSEC, TOTAL, 900 * MIB, false);
        assert_int_equal(d.reason, 0);
}

/* Extreme numbers neither trap nor loop. */
static void test_extremes(void **state) {
        static const uint64_t values[] = { 0, 1, MIB, INT64_MAX, UINT64_MAX - 1, UINT64_MAX };
        struct pace pace = fresh();

        for (size_t i = 0; i < ARRAY_SIZE(values); i++)
                for (size_t j = 0; j < ARRAY_SIZE(values); j++)
                        for (size_t k = 0; k < ARRAY_SIZE(values); k++) {
                                uint64_t now = START + (i * 36 + j * 6 + k) * 1000;

                                pace.threshold_bytes = values[i];
                                assert_true(pace_look(&pace, now, values[j], values[k], i & 1).next_usec > now);
                        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_threshold), cmocka_unit_test(test_calm), cmocka_unit_test(test_long_interval),
                cmocka_unit_test(test_zones), cmocka_unit_test(test_burst), cmocka_unit_test(test_burst_from_nearby),
                cmocka_unit_test(test_below_threshold), cmocka_unit_test(test_large_drop), cmocka_unit_test(test_psi),
                cmocka_unit_test(test_extremes),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
