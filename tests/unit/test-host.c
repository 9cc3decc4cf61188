/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/unit.h"

#include <errno.h>

#include "host-agent/system/host.h"
#include "host-agent/system/parsers.h"
#include "protocol/units.h"
#include "tests/unit/tree.h"

#define SWAPS_HEADER "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"

/* Debian 12: no advisor, no ksm_zero_pages. */
static const struct tree_file linux_6_1[] = {
        { "proc/meminfo",
          "MemTotal:       16316412 kB\nMemFree:          812345 kB\nMemAvailable:    4123456 kB\nBuffers:          123456 kB\n"
          "Cached:          3000000 kB\nSwapCached:         1024 kB\nShmem:             20480 kB\nSReclaimable:     200000 kB\n"
          "SwapTotal:       8388604 kB\nSwapFree:        8000000 kB\nZswap:                 0 kB\nZswapped:              0 kB\n"
          "HugePages_Total:       0\nHugePages_Free:        0\nHugepagesize:       2048 kB\nHugetlb:               0 kB\n" },
        { "proc/vmstat", "nr_free_pages 203086\npswpin 12\npswpout 34\npgmajfault 56\noom_kill 1\nallocstall_normal 3\nallocstall_movable 4\n" },
        { "proc/pressure/memory", "some avg10=1.25 avg60=0.00 avg300=0.00 total=123456\nfull avg10=0.50 avg60=0.00 avg300=0.00 total=7890\n" },
        { "proc/swaps",
          SWAPS_HEADER "/dev/dm-1                               partition\t4194300\t\t387000\t\t-2\n"
                       "/srv/my\\040swap\\040file\\040(deleted)   file\t\t4194304\t\t1604\t\t-3\n"
                       "/dev/zram0                              partition\t1048576\t\t2048\t\t100\n" },
        { "sys/kernel/mm/ksm/run", "1\n" },
        { "sys/kernel/mm/ksm/pages_sharing", "12979\n" },
        { "sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n" },
        { "sys/kernel/mm/transparent_hugepage/khugepaged/max_ptes_none", "511\n" },
        { "sys/module/zswap/parameters/enabled", "N\n" },
        { "sys/module/zswap/parameters/max_pool_percent", "20\n" },
        { "sys/devices/system/node/has_memory", "0-1\n" },
        { "sys/devices/system/node/online", "0-2\n" },
        { NULL },
};

/* A recent kernel with ZFS, where merging has cost more than it saves, and all swap is zram. */
static const struct tree_file linux_6_18[] = {
        { "proc/meminfo", "MemTotal:       65950000 kB\nMemFree:         1000000 kB\nMemAvailable:   20000000 kB\nSwapTotal:       4194300 kB\n"
                          "SwapFree:        4194300 kB\nBalloon:               0 kB\n" },
        { "proc/vmstat", "pswpin 0\npswpout 0\nksm_swpin_copy 9\ncow_ksm 17\n" },
        { "proc/pressure/memory", "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n" },
        { "proc/swaps", SWAPS_HEADER "/dev/zram12                             partition\t4194300\t\t0\t\t100\n" },
        { "proc/spl/kstat/zfs/arcstats", "9 1 0x01 147 39984 3868456789 98765432109\nname                            type data\n"
                                         "hits                            4    1234\nc_min                           4    2110400000\n"
                                         "c_max                           4    33766400000\nsize                            4    17179869184\n" },
        { "sys/kernel/mm/ksm/run", "2\n" },
        { "sys/kernel/mm/ksm/pages_sharing", "1000\n" },
        { "sys/kernel/mm/ksm/ksm_zero_pages", "24\n" },
        { "sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]\n" },
        { "sys/kernel/mm/transparent_hugepage/khugepaged/max_ptes_none", "0\n" },
        { "sys/module/zswap/parameters/enabled", "Y\n" },
        { "sys/module/zswap/parameters/max_pool_percent", "35\n" },
        { "sys/devices/system/node/has_memory", "0\n" },
        { NULL },
};

/* A kernel that has next to nothing. */
static const struct tree_file minimal[] = {
        { "proc/meminfo", "MemTotal:        1000000 kB\nMemFree:          500000 kB\nSwapTotal:             0 kB\n" },
        { NULL },
};

