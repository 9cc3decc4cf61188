/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guest-agent/sample.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/utsname.h>

#include "protocol/parse.h"
#include "protocol/procfs.h"

/* zram devices are looked for by number: listing a folder would allocate. Nobody is known to have more. */
#define ZRAM_DEVICES 8

static int open_below(int root_fd, const char *path) {
        return openat(root_fd, path, O_RDONLY | O_CLOEXEC);
}

int sampler_open(struct sampler *sampler, const char *root) {
        int r;

        r = procfs_open_root(root);
        if (r < 0)
                return r;
        sampler->root_fd = r;
        sampler->meminfo_fd = open_below(r, "proc/meminfo");
        if (sampler->meminfo_fd < 0) {
                r = -errno;
                close(sampler->root_fd);
                return r;
        }
        sampler->vmstat_fd = open_below(r, "proc/vmstat");
        sampler->pressure_fd = open_below(r, "proc/pressure/memory");
        sampler->arcstats_fd = open_below(r, "proc/spl/kstat/zfs/arcstats");
        sampler->page_size_bytes = (uint64_t) sysconf(_SC_PAGESIZE);
        return 0;
}

void sampler_close(struct sampler *sampler) {
        closep(&sampler->root_fd);
        closep(&sampler->meminfo_fd);
        closep(&sampler->vmstat_fd);
        closep(&sampler->pressure_fd);
        closep(&sampler->arcstats_fd);
}

/* Reads one of our files; false when it is not there or does not answer (psi=0 makes reads fail with EOPNOTSUPP). */
static bool read_file(struct sampler *sampler, int fd) {
        return fd >= 0 && procfs_read_fd(fd, sampler->buf, sizeof(sampler->buf)) >= 0;
}

static int read_meminfo(struct sampler *sampler, struct meminfo *ret) {
        ssize_t n;
        int r;

        n = procfs_read_fd(sampler->meminfo_fd, sampler->buf, sizeof(sampler->buf));
        if (n < 0)
                return (int) n;
        r = meminfo_parse(sampler->buf, ret);
        if (r < 0)
                return r;
        if (ret->available_bytes == AEROSTAT_UNKNOWN || ret->total_bytes == 0)
                return -EBADMSG;
        /* They are not read at one instant; while the balloon inflates the sum can be ahead of the total. */
        ret->available_bytes = MIN(ret->available_bytes, ret->total_bytes);
        return 0;
}

int sampler_look(struct sampler *sampler, uint64_t *ret_total_bytes, uint64_t *ret_available_bytes) {
        struct meminfo meminfo;
        int r;

        r = read_meminfo(sampler, &meminfo);
        if (r < 0)
                return r;
        *ret_total_bytes = meminfo.total_bytes;
        *ret_available_bytes = meminfo.available_bytes;
        return 0;
}

static uint64_t known_sum(uint64_t a, uint64_t b) {
        return a == AEROSTAT_UNKNOWN || b == AEROSTAT_UNKNOWN ? AEROSTAT_UNKNOWN : u64_add(a, b);
}

static uint64_t known_difference(uint64_t a, uint64_t b) {
        return a == AEROSTAT_UNKNOWN || b == AEROSTAT_UNKNOWN ? AEROSTAT_UNKNOWN : u64_sub(a, b);
}

static void take_meminfo(struct message_report *report, const struct meminfo *meminfo) {
        report->total_bytes = meminfo->total_bytes;
        report->available_bytes = meminfo->available_bytes;
        report->free_bytes = meminfo->free_bytes;
        report->cache_bytes = known_difference(known_sum(meminfo->cached_bytes, meminfo->buffers_bytes), meminfo->shmem_bytes);
        report->shmem_bytes = meminfo->shmem_bytes;
        report->anon_bytes = meminfo->anon_bytes;
        report->dirty_bytes = known_sum(meminfo->dirty_bytes, meminfo->writeback_bytes);
        report->mlocked_bytes = meminfo->mlocked_bytes;
        report->slab_reclaimable_bytes = meminfo->slab_reclaimable_bytes;
        report->hugetlb_bytes = meminfo->hugetlb_bytes;
        report->swap_total_bytes = meminfo->swap_total_bytes;
        report->swap_free_bytes = meminfo->swap_free_bytes;
        report->balloon_bytes = meminfo->balloon_bytes;
}

static void take_vmstat(struct message_report *report, const struct vmstat *vmstat, uint64_t page_size) {
        report->swap_in_bytes = u64_mul(vmstat->pswpin, page_size);
        report->swap_out_bytes = u64_mul(vmstat->pswpout, page_size);
        report->refault_file_bytes = u64_mul(vmstat->workingset_refault_file, page_size);
        report->refault_anon_bytes = u64_mul(vmstat->workingset_refault_anon, page_size);
        report->major_faults = vmstat->pgmajfault;
        report->oom_kills = vmstat->oom_kill;
        report->alloc_stalls = vmstat->allocstall;
        if (report->balloon_bytes == AEROSTAT_UNKNOWN)
                report->balloon_bytes = u64_mul(known_difference(vmstat->balloon_inflate, vmstat->balloon_deflate), page_size);
}

/* The number in a column (from 0) of a line of columns; unknown when it is not there, is none, or does not fit. */
static uint64_t column(const char *line, unsigned index) {
        line += strspn(line, " ");
        for (; index > 0; index--) {
                line += strcspn(line, " \n");
                line += strspn(line, " ");
        }
        return *line >= '0' && *line <= '9' ? strtoull(line, NULL, 10) : AEROSTAT_UNKNOWN; /* which is ULLONG_MAX, too large */
}

