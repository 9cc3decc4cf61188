/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "host-agent/system/host.h"
#include "host-agent/system/lines.h"
#include "host-agent/system/parsers.h"
#include "protocol/parse.h"
#include "protocol/units.h"
#include "tests/unit/tree.h"

#define STAT_TAIL "9143 9143 8064 0 -1 4194304 98 0 0 0 250 150 7 8 20 0 1 0 132763 3133440 370 18446744073709551615 1 1 0\n"
#define STATUS "Name:\tqemu-system-x86\nUmask:\t0022\nState:\tS (sleeping)\nVmRSS:\t  565896 kB\nRssAnon:\t   116 kB\nVmSwap:\t    1024 kB\n"

static void test_stat(void **state) {
        static const struct {
                const char *text;
                int r;
        } cases[] = {
                { "1 (qemu) S " STAT_TAIL, 0 },
                { "1 (CPU 0/KVM) R " STAT_TAIL, 0 },
                { "1 (a) b) T (c) S " STAT_TAIL, 0 },
                { "1 ()) t " STAT_TAIL, 0 },
                { "1 (qemu) T " STAT_TAIL, 0 },
                { "1 (qemu) Z " STAT_TAIL, -ESRCH },
                { "", -EBADMSG },
                { "1 (qemu)", -EBADMSG },
                { "1 (qemu) S", -EBADMSG },
                { "1 (qemu) S 1 2 3\n", -EBADMSG },
                { "1 (qemu) S 9143 9143 8064 0 -1 4194304 98 0 0 0 x 150 7 8 20 0 1 0 132763\n", -EBADMSG },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct process_sample s = {};
                assert_int_equal(process_stat_parse(cases[i].text, 100, &s), cases[i].r);
                if (cases[i].r == 0) {
                        assert_int_equal(s.run_usec, 4 * USEC_PER_SEC);
                        assert_int_equal(s.start_ticks, 132763);
                }
        }
}

static void test_status(void **state) {
        struct process_sample s;

        process_status_parse(STATUS, &s);
        assert_int_equal(s.rss_bytes, 565896 * KIB);
        assert_int_equal(s.swap_bytes, MIB);
        process_status_parse("Name:\tkworker VmRSS:\\nVmSwap: 1 kB\nState:\tI (idle)\n", &s);
        assert_int_equal(s.rss_bytes, AEROSTAT_UNKNOWN);
        assert_int_equal(s.swap_bytes, AEROSTAT_UNKNOWN);
        process_status_parse("Name:\tx\nVmRSS:\t99999999999999999999 kB\nVmSwap:\t12 MB\n", &s);
        assert_int_equal(s.rss_bytes, AEROSTAT_UNKNOWN);
        assert_int_equal(s.swap_bytes, AEROSTAT_UNKNOWN);
}

static void test_sample_self(void **state) {
        int root = procfs_open_root("/");
        struct process_sample s;

        assert_true(root >= 0);
        assert_int_equal(process_sample_read(root, getpid(), &s), 0);
        assert_true(s.rss_bytes > 256 * KIB && s.rss_bytes < 64 * GIB);
        assert_true(s.start_ticks > 0);
        s.rss_bytes = 42;
        assert_int_equal(process_sample_read(root, INT32_MAX, &s), -ESRCH);
        assert_int_equal(s.rss_bytes, 42);
        close(root);
}

static void test_mapping(void **state) {
        static const struct {
                const char *line;
                bool ok;
                uint64_t bytes;
        } cases[] = {
                { "7f0c27e00000-7f0c47e00000 rw-p 00000000 00:00 0 ", true, 512 * MIB },
                { "55734cb70000-55734dbe5000 rw-p 00000000 00:00 0                          [heap]", true, 16852 * KIB },
                { "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]", true, 4 * KIB },
                { "1-2 r--p", true, 1 },
                { "", false, 0 }, { "1", false, 0 }, { "-2 rw-p", false, 0 }, { "1- rw-p", false, 0 }, { "2-1 rw-p", false, 0 },
                { "1-1 rw-p", false, 0 },
                { "1-2", false, 0 }, { "1-2 ", false, 0 }, { "1-2 rw", false, 0 }, { "1-10000000000000000 rw-p", false, 0 }, { "A-B rw-p", false, 0 },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct mapping m = {};
                assert_int_equal(mapping_parse(cases[i].line, &m), cases[i].ok);
                assert_int_equal(m.end - m.start, cases[i].bytes);
        }
}

