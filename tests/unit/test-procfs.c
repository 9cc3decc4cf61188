/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "protocol/base.h"
#include "protocol/procfs.h"
#include "protocol/units.h"

#define FIXTURES TOP_SRCDIR "/tests/unit/fixtures/"

static char buf[16 * 1024];

static const char *read_fixture(const char *path) {
        assert_true(procfs_read(AT_FDCWD, path, buf, sizeof(buf)) > 0);
        return buf;
}

static void test_meminfo_kernels(void **state) {
        struct meminfo m;

        assert_int_equal(meminfo_parse(read_fixture(FIXTURES "guest-linux-6.18/proc/meminfo"), &m), 0);
        assert_int_equal(m.total_bytes, 1010372 * KIB);
        assert_int_equal(m.free_bytes, 161204 * KIB);
        assert_int_equal(m.available_bytes, 702116 * KIB);
        assert_int_equal(m.buffers_bytes, 20480 * KIB);
        assert_int_equal(m.cached_bytes, 563200 * KIB);
        assert_int_equal(m.shmem_bytes, 10240 * KIB);
        assert_int_equal(m.anon_bytes, 118784 * KIB);
        assert_int_equal(m.dirty_bytes, 1432 * KIB);
        assert_int_equal(m.writeback_bytes, 68 * KIB);
        assert_int_equal(m.mlocked_bytes, 11560 * KIB);
        assert_int_equal(m.slab_reclaimable_bytes, 40960 * KIB);
        assert_int_equal(m.swap_total_bytes, 524284 * KIB);
        assert_int_equal(m.swap_free_bytes, 512000 * KIB);
        assert_int_equal(m.hugetlb_bytes, 16384 * KIB);
        assert_int_equal(m.balloon_bytes, 262144 * KIB);
        assert_int_equal(m.zswap_bytes, 2048 * KIB);
        assert_int_equal(m.hugepages_total, 8);
        assert_int_equal(m.hugepages_free, 3);
        assert_int_equal(m.hugepage_size_bytes, 2 * MIB);

        assert_int_equal(meminfo_parse(read_fixture(FIXTURES "guest-linux-6.1/proc/meminfo"), &m), 0);
        assert_true(m.balloon_bytes == AEROSTAT_UNKNOWN);
        assert_int_equal(m.hugetlb_bytes, 16384 * KIB);

        assert_int_equal(meminfo_parse(read_fixture(FIXTURES "guest-linux-4.19/proc/meminfo"), &m), 0);
        assert_true(m.hugetlb_bytes == AEROSTAT_UNKNOWN);
        assert_true(m.zswap_bytes == AEROSTAT_UNKNOWN);

        /* Before 3.14 MemAvailable is estimated. */
        assert_int_equal(meminfo_parse(read_fixture(FIXTURES "guest-linux-3.10/proc/meminfo"), &m), 0);
        assert_int_equal(m.available_bytes, (161204 + 20480 + 563200 - 10240) * KIB);
        assert_int_equal(m.swap_total_bytes, 0);
}

