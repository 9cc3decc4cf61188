/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "host-agent/state/history_file.h"
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

static void give_last(const struct history_point *point, void *userdata) {
        *(struct history_point *) userdata = *point;
}

/* What a daemon writes at its end, the next one goes on with; but not after a reboot of the host. */
static void test_file(void **state) {
        static const uint8_t boot[16] = { 1 }, other_boot[16] = { 2 }, host[16], web[16] = { 0xff }, none[16] = { 0x7f };
        char folder[] = "/tmp/aerostat-test-XXXXXX", path[64];
        struct history *h = calloc(2, sizeof(*h)), *back = calloc(1, sizeof(*back));
        struct history_entry entries[] = { { web, &h[1] }, { host, &h[0] } };
        struct history_kept kept = {};
        struct history_point last;
        struct seen seen = {};
        FILE *f;

        assert_non_null(mkdtemp(folder));
        snprintf(path, sizeof(path), "%s/history", folder);
        assert_int_equal(history_file_load(folder, boot, 1000, &kept), -ENOENT);
        for (uint64_t sec = 0; sec <= 1000; sec++)
                history_add(&h[1], sec * USEC_PER_SEC, (const uint64_t[]) { sec * MIB, AEROSTAT_UNKNOWN, 0, 7 * MIB });
        assert_int_equal(history_file_save(folder, boot, entries, 2), 0);

        assert_int_equal(history_file_load(folder, other_boot, 1000, &kept), -ESTALE);
        assert_int_equal(history_file_load(folder, boot, 999, &kept), -EBADMSG); /* of the future */
        assert_int_equal(history_file_load(folder, boot, 1001, &kept), 0);
        assert_false(history_kept_find(&kept, none, back));
        assert_true(history_kept_find(&kept, host, back));
        assert_int_equal(back->n_fine + back->n_coarse, 0);
        assert_true(history_kept_find(&kept, web, back));
        history_walk(back, 1000 * USEC_PER_SEC, 5 * USEC_PER_MINUTE, give, &seen);
        assert_int_equal(seen.n, HISTORY_FINE);
        assert_int_equal(seen.last.mib[0], 1000);
        assert_int_equal(seen.last.mib[1], UINT32_MAX);
        seen = (struct seen) {};
        history_add(back, 1001 * USEC_PER_SEC, (const uint64_t[]) { 5 * MIB, 0, 0, 0 }); /* goes on in the same steps of time */
        history_add(back, 1002 * USEC_PER_SEC, (const uint64_t[]) { 5 * MIB, 0, 0, 0 });
        history_walk(back, 1002 * USEC_PER_SEC, USEC_PER_HOUR, give, &seen);
        assert_int_equal(seen.n, 17);
        history_walk(back, 1002 * USEC_PER_SEC, 5 * USEC_PER_MINUTE, give_last, &last);
        assert_int_equal(last.mib[0], 5);
        history_kept_done(&kept);

        f = fopen(path, "a");
        fputc('x', f);
        fclose(f);
        assert_int_equal(history_file_load(folder, boot, 1001, &kept), -EBADMSG);
        unlink(path);
        rmdir(folder);
        assert_int_equal(history_file_save(folder, boot, entries, 2), -ENOENT);
        free(h);
        free(back);
}

int main(void) {
        const struct CMUnitTest tests[] = { cmocka_unit_test(test_rings), cmocka_unit_test(test_unknown_and_gaps), cmocka_unit_test(test_file) };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
