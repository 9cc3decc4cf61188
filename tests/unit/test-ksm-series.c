/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* KSM's decisions on what real kernels did, as tests/lab/record_ksm.py recorded it: three processes of 48 MiB with equal pages, then with random
 * ones, then, in mode on, with equal ones that are written all the time. */

#include "tests/unit/unit.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "host-agent/policy/ksm.h"
#include "protocol/units.h"

#define FOLDER TOP_SRCDIR "/tests/unit/fixtures/ksm-series/"
#define SAVED_MAX (2 * 48 * MIB)               /* two of three equal pages */

static const struct series {
        const char *name;
        uint64_t budget_ppm;                   /* of ksmd, when it was recorded */
} all[] = { { FOLDER "linux-6.1", 200000 }, { FOLDER "linux-6.18", 50000 } };

struct replay {
        FILE *file;
        struct ksm_config config;
        struct ksm_input in;
        struct ksm_state state;
        struct ksm_plan plan;
        char load[16];
};

static void open_series(struct replay *r, const struct series *series) {
        char line[256];

        *r = (struct replay) {
                .file = fopen(series->name, "re"),
                .config = { .mode = KSM_MODE_AUTO, .cpu_normal_ppm = series->budget_ppm, .cpu_critical_ppm = series->budget_ppm },
                .in = { .memory_bytes = GIB, .short_of_memory = true, .n_mergeable = 3 },
        };
        assert_non_null(r->file);
        for (int i = 0; i < 2; i++)
                assert_true(fgets(line, sizeof(line), r->file) && line[0] == '#');
}

/* The next second; false at the end. Three VMs start where the load changes. */
static bool next(struct replay *r) {
        char load[16], phase[16];
        int n = fscanf(r->file, "%15s %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %15s", load, &r->in.now_usec,
                       &r->in.full_scans, &r->in.saved_bytes, &r->in.metadata_bytes, &r->in.cow_pages, &r->in.cpu_usec, phase);

        if (n == EOF)
                return false;
        assert_int_equal(n, 8);
        if (strcmp(load, r->load) != 0)
                r->in.n_starts += 3;
        if (strcmp(load, "written") == 0 && r->config.mode == KSM_MODE_AUTO) {
                r->config.mode = KSM_MODE_ON;
                r->state = (struct ksm_state) { 0 };
        }
        memcpy(r->load, load, sizeof(load));
        ksm_decide(&r->config, &r->in, &r->state, &r->plan);
        return true;
}

static void close_series(struct replay *r) {
        fclose(r->file);
}

/* It scans until all that is equal has merged, and not much longer; random pages it finds not to be worth it. */
static void test_rests(void **state) {
        for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
                uint64_t merged_usec = 0, rested_usec = 0, scans = 0, saved = 0;
                struct replay r;
                bool unprofitable = false;

                open_series(&r, &all[i]);
                while (next(&r)) {
                        bool equal = strcmp(r.load, "equal") == 0, random = strcmp(r.load, "random") == 0;

                        if (equal && merged_usec == 0 && r.in.saved_bytes >= SAVED_MAX / 100 * 99) {
                                merged_usec = r.in.now_usec;
                                scans = r.in.full_scans;
                        }
                        if (equal && rested_usec == 0 && r.plan.phase == KSM_RESTING) {
                                rested_usec = r.in.now_usec;
                                scans = r.in.full_scans - scans;
                                saved = r.in.saved_bytes;
                                assert_false(r.plan.unprofitable);
                        }
                        if (random)
                                unprofitable = r.plan.phase == KSM_RESTING && r.plan.unprofitable; /* at the end */
                }
                assert_true(merged_usec != 0 && rested_usec >= merged_usec);
                assert_in_range(scans, 1, 5);
                assert_in_range(saved, SAVED_MAX / 100 * 99, SAVED_MAX / 100 * 110);
                assert_true(unprofitable);
                close_series(&r);
        }
}

/* The effort is cut where merged pages are written at once, and nowhere else. */
static void test_cow_storm(void **state) {
        for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
                unsigned most = 0;
                struct replay r;

                open_series(&r, &all[i]);
                while (next(&r)) {
                        if (strcmp(r.load, "written") != 0)
                                assert_int_equal(r.plan.backoff, 0);
                        most = MAX(most, r.plan.backoff);
                }
                assert_in_range(most, 1, KSM_BACKOFF_MAX); /* the storms come in bursts of seconds */
                close_series(&r);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_rests),
                cmocka_unit_test(test_cow_storm),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