static void test_meminfo_oddities(void **state) {
        struct meminfo m = { .total_bytes = 42 };

        assert_int_equal(meminfo_parse("", &m), -EBADMSG);
        assert_int_equal(meminfo_parse("MemTotal: 1 kB\n", &m), -EBADMSG);
        assert_int_equal(meminfo_parse("MemFree: 1 kB\n", &m), -EBADMSG);
        assert_int_equal(meminfo_parse("MemTotal: 1 kB\nMemFree: 1 kB\njunk\n", &m), -EBADMSG);
        assert_int_equal(meminfo_parse("MemTotal: 1 kB\nMemFree: 1 kB\n\n", &m), -EBADMSG);
        assert_int_equal(meminfo_parse("MemTotal: 1 kB\nMemFree: -1 kB\n", &m), -EBADMSG);
        assert_int_equal(meminfo_parse("MemTotal: 1 kB\nMemFree: 1 MB\n", &m), -EBADMSG);
        assert_int_equal(meminfo_parse("MemTotal: 1 kB\nMemFree: 1 kB \n", &m), -EBADMSG);
        assert_int_equal(meminfo_parse("MemTotal: 1 kB\nMemFree:\n", &m), -EBADMSG);
        assert_int_equal(meminfo_parse(": 1 kB\nMemTotal: 1 kB\nMemFree: 1 kB", &m), -EBADMSG);
        assert_int_equal(m.total_bytes, 42);

        /* No newline at the end; a name that begins like another; too large; larger than bytes can say. */
        assert_int_equal(meminfo_parse("MemTotal: 2 kB\nMemFree: 1 kB\nMemTotalX: 9 kB\nMem: 8 kB\nDirty: 99999999999999999999999 kB\n"
                                       "Shmem: 18446744073709551615 kB\nMlocked: 7", &m), 0);
        assert_int_equal(m.total_bytes, 2048);
        assert_true(m.dirty_bytes == AEROSTAT_UNKNOWN);
        assert_true(m.shmem_bytes == AEROSTAT_UNKNOWN);
        assert_int_equal(m.mlocked_bytes, 7);
        assert_true(m.available_bytes == AEROSTAT_UNKNOWN);
}

static void test_vmstat_kernels(void **state) {
        struct vmstat v;

        assert_int_equal(vmstat_parse(read_fixture(FIXTURES "guest-linux-6.18/proc/vmstat"), &v), 0);
        assert_int_equal(v.pswpin, 100);
        assert_int_equal(v.pswpout, 3171);
        assert_int_equal(v.workingset_refault_file, 4711);
        assert_int_equal(v.workingset_refault_anon, 90);
        assert_int_equal(v.pgmajfault, 1234);
        assert_int_equal(v.oom_kill, 2);
        assert_int_equal(v.allocstall, 12);
        assert_int_equal(v.balloon_inflate, 70000);
        assert_int_equal(v.balloon_deflate, 4464);
        assert_true(v.cow_ksm != AEROSTAT_UNKNOWN);
        assert_true(v.ksm_swpin_copy != AEROSTAT_UNKNOWN);

        assert_int_equal(vmstat_parse(read_fixture(FIXTURES "guest-linux-4.19/proc/vmstat"), &v), 0);
        assert_int_equal(v.workingset_refault_file, 4711);
        assert_true(v.workingset_refault_anon == AEROSTAT_UNKNOWN);
        assert_int_equal(v.allocstall, 12);

        assert_int_equal(vmstat_parse(read_fixture(FIXTURES "guest-linux-3.10/proc/vmstat"), &v), 0);
        assert_int_equal(v.allocstall, 12);
        assert_true(v.oom_kill == AEROSTAT_UNKNOWN);
        assert_true(v.balloon_inflate == AEROSTAT_UNKNOWN);

        assert_int_equal(vmstat_parse("", &v), -EBADMSG);
        assert_int_equal(vmstat_parse("no numbers here\n\n 5\n", &v), -EBADMSG);
        assert_int_equal(vmstat_parse("junk\noom_kill 5\noom_killer 6\npswpin 1 2\nallocstall_a 99999999999999999999\nallocstall_b 1", &v), 0);
        assert_int_equal(v.oom_kill, 5);
        assert_true(v.pswpin == AEROSTAT_UNKNOWN);
        assert_true(v.allocstall == AEROSTAT_UNKNOWN);
}