/* Files that make no sense. */
static const struct tree_file junk[] = {
        { "proc/meminfo", "MemTotal:        1000000 kB\nMemFree:          500000 kB\nSwapTotal:          1024 kB\n" },
        { "proc/vmstat", "" },
        { "proc/pressure/memory", "nothing\n" },
        { "proc/spl/kstat/zfs/arcstats", "size\nsize 4\nsize x 1\nc_min 4 99999999999999999999999\n" },
        { "sys/kernel/mm/ksm/run", "on\n" },
        { "sys/kernel/mm/ksm/pages_sharing", "99999999999999999999\n" },
        { "sys/kernel/mm/transparent_hugepage/enabled", "\n" },
        { "sys/kernel/mm/transparent_hugepage/khugepaged/max_ptes_none", "511 512\n" },
        { "sys/module/zswap/parameters/max_pool_percent", "200\n" },
        { "sys/devices/system/node/has_memory", "3-1\n" },
        { "sys/devices/system/node/online", "0,2-3\n" },
        { NULL },
};

static void test_linux_6_1(void **state) {
        struct tree tree = tree_make(linux_6_1);
        struct host_sample s;
        struct host_config_sample c;
        uint64_t page = (uint64_t) sysconf(_SC_PAGESIZE);

        assert_int_equal(host_sample_read(tree.fd, &s), 0);
        assert_int_equal(s.meminfo.total_bytes, 16316412 * KIB);
        assert_int_equal(s.meminfo.available_bytes, 4123456 * KIB);
        assert_int_equal(s.vmstat.pswpout, 34);
        assert_int_equal(s.vmstat.allocstall, 7);
        assert_int_equal(s.vmstat.cow_ksm, AEROSTAT_UNKNOWN);
        assert_int_equal(s.pressure.some_avg10_ppm, 12500);
        assert_int_equal(s.pressure.full_total_usec, 7890);
        assert_int_equal(s.swap_disk_total_bytes, (4194300 + 4194304) * KIB);
        assert_int_equal(s.swap_disk_used_bytes, (387000 + 1604) * KIB);
        assert_int_equal(s.swap_zram_total_bytes, GIB);
        assert_int_equal(s.swap_zram_used_bytes, 2 * MIB);
        assert_int_equal(s.ksm_run, 1);
        assert_int_equal(s.ksm_saved_bytes, 12979 * page);
        assert_int_equal(s.arc_size_bytes, AEROSTAT_UNKNOWN);
        assert_int_equal(host_config_read(tree.fd, &c), 0);
        assert_false(c.thp_never || c.zswap_enabled);
        assert_int_equal(c.khugepaged_max_ptes_none, 511);
        assert_int_equal(c.zswap_max_pool_ppm, 200000);
        assert_int_equal(c.node_mask, 3);
        tree_remove(&tree);
}

static void test_linux_6_18(void **state) {
        struct tree tree = tree_make(linux_6_18);
        struct host_sample s;
        struct host_config_sample c;

        assert_int_equal(host_sample_read(tree.fd, &s), 0);
        assert_int_equal(s.swap_disk_total_bytes, 0);
        assert_int_equal(s.swap_disk_used_bytes, 0);
        assert_int_equal(s.swap_zram_total_bytes, 4194300 * KIB);
        assert_int_equal(s.ksm_run, 2);
        assert_int_equal(s.ksm_saved_bytes, 1000 * (uint64_t) sysconf(_SC_PAGESIZE));
        assert_int_equal(s.arc_size_bytes, 16 * GIB);
        assert_int_equal(s.arc_min_bytes, 2110400000);
        assert_int_equal(s.vmstat.cow_ksm, 17);
        assert_int_equal(host_config_read(tree.fd, &c), 0);
        assert_true(c.thp_never && c.zswap_enabled);
        assert_int_equal(c.khugepaged_max_ptes_none, 0);
        assert_int_equal(c.zswap_max_pool_ppm, 350000);
        assert_int_equal(c.node_mask, 1);
        tree_remove(&tree);
}

