/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* memory.high of a VM's control group (v2): above it the group reclaims from itself and is slowed down, and nobody is killed. And the stalls within
 * the group, which are then our doing. Every function takes a root directory fd. Main thread, but for group_high_write(). */

#include <stdint.h>

#include "host-agent/system/swap_limit.h"
#include "protocol/procfs.h"

/* Unknown: no limit. -ENOENT: the memory controller is not on there, or it is v1. */
int group_high_read(int root_fd, const struct swap_group *group, uint64_t *ret_bytes);
/* Its descriptor, for group_high_write(), which in kernels before 6.16 reclaims what is above the limit before it comes back (4 s seen for 8 MiB that
 * were taken back at once); the limit is in force from the beginning. Raising it never takes time. -errno. */
int group_high_open(int root_fd, const struct swap_group *group);
int group_high_write(int fd, uint64_t bytes); /* any thread */

/* memory.current: what is in memory, of any kind. */
int group_current_read(int root_fd, const struct swap_group *group, uint64_t *ret_bytes);

/* memory.pressure of the group. -ENOENT, -EOPNOTSUPP: a kernel without PSI. */
int group_pressure_read(int root_fd, const struct swap_group *group, struct pressure *ret);
