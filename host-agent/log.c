/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>

#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

static int max_level = LOG_INFO;

void log_set_max_level(int level) {
        max_level = level;
}

/* systemd sets this for services whose stderr is the journal. */
static bool to_journal(void) {
        static int known = -1;

        if (known < 0)
                known = getenv("JOURNAL_STREAM") != NULL;
        return known;
}

#define FIELDS_MAX 16
#define FIELD_SIZE 1024

static void to_stderr(int level, const char *vm, const char *text) {
        struct timespec now;
        struct tm tm;

        clock_gettime(CLOCK_REALTIME, &now);
        localtime_r(&now.tv_sec, &tm);
        fprintf(stderr, "%02d:%02d:%02d.%03ld %s%s%s%s\n", tm.tm_hour, tm.tm_min, tm.tm_sec, now.tv_nsec / 1000000,
                level <= LOG_ERR ? "error: " : level == LOG_WARNING ? "warning: " : "", vm ? vm : "", vm ? ": " : "", text);
}

static void write_entry(int level, const char *vm, const char *text) {
        if (to_journal()) {
                sd_journal_send("MESSAGE=%s%s%s", vm ? vm : "", vm ? ": " : "", text, "PRIORITY=%i", level, "SYSLOG_IDENTIFIER=aerostatd",
                                "AEROSTAT_VM=%s", vm ? vm : "", NULL);
                return;
        }
        to_stderr(level, vm, text);
}

static void log_va(int level, const char *vm, const char *format, va_list ap) {
        char text[1024];

        if (level > max_level)
                return;
        vsnprintf(text, sizeof(text), format, ap);
        write_entry(level, vm, text);
}

void log_message(int level, const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        log_va(level, NULL, format, ap);
        va_end(ap);
}

void log_vm(int level, const char *vm, const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        log_va(level, vm, format, ap);
        va_end(ap);
}

void log_fields(int level, const char *text, const struct log_field *fields, size_t n_fields) {
        char texts[FIELDS_MAX][FIELD_SIZE];
        struct iovec parts[FIELDS_MAX];
        int n = 0;

        if (level > max_level)
                return;
        if (!to_journal()) {
                to_stderr(level, NULL, text);
                return;
        }
        (void) snprintf(texts[n++], FIELD_SIZE, "MESSAGE=%s", text);
        (void) snprintf(texts[n++], FIELD_SIZE, "PRIORITY=%d", level);
        (void) snprintf(texts[n++], FIELD_SIZE, "SYSLOG_IDENTIFIER=aerostatd");
        for (size_t i = 0; i < n_fields && n < FIELDS_MAX; i++)
                if (fields[i].value)
                        (void) snprintf(texts[n++], FIELD_SIZE, "%s=%s", fields[i].name, fields[i].value);
        for (int i = 0; i < n; i++)
                parts[i] = (struct iovec) { .iov_base = texts[i], .iov_len = strlen(texts[i]) };
        (void) sd_journal_sendv(parts, n);
}

int log_limit_pass(struct log_limit *limit, uint64_t now_usec, uint64_t period_usec) {
        if (limit->last_usec != 0 && now_usec - limit->last_usec < period_usec) {
                limit->suppressed++;
                return 0;
        }
        limit->last_usec = now_usec;
        limit->suppressed = 0;
        return 1;
}
