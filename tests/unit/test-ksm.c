/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host-agent/system/ksm.h"
#include "host-agent/system/ksm_parsers.h"
#include "protocol/procfs.h"
#include "protocol/units.h"

#define FIXTURES TOP_SRCDIR "/tests/unit/fixtures/"
#define PAGE ((uint64_t) sysconf(_SC_PAGESIZE))

static void test_sample_6_1(void **state) {
        _cleanup_close_ int root = procfs_open_root(FIXTURES "host-linux-6.1-ksm");
        struct ksm_sample s;

        assert_int_equal(ksm_sample_read(root, &s), 0);
        assert_int_equal(s.knobs.run, 1);
        assert_int_equal(s.knobs.pages_to_scan, 1000);
        assert_int_equal(s.knobs.sleep_msec, 20);
        assert_true(s.knobs.advisor == AEROSTAT_UNKNOWN);
        assert_true(s.knobs.advisor_max_cpu == AEROSTAT_UNKNOWN);
        assert_int_equal(s.full_scans, 31);
        assert_int_equal(s.sharing_pages, 12979);
        assert_true(s.zero_pages == AEROSTAT_UNKNOWN);
        assert_int_equal(s.saved_bytes, 12979 * PAGE);
        assert_true(s.profit_estimated);
        assert_int_equal(s.profit_bytes, (int64_t) (12979 * PAGE) - (2840 + 12979 + 90211 + 4110) * 64);
        assert_int_equal(s.merge_across_nodes, 1);
}

static void test_sample_6_18(void **state) {
        _cleanup_close_ int root = procfs_open_root(FIXTURES "host-linux-6.18-ksm");
        struct ksm_sample s;

        assert_int_equal(ksm_sample_read(root, &s), 0);
        assert_int_equal(s.knobs.advisor, 1);
        assert_int_equal(s.knobs.advisor_max_cpu, 70);
        assert_int_equal(s.knobs.advisor_min_pages, 500);
        assert_int_equal(s.knobs.advisor_max_pages, 30000);
        assert_int_equal(s.saved_bytes, (76987 + 512) * PAGE);
        assert_false(s.profit_estimated);
        assert_int_equal(s.profit_bytes, -1234567);
}

