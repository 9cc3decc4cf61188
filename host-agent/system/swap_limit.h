/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Control groups of VMs, as far as swap goes: where they are, and the files that limit it. cgroup v2 has memory.swap.max, a limit of swap alone that
 * denies further swap and kills nobody; v1 has memory.swappiness for each group. (v1's memory.memsw.limit_in_bytes is no way: at the limit it kills
 * within the group, or with oom_kill_disable leaves QEMU waiting for good if its keeper dies.)
 * Every function takes a root directory fd. Main thread; nothing blocks.
 */

#include <stdbool.h>
#include <stdint.h>

#include "protocol/base.h"

#define SWAP_GROUP_PATH_MAX 512
#define SWAP_GROUP_UNIT_MAX 256

struct swap_group {
        bool v2;
        char path[SWAP_GROUP_PATH_MAX];        /* of its folder, from the root: "sys/fs/cgroup/machine.slice" */
        char unit[SWAP_GROUP_UNIT_MAX];        /* of systemd; "" where systemd does not own it */
        uint32_t depth;                        /* components of path that are the mount point: above them there is no group */
};

/* The group of the VM itself (libvirt's groups for threads are below it) and the one above, which holds all of its kind. -ESRCH; -ENODATA: no memory
 * controller, or no group of its own (it runs among others, whom its limits would hit); -ENAMETOOLONG. */
int swap_group_find(int root_fd, int pid, struct swap_group *ret_vm, struct swap_group *ret_above);

/* Makes `group` the nearest group above both. -ENOENT: there is none but the root, which has no limits; `group` is untouched then. */
int swap_group_join(struct swap_group *group, const struct swap_group *other);

/* v2: memory.swap.max; unknown: no limit. -ENOENT: the memory controller is not on there, or the kernel does not account swap. */
int swap_group_read_limit(int root_fd, const struct swap_group *group, uint64_t *ret_bytes);
int swap_group_write_limit(int root_fd, const struct swap_group *group, uint64_t bytes);

/* v2: memory.swap.current. */
int swap_group_read_used(int root_fd, const struct swap_group *group, uint64_t *ret_bytes);

/* v1: memory.swappiness, 0 .. 100 (200 on newer kernels). */
int swap_group_read_swappiness(int root_fd, const struct swap_group *group, uint64_t *ret);
int swap_group_write_swappiness(int root_fd, const struct swap_group *group, uint64_t value);

/* The path of the file that was meant above, for undo.h. */
#define SWAP_GROUP_FILE_MAX (SWAP_GROUP_PATH_MAX + 32)
const char *swap_group_file(const struct swap_group *group, char buf[static SWAP_GROUP_FILE_MAX]);

/* Whether systemd is this host's init. */
bool swap_group_has_systemd(int root_fd);
