/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
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

static void write_entry(int level, const char *vm, const char *text) {
        struct timespec now;
        struct tm tm;

        if (to_journal()) {
                sd_journal_send("MESSAGE=%s%s%s", vm ? vm : "", vm ? ": " : "", text, "PRIORITY=%i", level, "SYSLOG_IDENTIFIER=aerostatd",
                                "AEROSTAT_VM=%s", vm ? vm : "", NULL);
                return;
        }
        clock_gettime(CLOCK_REALTIME, &now);
        localtime_r(&now.tv_sec, &tm);
        fprintf(stderr, "%02d:%02d:%02d.%03ld %s%s%s%s\n", tm.tm_hour, tm.tm_min, tm.tm_sec, now.tv_nsec / 1000000,
                level <= LOG_ERR ? "error: " : level == LOG_WARNING ? "warning: " : "", vm ? vm : "", vm ? ": " : "", text);
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

int log_limit_pass(struct log_limit *limit, uint64_t now_usec, uint64_t period_usec) {
        if (limit->last_usec != 0 && now_usec - limit->last_usec < period_usec) {
                limit->suppressed++;
                return 0;
        }
        limit->last_usec = now_usec;
        limit->suppressed = 0;
        return 1;
}