/* Linux 6.18: two zones, two CPUs. */
static void test_pagesets(void **state) {
        static const struct tree_file files[] = {
                { "proc/zoneinfo", "Node 0, zone    DMA32\n  pages free     750000\n        min      1\n      nr_free_pages 750000\n  pagesets\n    cpu: 0\n"
                                   "              count:    179\n              high:     1444\n              batch:    63\n"
                                   "  vm stats threshold: 24\n    cpu: 1\n              count:    1385\n  vm stats threshold: 24\n"
                                   "Node 0, zone   Normal\n  pagesets\n    cpu: 0\n              count:    9338\n    cpu: 1\n"
                                   "              count:    8145\n  node_unreclaimable:  0\n" },
                { NULL },
        };
        struct tree tree = tree_make(files), none = tree_make(minimal);
        uint64_t bytes = 7, pages;

        assert_int_equal(host_pagesets_read(tree.fd, &bytes), 0);
        assert_int_equal(bytes, (179 + 1385 + 9338 + 8145) * (uint64_t) sysconf(_SC_PAGESIZE));
        assert_int_equal(host_pagesets_read(none.fd, &bytes), -ENOENT);
        assert_false(pageset_count_parse("  count:", &pages) || pageset_count_parse("  count: 1 2", &pages) || pageset_count_parse("count 1", &pages));
        assert_false(pageset_count_parse("  count: 99999999999999999999", &pages));
        tree_remove(&tree);
        tree_remove(&none);
}

static void test_minimal(void **state) {
        struct tree tree = tree_make(minimal);
        struct host_sample s;
        struct host_config_sample c;

        assert_int_equal(host_sample_read(tree.fd, &s), 0);
        assert_int_equal(s.swap_disk_total_bytes, 0); /* no swap in the kernel: that is known */
        assert_int_equal(s.pressure.some_avg10_ppm, AEROSTAT_UNKNOWN);
        assert_int_equal(s.vmstat.pswpin, AEROSTAT_UNKNOWN);
        assert_int_equal(s.ksm_run, AEROSTAT_UNKNOWN);
        assert_int_equal(s.ksm_saved_bytes, AEROSTAT_UNKNOWN);
        assert_int_equal(host_config_read(tree.fd, &c), 0);
        assert_true(c.thp_never);
        assert_false(c.zswap_enabled);
        assert_int_equal(c.khugepaged_max_ptes_none, AEROSTAT_UNKNOWN);
        assert_int_equal(c.node_mask, 0);
        tree_remove(&tree);
}

static void test_junk(void **state) {
        struct tree tree = tree_make(junk);
        struct host_sample s;
        struct host_config_sample c;

        assert_int_equal(host_sample_read(tree.fd, &s), 0);
        assert_int_equal(s.swap_disk_total_bytes, AEROSTAT_UNKNOWN); /* there is swap, and nothing says which */
        assert_int_equal(s.pressure.some_total_usec, AEROSTAT_UNKNOWN);
        assert_int_equal(s.arc_size_bytes, AEROSTAT_UNKNOWN);
        assert_int_equal(s.arc_min_bytes, AEROSTAT_UNKNOWN);
        assert_int_equal(s.ksm_run, AEROSTAT_UNKNOWN);
        assert_int_equal(s.ksm_saved_bytes, AEROSTAT_UNKNOWN);
        assert_int_equal(host_config_read(tree.fd, &c), 0);
        assert_int_equal(c.khugepaged_max_ptes_none, AEROSTAT_UNKNOWN);
        assert_int_equal(c.zswap_max_pool_ppm, AEROSTAT_UNKNOWN);
        assert_int_equal(c.node_mask, 13); /* has_memory is no list: those that are online */
        tree_remove(&tree);
}

static void test_no_meminfo(void **state) {
        static const struct tree_file nothing[] = { { "proc/vmstat", "pswpin 1\n" }, { NULL } };
        struct tree tree = tree_make(nothing);
        struct host_sample s = { .ksm_run = 42 };

        assert_int_equal(host_sample_read(tree.fd, &s), -ENOENT);
        assert_true(tree_put(&tree, "proc/meminfo", "MemFree: 1 kB\n", 14));
        assert_int_equal(host_sample_read(tree.fd, &s), -EBADMSG);
        assert_int_equal(s.ksm_run, 42); /* untouched */
        tree_remove(&tree);
}