/* Mappings as QEMU 7.2 has them (measured). */
static void test_guest_ram(void **state) {
        static const struct {
                const char *line;
                uint64_t ram_bytes;
                bool overhead;
        } cases[] = {
                { "7f0c27e00000-7f0c47e00000 rw-p 00000000 00:00 0 ", 512 * MIB, false },
                { "7fdbc7fff000-7fdbe7fff000 rw-s 00000000 00:01 1030      /memfd:memory-backend-memfd (deleted)", 512 * MIB, false },
                { "7f0000000000-7f0010000000 rw-s 00000000 00:10 1         /dev/hugepages/libvirt/qemu/1-web1/node0", 512 * MIB, false },
                { "7f0000000000-7f0008000000 rw-p 00000000 00:00 0 ", 64 * GIB, false },        /* a DIMM of 128 MiB */
                { "7f0000000000-7f0002000000 rw-p 00000000 00:00 0 ", 64 * MIB, false },        /* half of a tiny VM */
                { "7f0c48000000-7f0c87fff000 rwxp 00000000 00:00 0 ", 512 * MIB, true },        /* TCG's translation cache */
                { "55734cb70000-55735db70000 rw-p 00000000 00:00 0                          [heap]", 512 * MIB, true },
                { "7f0c88000000-7f0c8c000000 rw-p 00000000 00:00 0 ", 4 * GIB, true },          /* a full arena of glibc */
                { "7f0c203ba000-7f0c24000000 ---p 00000000 00:00 0 ", 4 * GIB, false },         /* a reserved one */
                { "7f0c90000000-7f0c91000000 rw-p 00000000 00:00 0 ", 32 * MIB, true },         /* video memory */
                { "5573496b0000-557349d00000 r-xp 00307000 fe:00 1234      /usr/bin/qemu-system-x86_64", 512 * MIB, true },
                { "7f0000000000-7f0010000000 r--p 00000000 fe:00 1235      /usr/lib/locale/locale-archive", 512 * MIB, true },
                { "7f0000000000-7f0010000000 rw-p 00000000 00:00 0 ", AEROSTAT_UNKNOWN, false },
                { "7f0000000000-7f0010000000 rw-p 00000000 00:00 0 ", 0, false },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct mapping m;
                assert_true(mapping_parse(cases[i].line, &m));
                if (mapping_is_overhead(&m, cases[i].ram_bytes) != cases[i].overhead)
                        fail_msg("%s", cases[i].line);
        }
}

/* A process at low addresses, so that its pagemap is a small file: RAM of 64 MiB, 16 MiB of its own, a reservation. */
static void test_overhead(void **state) {
        static const struct tree_file files[] = {
                { "proc/7/maps", "10000-20000 r-xp 00000000 fe:00 1 /usr/bin/qemu\n"
                                 "1000000-5000000 rw-p 00000000 00:00 0 \n"
                                 "junk\n"
                                 "5000000-6000000 rw-p 00000000 00:00 0 \n"
                                 "6000000-7000000 ---p 00000000 00:00 0 \n" },
                { "proc/8/maps", "10000-20000 r-xp 00000000 fe:00 1 /usr/bin/qemu\n" },
                { "proc/8/pagemap", "" },
                { "proc/9/maps", "" },
                { NULL },
        };
        struct tree tree = tree_make(files);
        uint64_t page = (uint64_t) sysconf(_SC_PAGESIZE), *entries, bytes = 42;
        size_t n = 0x7000000 / page;

        entries = calloc(n, sizeof(*entries));
        for (size_t i = 0; i < n; i++)
                entries[i] = UINT64_C(1) << 63 | 0x1234;               /* all in memory, */
        entries[0x10000 / page] = UINT64_C(1) << 62 | 0x55;            /* one in swap, */
        entries[0x5000000 / page] = UINT64_C(1) << 55 | 0x1234;        /* one nowhere */
        assert_true(tree_put(&tree, "proc/7/pagemap", (char *) entries, n * sizeof(*entries)));
        free(entries);
        assert_int_equal(process_overhead_read(tree.fd, 7, 64 * MIB, &bytes), 0);
        assert_int_equal(bytes, 0x10000 + 0x1000000 - page);
        bytes = 42;
        assert_int_equal(process_overhead_read(tree.fd, 8, 64 * MIB, &bytes), -ESRCH); /* it ended: no pages any more */
        assert_int_equal(process_overhead_read(tree.fd, 9, 64 * MIB, &bytes), -ESRCH);
        assert_int_equal(process_overhead_read(tree.fd, 10, 64 * MIB, &bytes), -ESRCH);
        assert_int_equal(bytes, 42);
        tree_remove(&tree);
}

static void test_overhead_real(void **state) {
        int root = procfs_open_root("/");
        uint64_t before, after, bytes = 256 * MIB;
        uint64_t untouched = 42;
        char *ram = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

        assert_true(ram != MAP_FAILED);
        assert_int_equal(process_overhead_read(root, getpid(), bytes, &before), 0);
        memset(ram, 1, 32 * MIB);
        assert_int_equal(process_overhead_read(root, getpid(), bytes, &after), 0);
        assert_true(before > 0 && u64_distance(before, after) < 8 * MIB);
        assert_int_equal(process_overhead_read(root, INT32_MAX, bytes, &untouched), -ESRCH);
        assert_int_equal(untouched, 42);
        munmap(ram, bytes);
        close(root);
}

