/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/system/swap_limit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host-agent/system/cgroup.h"
#include "host-agent/system/parsers.h"
#include "protocol/procfs.h"

bool swap_group_has_systemd(int root_fd) {
        struct stat st;

        return fstatat(root_fd, "run/systemd/system", &st, 0) >= 0; /* as sd_booted(3) does it */
}

/* Names ".../machine.slice" or ".../x.scope" belong to systemd. */
static void find_unit(struct swap_group *group, bool systemd) {
        const char *name = strrchr(group->path, '/');
        const char *dot = name ? strrchr(name, '.') : NULL;

        group->unit[0] = 0;
        if (systemd && dot && (strcmp(dot, ".slice") == 0 || strcmp(dot, ".scope") == 0 || strcmp(dot, ".service") == 0))
                snprintf(group->unit, sizeof(group->unit), "%.*s", SWAP_GROUP_UNIT_MAX - 1, name + 1);
}

/* The group that the first `length` characters of place->path name. */
static int make(const struct cgroup_place *place, size_t length, bool systemd, struct swap_group *ret) {
        int n;

        if (length < place->root_length)
                return -ENOENT; /* above what this mount shows */
        n = cgroup_path(place, length, ret->path, sizeof(ret->path));
        if (n < 0)
                return n;
        ret->v2 = place->v2;
        ret->depth = 1;
        for (const char *p = place->mount + strspn(place->mount, "/"); *p; p++)
                ret->depth += *p == '/';
        find_unit(ret, systemd);
        return 0;
}

int swap_group_find(int root_fd, int pid, struct swap_group *ret_vm, struct swap_group *ret_above) {
        bool systemd = swap_group_has_systemd(root_fd);
        struct swap_group vm, above;
        struct cgroup_place place;
        size_t above_length, vm_length;
        int r;

        r = cgroup_place_read(root_fd, pid, &place);
        if (r < 0)
                return r;
        if (!cgroup_find_machine(place.path, &above_length, &vm_length))
                return -ENODATA;
        if ((r = make(&place, vm_length, systemd, &vm)) < 0 || (r = make(&place, above_length, systemd, &above)) < 0)
                return r;
        *ret_vm = vm;
        *ret_above = above;
        return 0;
}

int swap_group_join(struct swap_group *group, const struct swap_group *other) {
        size_t same = 0, end = 0;
        uint32_t components = 0;
        const char *a = group->path, *b = other->path;

        if (group->v2 != other->v2)
                return -ENOENT;
        for (;; same++) {
                bool a_ends = !a[same] || a[same] == '/', b_ends = !b[same] || b[same] == '/';

                if (a_ends && b_ends) {
                        end = same;
                        components++;
                }
                if (!a[same] || a[same] != b[same])
                        break;
        }
        if (components <= group->depth)
                return -ENOENT;
        if (a[end]) {
                bool systemd = group->unit[0] || other->unit[0];

                group->path[end] = 0;
                find_unit(group, systemd);
        }
        return 0;
}

const char *swap_group_file(const struct swap_group *group, char buf[static SWAP_GROUP_FILE_MAX]) {
        snprintf(buf, SWAP_GROUP_FILE_MAX, "%s/%s", group->path, group->v2 ? "memory.swap.max" : "memory.swappiness");
        return buf;
}

static int read_file(int root_fd, const struct swap_group *group, const char *file, char *text, size_t size) {
        char path[SWAP_GROUP_FILE_MAX];
        ssize_t n;

        snprintf(path, sizeof(path), "%s/%s", group->path, file);
        n = procfs_read(root_fd, path, text, size);
        return n < 0 ? (int) n : 0;
}

static int write_file(int root_fd, const struct swap_group *group, const char *text) {
        char path[SWAP_GROUP_FILE_MAX];
        _cleanup_close_ int fd = openat(root_fd, swap_group_file(group, path), O_WRONLY | O_TRUNC | O_CLOEXEC);

        if (fd < 0)
                return -errno;
        return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

int swap_group_read_limit(int root_fd, const struct swap_group *group, uint64_t *ret_bytes) {
        char text[64];
        int r = read_file(root_fd, group, "memory.swap.max", text, sizeof(text));

        if (r >= 0)
                *ret_bytes = cgroup_parse_limit(text);
        return r;
}

int swap_group_write_limit(int root_fd, const struct swap_group *group, uint64_t bytes) {
        char text[32] = "max\n";

        if (bytes != AEROSTAT_UNKNOWN)
                snprintf(text, sizeof(text), "%llu\n", (unsigned long long) bytes);
        return write_file(root_fd, group, text);
}

int swap_group_read_used(int root_fd, const struct swap_group *group, uint64_t *ret_bytes) {
        char text[64];
        int r = read_file(root_fd, group, "memory.swap.current", text, sizeof(text));

        if (r >= 0)
                *ret_bytes = number_parse(text);
        return r;
}

int swap_group_read_swappiness(int root_fd, const struct swap_group *group, uint64_t *ret) {
        char text[64];
        int r = read_file(root_fd, group, "memory.swappiness", text, sizeof(text));

        if (r >= 0)
                *ret = number_parse(text);
        return r;
}

int swap_group_write_swappiness(int root_fd, const struct swap_group *group, uint64_t value) {
        char text[32];

        snprintf(text, sizeof(text), "%llu\n", (unsigned long long) value);
        return write_file(root_fd, group, text);
}
