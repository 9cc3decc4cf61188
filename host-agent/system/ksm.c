/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/system/ksm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "host-agent/system/ksm_parsers.h"
#include "host-agent/system/parsers.h"
#include "protocol/procfs.h"

#define KSM "sys/kernel/mm/ksm/"
#define TRACKED_BYTES 64 /* sizeof(struct ksm_rmap_item) on 64-bit kernels */

static const struct {
        const char *name;
        size_t offset;
} knob_table[KSM_N_KNOBS] = {
        { "run", offsetof(struct ksm_knobs, run) },
        { "pages_to_scan", offsetof(struct ksm_knobs, pages_to_scan) },
        { "sleep_millisecs", offsetof(struct ksm_knobs, sleep_msec) },
        { "advisor_mode", offsetof(struct ksm_knobs, advisor) },
        { "advisor_max_cpu", offsetof(struct ksm_knobs, advisor_max_cpu) },
        { "advisor_min_pages_to_scan", offsetof(struct ksm_knobs, advisor_min_pages) },
        { "advisor_max_pages_to_scan", offsetof(struct ksm_knobs, advisor_max_pages) },
};

const char *ksm_knob_name(size_t index) {
        return knob_table[index].name;
}

uint64_t *ksm_knob(struct ksm_knobs *knobs, size_t index) {
        return (uint64_t *) ((char *) knobs + knob_table[index].offset);
}

static ssize_t read_file(int root_fd, const char *file, char *buf, size_t size) {
        char path[96];

        snprintf(path, sizeof(path), KSM "%s", file);
        return procfs_read(root_fd, path, buf, size);
}

static uint64_t read_u64(int root_fd, const char *file) {
        char buf[64];

        return read_file(root_fd, file, buf, sizeof(buf)) < 0 ? AEROSTAT_UNKNOWN : number_parse(buf);
}

static void read_profit(int root_fd, struct ksm_sample *s) {
        uint64_t tracked = 0;
        char buf[64];
        const uint64_t pages[] = { s->shared_pages, s->sharing_pages, s->unshared_pages, s->volatile_pages };

        s->profit_estimated = read_file(root_fd, "general_profit", buf, sizeof(buf)) < 0 || ksm_parse_signed(buf, &s->profit_bytes) < 0;
        if (!s->profit_estimated)
                return;
        for (size_t i = 0; i < ARRAY_SIZE(pages); i++)
                tracked = u64_add(tracked, pages[i] == AEROSTAT_UNKNOWN ? 0 : pages[i]);
        s->profit_bytes = (int64_t) (MIN(s->saved_bytes, INT64_MAX / 2)) - (int64_t) (MIN(u64_mul(tracked, TRACKED_BYTES), INT64_MAX / 2));
}

int ksm_sample_read(int root_fd, struct ksm_sample *ret) {
        uint64_t page = (uint64_t) sysconf(_SC_PAGESIZE);
        struct ksm_sample s = { 0 };
        char buf[64];
        ssize_t n;

        n = read_file(root_fd, "run", buf, sizeof(buf));
        if (n < 0)
                return (int) n;
        for (size_t i = 0; i < KSM_N_KNOBS; i++)
                *ksm_knob(&s.knobs, i) = read_u64(root_fd, knob_table[i].name);
        s.knobs.advisor = read_file(root_fd, "advisor_mode", buf, sizeof(buf)) < 0 ? AEROSTAT_UNKNOWN : ksm_parse_advisor(buf);
        s.full_scans = read_u64(root_fd, "full_scans");
        s.shared_pages = read_u64(root_fd, "pages_shared");
        s.sharing_pages = read_u64(root_fd, "pages_sharing");
        s.unshared_pages = read_u64(root_fd, "pages_unshared");
        s.volatile_pages = read_u64(root_fd, "pages_volatile");
        s.zero_pages = read_u64(root_fd, "ksm_zero_pages");
        s.saved_bytes = s.sharing_pages == AEROSTAT_UNKNOWN
                                ? AEROSTAT_UNKNOWN
                                : u64_mul(u64_add(s.sharing_pages, s.zero_pages == AEROSTAT_UNKNOWN ? 0 : s.zero_pages), page);
        s.merge_across_nodes = read_u64(root_fd, "merge_across_nodes");
        s.use_zero_pages = read_u64(root_fd, "use_zero_pages");
        read_profit(root_fd, &s);
        *ret = s;
        return 0;
}