static void test_no_ksm(void **state) {
        _cleanup_close_ int root = procfs_open_root(FIXTURES "guest-linux-6.1");
        _cleanup_close_ int proc = openat(root, "proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct ksm_sample s;
        const char *name = "untouched";

        assert_int_equal(ksm_sample_read(root, &s), -ENOENT);
        assert_int_equal(ksm_check_writable(root), -ENOENT);
        assert_int_equal(ksm_find_thread(proc), -ESRCH);
        assert_int_equal(ksm_find_rivals(root, proc, &name), 0);
        assert_string_equal(name, "untouched");
}

static void test_thread(void **state) {
        static const char *const roots[] = { FIXTURES "host-linux-6.1-ksm", FIXTURES "host-linux-6.18-ksm" };
        static const uint64_t usec[] = { 23 * 10000, 170793 };

        for (size_t i = 0; i < ARRAY_SIZE(roots); i++) {
                _cleanup_close_ int root = procfs_open_root(roots[i]);
                _cleanup_close_ int proc = openat(root, "proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                uint64_t cpu_usec;
                int pid;

                pid = ksm_find_thread(proc);
                assert_int_equal(pid, 37);
                assert_int_equal(ksm_thread_cpu_read(proc, pid, &cpu_usec), 0);
                if (sysconf(_SC_CLK_TCK) == 100 || i == 1)
                        assert_int_equal(cpu_usec, usec[i]);
                assert_int_equal(ksm_thread_cpu_read(proc, 4242, &cpu_usec), -ESRCH); /* a process that calls itself ksmd */
        }
}

static void test_processes(void **state) {
        _cleanup_close_ int old = procfs_open_root(FIXTURES "host-linux-6.1-ksm"), new = procfs_open_root(FIXTURES "host-linux-6.18-ksm");
        struct ksm_process p;

        assert_int_equal(ksm_process_read(old, 4242, &p), 0);
        assert_int_equal(p.merged_bytes, 9000 * PAGE);
        assert_true(p.zero_bytes == AEROSTAT_UNKNOWN);
        assert_true(p.profit_bytes == INT64_MIN);
        assert_int_equal(ksm_process_read(new, 4242, &p), 0);
        assert_int_equal(p.merged_bytes, 9000 * PAGE);
        assert_int_equal(p.zero_bytes, 17 * PAGE);
        assert_int_equal(p.profit_bytes, -4096);
        assert_int_equal(ksm_process_read(new, 37, &p), -ENOENT);
}

static void test_rivals(void **state) {
        _cleanup_close_ int root = procfs_open_root(FIXTURES "host-linux-6.1-ksm");
        _cleanup_close_ int proc = openat(root, "proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        const char *name;

        assert_int_equal(ksm_find_rivals(root, proc, &name), 1);
        assert_string_equal(name, "ksmtuned");
}

/* ---- a tree that can be written ---- */

static char tree[] = "/tmp/test-ksm.XXXXXX";

static void put(const char *file, const char *text) {
        char path[256];
        FILE *f;

        snprintf(path, sizeof(path), "%s/sys/kernel/mm/ksm/%s", tree, file);
        f = fopen(path, "w");
        assert_non_null(f);
        fputs(text, f);
        fclose(f);
}

static void assert_has(const char *file, const char *text) {
        char path[256], buf[64];

        snprintf(path, sizeof(path), "%s/sys/kernel/mm/ksm/%s", tree, file);
        assert_true(procfs_read(AT_FDCWD, path, buf, sizeof(buf)) >= 0);
        assert_string_equal(buf, text);
}

static int make_tree(void **state) {
        char path[256];

        assert_non_null(mkdtemp(tree));
        for (const char *const *d = (const char *const[]) { "sys", "sys/kernel", "sys/kernel/mm", "sys/kernel/mm/ksm", NULL }; *d; d++) {
                snprintf(path, sizeof(path), "%s/%s", tree, *d);
                assert_int_equal(mkdir(path, 0755), 0);
        }
        return 0;
}

static int remove_tree(void **state) {
        char command[256];

        snprintf(command, sizeof(command), "rm -rf %s", tree);
        return system(command);
}

static void test_apply_without_advisor(void **state) {
        _cleanup_close_ int root = procfs_open_root(tree);
        struct ksm_knobs want;
        struct ksm_sample s;
        const char *file = "none";

        put("run", "0\n");
        put("pages_to_scan", "100\n");
        put("sleep_millisecs", "20\n");
        assert_int_equal(ksm_check_writable(root), 0);
        assert_int_equal(ksm_sample_read(root, &s), 0);
        memset(&want, 0xff, sizeof(want));
        want.pages_to_scan = 262, want.run = 1, want.advisor_max_cpu = 5, want.advisor = 1; /* this kernel has neither */
        assert_int_equal(ksm_apply(root, &s.knobs, &want, &file), 0);
        assert_has("run", "1\n");
        assert_has("pages_to_scan", "262\n");
        assert_has("sleep_millisecs", "20\n");
        assert_int_equal(faccessat(root, "sys/kernel/mm/ksm/advisor_max_cpu", F_OK, 0), -1);
}

static void test_apply_with_advisor(void **state) {
        _cleanup_close_ int root = procfs_open_root(tree);
        struct ksm_knobs want;
        struct ksm_sample s;
        const char *file = "none";

        put("run", "0\n");
        put("pages_to_scan", "500\n");
        put("sleep_millisecs", "20\n");
        put("advisor_mode", "none [scan-time]\n");
        put("advisor_max_cpu", "70\n");
        put("advisor_min_pages_to_scan", "500\n");
        put("advisor_max_pages_to_scan", "30000\n");
        assert_int_equal(ksm_sample_read(root, &s), 0);
        memset(&want, 0xff, sizeof(want));
        want.pages_to_scan = want.advisor_min_pages = want.advisor_max_pages = 262, want.advisor_max_cpu = 5, want.run = 1;
        assert_int_equal(ksm_apply(root, &s.knobs, &want, &file), 0);
        assert_has("advisor_min_pages_to_scan", "262\n");
        assert_has("advisor_max_pages_to_scan", "262\n");
        assert_has("advisor_max_cpu", "5\n");
        assert_has("advisor_mode", "scan-time\n"); /* switched off and on */
        assert_has("pages_to_scan", "500\n");      /* not written: it would be refused */
        assert_has("run", "1\n");

        /* Restoring a setup without the advisor. */
        put("advisor_mode", "none [scan-time]\n");
        assert_int_equal(ksm_sample_read(root, &s), 0);
        want = (struct ksm_knobs) { 0, 100, 20, 0, 70, 500, 30000 };
        assert_int_equal(ksm_apply(root, &s.knobs, &want, &file), 0);
        assert_has("advisor_mode", "none\n");
        assert_has("pages_to_scan", "100\n");
        assert_has("advisor_max_pages_to_scan", "30000\n");
        assert_has("run", "0\n");
}

static void test_apply_refused(void **state) {
        _cleanup_close_ int root = procfs_open_root(tree);
        struct ksm_knobs now = { 0, 100, 20, 0, 70, 500, 30000 }, want = now;
        const char *file = "none";
        char path[256];

        snprintf(path, sizeof(path), "%s/sys/kernel/mm/ksm/sleep_millisecs", tree);
        unlink(path);
        assert_int_equal(mkdir(path, 0755), 0); /* cannot be written, even by root */
        want.sleep_msec = 10;
        assert_int_equal(ksm_apply(root, &now, &want, &file), -EISDIR);
        assert_string_equal(file, "sleep_millisecs");
        rmdir(path);
}

static void test_parsers(void **state) {
        struct ksm_process p;
        uint64_t ticks;
        int64_t i;

        assert_int_equal(ksm_parse_signed("-0\n", &i), 0);
        assert_int_equal(ksm_parse_signed("9223372036854775807", &i), 0);
        assert_int_equal(ksm_parse_signed("9223372036854775808", &i), -ERANGE);
        assert_int_equal(ksm_parse_signed("", &i), -EBADMSG);
        assert_int_equal(ksm_parse_signed("--1", &i), -EBADMSG);
        assert_int_equal(ksm_parse_signed("1 2", &i), -EBADMSG);
        assert_int_equal(ksm_parse_advisor("[none] scan-time\n"), 0);
        assert_int_equal(ksm_parse_advisor("none [scan-time]\n"), 1);
        assert_true(ksm_parse_advisor("none scan-time [other]\n") == AEROSTAT_UNKNOWN);
        assert_true(ksm_parse_advisor("") == AEROSTAT_UNKNOWN);
        assert_true(ksm_parse_schedstat("nonsense") == AEROSTAT_UNKNOWN);
        assert_false(ksm_parse_thread("", &ticks));
        assert_false(ksm_parse_thread("37 (ksmd) S", &ticks));
        assert_false(ksm_parse_thread("37 (ksmd) S 2 0 0", &ticks));
        assert_false(ksm_parse_thread("37 (x (ksmd) S 2 0 0 0 0 0 0 0 0 0 5 6 0", &ticks));
        memset(&p, 0, sizeof(p));
        ksm_parse_process("ksm_rmap_items\nksm_zero_pages x\nksm_merging_pages 5 6\nksm_process_profit -99999999999999999999999999999999999\n",
                          4096, &p);
        assert_int_equal(p.merged_bytes, 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_sample_6_1),
                cmocka_unit_test(test_sample_6_18),
                cmocka_unit_test(test_no_ksm),
                cmocka_unit_test(test_thread),
                cmocka_unit_test(test_processes),
                cmocka_unit_test(test_rivals),
                cmocka_unit_test(test_apply_without_advisor),
                cmocka_unit_test(test_apply_with_advisor),
                cmocka_unit_test(test_apply_refused),
                cmocka_unit_test(test_parsers),
        };

        return cmocka_run_group_tests(tests, make_tree, remove_tree);
}
