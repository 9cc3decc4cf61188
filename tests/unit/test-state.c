/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host-agent/log.h"
#include "host-agent/state/state_file.h"
#include "protocol/units.h"

#define BOOT "boot 01010101-0101-0101-0101-010101010101\n"
#define HEAD "aerostat-state 1\n" BOOT
#define VM1 "11111111-2222-3333-4444-555555555501"
#define VM2 "11111111-2222-3333-4444-555555555502"
#define GOOD HEAD "paused\n" \
             "pin " VM1 " 3 1073741824 -\n" \
             "agent " VM1 " 3\n" \
             "limits " VM1 " 3 25.5000% - 7 no\n" \
             "pin " VM2 " 4 512 99\n" \
             "limits " VM2 " 4 536870912B 2000 - -\n" \
             "reserve 2 4096 77\n" \
             "reserve 9 8192 78 a b\n"

static void test_reads_what_it_writes(void **state) {
        char *text = NULL;
        struct state s;
        unsigned line;

        assert_int_equal(state_parse(GOOD, &s, &line), 0);
        assert_true(s.paused);
        assert_int_equal(s.n_vms, 2);
        assert_int_equal(s.vms[0].pin_bytes, GIB);
        assert_true(s.vms[0].pin_until_usec == AEROSTAT_UNKNOWN);
        assert_int_equal(s.vms[0].limits.floor_ppm, 255000);
        assert_false(s.vms[0].limits.has_weight);
        assert_true(s.vms[0].limits.has_managed && !s.vms[0].limits.managed);
        assert_true(s.vms[0].agent_spoke && !s.vms[1].agent_spoke);
        assert_int_equal(s.vms[1].limits.floor_bytes, 512 * MIB);
        assert_int_equal(s.reservations.n, 2);
        assert_string_equal(s.reservations.list[1].for_vm, "a b");
        assert_int_equal(s.reservations.last_id, 9);
        assert_int_equal(state_format(&s, &text), 0);
        assert_string_equal(text, GOOD);
        free(text);
        state_done(&s);
}

static void test_refuses_junk(void **state) {
        static const struct {
                const char *text;
                unsigned line;
        } cases[] = {
                { "", 1 },
                { "aerostat-state 2\n" BOOT, 1 },
                { "aerostat-state 1\n", 2 },
                { "aerostat-state 1\nboot x\n", 2 },
                { HEAD "paused\npaused\n", 4 },
                { HEAD "paused", 3 },
                { HEAD "\n", 3 },
                { HEAD "colour red\n", 3 },
                { HEAD "pin " VM1 " 3 1\n", 3 },
                { HEAD "pin " VM1 " 3 1 - \n", 3 },
                { HEAD "pin " VM1 " 3 1 -\npin " VM1 " 3 1 -\n", 4 },
                { HEAD "pin " VM1 " 3 1 -\nlimits " VM1 " 4 - 1 - -\n", 4 },
                { HEAD "pin " VM1 " 99999999999 1 -\n", 3 },
                { HEAD "agent " VM1 " 3\nagent " VM1 " 3\n", 4 },
                { HEAD "agent " VM1 "\n", 3 },
                { HEAD "agent " VM1 " 3 x\n", 3 },
                { HEAD "limits " VM1 " 3 - - - -\n", 3 },
                { HEAD "limits " VM1 " 3 101% - - -\n", 3 },
                { HEAD "limits " VM1 " 3 - 1000001 - -\n", 3 },
                { HEAD "limits " VM1 " 3 - - - maybe\n", 3 },
                { HEAD "reserve 1 0 5\n", 3 },
                { HEAD "reserve 2 1 5\nreserve 2 1 5\n", 4 },
                { HEAD "reserve 2 1 5 \n", 3 },
                { HEAD "reserve 2 1 5 a\tb\n", 3 },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                unsigned line = 0;
                struct state s;

                assert_int_equal(state_parse(cases[i].text, &s, &line), -EBADMSG);
                assert_int_equal(line, cases[i].line);
        }
}

static void test_file(void **state) {
        static const uint8_t same[16] = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 }, other[16] = { 2 };
        char folder[] = "/tmp/aerostat-state-XXXXXX", path[64];
        unsigned line = 0;
        struct state s;
        struct stat st;
        FILE *f;

        assert_non_null(mkdtemp(folder));
        snprintf(path, sizeof(path), "%s/state", folder);
        assert_int_equal(state_load(folder, same, &s, &line), -ENOENT);
        assert_int_equal(state_save(folder, "state", GOOD), 0);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
        assert_int_equal(state_load(folder, same, &s, &line), 0);
        assert_int_equal(s.n_vms, 2);
        state_done(&s);

        /* After a reboot of the host only the pause means something. */
        assert_int_equal(state_load(folder, other, &s, &line), 0);
        assert_true(s.paused);
        assert_int_equal(s.n_vms + s.reservations.n, 0);
        state_done(&s);

        f = fopen(path, "w");
        assert_non_null(f);
        fwrite(GOOD "\0", 1, sizeof(GOOD) + 1, f);
        fclose(f);
        assert_int_equal(state_load(folder, same, &s, &line), -EBADMSG);
        unlink(path);
        assert_int_equal(symlink("/dev/zero", path), 0);
        assert_true(state_load(folder, same, &s, &line) < 0);
        assert_int_equal(state_save(folder, "state", GOOD), 0); /* replaces the link itself */
        assert_int_equal(state_load(folder, same, &s, &line), 0);
        state_done(&s);
        unlink(path);
        rmdir(folder);
        assert_int_equal(state_save(folder, "state", GOOD), -ENOENT);
}

