/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/system/host.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "host-agent/system/lines.h"
#include "host-agent/system/parsers.h"
#include "protocol/parse.h"

#define PROC_PATH_MAX 64
/* status has some 1.5 KiB; more where Cpus_allowed and Mems_allowed are wide (8,192 CPUs: 2.3 KiB each). */
#define PROCESS_FILE_MAX 8192
#define PAGEMAP_ENTRIES 2048 /* 16 KiB: 8 MiB of addresses a read; the kernel takes the lock for 2 MiB at a time */

static const char *proc_path(char buf[static PROC_PATH_MAX], int pid, const char *file) {
        snprintf(buf, PROC_PATH_MAX, "proc/%d/%s", pid, file);
        return buf;
}

/* A file of a process that is gone cannot be opened, or was opened and cannot be read. */
static int gone(int r) {
        return r == -ENOENT ? -ESRCH : r;
}

int process_sample_read(int root_fd, int pid, struct process_sample *ret) {
        struct process_sample sample;
        char buf[PROCESS_FILE_MAX], path[PROC_PATH_MAX];
        ssize_t n;
        int r;

        n = procfs_read(root_fd, proc_path(path, pid, "stat"), buf, sizeof(buf));
        if (n < 0)
                return gone((int) n);
        r = process_stat_parse(buf, (uint64_t) sysconf(_SC_CLK_TCK), &sample);
        if (r < 0)
                return r;
        n = procfs_read(root_fd, proc_path(path, pid, "status"), buf, sizeof(buf));
        if (n < 0)
                return gone((int) n);
        process_status_parse(buf, &sample);
        *ret = sample;
        return 0;
}

static int open_process_file(int root_fd, int pid, const char *file) {
        char path[PROC_PATH_MAX];
        int fd = openat(root_fd, proc_path(path, pid, file), O_RDONLY | O_CLOEXEC);

        return fd < 0 ? gone(-errno) : fd;
}

/* Pages of a mapping that are in memory or in swap. What cannot be read (vsyscall lies outside of what pagemap covers) has none. */
static int count_pages(int pagemap_fd, const struct mapping *mapping, uint64_t page_bytes, uint64_t *pages) {
        uint64_t entries[PAGEMAP_ENTRIES], at = mapping->start / page_bytes, end = mapping->end / page_bytes;

        while (at < end) {
                size_t n = MIN(end - at, ARRAY_SIZE(entries));
                ssize_t size = pread(pagemap_fd, entries, n * sizeof(*entries), (off_t) (at * sizeof(*entries)));

                if (size < 0 && errno == EINTR)
                        continue;
                if (size < 0)
                        return -errno;
                n = (size_t) size / sizeof(*entries);
                if (n == 0)
                        break;
                *pages = u64_add(*pages, pagemap_count(entries, n));
                at += n;
        }
        return 0;
}

/*
 * By maps and pagemap of QEMU's own mappings, not by smaps: that would walk all of the guest's RAM as well, in the main thread and under the
 * lock that QEMU needs to map anything. Measured: smaps takes 10 ms for each GiB of small pages, this 0.2 ms, and 1.5 ms with TCG's translation
 * cache of 1 GiB; the sums are equal to the page.
 */
int process_overhead_read(int root_fd, int pid, uint64_t ram_bytes, uint64_t *ret_bytes) {
        _cleanup_close_ int maps_fd = open_process_file(root_fd, pid, "maps"), pagemap_fd = open_process_file(root_fd, pid, "pagemap");
        uint64_t page_bytes = (uint64_t) sysconf(_SC_PAGESIZE), pages = 0;
        struct mapping mapping;
        struct lines lines;
        char *line;
        int r;

        if (maps_fd < 0)
                return maps_fd;
        if (pagemap_fd < 0)
                return pagemap_fd;
        lines_init(&lines, maps_fd, '\n');
        while ((r = lines_next(&lines, &line)) > 0) {
                if (!mapping_parse(line, &mapping) || !mapping_is_overhead(&mapping, ram_bytes))
                        continue;
                r = count_pages(pagemap_fd, &mapping, page_bytes, &pages);
                if (r < 0)
                        break;
        }
        if (r < 0)
                return gone(r);
        if (pages == 0)
                return -ESRCH; /* it has ended since: no process is without a page */
        *ret_bytes = u64_mul(pages, page_bytes);
        return 0;
}

/* Whether the process was started with this uuid and, unless any program will do, has "qemu" in its name: others may carry the uuid, too. */
static bool is_qemu(int root_fd, int pid, const uint8_t uuid[static 16], bool any_program) {
        _cleanup_close_ int fd = open_process_file(root_fd, pid, "cmdline");
        bool first = true, next_is_uuid = false;
        struct lines lines;
        uint8_t found[16];
        char *argument;

        if (fd < 0)
                return false;
        lines_init(&lines, fd, 0);
        while (lines_next(&lines, &argument) > 0) {
                if (first && !any_program && !strstr(basename(argument), "qemu"))
                        return false;
                if (next_is_uuid && parse_uuid(argument, found) == 0 && memcmp(found, uuid, sizeof(found)) == 0)
                        return true;
                next_is_uuid = strcmp(argument, "-uuid") == 0;
                first = false;
        }
        return false;
}

/* The pid in libvirt's own file, or -ENOENT. */
static int read_pid_file(int root_fd, const char *name) {
        char path[512], buf[64];
        uint64_t pid;

        if (strchr(name, '/') || (size_t) snprintf(path, sizeof(path), "run/libvirt/qemu/%s.pid", name) >= sizeof(path))
                return -ENOENT;
        if (procfs_read(root_fd, path, buf, sizeof(buf)) < 0)
                return -ENOENT;
        pid = number_parse(buf);
        return pid == 0 || pid > INT32_MAX ? -ENOENT : (int) pid;
}

int process_find_qemu(int root_fd, const char *name, const uint8_t uuid[static 16]) {
        int pid = read_pid_file(root_fd, name), fd;
        struct dirent *entry;
        DIR *proc;

        if (pid > 0 && is_qemu(root_fd, pid, uuid, true))
                return pid;
        /* A session libvirtd keeps its files elsewhere. */
        fd = openat(root_fd, "proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -ESRCH;
        proc = fdopendir(fd);
        if (!proc) {
                close(fd);
                return -ESRCH;
        }
        pid = -ESRCH;
        while (pid < 0 && (entry = readdir(proc))) {
                uint64_t number = number_parse(entry->d_name);
                if (number > 0 && number <= INT32_MAX && is_qemu(root_fd, (int) number, uuid, false))
                        pid = (int) number;
        }
        closedir(proc);
        return pid;
}