static void test_pressure(void **state) {
        struct pressure p = { .some_total_usec = 42 };

        assert_int_equal(pressure_parse(read_fixture(FIXTURES "guest-linux-6.18/proc/pressure/memory"), &p), 0);
        assert_int_equal(p.some_avg10_ppm, 15300);
        assert_int_equal(p.some_total_usec, 5871234);
        assert_int_equal(p.full_avg10_ppm, 4100);
        assert_int_equal(p.full_total_usec, 1234567);
        assert_int_equal(pressure_parse("some avg10=100.00 avg60=0.87 avg300=0.22 total=18446744073709551616\n", &p), 0);
        assert_int_equal(p.some_avg10_ppm, PPM_ONE);
        assert_true(p.some_total_usec == AEROSTAT_UNKNOWN);
        assert_true(p.full_total_usec == AEROSTAT_UNKNOWN);
        p.some_total_usec = 42;
        assert_int_equal(pressure_parse("", &p), -EBADMSG);
        assert_int_equal(pressure_parse("full avg10=0.41 avg60=0.20 avg300=0.05 total=1234567\n", &p), -EBADMSG);
        assert_int_equal(pressure_parse("some avg10=0.4 avg60=0.20 avg300=0.05 total=1\n", &p), -EBADMSG);
        assert_int_equal(pressure_parse("some avg10=0.412 avg60=0.20 avg300=0.05 total=1\n", &p), -EBADMSG);
        assert_int_equal(pressure_parse("some avg10=0.41 avg60=0.20 avg300=0.05\nfull total=1\n", &p), -EBADMSG);
        assert_int_equal(pressure_parse("some avg10=0.41 avg60=0.20 avg300=0.05 total=1x\n", &p), -EBADMSG);
        assert_int_equal(p.some_total_usec, 42);
}

static void test_reading(void **state) {
        _cleanup_close_ int root = procfs_open_root(FIXTURES "guest-minimal"), fd = -1;
        char small[8];

        assert_true(root >= 0);
        assert_int_equal(procfs_read(root, "proc/meminfo", buf, sizeof(buf)), 63);
        assert_int_equal(strlen(buf), 63);
        assert_int_equal(procfs_read(root, "proc/meminfo", buf, 64), 63);
        assert_int_equal(procfs_read(root, "proc/meminfo", buf, 63), -E2BIG);
        assert_int_equal(procfs_read(root, "proc/meminfo", small, 0), -E2BIG);
        assert_int_equal(procfs_read(root, "proc/vmstat", buf, sizeof(buf)), -ENOENT);
        assert_int_equal(procfs_read(root, "proc", buf, sizeof(buf)), -EISDIR);
        fd = openat(root, "proc/meminfo", O_RDONLY | O_CLOEXEC);
        assert_int_equal(procfs_read_fd(fd, buf, sizeof(buf)), 63);
        assert_int_equal(procfs_read_fd(fd, buf, sizeof(buf)), 63); /* from the start again */
        assert_int_equal(procfs_open_root(FIXTURES "no-such-tree"), -ENOENT);
        assert_int_equal(procfs_open_root(FIXTURES "guest-minimal/proc/meminfo"), -ENOTDIR);
}

/* A trigger is never written into a fixture, and a tree without PSI is said to have none. */
static void test_trigger_needs_proc(void **state) {
        char dir[] = "/tmp/aerostat-test-XXXXXX", path[64];
        _cleanup_close_ int root = -1, fd = -1;

        assert_non_null(mkdtemp(dir));
        root = procfs_open_root(dir);
        assert_int_equal(psi_trigger_open(root, 20000, 500000), -EOPNOTSUPP);
        snprintf(path, sizeof(path), "%s/proc", dir);
        assert_int_equal(mkdir(path, 0700), 0);
        strcat(path, "/pressure");
        assert_int_equal(mkdir(path, 0700), 0);
        strcat(path, "/memory");
        fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        assert_int_equal(psi_trigger_open(root, 20000, 500000), -EOPNOTSUPP);
        assert_int_equal(lseek(fd, 0, SEEK_END), 0);
        unlink(path);
        *strrchr(path, '/') = 0;
        rmdir(path);
        *strrchr(path, '/') = 0;
        rmdir(path);
        rmdir(dir);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_meminfo_kernels), cmocka_unit_test(test_meminfo_oddities), cmocka_unit_test(test_vmstat_kernels),
                cmocka_unit_test(test_pressure), cmocka_unit_test(test_reading), cmocka_unit_test(test_trigger_needs_proc),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
