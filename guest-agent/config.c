/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guest-agent/config.h"

#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "guest-agent/port.h"
#include "protocol/base.h"
#include "protocol/ini_lines.h"
#include "protocol/parse.h"
#include "protocol/procfs.h"
#include "protocol/units.h"

#define CONFIG_SIZE_MAX (64 * 1024) /* of the file */

/* What /proc/pressure accepts for a window (kernel/sched/psi.c WINDOW_MIN_US, WINDOW_MAX_US). */
#define PSI_WINDOW_MIN (500 * USEC_PER_MSEC)
#define PSI_WINDOW_MAX (10 * USEC_PER_SEC)

static const char *const sections[] = { "agent", "zram", NULL };

void config_init(struct config *config) {
        *config = (struct config) {
                .port = PORT_NAME_DEFAULT,
                /* 4 % of half a second: the shortest window, so that the kernel looks every 50 ms (it looks ten times in a
                 * window). */
                .psi_stall_usec = 20 * USEC_PER_MSEC,
                .psi_window_usec = 500 * USEC_PER_MSEC,
                .oom_score_adj = -900,
                .lock_memory = true,
                .zram_size_bytes = AEROSTAT_UNKNOWN,
                .zram_size_ppm = 250000,
                .log_level = LOG_LEVEL_INFO,
        };
}

static int set_log_level(struct config *config, const char *value) {
        static const char *const names[] = { "error", "warning", "info", "debug", NULL };
        static const enum log_level levels[] = { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
        int i = parse_choice(value, names);

        if (i < 0)
                return -EINVAL;
        config->log_level = levels[i];
        return 0;
}

static int set_port(struct config *config, const char *value) {
        if (!*value || strlen(value) >= sizeof(config->port))
                return -EINVAL;
        memcpy(config->port, value, strlen(value) + 1);
        return 0;
}

static int set_psi_stall(struct config *config, const char *value) {
        uint64_t usec;

        if (parse_duration(value, &usec) < 0 || usec > PSI_WINDOW_MAX)
                return -EINVAL;
        config->psi_stall_usec = usec;
        return 0;
}

static int set_psi_window(struct config *config, const char *value) {
        uint64_t usec;

        if (parse_duration(value, &usec) < 0 || usec < PSI_WINDOW_MIN || usec > PSI_WINDOW_MAX)
                return -EINVAL;
        config->psi_window_usec = usec;
        return 0;
}

static int set_oom_score_adj(struct config *config, const char *value) {
        bool negative = *value == '-';
        uint64_t number;

        if (parse_u64(value + negative, &number) < 0 || number > 1000)
                return -EINVAL;
        config->oom_score_adj = negative ? -(int) number : (int) number;
        return 0;
}

static int set_lock_memory(struct config *config, const char *value) {
        return parse_bool(value, &config->lock_memory);
}

static int set_zram_enabled(struct config *config, const char *value) {
        return parse_bool(value, &config->zram_enabled);
}

static int set_zram_size(struct config *config, const char *value) {
        uint64_t number;

        if (parse_percent(value, &number) >= 0) {
                if (number < PPM_ONE / 100 || number > 2 * PPM_ONE)
                        return -EINVAL;
                config->zram_size_ppm = number;
                config->zram_size_bytes = AEROSTAT_UNKNOWN;
                return 0;
        }
        if (parse_size(value, &number) < 0 || number < MIB)
                return -EINVAL;
        config->zram_size_bytes = number;
        config->zram_size_ppm = AEROSTAT_UNKNOWN;
        return 0;
}

enum { KEY_PORT, KEY_PSI_STALL, KEY_PSI_WINDOW, KEY_OOM_SCORE_ADJ, KEY_LOCK_MEMORY, KEY_LOG_LEVEL, KEY_ZRAM_ENABLED, KEY_ZRAM_SIZE };

static const struct {
        const char *section, *name;
        int (*set)(struct config *config, const char *value); /* negative: not what `expected` says */
        const char *expected;
} keys[] = {
        [KEY_PORT] = { "agent", "port", set_port, "the name of a virtio port, or a path, of less than 128 characters" },
        [KEY_PSI_STALL] = { "agent", "psi-stall", set_psi_stall, "a time such as 20ms, at most 10s (0s: no trigger)" },
        [KEY_PSI_WINDOW] = { "agent", "psi-window", set_psi_window, "a time from 500ms to 10s" },
        [KEY_OOM_SCORE_ADJ] = { "agent", "oom-score-adj", set_oom_score_adj, "a number from -1000 to 1000" },
        [KEY_LOCK_MEMORY] = { "agent", "lock-memory", set_lock_memory, "yes or no" },
        [KEY_LOG_LEVEL] = { "agent", "log-level", set_log_level, "error, warning, info or debug" },
        [KEY_ZRAM_ENABLED] = { "zram", "enabled", set_zram_enabled, "yes or no" },
        [KEY_ZRAM_SIZE] = { "zram", "size", set_zram_size, "a share of memory from 1% to 200%, or a size such as 256M" },
};

struct parser {
        struct config config;
        struct ini_lines lines;
        unsigned key_lines[ARRAY_SIZE(keys)]; /* where each was set; 0: not yet */
        const char *name;
        unsigned failed_line;                 /* 0: all is well so far */
        char *error;
};

__attribute__((format(printf, 3, 4))) static int parser_fail(struct parser *parser, unsigned line, const char *format, ...) {
        va_list args;
        int n;

        if (parser->failed_line > 0 && parser->failed_line <= line)
                return 0; /* the first error is the one to mend first */
        parser->failed_line = line;
        n = snprintf(parser->error, CONFIG_ERROR_MAX, "%s:%u: ", parser->name, line);
        if (n < 0 || n >= CONFIG_ERROR_MAX)
                return 0;
        va_start(args, format);
        vsnprintf(parser->error + n, (size_t) (CONFIG_ERROR_MAX - n), format, args);
        va_end(args);
        return 0;
}

static int fail_unknown(struct parser *parser, const char *what, const char *name, const char *where, const char *const *known) {
        const char *nearest = parse_nearest(name, known);

        return parser_fail(parser, parser->lines.line, "unknown %s '%s'%s%s%s%s", what, name, where, nearest ? "; did you mean '" : "",
                           nearest ? nearest : "", nearest ? "'?" : "");
}

/* libinih's handler: 0 is failure. Sections come only with their keys, so an empty section of any name goes unnoticed and does
 * nothing. */
static int handle(void *userdata, const char *section, const char *name, const char *value) {
        struct parser *parser = userdata;
        const char *names[ARRAY_SIZE(keys) + 1] = { NULL };
        char where[64];
        size_t n = 0;

        if (!*section)
                return parser_fail(parser, parser->lines.line, "'%s' stands before any section; put [agent] above it", name);
        if (parse_choice(section, sections) < 0)
                return fail_unknown(parser, "section", section, "", sections);
        for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
                if (strcmp(section, keys[i].section) != 0)
                        continue;
                names[n++] = keys[i].name;
                if (strcmp(name, keys[i].name) != 0)
                        continue;
                if (parser->key_lines[i] > 0)
                        return parser_fail(parser, parser->lines.line, "'%s' is set twice (before in line %u)", name, parser->key_lines[i]);
                parser->key_lines[i] = parser->lines.line;
                if (keys[i].set(&parser->config, value) < 0)
                        return parser_fail(parser, parser->lines.line, "%s = '%s' is not %s", name, value, keys[i].expected);
                return 1;
        }
        snprintf(where, sizeof(where), " in [%s]", section);
        return fail_unknown(parser, "key", name, where, names);
}

