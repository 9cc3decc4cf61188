/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "protocol/procfs.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>

#include "protocol/units.h"

int procfs_open_root(const char *root) {
        int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        return fd < 0 ? -errno : fd;
}

ssize_t procfs_read_fd(int fd, char *buf, size_t size) {
        size_t used = 0;

        if (size == 0)
                return -E2BIG;
        for (;;) {
                ssize_t n = pread(fd, buf + used, size - used, (off_t) used);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        break;
                used += (size_t) n;
                if (used == size)
                        return -E2BIG;
        }
        buf[used] = 0;
        return (ssize_t) used;
}

ssize_t procfs_read(int root_fd, const char *path, char *buf, size_t size) {
        _cleanup_close_ int fd = openat(root_fd, path, O_RDONLY | O_CLOEXEC);

        return fd < 0 ? -errno : procfs_read_fd(fd, buf, size);
}

static bool is_digit(char c) {
        return c >= '0' && c <= '9';
}

bool procfs_take_u64(const char **s, uint64_t *ret) {
        uint64_t value = 0;
        bool overflow = false;

        if (!is_digit(**s))
                return false;
        for (; is_digit(**s); (*s)++)
                overflow |= __builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, (uint64_t) (**s - '0'), &value);
        *ret = overflow ? AEROSTAT_UNKNOWN : value;
        return true;
}

static const char *skip_blanks(const char *s) {
        return s + strspn(s, " \t");
}

/* A name in a file of "name value" lines, and where its value goes. */
struct named_value {
        const char *name;
        size_t offset;
};

static uint64_t *find_value(const struct named_value *values, size_t n, const char *name, size_t length, void *object) {
        for (size_t i = 0; i < n; i++)
                if (strncmp(values[i].name, name, length) == 0 && values[i].name[length] == 0)
                        return (uint64_t *) (void *) ((char *) object + values[i].offset);
        return NULL;
}

/* Adds where neither is unknown. */
static uint64_t add_known(uint64_t a, uint64_t b) {
        return a == AEROSTAT_UNKNOWN || b == AEROSTAT_UNKNOWN ? AEROSTAT_UNKNOWN : u64_add(a, b);
}

static const struct named_value meminfo_values[] = {
        { "MemTotal", offsetof(struct meminfo, total_bytes) },
        { "MemFree", offsetof(struct meminfo, free_bytes) },
        { "MemAvailable", offsetof(struct meminfo, available_bytes) },
        { "Buffers", offsetof(struct meminfo, buffers_bytes) },
        { "Cached", offsetof(struct meminfo, cached_bytes) },
        { "Shmem", offsetof(struct meminfo, shmem_bytes) },
        { "AnonPages", offsetof(struct meminfo, anon_bytes) },
        { "Dirty", offsetof(struct meminfo, dirty_bytes) },
        { "Writeback", offsetof(struct meminfo, writeback_bytes) },
        { "Mlocked", offsetof(struct meminfo, mlocked_bytes) },
        { "SReclaimable", offsetof(struct meminfo, slab_reclaimable_bytes) },
        { "SwapTotal", offsetof(struct meminfo, swap_total_bytes) },
        { "SwapFree", offsetof(struct meminfo, swap_free_bytes) },
        { "Hugetlb", offsetof(struct meminfo, hugetlb_bytes) },
        { "Balloon", offsetof(struct meminfo, balloon_bytes) },
        { "Zswap", offsetof(struct meminfo, zswap_bytes) },
        { "HugePages_Total", offsetof(struct meminfo, hugepages_total) },
        { "HugePages_Free", offsetof(struct meminfo, hugepages_free) },
        { "Hugepagesize", offsetof(struct meminfo, hugepage_size_bytes) },
};

/* "Name:   123 kB" or "Name:   123". Returns where the next line begins, or NULL when it is malformed. */
static const char *meminfo_parse_line(const char *line, struct meminfo *meminfo) {
        const char *end = line + strcspn(line, "\n"), *colon = memchr(line, ':', (size_t) (end - line)), *p;
        uint64_t value, *to;

        if (!colon || colon == line)
                return NULL;
        p = skip_blanks(colon + 1);
        if (!procfs_take_u64(&p, &value))
                return NULL;
        if (strncmp(p, " kB", 3) == 0) {
                value = u64_mul(value, KIB); /* saturates at "unknown" */
                p += 3;
        }
        if (p != end)
                return NULL;
        to = find_value(meminfo_values, ARRAY_SIZE(meminfo_values), line, (size_t) (colon - line), meminfo);
        if (to)
                *to = value;
        return *end ? end + 1 : end;
}

int meminfo_parse(const char *text, struct meminfo *ret) {
        struct meminfo meminfo;

        memset(&meminfo, 0xff, sizeof(meminfo)); /* all unknown */
        while (*text) {
                text = meminfo_parse_line(text, &meminfo);
                if (!text)
                        return -EBADMSG;
        }
        if (meminfo.total_bytes == AEROSTAT_UNKNOWN || meminfo.free_bytes == AEROSTAT_UNKNOWN)
                return -EBADMSG;
        if (meminfo.available_bytes == AEROSTAT_UNKNOWN) {
                uint64_t estimate = add_known(add_known(meminfo.free_bytes, meminfo.buffers_bytes), meminfo.cached_bytes);
                if (estimate != AEROSTAT_UNKNOWN && meminfo.shmem_bytes != AEROSTAT_UNKNOWN)
                        meminfo.available_bytes = u64_sub(estimate, meminfo.shmem_bytes);
        }
        *ret = meminfo;
        return 0;
}

