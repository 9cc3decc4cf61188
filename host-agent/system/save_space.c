/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/system/save_space.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "host-agent/system/lines.h"
#include "host-agent/system/parsers.h"
#include "protocol/base.h"

#define SAVE_FOLDER "var/lib/libvirt/qemu/save"

/* A line of /proc/swaps: "/swap.img file 8388604 0 -2"; blanks within the name are escaped. (A partition is no file system's.) */
static bool is_on_device(int root_fd, char *line, dev_t device) {
        size_t n = strcspn(line, " \t");
        const char *type = line + n + strspn(line + n, " \t");
        struct stat st;

        if (*line != '/' || strncmp(type, "file", strlen("file")) != 0)
                return false;
        line[n] = 0;
        unescape_octal(line);
        return fstatat(root_fd, line + strspn(line, "/"), &st, 0) >= 0 && st.st_dev == device;
}

static bool holds_swap(int root_fd, dev_t device) {
        _cleanup_close_ int fd = openat(root_fd, "proc/swaps", O_RDONLY | O_CLOEXEC);
        struct lines lines;
        char *line;

        if (fd < 0)
                return false;
        lines_init(&lines, fd, '\n');
        while (lines_next(&lines, &line) > 0)
                if (is_on_device(root_fd, line, device))
                        return true;
        return false;
}

int save_space_read(int root_fd, struct save_space *ret) {
        _cleanup_close_ int fd = openat(root_fd, SAVE_FOLDER, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct statfs fs;
        struct stat st;

        if (fd < 0 || fstatfs(fd, &fs) < 0 || fstat(fd, &st) < 0)
                return -errno;
        *ret = (struct save_space) {
                .free_bytes = u64_mul((uint64_t) fs.f_bavail, (uint64_t) fs.f_frsize),
                .in_memory = fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC,
                .with_swap = holds_swap(root_fd, st.st_dev),
        };
        return 0;
}