int config_parse(const char *text, const char *name, struct config *ret, char error[static CONFIG_ERROR_MAX]) {
        struct parser parser = { .lines.next = text, .name = name, .error = error };
        int r;

        config_init(&parser.config);
        r = ini_parse_stream(ini_lines_read, &parser.lines, handle, &parser);
        if (r < 0)
                parser_fail(&parser, parser.lines.line + 1, "out of memory");
        if (parser.lines.error)
                parser_fail(&parser, parser.lines.error_line, "%s", parser.lines.error);
        /* libinih reads on after a line that it does not understand, and says only where the first one was: in the handler, or
         * here. */
        if (r > 0)
                parser_fail(&parser, (unsigned) r, "this is no [section], no 'key = value' and no comment");
        if (parser.config.psi_stall_usec > parser.config.psi_window_usec)
                parser_fail(&parser, MAX(parser.key_lines[KEY_PSI_STALL], parser.key_lines[KEY_PSI_WINDOW]),
                            "psi-stall is longer than psi-window");
        if (parser.failed_line > 0)
                return -EINVAL;
        *ret = parser.config;
        return 0;
}

int config_load(const char *path, struct config *ret, char error[static CONFIG_ERROR_MAX]) {
        _cleanup_free_ char *text = malloc(CONFIG_SIZE_MAX);
        ssize_t n = text ? procfs_read(AT_FDCWD, path, text, CONFIG_SIZE_MAX) : -ENOMEM;

        if (n < 0) {
                snprintf(error, CONFIG_ERROR_MAX, "cannot read %s: %s", path, strerror((int) -n));
                return (int) n;
        }
        if (memchr(text, 0, (size_t) n)) {
                snprintf(error, CONFIG_ERROR_MAX, "%s: has a NUL byte in it; this is no text file", path);
                return -EINVAL;
        }
        return config_parse(text, path, ret, error);
}
