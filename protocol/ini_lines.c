/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "protocol/ini_lines.h"

#include <string.h>

/* Why a line of this length is refused, or NULL. */
static const char *line_error(const char *line, size_t length, size_t buf_size, bool own_headers) {
        const char *bracket;
        size_t blanks = strspn(line, " \t");

        if (length > INI_LINE_MAX || length + 2 > buf_size)
                return "the line is too long (180 characters at most)";
        /* libinih passes over it in the first line, and would see a section there that we do not (found by fuzzing). */
        if (strncmp(line, "\xef\xbb\xbf", 3) == 0)
                return "a byte order mark: save the file as UTF-8 without it";
        for (size_t i = 0; i < length; i++)
                if (((unsigned char) line[i] < 0x20 && line[i] != '\t') || line[i] == 0x7f)
                        return line[i] == '\r' ? "a carriage return: save the file with Unix line ends" : "a control character";
        if (blanks > 0 && blanks < length)
                return "the line is indented: settings start in the first column";
        if (line[0] == '[' && !own_headers) {
                bracket = memchr(line, ']', length);
                if (bracket && bracket - line - 1 > INI_SECTION_MAX)
                        return "the section name is too long (49 characters at most)";
        }
        return NULL;
}

char *ini_lines_read(char *buf, int size, void *stream) {
        struct ini_lines *lines = stream;
        size_t length;

        if (lines->error || !*lines->next)
                return NULL;
        length = strcspn(lines->next, "\n");
        lines->line++;
        lines->error = line_error(lines->next, length, size > 0 ? (size_t) size : 0, lines->own_headers);
        if (lines->error) {
                lines->error_line = lines->line;
                return NULL;
        }
        memcpy(buf, lines->next, length);
        buf[length] = '\n';
        buf[length + 1] = 0;
        lines->next += length + (lines->next[length] == '\n');
        return buf;
}
