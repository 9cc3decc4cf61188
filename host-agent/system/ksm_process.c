/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Processes that have to do with KSM: ksmd, those that merge, and those that want to steer it, too. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host-agent/system/ksm_parsers.h"
#include "host-agent/system/parsers.h"
#include "protocol/parse.h"
#include "protocol/procfs.h"

/* Calls f for every process below /proc until it returns something positive; returns that, or 0. */
static int for_each_process(int proc_fd, int (*f)(int proc_fd, int pid, void *userdata), void *userdata) {
        int fd = openat(proc_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
        struct dirent *entry;
        DIR *dir;

        if (fd < 0)
                return -errno;
        dir = fdopendir(fd);
        if (!dir) {
                r = -errno;
                close(fd);
                return r;
        }
        while (r <= 0 && (entry = readdir(dir))) {
                uint64_t pid;

                if (parse_u64(entry->d_name, &pid) >= 0 && pid > 0 && pid <= INT32_MAX)
                        r = f(proc_fd, (int) pid, userdata);
        }
        closedir(dir);
        return MAX(r, 0);
}

static int read_thread(int proc_fd, int pid, uint64_t *ret_ticks) {
        char path[64], buf[1024];
        ssize_t n;

        snprintf(path, sizeof(path), "%d/stat", pid);
        n = procfs_read(proc_fd, path, buf, sizeof(buf));
        return n >= 0 && ksm_parse_thread(buf, ret_ticks) ? 0 : -ESRCH;
}

static int is_thread(int proc_fd, int pid, void *userdata) {
        uint64_t ticks;

        return read_thread(proc_fd, pid, &ticks) >= 0 ? pid : 0;
}

int ksm_find_thread(int proc_fd) {
        int r = for_each_process(proc_fd, is_thread, NULL);

        return r > 0 ? r : -ESRCH;
}

int ksm_thread_cpu_read(int proc_fd, int pid, uint64_t *ret_usec) {
        long ticks_per_sec = sysconf(_SC_CLK_TCK);
        char path[64], buf[128];
        uint64_t ticks, nsec;
        int r;

        r = read_thread(proc_fd, pid, &ticks);
        if (r < 0)
                return r;
        snprintf(path, sizeof(path), "%d/schedstat", pid);
        nsec = procfs_read(proc_fd, path, buf, sizeof(buf)) >= 0 ? ksm_parse_schedstat(buf) : AEROSTAT_UNKNOWN;
        *ret_usec = nsec != AEROSTAT_UNKNOWN ? nsec / 1000 : u64_mul_div(ticks, 1000000, (uint64_t) MAX(ticks_per_sec, 1));
        return 0;
}

int ksm_process_read(int root_fd, int pid, struct ksm_process *ret) {
        struct ksm_process p = {
                .merged_bytes = AEROSTAT_UNKNOWN, .zero_bytes = AEROSTAT_UNKNOWN, .profit_bytes = INT64_MIN,
        };
        uint64_t page = (uint64_t) sysconf(_SC_PAGESIZE), pages;
        char path[64], buf[512];
        ssize_t n;

        snprintf(path, sizeof(path), "proc/%d/ksm_merging_pages", pid); /* Linux 5.19; ksm_stat has it since 6.3 */
        n = procfs_read(root_fd, path, buf, sizeof(buf));
        pages = n >= 0 ? number_parse(buf) : AEROSTAT_UNKNOWN;
        if (pages != AEROSTAT_UNKNOWN)
                p.merged_bytes = u64_mul(pages, page);
        snprintf(path, sizeof(path), "proc/%d/ksm_stat", pid);
        if (procfs_read(root_fd, path, buf, sizeof(buf)) >= 0)
                ksm_parse_process(buf, page, &p);
        else if (n < 0)
                return (int) n;
        *ret = p;
        return 0;
}

static const char *const rival_units[] = { "ksmtuned.service", "ksm.service" };
/* By /proc/PID/comm, of at most 15 characters. */
static const char *const rival_commands[] = { "ksmtuned", "uksmd", "momd" };

static int is_rival(int proc_fd, int pid, void *userdata) {
        char path[64], buf[64];

        snprintf(path, sizeof(path), "%d/comm", pid);
        if (procfs_read(proc_fd, path, buf, sizeof(buf)) < 0)
                return 0;
        buf[strcspn(buf, "\n")] = 0;
        for (size_t i = 0; i < ARRAY_SIZE(rival_commands); i++)
                if (strcmp(buf, rival_commands[i]) == 0)
                        return (int) i + 1;
        return 0;
}

int ksm_find_rivals(int root_fd, int proc_fd, const char **ret_name) {
        const char *name = NULL;
        char path[96];
        struct stat st;
        int n = 0, r;

        for (size_t i = 0; i < ARRAY_SIZE(rival_units); i++) {
                /* systemd keeps a symbolic link here for every unit that is active. */
                snprintf(path, sizeof(path), "run/systemd/units/invocation:%s", rival_units[i]);
                if (fstatat(root_fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
                        continue;
                name = name ? name : rival_units[i];
                n++;
        }
        r = for_each_process(proc_fd, is_rival, NULL);
        if (r > 0) {
                name = name ? name : rival_commands[r - 1];
                n++;
        }
        if (n > 0)
                *ret_name = name;
        return n;
}