static void test_swaps(void **state) {
        static const struct {
                const char *text;
                uint64_t disk_total, disk_used, zram_total;
        } cases[] = {
                { "", 0, 0, 0 },
                { SWAPS_HEADER, 0, 0, 0 },
                { SWAPS_HEADER "/swap file 8 4 -2", 8 * KIB, 4 * KIB, 0 },      /* no newline at the end */
                { SWAPS_HEADER "/dev/zram0\\040(deleted) partition 8 4 -2\n", 8 * KIB, 4 * KIB, 0 },
                { SWAPS_HEADER "/srv/zram file 8 4 -2\n/zram1x file 1 0 -2\n", 9 * KIB, 4 * KIB, 0 },
                { SWAPS_HEADER "/dev/zram3 partition 8 4 -2\n", 0, 0, 8 * KIB },
                { SWAPS_HEADER "/swap file\n/swap\n\n/swap file 8 x\n", 0, 0, 0 },
                { SWAPS_HEADER "/a file 99999999999999999999 0 1\n/b file 1 1 1\n", AEROSTAT_UNKNOWN, KIB, 0 },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct host_sample s = {};
                swaps_parse(cases[i].text, &s);
                assert_int_equal(s.swap_disk_total_bytes, cases[i].disk_total);
                assert_int_equal(s.swap_disk_used_bytes, cases[i].disk_used);
                assert_int_equal(s.swap_zram_total_bytes, cases[i].zram_total);
        }
}

/* As Linux 6.18 writes it; lines of no interest left out, but not those whose names contain others. */
#define NODE(n, total, free, active, inactive, slab)                                                                                          \
        "Node " n " MemTotal:       " total " kB\nNode " n " MemFree:        " free " kB\nNode " n " MemUsed:         1641652 kB\n"             \
        "Node " n " Active:           315784 kB\nNode " n " Active(anon):       1888 kB\nNode " n " Active(file):     " active " kB\n"         \
        "Node " n " Inactive(file):    " inactive " kB\nNode " n " FilePages:        396584 kB\nNode " n " KReclaimable:     " slab " kB\n"    \
        "Node " n " SReclaimable:          1 kB\nNode " n " HugePages_Total:     0\n"

/* Two nodes of 8 and 4 GiB. Free and reclaimable are 6 GiB together, of which the kernel keeps 384 MiB for itself: 256 of the larger one. */
static const struct tree_file two_nodes[] = {
        { "proc/meminfo", "MemTotal:       12582912 kB\nMemFree:         3145728 kB\nMemAvailable:    5898240 kB\nSwapTotal:             0 kB\n" },
        { "sys/devices/system/node/has_memory", "0,2\n" },
        { "sys/devices/system/node/node0/meminfo", NODE("0", "8388608", "1048576", "1048576", "524288", "524288") },
        { "sys/devices/system/node/node1/meminfo", NODE("1", "0", "0", "0", "0", "0") },
        { "sys/devices/system/node/node2/meminfo", NODE("2", "4194304", "2097152", "524288", "262144", "262144") },
        { NULL },
};

static void test_nodes(void **state) {
        struct tree tree = tree_make(two_nodes);
        struct nodes_sample n = { .n = 42 };
        struct host_config_sample c;
        struct host_sample s;

        assert_int_equal(host_config_read(tree.fd, &c), 0);
        assert_int_equal(c.node_mask, 5);
        assert_int_equal(host_sample_read(tree.fd, &s), 0);
        assert_int_equal(nodes_sample_read(tree.fd, c.node_mask, s.meminfo.available_bytes, &n), 0);
        assert_int_equal(n.n, 3);
        assert_int_equal(n.nodes[0].total_bytes, 8 * GIB);
        assert_int_equal(n.nodes[0].free_bytes, GIB);
        assert_int_equal(n.nodes[0].file_bytes, 1536 * MIB);
        assert_int_equal(n.nodes[0].reclaimable_bytes, 512 * MIB);
        assert_int_equal(n.nodes[0].available_bytes, 3 * GIB - 256 * MIB);
        assert_int_equal(n.nodes[1].total_bytes, 0); /* CPUs only: not asked */
        assert_int_equal(n.nodes[2].available_bytes, 3 * GIB - 128 * MIB);
        assert_int_equal(n.nodes[0].available_bytes + n.nodes[2].available_bytes, s.meminfo.available_bytes);

        /* Memory in one piece: nothing is read. */
        assert_int_equal(nodes_sample_read(tree.fd, 0, GIB, &n), 0);
        assert_int_equal(n.n, 0);
        assert_int_equal(nodes_sample_read(tree.fd, 1 << 7, GIB, &n), 0);
        assert_int_equal(n.n, 0);

        /* A node that is gone, or makes no sense: what was known stays. */
        n.n = 42;
        assert_int_equal(nodes_sample_read(tree.fd, 1 << 0 | 1 << 3, GIB, &n), -ENOENT);
        assert_true(tree_put(&tree, "sys/devices/system/node/node2/meminfo", "Node 2 MemFree: 1 kB\n", 21));
        assert_int_equal(nodes_sample_read(tree.fd, c.node_mask, GIB, &n), -EBADMSG);
        assert_int_equal(n.n, 42);
        tree_remove(&tree);
}