#define UUID "c7a5fdbd-edaf-9455-926a-d65c16db1809"
#define OTHER_UUID "00000000-0000-4000-8000-000000000001"

static void put_command(const struct tree *tree, const char *path, const char *program, const char *uuid) {
        char line[16384];
        int n;

        /* Arguments end with NUL; a long one stands before the uuid, and "-uuid" also is somebody's value. */
        n = snprintf(line, sizeof(line), "%s%c-name%c-uuid%cx%c-device%c%05000d%c-uuid%c%s%c-S", program, 0, 0, 0, 0, 0, 0, 0, 0, uuid, 0);
        assert_true(tree_put(tree, path, line, (size_t) n + 1));
}

static void test_find_qemu(void **state) {
        static const struct tree_file files[] = {
                { "run/libvirt/qemu/web1.pid", "101" },
                { "run/libvirt/qemu/web2.pid", "102\n" },
                { "run/libvirt/qemu/bad.pid", "junk" },
                { "run/libvirt/qemu/zero.pid", "0" },
                { "proc/self/cmdline", "" },
                { "proc/1/cmdline", "" },
                { NULL },
        };
        struct tree tree = tree_make(files);
        uint8_t uuid[16], other[16], none[16] = {};

        assert_int_equal(parse_uuid(UUID, uuid), 0);
        assert_int_equal(parse_uuid(OTHER_UUID, other), 0);
        /* By its pid file, whatever the program is called. */
        put_command(&tree, "proc/101/cmdline", "/opt/emulator", UUID);
        assert_int_equal(process_find_qemu(tree.fd, "web1", uuid), 101);
        /* The pid was given to somebody else: the search finds the right one, not a tool that names the uuid. */
        put_command(&tree, "proc/102/cmdline", "/usr/bin/qemu-system-x86_64", OTHER_UUID);
        assert_int_equal(process_find_qemu(tree.fd, "web2", uuid), -ESRCH);
        put_command(&tree, "proc/103/cmdline", "/usr/libexec/qemu-kvm", UUID);
        assert_int_equal(process_find_qemu(tree.fd, "web2", uuid), 103);
        assert_int_equal(process_find_qemu(tree.fd, "web2", other), 102);
        /* Pid files that are missing, no numbers, or not where they should be. */
        assert_int_equal(process_find_qemu(tree.fd, "bad", uuid), 103);
        assert_int_equal(process_find_qemu(tree.fd, "zero", uuid), 103);
        assert_int_equal(process_find_qemu(tree.fd, "missing", uuid), 103);
        assert_int_equal(process_find_qemu(tree.fd, "../qemu/web1", uuid), 103);
        assert_int_equal(process_find_qemu(tree.fd, "web1", none), -ESRCH);
        tree_remove(&tree);
}

static void test_lines(void **state) {
        char *line, text[3 * LINES_MAX];
        struct lines lines;
        FILE *f = tmpfile();

        /* Lines of 0, 1, LINES_MAX - 1, LINES_MAX, and 2 LINES_MAX characters, and one without a newline at the end. */
        static const size_t sizes[] = { 0, 1, LINES_MAX - 1, LINES_MAX, 2 * LINES_MAX, 5 };
        for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
                memset(text, 'a' + (int) i, sizes[i]);
                fwrite(text, 1, sizes[i], f);
                if (i + 1 < ARRAY_SIZE(sizes))
                        fputc('\n', f);
        }
        fflush(f);
        lseek(fileno(f), 0, SEEK_SET);
        lines_init(&lines, fileno(f), '\n');
        for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
                assert_int_equal(lines_next(&lines, &line), 1);
                assert_int_equal(strlen(line), MIN(sizes[i], LINES_MAX));
                assert_true(sizes[i] == 0 || line[0] == 'a' + (int) i);
        }
        assert_int_equal(lines_next(&lines, &line), 0);
        assert_int_equal(lines_next(&lines, &line), 0);
        fclose(f);
        lines_init(&lines, -1, '\n');
        assert_int_equal(lines_next(&lines, &line), -EBADF);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_stat), cmocka_unit_test(test_status), cmocka_unit_test(test_sample_self),
                cmocka_unit_test(test_mapping), cmocka_unit_test(test_guest_ram), cmocka_unit_test(test_overhead),
                cmocka_unit_test(test_overhead_real), cmocka_unit_test(test_find_qemu), cmocka_unit_test(test_lines),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