static const struct named_value vmstat_values[] = {
        { "pswpin", offsetof(struct vmstat, pswpin) },
        { "pswpout", offsetof(struct vmstat, pswpout) },
        { "workingset_refault", offsetof(struct vmstat, workingset_refault_file) }, /* before Linux 5.9: file pages only */
        { "workingset_refault_file", offsetof(struct vmstat, workingset_refault_file) },
        { "workingset_refault_anon", offsetof(struct vmstat, workingset_refault_anon) },
        { "pgmajfault", offsetof(struct vmstat, pgmajfault) },
        { "oom_kill", offsetof(struct vmstat, oom_kill) },
        { "balloon_inflate", offsetof(struct vmstat, balloon_inflate) },
        { "balloon_deflate", offsetof(struct vmstat, balloon_deflate) },
        { "ksm_swpin_copy", offsetof(struct vmstat, ksm_swpin_copy) },
        { "cow_ksm", offsetof(struct vmstat, cow_ksm) },
};

int vmstat_parse(const char *text, struct vmstat *ret) {
        static const char allocstall[] = "allocstall"; /* one before Linux 4.10, then one for each zone: allocstall_normal, ... */
        struct vmstat vmstat;
        uint64_t stalls = 0;
        bool any = false, any_stalls = false;
        size_t length;

        memset(&vmstat, 0xff, sizeof(vmstat)); /* all unknown */
        for (; *text; text += length + (text[length] == '\n')) {
                const char *blank, *p;
                uint64_t value, *to;

                length = strcspn(text, "\n");
                blank = memchr(text, ' ', length);
                if (!blank || blank == text)
                        continue;
                p = blank + 1;
                if (!procfs_take_u64(&p, &value) || p != text + length)
                        continue;
                any = true;
                if (strncmp(text, allocstall, strlen(allocstall)) == 0) {
                        stalls = add_known(stalls, value);
                        any_stalls = true;
                        continue;
                }
                to = find_value(vmstat_values, ARRAY_SIZE(vmstat_values), text, (size_t) (blank - text), &vmstat);
                if (to)
                        *to = value;
        }
        if (!any)
                return -EBADMSG;
        if (any_stalls)
                vmstat.allocstall = stalls;
        *ret = vmstat;
        return 0;
}

uint64_t vmstat_ksm_copies(const struct vmstat *v) {
        return v->cow_ksm == AEROSTAT_UNKNOWN ? v->cow_ksm : u64_add(v->cow_ksm, v->ksm_swpin_copy == AEROSTAT_UNKNOWN ? 0 : v->ksm_swpin_copy);
}

/* "12.34" -> 123400 parts per million: two decimal places are what the kernel prints. */
static bool take_percent(const char **s, uint64_t *ret_ppm) {
        const char *p = *s;
        uint64_t whole;

        if (!procfs_take_u64(&p, &whole) || p[0] != '.' || !is_digit(p[1]) || !is_digit(p[2]) || is_digit(p[3]))
                return false;
        *ret_ppm = whole > 100 ? AEROSTAT_UNKNOWN
                               : MIN(whole * 10000 + (uint64_t) (p[1] - '0') * 1000 + (uint64_t) (p[2] - '0') * 100, PPM_ONE);
        *s = p + 3;
        return true;
}

/* "some avg10=0.00 avg60=0.00 avg300=0.00 total=0" after its first word. */
static bool pressure_parse_line(const char *p, uint64_t *ret_avg10_ppm, uint64_t *ret_total_usec) {
        static const char avg10[] = " avg10=", total[] = " total=";
        const char *end = p + strcspn(p, "\n"), *at;
        uint64_t ppm, usec;

        if (strncmp(p, avg10, strlen(avg10)) != 0)
                return false;
        p += strlen(avg10);
        if (!take_percent(&p, &ppm) || *p != ' ')
                return false;
        at = strstr(p, total);
        if (!at || at >= end)
                return false;
        at += strlen(total);
        if (!procfs_take_u64(&at, &usec) || at != end)
                return false;
        *ret_avg10_ppm = ppm;
        *ret_total_usec = usec;
        return true;
}

int pressure_parse(const char *text, struct pressure *ret) {
        struct pressure pressure;
        bool some = false;
        size_t length;

        memset(&pressure, 0xff, sizeof(pressure)); /* all unknown */
        for (; *text; text += length + (text[length] == '\n')) {
                length = strcspn(text, "\n");
                if (strncmp(text, "some", 4) == 0)
                        some |= pressure_parse_line(text + 4, &pressure.some_avg10_ppm, &pressure.some_total_usec);
                else if (strncmp(text, "full", 4) == 0)
                        pressure_parse_line(text + 4, &pressure.full_avg10_ppm, &pressure.full_total_usec);
        }
        if (!some)
                return -EBADMSG;
        *ret = pressure;
        return 0;
}

int psi_trigger_open(int root_fd, uint64_t stall_usec, uint64_t window_usec) {
        _cleanup_close_ int fd = openat(root_fd, "proc/pressure/memory", O_RDWR | O_NONBLOCK | O_CLOEXEC);
        struct statfs fs;
        char trigger[64];
        int n;

        if (fd < 0)
                return errno == ENOENT ? -EOPNOTSUPP : errno == EACCES ? -EPERM : -errno;
        /* A fixture tree holds plain files, which a trigger would overwrite. */
        if (fstatfs(fd, &fs) < 0)
                return -errno;
        if (fs.f_type != PROC_SUPER_MAGIC)
                return -EOPNOTSUPP;
        n = snprintf(trigger, sizeof(trigger), "some %" PRIu64 " %" PRIu64, stall_usec, window_usec);
        if (n < 0 || (size_t) n >= sizeof(trigger))
                return -EINVAL;
        /* With its NUL: the kernel cuts the last byte off. */
        if (write(fd, trigger, (size_t) n + 1) < 0)
                return -errno;
        return TAKE_FD(fd);
}