static void test_node_meminfo(void **state) {
        struct node_sample n = { 0 };

        /* Before Linux 4.20 there is no KReclaimable; the last line may have no end. */
        assert_int_equal(node_meminfo_parse("Node 12 MemTotal: 100 kB\nNode 12 MemFree: 10 kB\nNode 12 SReclaimable: 5 kB", &n), 0);
        assert_int_equal(n.total_bytes, 100 * KIB);
        assert_int_equal(n.reclaimable_bytes, 5 * KIB);
        /* No part is larger than the whole. */
        assert_int_equal(node_meminfo_parse("Node 0 MemTotal: 100 kB\nNode 0 MemFree: 99999999999999999999 kB\nNode 0 Active(file): 200 kB\n", &n),
                         -EBADMSG);
        assert_int_equal(node_meminfo_parse("Node 0 MemTotal: 100 kB\nNode 0 MemFree: 200 kB\nNode 0 Active(file): 200 kB\n", &n), 0);
        assert_int_equal(n.free_bytes, 100 * KIB);
        assert_int_equal(n.file_bytes, 100 * KIB);
        assert_int_equal(node_meminfo_parse("", &n), -EBADMSG);
        assert_int_equal(node_meminfo_parse("MemTotal: 100 kB\nMemFree: 10 kB\n", &n), -EBADMSG);
        assert_int_equal(node_meminfo_parse("Node 0 MemTotal: 100\nNode 0 MemFree: 10 kB\n", &n), -EBADMSG);
        assert_int_equal(node_meminfo_parse("Node x MemTotal: 100 kB\nNode 0 MemFree: 10 kB\n", &n), -EBADMSG);
}

/* What the kernel keeps is never more than what a node has, and where the host's number is unknown nothing is taken off. */
static void test_node_estimate(void **state) {
        struct nodes_sample n = { .n = 2, .nodes = { { .total_bytes = 8 * GIB, .free_bytes = 64 * MIB },
                { .total_bytes = 8 * GIB, .free_bytes = 4 * GIB } } };

        nodes_estimate(&n, 3 * GIB);
        assert_int_equal(n.nodes[0].available_bytes, 0);
        assert_int_equal(n.nodes[1].available_bytes, 4 * GIB - (GIB + 64 * MIB) / 2);
        nodes_estimate(&n, 64 * GIB);
        assert_int_equal(n.nodes[1].available_bytes, 4 * GIB);
        nodes_estimate(&n, AEROSTAT_UNKNOWN);
        assert_int_equal(n.nodes[0].available_bytes, 64 * MIB);
}

static void test_small_parsers(void **state) {
        char path[] = "/a\\040b\\011\\134\\400\\04", nul[] = "\\000";

        assert_int_equal(number_parse("0\n"), 0);
        assert_int_equal(number_parse("18446744073709551615"), AEROSTAT_UNKNOWN);
        assert_int_equal(number_parse("1\n2\n"), AEROSTAT_UNKNOWN);
        assert_int_equal(number_parse(""), AEROSTAT_UNKNOWN);
        assert_int_equal(list_count("0\n"), 1);
        assert_int_equal(list_count("0-3,8-9,11"), 7);
        assert_int_equal(list_count("\n"), 0);
        assert_int_equal(list_count("0-"), 0);
        assert_int_equal(list_count("0-99999999999"), 0);
        assert_true(list_mask("0-3,8-9,11\n") == 0xb0f);
        assert_true(list_mask("62-70") == UINT64_C(3) << 62);
        assert_true(list_mask("1,") == 0);
        assert_true(choice_is("always [madvise] never\n", "madvise"));
        assert_false(choice_is("always [madvise] never\n", "mad"));
        assert_false(choice_is("always", "always"));
        unescape_octal(path);
        assert_string_equal(path, "/a b\t\\\\400\\04");
        unescape_octal(nul);
        assert_string_equal(nul, "?");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_linux_6_1), cmocka_unit_test(test_linux_6_18), cmocka_unit_test(test_pagesets), cmocka_unit_test(test_minimal),
                cmocka_unit_test(test_junk), cmocka_unit_test(test_no_meminfo), cmocka_unit_test(test_swaps),
                cmocka_unit_test(test_nodes), cmocka_unit_test(test_node_meminfo), cmocka_unit_test(test_node_estimate),
                cmocka_unit_test(test_small_parsers),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
