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
#include "host-agent/system/undo.h"

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

#define GROUP_FILE_MAX (2 * CGROUP_PATH_MAX + 64)

int cgroup_path(const struct cgroup_place *place, size_t length, char *buf, size_t size) {
        const char *mount = place->mount + strspn(place->mount, "/");
        /* A hierarchy that is mounted on the root itself leaves the group's own slash. */
        const char *path = place->path + place->root_length + (!*mount && length > place->root_length);
        int n = snprintf(buf, size, "%s%.*s", mount, (int) (place->path + length - path), path);

        return n < 0 || (size_t) n >= size ? -ENAMETOOLONG : n;
}

/* The path of a file of that group, as the undo file has it. */
static const char *group_file(const struct cgroup_place *place, size_t length, const char *file, char buf[static GROUP_FILE_MAX]) {
        int n = cgroup_path(place, length, buf, GROUP_FILE_MAX); /* fits: it is made of two paths */

        snprintf(buf + n, GROUP_FILE_MAX - (size_t) n, "%s%s", n > 0 ? "/" : "", file);
        return buf;
}

/* Lowers *limit to what a file says. A group at the top has none: no limit. */
static int read_limit(int root_fd, const char *path, uint64_t *limit) {
        char buf[64];
        ssize_t n = procfs_read(root_fd, path, buf, sizeof(buf));

        if (n == -ENOENT)
                return 0;
        if (n < 0)
                return (int) n;
        *limit = MIN(*limit, cgroup_parse_limit(buf));
        return 0;
}

static int read_memory_limit(int root_fd, const struct cgroup_place *place, size_t length, uint64_t *limit) {
        /* v2's memory.high is no limit in name, but a group above it is throttled until it hardly runs. v1's soft limit only orders reclaim. */
        static const char *const files[2][2] = { { "memory.limit_in_bytes", NULL }, { "memory.max", "memory.high" } };
        char path[GROUP_FILE_MAX];

        for (size_t i = 0; i < 2 && files[place->v2][i]; i++) {
                int r = read_limit(root_fd, group_file(place, length, files[place->v2][i], path), limit);

                if (r < 0)
                        return r;
        }
        return 0;
}

/*
 * Whether this group lets its processes have nothing in swap. v2: memory.swap.max is 0, and was before us where we limit that group. v1: memory and
 * swap together may be no more than memory alone. The kernel can then still swap when the whole host is short (its memory.rst of cgroup v1, 2.4), but
 * what is set says that this VM is to have no swap, and a promise is not to be backed by it. memory.swappiness = 0 says no such thing: it rules swap
 * out in reclaim by a limit only (there, 5.3). A host that is short swaps all the same, if late (docs/KSM-AND-SWAP.md); and we set it ourselves.
 */
static int read_no_swap(int root_fd, const struct cgroup_place *place, size_t length, const struct undo *undo, bool *no_swap) {
        char path[GROUP_FILE_MAX];
        const char *file = group_file(place, length, place->v2 ? "memory.swap.max" : "memory.memsw.limit_in_bytes", path), *before;
        uint64_t swap = AEROSTAT_UNKNOWN, memory = AEROSTAT_UNKNOWN;
        int r = read_limit(root_fd, file, &swap);

        if (r < 0 || swap == AEROSTAT_UNKNOWN)
                return r;
        if (place->v2) {
                if (swap == 0 && undo && (before = undo_value(undo, file)))
                        swap = cgroup_parse_limit(before);
                *no_swap = swap == 0;
                return 0;
        }
        r = read_limit(root_fd, group_file(place, length, "memory.limit_in_bytes", path), &memory);
        if (r >= 0)
                *no_swap = memory != AEROSTAT_UNKNOWN && swap <= memory;
        return r;
}

int cgroup_limits_read(int root_fd, int pid, const struct undo *undo, struct cgroup_limits *ret) {
        struct cgroup_limits limits = { .memory_bytes = AEROSTAT_UNKNOWN };
        struct cgroup_place place;
        size_t length, above;
        int r;

        r = cgroup_place_read(root_fd, pid, &place);
        if (r < 0)
                return r;
        above = cgroup_parent_length(place.path);
        length = strlen(place.path);
        while (length > 0 && place.path[length - 1] == '/')
                length--;
        while (length >= place.root_length) {
                if (length <= above)
                        r = read_memory_limit(root_fd, &place, length, &limits.memory_bytes);
                if (r >= 0 && !limits.no_swap)
                        r = read_no_swap(root_fd, &place, length, undo, &limits.no_swap);
                if (r < 0)
                        return r;
                if (length == 0)
                        break;
                do
                        length--;
                while (length > 0 && place.path[length] != '/');
        }
        *ret = limits;
        return 0;
}