/* The value of a line "name  4  12345" of a kstat file. */
static uint64_t kstat_value(const char *text, const char *name) {
        size_t length = strlen(name);

        for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n')
                if (strncmp(line, name, length) == 0 && line[length] == ' ')
                        return column(line, 2);
        return AEROSTAT_UNKNOWN;
}

static void take_arcstats(struct message_report *report, const char *text) {
        /* ARC counts as used in MemAvailable, but shrinks on demand down to c_min. */
        report->arc_reclaimable_bytes = known_difference(kstat_value(text, "size"), kstat_value(text, "c_min"));
}

static uint64_t read_column(struct sampler *sampler, unsigned device, const char *file, unsigned index) {
        char path[48];

        snprintf(path, sizeof(path), "sys/block/zram%u/%s", device, file);
        if (procfs_read(sampler->root_fd, path, sampler->buf, sizeof(sampler->buf)) < 0)
                return AEROSTAT_UNKNOWN;
        return column(sampler->buf, index);
}

/* /sys/block/zram<n>/disksize and the third column of mm_stat, mem_used_total (Documentation/admin-guide/blockdev/zram.rst). */
static void take_zram(struct sampler *sampler, struct message_report *report) {
        uint64_t disk = 0, used = 0;
        bool any = false;

        for (unsigned i = 0; i < ZRAM_DEVICES; i++) {
                uint64_t size = read_column(sampler, i, "disksize", 0);
                if (size == AEROSTAT_UNKNOWN)
                        continue;
                any = true;
                disk = u64_add(disk, size);
                used = u64_add(used, read_column(sampler, i, "mm_stat", 2));
        }
        if (any) {
                report->zram_disk_bytes = disk;
                report->zram_used_bytes = used;
        }
}

/* A number that the protocol cannot carry is one that nobody has measured. */
static void drop_impossible(struct message_report *report) {
        for (size_t i = 0; i < n_report_fields; i++) {
                uint64_t *value = (uint64_t *) (void *) ((char *) report + report_fields[i].offset);
                if (*value > INT64_MAX)
                        *value = AEROSTAT_UNKNOWN;
        }
}

int sampler_report(struct sampler *sampler, struct message_report *ret) {
        struct message_report report;
        struct pressure pressure;
        struct meminfo meminfo;
        struct vmstat vmstat;
        int r;

        r = read_meminfo(sampler, &meminfo);
        if (r < 0)
                return r;
        message_report_init(&report);
        report.reason = REPORT_PERIODIC;
        take_meminfo(&report, &meminfo);
        if (read_file(sampler, sampler->vmstat_fd) && vmstat_parse(sampler->buf, &vmstat) >= 0)
                take_vmstat(&report, &vmstat, sampler->page_size_bytes);
        if (read_file(sampler, sampler->pressure_fd) && pressure_parse(sampler->buf, &pressure) >= 0) {
                report.psi_some_total_usec = pressure.some_total_usec;
                report.psi_full_total_usec = pressure.full_total_usec;
                report.psi_some_avg10_ppm = pressure.some_avg10_ppm;
                report.psi_full_avg10_ppm = pressure.full_avg10_ppm;
        }
        if (sampler->arcstats_fd < 0) /* ZFS is often loaded late */
                sampler->arcstats_fd = open_below(sampler->root_fd, "proc/spl/kstat/zfs/arcstats");
        if (read_file(sampler, sampler->arcstats_fd))
                take_arcstats(&report, sampler->buf);
        take_zram(sampler, &report);
        drop_impossible(&report);
        if (report.total_bytes == AEROSTAT_UNKNOWN || report.available_bytes == AEROSTAT_UNKNOWN)
                return -EBADMSG;
        *ret = report;
        return 0;
}

void sampler_boot_id(struct sampler *sampler, uint8_t ret[static 16]) {
        ssize_t n;

        n = procfs_read(sampler->root_fd, "proc/sys/kernel/random/boot_id", sampler->buf, sizeof(sampler->buf));
        if (n == UUID_STRING_SIZE && sampler->buf[n - 1] == '\n') {
                sampler->buf[n - 1] = 0;
                if (parse_uuid(sampler->buf, ret) >= 0)
                        return;
        }
        /* Good enough: the host then sees our restart as a reboot. */
        while (getrandom(ret, 16, 0) != 16)
                ;
}

/* Copies what is printable, for a text field. */
static void copy_text(char to[static MESSAGE_TEXT_MAX], const char *from) {
        size_t n = 0;

        for (; *from && n + 1 < MESSAGE_TEXT_MAX; from++)
                if (*from >= 0x20 && *from <= 0x7e)
                        to[n++] = *from;
        memset(to + n, 0, MESSAGE_TEXT_MAX - n);
}

int sampler_identity(struct sampler *sampler, struct message_hello_ack *ret) {
        struct message_report report;
        struct utsname uts;
        int r;

        r = sampler_report(sampler, &report);
        if (r < 0)
                return r;
        *ret = (struct message_hello_ack) {
                .version = FRAME_VERSION,
                .page_size_bytes = sampler->page_size_bytes,
                .memory_total_bytes = report.total_bytes,
        };
        if (report.psi_some_total_usec != AEROSTAT_UNKNOWN)
                ret->features |= MESSAGE_FEATURE_PSI;
        if (report.balloon_bytes != AEROSTAT_UNKNOWN)
                ret->features |= MESSAGE_FEATURE_BALLOON;
        copy_text(ret->agent_version, PACKAGE_VERSION);
        if (uname(&uts) >= 0)
                copy_text(ret->kernel_version, uts.release);
        return 0;
}
