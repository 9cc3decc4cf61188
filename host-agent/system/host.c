/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/system/host.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "host-agent/system/lines.h"
#include "host-agent/system/parsers.h"
#include "protocol/units.h"

/* arcstats has some 8 KiB, vmstat 5 KiB, and /proc/swaps a line of up to 4 KiB for each of at most 28 swaps, commonly 100 bytes. */
#define FILE_MAX (32 * 1024)

static uint64_t read_number(int root_fd, const char *path) {
        char buf[64];

        return procfs_read(root_fd, path, buf, sizeof(buf)) < 0 ? AEROSTAT_UNKNOWN : number_parse(buf);
}

static void read_swaps(int root_fd, char *buf, struct host_sample *sample) {
        sample->swap_disk_total_bytes = sample->swap_disk_used_bytes = AEROSTAT_UNKNOWN;
        sample->swap_zram_total_bytes = sample->swap_zram_used_bytes = AEROSTAT_UNKNOWN;
        if (procfs_read(root_fd, "proc/swaps", buf, FILE_MAX) >= 0)
                swaps_parse(buf, sample);
        else if (sample->meminfo.swap_total_bytes == 0) /* a kernel without swap has no such file */
                swaps_parse("", sample);
}

static void read_ksm(int root_fd, struct host_sample *sample) {
        uint64_t sharing;

        sample->ksm_run = read_number(root_fd, "sys/kernel/mm/ksm/run");
        sharing = read_number(root_fd, "sys/kernel/mm/ksm/pages_sharing");
        sample->ksm_saved_bytes = sharing == AEROSTAT_UNKNOWN ? AEROSTAT_UNKNOWN : u64_mul(sharing, (uint64_t) sysconf(_SC_PAGESIZE));
}

static void read_arc(int root_fd, char *buf, struct host_sample *sample) {
        sample->arc_size_bytes = sample->arc_min_bytes = AEROSTAT_UNKNOWN;
        if (procfs_read(root_fd, "proc/spl/kstat/zfs/arcstats", buf, FILE_MAX) >= 0)
                arcstats_parse(buf, sample);
}

int host_sample_read(int root_fd, struct host_sample *ret) {
        struct host_sample sample;
        char buf[FILE_MAX];
        ssize_t n;
        int r;

        n = procfs_read(root_fd, "proc/meminfo", buf, sizeof(buf));
        if (n < 0)
                return (int) n;
        r = meminfo_parse(buf, &sample.meminfo);
        if (r < 0)
                return r;
        memset(&sample.vmstat, 0xff, sizeof(sample.vmstat)); /* all unknown */
        if (procfs_read(root_fd, "proc/vmstat", buf, sizeof(buf)) >= 0)
                (void) vmstat_parse(buf, &sample.vmstat);
        memset(&sample.pressure, 0xff, sizeof(sample.pressure));
        if (procfs_read(root_fd, "proc/pressure/memory", buf, sizeof(buf)) >= 0)
                (void) pressure_parse(buf, &sample.pressure);
        read_swaps(root_fd, buf, &sample);
        read_ksm(root_fd, &sample);
        read_arc(root_fd, buf, &sample);
        *ret = sample;
        return 0;
}

int host_pagesets_read(int root_fd, uint64_t *ret_bytes) {
        _cleanup_close_ int fd = openat(root_fd, "proc/zoneinfo", O_RDONLY | O_CLOEXEC);
        uint64_t sum = 0, pages;
        struct lines lines;
        char *line;
        int r;

        if (fd < 0)
                return -errno;
        lines_init(&lines, fd, '\n');
        while ((r = lines_next(&lines, &line)) > 0)
                if (pageset_count_parse(line, &pages))
                        sum = u64_add(sum, pages);
        if (r < 0)
                return r;
        *ret_bytes = u64_mul(sum, (uint64_t) sysconf(_SC_PAGESIZE));
        return 0;
}

static void read_numa_nodes(int root_fd, struct host_config_sample *sample) {
        /* Nodes with memory; a node may have CPUs only. */
        static const char *const lists[] = { "sys/devices/system/node/has_memory", "sys/devices/system/node/online" };
        char buf[256];

        sample->node_mask = 0;
        for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
                if (procfs_read(root_fd, lists[i], buf, sizeof(buf)) >= 0 && list_count(buf) > 0) {
                        sample->node_mask = list_mask(buf);
                        return;
                }
}

int host_config_read(int root_fd, struct host_config_sample *ret) {
        struct host_config_sample sample;
        uint64_t percent;
        char buf[256];

        /* Without the file the kernel has no transparent huge pages. */
        sample.thp_never = procfs_read(root_fd, "sys/kernel/mm/transparent_hugepage/enabled", buf, sizeof(buf)) < 0 || choice_is(buf, "never");
        sample.khugepaged_max_ptes_none = read_number(root_fd, "sys/kernel/mm/transparent_hugepage/khugepaged/max_ptes_none");
        sample.zswap_enabled = procfs_read(root_fd, "sys/module/zswap/parameters/enabled", buf, sizeof(buf)) >= 0 && *buf == 'Y';
        percent = read_number(root_fd, "sys/module/zswap/parameters/max_pool_percent");
        sample.zswap_max_pool_ppm = percent > 100 ? AEROSTAT_UNKNOWN : percent * (PPM_ONE / 100);
        read_numa_nodes(root_fd, &sample);
        *ret = sample;
        return 0;
}