static _Atomic unsigned warnings, notices;

/* In place of the daemon's log. */
void log_message(int level, const char *format, ...) {
        if (level == LOG_WARNING)
                warnings++;
        else
                notices++;
}

static bool becomes(const _Atomic unsigned *count, unsigned value) {
        for (unsigned i = 0; i < 500 && *count < value; i++)
                usleep(10 * USEC_PER_MSEC);
        return *count == value;
}

static void assert_written(const char *folder, const char *expected) {
        _cleanup_free_ char *text = NULL;

        assert_int_equal(state_read(folder, "state", &text), 0);
        assert_string_equal(text, expected);
}

/* A folder that is not there, as a disk that is full: what could not be written is once it can be, though nobody comes with it again. */
static void test_writer_retries(void **state) {
        char folder[] = "/tmp/aerostat-state-XXXXXX", path[64];
        struct state_writer *w;

        assert_non_null(mkdtemp(folder));
        snprintf(path, sizeof(path), "%s/state", folder);
        rmdir(folder);
        assert_int_equal(state_writer_new(&w, folder, "state", 20 * USEC_PER_MSEC), 0);
        state_writer_put(w, strdup("old"));
        assert_true(becomes(&warnings, 1));
        state_writer_put(w, strdup("new"));
        usleep(100 * USEC_PER_MSEC); /* some tries, of which nothing is said */
        assert_int_equal(warnings, 1);
        assert_int_equal(mkdir(folder, 0700), 0);
        assert_true(becomes(&notices, 1));
        assert_written(folder, "new");
        assert_null(state_writer_free(w));
        unlink(path);
        rmdir(folder);

        /* The end does not wait: one more try, and one alone. */
        for (unsigned good = 0; good < 2; good++) {
                warnings = 0;
                assert_int_equal(state_writer_new(&w, folder, "state", 60 * USEC_PER_SEC), 0);
                state_writer_put(w, strdup("last"));
                assert_true(becomes(&warnings, 1));
                if (good)
                        assert_int_equal(mkdir(folder, 0700), 0);
                assert_null(state_writer_free(w));
        }
        assert_written(folder, "last");
        unlink(path);
        rmdir(folder);
}

static void test_reservations(void **state) {
        struct reservations r = { 0 };
        struct reservation *one, gone;
        char name[RESERVATION_NAME_MAX + 1];

        memset(name, 'a', sizeof(name) - 1);
        name[sizeof(name) - 1] = 0;
        assert_int_equal(reservations_add(&r, 1, 1, name, &one), -EINVAL);
        assert_int_equal(reservations_add(&r, 1, 1, "a\nb", &one), -EINVAL);
        assert_int_equal(reservations_add(&r, 100, 50, "", &one), 0);
        assert_int_equal(reservations_add(&r, 200, 40, "new", &one), 0);
        assert_int_equal(one->id, 2);
        assert_int_equal(reservations_total(&r), 300);
        assert_null(reservations_find_vm(&r, ""));
        assert_ptr_equal(reservations_find_vm(&r, "new"), one);

        /* First come, first served. */
        reservations_judge(&r, 700, 850);
        assert_true(r.list[0].met && !r.list[1].met);
        reservations_judge(&r, 550, 850);
        assert_true(r.list[0].met && r.list[1].met);

        assert_false(reservations_expire(&r, 39, &gone));
        assert_true(reservations_expire(&r, 45, &gone));
        assert_string_equal(gone.for_vm, "new");
        assert_false(reservations_expire(&r, 45, &gone));
        reservations_remove(&r, reservations_find(&r, 1));
        assert_int_equal(reservations_total(&r), 0);
        for (size_t i = 0; i < RESERVATIONS_MAX; i++)
                assert_int_equal(reservations_add(&r, 1, 1, "", &one), 0);
        assert_int_equal(reservations_add(&r, 1, 1, "", &one), -ENOBUFS);
        assert_int_equal(one->id, 2 + RESERVATIONS_MAX);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_reads_what_it_writes),
                cmocka_unit_test(test_refuses_junk),
                cmocka_unit_test(test_file),
                cmocka_unit_test(test_writer_retries),
                cmocka_unit_test(test_reservations),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
