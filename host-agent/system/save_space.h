/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Where libvirt's managed saves go (/var/lib/libvirt/qemu/save), and what speaks against one. Main thread; looks at a disk once, for the last resort
 * only. */

#include <stdbool.h>
#include <stdint.h>

struct save_space {
        uint64_t free_bytes;           /* statvfs: f_bavail x f_frsize */
        bool in_memory;                /* a tmpfs or ramfs: a save would take what it is to free */
        bool with_swap;                /* a swap file is on the same file system: both would wait for one disk that is busy already */
};

/* root_fd: where paths begin. -errno when the folder cannot be looked at: -ENOENT where it is not there. */
int save_space_read(int root_fd, struct save_space *ret);
