/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * What cgroups leave the VMs. Three kinds of host: v1 (memory has a hierarchy of its own), v2, and hybrid (both mounted, memory in v1). Inside
 * a container the visible mount begins at the container's own group, which mountinfo names as its root.
 */

#include "host-agent/system/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "host-agent/system/host.h"
#include "host-agent/system/lines.h"
#include "host-agent/system/parsers.h"

static int for_each_line(int root_fd, int pid, const char *file, void (*take)(struct cgroup_place *place, char *line), struct cgroup_place *place) {
        _cleanup_close_ int fd = -1;
        struct lines lines;
        char path[64], *line;
        int r;

        snprintf(path, sizeof(path), "proc/%d/%s", pid, file);
        fd = openat(root_fd, path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return errno == ENOENT ? -ESRCH : -errno;
        lines_init(&lines, fd, '\n');
        while ((r = lines_next(&lines, &line)) > 0)
                take(place, line);
        return r;
}

static void take_membership(struct cgroup_place *place, char *line) {
        cgroup_parse_membership(place, line);
}

int cgroup_place_read(int root_fd, int pid, struct cgroup_place *ret) {
        int r;

        ret->found = ret->mounted = false;
        r = for_each_line(root_fd, pid, "cgroup", take_membership, ret);
        if (r < 0)
                return r;
        if (!ret->found)
                return -ENODATA; /* a kernel without memory control groups */
        r = for_each_line(root_fd, pid, "mountinfo", cgroup_parse_mount, ret);
        if (r < 0)
                return r;
        return ret->mounted ? 0 : -ENODATA;
}

/* One file of the group that the first `length` characters of place->path name. A group at the top has none: no limit. */
static int read_limit(int root_fd, const struct cgroup_place *place, size_t length, const char *file, uint64_t *limit) {
        char path[2 * CGROUP_PATH_MAX + 64], buf[64];
        ssize_t n;

        snprintf(path, sizeof(path), ".%s%.*s/%s", place->mount, (int) (length - place->root_length), place->path + place->root_length, file);
        n = procfs_read(root_fd, path, buf, sizeof(buf));
        if (n == -ENOENT)
                return 0;
        if (n < 0)
                return (int) n;
        *limit = MIN(*limit, cgroup_parse_limit(buf));
        return 0;
}

int cgroup_memory_limit_read(int root_fd, int pid, bool own, uint64_t *ret_bytes) {
        /* v2's memory.high is no limit in name, but a group above it is throttled until it hardly runs. v1's soft limit only orders reclaim. */
        static const char *const files[2][2] = { { "memory.limit_in_bytes", NULL }, { "memory.max", "memory.high" } };
        struct cgroup_place place;
        uint64_t limit = AEROSTAT_UNKNOWN;
        size_t length;
        int r;

        r = cgroup_place_read(root_fd, pid, &place);
        if (r < 0)
                return r;
        length = own ? strlen(place.path) : cgroup_parent_length(place.path);
        while (length > 0 && place.path[length - 1] == '/')
                length--;
        while (length >= place.root_length) {
                for (size_t i = 0; i < 2 && files[place.v2][i]; i++) {
                        r = read_limit(root_fd, &place, length, files[place.v2][i], &limit);
                        if (r < 0)
                                return r;
                }
                if (length == 0)
                        break;
                do
                        length--;
                while (length > 0 && place.path[length] != '/');
        }
        *ret_bytes = limit;
        return 0;
}
