/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The agent's log: one line on stderr for each event, with the priority in front ("<6>", sd-daemon(3)) unless a person reads it. No
 * allocation, no syslog socket: it has to work when memory is short. One thread.
 */

#include <stdbool.h>

enum log_level { /* as syslog(3) numbers them */
        LOG_LEVEL_ERROR = 3,
        LOG_LEVEL_WARNING = 4,
        LOG_LEVEL_INFO = 6,
        LOG_LEVEL_DEBUG = 7,
};

/* Says less than `level`; plain: without the priority in front. At first: info, plain. */
void log_setup(enum log_level level, bool plain);

__attribute__((format(printf, 2, 3))) void log_line(enum log_level level, const char *format, ...);

#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)
