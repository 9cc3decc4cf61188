/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Cgroup paths and limits as text; apart from reading, for tests and the fuzzer. Private to this folder. No allocation, no I/O; any thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CGROUP_PATH_MAX 4096

/* Where a process is, and where that hierarchy can be read. */
struct cgroup_place {
        bool found;
        bool v2;
        char path[CGROUP_PATH_MAX];    /* of the process's group, as proc/PID/cgroup has it: "/machine/qemu-1-web1.libvirt-qemu" */
        bool mounted;
        char mount[CGROUP_PATH_MAX];   /* the mount point */
        size_t root_length;            /* so much of path the mount point stands for; 0: all of the hierarchy is mounted */
};

/* Lines of proc/PID/cgroup, until found. A v1 memory controller wins over v2, which then has none (hybrid). */
void cgroup_parse_membership(struct cgroup_place *place, const char *line);

/* Lines of proc/PID/mountinfo (changed by parsing), after all of those. The mount that shows the most ancestors wins. */
void cgroup_parse_mount(struct cgroup_place *place, char *line);

/* Where libvirt's group for a VM begins and ends in path: it puts the VM's threads and limits into groups below. False: no such
 * group is there (libvirt was told to use none), and then the process is in a group with others. Lengths of path: up to the group
 * above, without its slash; up to the VM's own. */
bool cgroup_find_machine(const char *path, size_t *ret_above, size_t *ret_machine);

/* How much of path names the group above the VM's own, or above the process's where libvirt has made none. */
size_t cgroup_parent_length(const char *path);

/* The folder of the group that the first `length` characters of place->path name (root_length at least), from the root and without its slash:
 * "sys/fs/cgroup/machine.slice". Its length; -ENAMETOOLONG. place is mounted. */
int cgroup_path(const struct cgroup_place *place, size_t length, char *buf, size_t size);

/* Both of the above for a process: 0; -ESRCH: it is gone; -ENODATA: no memory controller, or it is mounted nowhere. (The only one
 * here that reads.) */
int cgroup_place_read(int root_fd, int pid, struct cgroup_place *ret);

/* memory.limit_in_bytes, memory.memsw.limit_in_bytes, memory.max, memory.high, memory.swap.max: AEROSTAT_UNKNOWN where there is no limit. */
uint64_t cgroup_parse_limit(const char *text);
