/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/system/group_high.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "host-agent/system/cgroup.h"
#include "host-agent/system/parsers.h"

static const char *file_of(const struct swap_group *group, char buf[static SWAP_GROUP_FILE_MAX]) {
        snprintf(buf, SWAP_GROUP_FILE_MAX, "%s/memory.high", group->path);
        return buf;
}

int group_high_read(int root_fd, const struct swap_group *group, uint64_t *ret_bytes) {
        char path[SWAP_GROUP_FILE_MAX], text[64];
        ssize_t n = procfs_read(root_fd, file_of(group, path), text, sizeof(text));

        if (n < 0)
                return (int) n;
        *ret_bytes = cgroup_parse_limit(text);
        return 0;
}

int group_high_open(int root_fd, const struct swap_group *group) {
        char path[SWAP_GROUP_FILE_MAX];
        int fd = openat(root_fd, file_of(group, path), O_WRONLY | O_TRUNC | O_NONBLOCK | O_CLOEXEC);

        return fd < 0 ? -errno : fd;
}

int group_high_write(int fd, uint64_t bytes) {
        char text[32] = "max\n";

        if (bytes != AEROSTAT_UNKNOWN)
                snprintf(text, sizeof(text), "%llu\n", (unsigned long long) bytes);
        return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

int group_current_read(int root_fd, const struct swap_group *group, uint64_t *ret_bytes) {
        char path[SWAP_GROUP_FILE_MAX], text[64];
        ssize_t n;

        snprintf(path, sizeof(path), "%s/memory.current", group->path);
        n = procfs_read(root_fd, path, text, sizeof(text));
        if (n < 0)
                return (int) n;
        *ret_bytes = number_parse(text);
        return 0;
}

int group_pressure_read(int root_fd, const struct swap_group *group, struct pressure *ret) {
        char path[SWAP_GROUP_FILE_MAX], text[256];
        ssize_t n;

        snprintf(path, sizeof(path), "%s/memory.pressure", group->path);
        n = procfs_read(root_fd, path, text, sizeof(text));
        return n < 0 ? (int) n : pressure_parse(text, ret);
}
