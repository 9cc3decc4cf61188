/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guest-agent/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "protocol/base.h"

static enum log_level max_level = LOG_LEVEL_INFO;
static bool plain_lines = true;

void log_setup(enum log_level level, bool plain) {
        max_level = level;
        plain_lines = plain;
}

void log_line(enum log_level level, const char *format, ...) {
        char line[512];
        size_t used = 0;
        va_list args;
        int n;

        if (level > max_level)
                return;
        if (!plain_lines)
                used = (size_t) snprintf(line, sizeof(line), "<%d>", (int) level);
        va_start(args, format);
        n = vsnprintf(line + used, sizeof(line) - used, format, args);
        va_end(args);
        if (n < 0)
                return;
        used = MIN(used + (size_t) n, sizeof(line) - 2);
        line[used++] = '\n';
        if (write(STDERR_FILENO, line, used) < 0)
                return; /* there is nobody left to tell */
}
