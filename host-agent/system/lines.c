/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/system/lines.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

void lines_init(struct lines *lines, int fd, char delimiter) {
        lines->fd = fd;
        lines->delimiter = delimiter;
        lines->start = lines->end = 0;
        lines->finished = lines->cut = false;
}

/* Reads more behind what is left. */
static int fill(struct lines *lines) {
        ssize_t n;

        memmove(lines->buf, lines->buf + lines->start, lines->end - lines->start);
        lines->end -= lines->start;
        lines->start = 0;
        do
                n = read(lines->fd, lines->buf + lines->end, LINES_MAX - lines->end);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return -errno;
        lines->end += (size_t) n;
        lines->finished = n == 0;
        return 0;
}

static char *find_delimiter(struct lines *lines) {
        return memchr(lines->buf + lines->start, lines->delimiter, lines->end - lines->start);
}

/* Drops everything up to the next delimiter: the rest of a line whose beginning fills the buffer. */
static int skip_rest(struct lines *lines) {
        char *delimiter;
        int r;

        do {
                lines->start = lines->end;
                r = fill(lines);
                if (r < 0)
                        return r;
                delimiter = find_delimiter(lines);
        } while (!delimiter && !lines->finished);
        lines->start = delimiter ? (size_t) (delimiter - lines->buf) + 1 : lines->end;
        return 0;
}

int lines_next(struct lines *lines, char **ret_line) {
        char *delimiter;
        int r;

        if (lines->cut) {
                r = skip_rest(lines);
                if (r < 0)
                        return r;
                lines->cut = false;
        }
        while (!(delimiter = find_delimiter(lines)) && !lines->finished && lines->end - lines->start < LINES_MAX) {
                r = fill(lines);
                if (r < 0)
                        return r;
        }
        if (lines->start == lines->end)
                return 0;
        *ret_line = lines->buf + lines->start;
        if (delimiter) {
                *delimiter = 0;
                lines->start = (size_t) (delimiter - lines->buf) + 1;
        } else {
                lines->cut = !lines->finished;
                lines->buf[lines->end] = 0; /* buf has a byte more for this */
                lines->start = lines->end;
        }
        return 1;
}
