/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Lines of a file of any length through a buffer of fixed size: /proc/PID/smaps has thousands of lines for each VM, mountinfo has no bound
 * either. No allocation; one thread per object. Private to the sampling of /proc.
 */

#include <stdbool.h>
#include <stddef.h>

#define LINES_MAX 4096 /* one page: what a read of these files returns at most; paths are shorter, too */

struct lines {
        int fd;                /* borrowed */
        char delimiter;        /* '\n'; '\0' for /proc/PID/cmdline */
        size_t start, end;     /* what is left in buf */
        bool finished;         /* the file has ended */
        bool cut;              /* the last line given was only a beginning */
        char buf[LINES_MAX + 1];
};

void lines_init(struct lines *lines, int fd, char delimiter);

/* 1 and the next line, terminated, without its delimiter, valid until the next call; 0 at the end; -errno. Of a line longer than LINES_MAX only
 * the beginning is given and the rest is skipped. */
int lines_next(struct lines *lines, char **ret_line);
