/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The strict line source that both agents put in front of libinih. libinih 55 leaks the tail of a comment longer than its buffer
 * as a line of its own, takes an indented line as more of the previous value, and tells its handler no line number (inih issue
 * #145; measured). So we feed it line by line: lines too long, indented, with control characters or a byte order mark are errors,
 * and the number of the line in hand is known. It also cuts section names at 49 characters without a word, so that a [vm "..."]
 * pattern would match others; those are errors, too, unless the caller reads headers itself. Give ini_lines_read to
 * ini_parse_stream() as its reader, with the struct as the stream. libc only; no allocation; any thread, one thread per object.
 */

#include <stdbool.h>
#include <stddef.h>

#define INI_LINE_MAX 180 /* characters without the newline; libinih's buffer is 200 */
#define INI_SECTION_MAX 49 /* characters between the brackets; libinih's MAX_SECTION is 50 with the NUL */

struct ini_lines {
        const char *next;      /* the text left; NUL-terminated; borrowed */
        bool own_headers;      /* the caller keeps [section] lines from libinih: they may be longer than INI_SECTION_MAX */
        unsigned line;         /* number of the line handed out last, from 1 */
        unsigned error_line;   /* 0, or the line that was refused: reading stopped there */
        const char *error;     /* a static sentence, or NULL */
};

/* fgets() with checks: NULL at the end of the text or on an error (then error and error_line are set). */
char *ini_lines_read(char *buf, int size, void *lines);