int ksm_check_writable(int root_fd) {
        /* access() asks by what the file may be; only opening tells of a read-only mount. */
        int fd = openat(root_fd, KSM "run", O_WRONLY | O_CLOEXEC);

        if (fd < 0)
                return -errno;
        close(fd);
        return 0;
}

static int write_text(int root_fd, const char *file, const char *text) {
        _cleanup_close_ int fd = -1;
        char path[96];
        ssize_t n;

        snprintf(path, sizeof(path), KSM "%s", file);
        fd = openat(root_fd, path, O_WRONLY | O_TRUNC | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        n = write(fd, text, strlen(text));
        return n < 0 ? -errno : 0;
}

static int write_number(int root_fd, const char *file, uint64_t value) {
        char text[32];

        snprintf(text, sizeof(text), "%llu\n", (unsigned long long) value);
        return write_text(root_fd, file, text);
}

static int write_advisor(int root_fd, uint64_t advisor) {
        return write_text(root_fd, "advisor_mode", advisor ? "scan-time\n" : "none\n");
}

/* Writes a number where it is wanted, known and different. */
static int set(int root_fd, const char *file, uint64_t now, uint64_t want, const char **ret_file) {
        int r;

        if (want == AEROSTAT_UNKNOWN || now == AEROSTAT_UNKNOWN || now == want)
                return 0;
        r = write_number(root_fd, file, want);
        if (r < 0)
                *ret_file = file;
        return r;
}

static int switch_advisor(int root_fd, uint64_t advisor, const char **ret_file) {
        int r = write_advisor(root_fd, advisor);

        if (r < 0)
                *ret_file = "advisor_mode";
        return r;
}

int ksm_apply(int root_fd, const struct ksm_knobs *now, const struct ksm_knobs *want, const char **ret_file) {
        uint64_t advisor = want->advisor != AEROSTAT_UNKNOWN ? want->advisor : now->advisor;
        bool has_advisor = now->advisor != AEROSTAT_UNKNOWN, on = has_advisor && advisor == 1;
        bool restart = on && now->advisor == 1 && want->pages_to_scan != AEROSTAT_UNKNOWN && want->pages_to_scan != now->pages_to_scan;
        uint64_t pages = now->pages_to_scan;
        int r;

        if ((r = set(root_fd, "sleep_millisecs", now->sleep_msec, want->sleep_msec, ret_file)) < 0 ||
            (r = set(root_fd, "advisor_max_cpu", now->advisor_max_cpu, want->advisor_max_cpu, ret_file)) < 0 ||
            (r = set(root_fd, "advisor_min_pages_to_scan", now->advisor_min_pages, want->advisor_min_pages, ret_file)) < 0 ||
            (r = set(root_fd, "advisor_max_pages_to_scan", now->advisor_max_pages, want->advisor_max_pages, ret_file)) < 0)
                return r;
        if (has_advisor && (restart || (now->advisor == 1 && advisor == 0))) {
                r = switch_advisor(root_fd, 0, ret_file);
                if (r < 0)
                        return r;
                pages = AEROSTAT_UNKNOWN - 1; /* the kernel has set it to its default */
        }
        if (!on && (r = set(root_fd, "pages_to_scan", pages, want->pages_to_scan, ret_file)) < 0)
                return r;
        if (restart || (on && now->advisor == 0)) {
                r = switch_advisor(root_fd, 1, ret_file);
                if (r < 0)
                        return r;
        }
        return set(root_fd, "run", now->run, want->run, ret_file);
}
