/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The daemon's log: structured entries in the journal when it runs under systemd, lines on stderr otherwise. Any thread.
 * Something is logged once, where it is handled.
 */

#include <stddef.h>
#include <stdint.h>
#include <syslog.h>

/* Entries above this level (LOG_INFO at first) are dropped. */
void log_set_max_level(int level);

/* One entry: a sentence without a full stop. */
void log_message(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same with the VM as a field of its own: `journalctl AEROSTAT_VM=web1`. */
void log_vm(int level, const char *vm, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* One entry with fields of its own; those with a NULL value are left out. A line on stderr has the text only. */
struct log_field {
        const char *name, *value;
};
void log_fields(int level, const char *text, const struct log_field *fields, size_t n_fields);

#define log_error(...) log_message(LOG_ERR, __VA_ARGS__)
#define log_warning(...) log_message(LOG_WARNING, __VA_ARGS__)
#define log_info(...) log_message(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_message(LOG_DEBUG, __VA_ARGS__)

/* At most one entry for each period: true when it is time for the next. */
struct log_limit {
        uint64_t last_usec;    /* 0: never */
        uint64_t suppressed;   /* since the last one let through */
};
int log_limit_pass(struct log_limit *limit, uint64_t now_usec, uint64_t period_usec);
