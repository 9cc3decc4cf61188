/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * One text of aerostatd.conf: libinih finds keys and values, protocol/ini_lines.h feeds it strictly. Section headers never reach libinih: it cuts
 * names at 49 characters without a word, ends `[vm "web[0-9]"]` at the first bracket, and does not tell of a section that has no keys, so
 * that a misspelt one would go unseen (libinih 55).
 */

#include "host-agent/settings/keys.h"

#include <assert.h>
#include <errno.h>
#include <ini.h>
#include <stdarg.h>
#include <string.h>

#include "protocol/ini_lines.h"
#include "protocol/parse.h"

struct parser {
        struct ini_lines lines;
        const char *file;
        struct settings *settings;
        const char *section;                   /* the name in settings_sections; NULL before the first header */
        struct settings_vm *vm;                /* within a [vm] section */
        size_t n_vms_here;                     /* the last so many of settings->vms were named by this file */
        bool seen[SETTINGS_KEYS_MAX];                  /* by index into settings_table */
        int result;                            /* the first error */
        unsigned error_line;
        char *error;
};

static int complain(struct parser *p, unsigned line, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Keeps the first complaint, which ends the reading. */
static int complain(struct parser *p, unsigned line, const char *format, ...) {
        va_list ap;
        int n;

        if (p->result < 0)
                return p->result;
        p->result = -EINVAL;
        p->error_line = line;
        n = snprintf(p->error, SETTINGS_ERROR_MAX, "%.200s:%u: ", p->file, line);
        va_start(ap, format);
        vsnprintf(p->error + n, SETTINGS_ERROR_MAX - (size_t) n, format, ap);
        va_end(ap);
        return p->result;
}

/* A new pattern, or one that an earlier file had: what that said stays in force where this one is silent. It moves to the end either way, for
 * among equally specific patterns the later one wins. */
static int begin_vm(struct parser *p, const char *pattern) {
        struct settings *s = p->settings;
        struct settings_vm vm = {};
        size_t i = 0;

        while (i < s->n_vms && strcmp(s->vms[i].pattern, pattern) != 0)
                i++;
        if (i < s->n_vms && i >= s->n_vms - p->n_vms_here)
                return complain(p, p->lines.line, "[vm \"%s\"] stands twice in this file", pattern);
        if (i == SETTINGS_VM_PATTERNS_MAX)
                return complain(p, p->lines.line, "more than %d [vm] patterns", SETTINGS_VM_PATTERNS_MAX);
        if (i == s->n_vms) {
                strcpy(vm.pattern, pattern);
                s->n_vms++;
        } else {
                vm = s->vms[i];
                memmove(&s->vms[i], &s->vms[i + 1], (s->n_vms - 1 - i) * sizeof(vm));
        }
        p->vm = &s->vms[s->n_vms - 1];
        *p->vm = vm;
        p->n_vms_here++;
        for (size_t k = 0; k < n_settings_table; k++)
                if (strcmp(settings_table[k].section, "vm") == 0)
                        p->seen[k] = false;
        return 0;
}

/* What follows [vm: blanks, a pattern in quotes. Returns what is left of the line, or NULL after a complaint. */
static char *parse_vm_header(struct parser *p, char *s) {
        char *quote = s + strspn(s, " \t"), *pattern, *end;

        if (*quote != '"' || quote == s) {
                complain(p, p->lines.line, "a [vm] section names VMs in quotes: [vm \"db-*\"]");
                return NULL;
        }
        pattern = quote + 1;
        end = strchr(pattern, '"');
        if (!end) {
                complain(p, p->lines.line, "the closing quote of the VM pattern is missing");
                return NULL;
        }
        *end = 0;
        if (!*pattern) {
                complain(p, p->lines.line, "the VM pattern is empty; \"*\" means every VM");
                return NULL;
        }
        p->section = "vm";
        return begin_vm(p, pattern) < 0 ? NULL : end + 1;
}

/* The name of any other section. The same. */
static char *parse_plain_header(struct parser *p, char *s) {
        size_t n = strcspn(s, "]");
        const char *nearest;
        int i;

        if (s[n] != ']')
                return s + n; /* parse_header() complains */
        s[n] = 0;
        i = parse_choice(s, settings_sections);
        if (i < 0) {
                nearest = parse_nearest(s, settings_sections);
                complain(p, p->lines.line, "unknown section [%s]%s%s%s", s, nearest ? "; did you mean [" : "", nearest ? nearest : "",
                         nearest ? "]?" : "");
                return NULL;
        }
        s[n] = ']';
        p->section = settings_sections[i];
        p->vm = NULL;
        return s + n;
}

static int parse_header(struct parser *p, const char *line) {
        char copy[INI_LINE_MAX + 2], *s = copy + 1, *rest;

        snprintf(copy, sizeof(copy), "%.*s", (int) strcspn(line, "\r\n"), line);
        if (strncmp(s, "vm", 2) == 0 && strchr("] \t\"", s[2]))
                rest = parse_vm_header(p, s + 2);
        else
                rest = parse_plain_header(p, s);
        if (!rest)
                return p->result;
        rest += strspn(rest, " \t");
        if (*rest != ']')
                return complain(p, p->lines.line, "the section's closing ']' is missing");
        rest++;
        rest += strspn(rest, " \t");
        if (*rest && *rest != '#' && *rest != ';')
                return complain(p, p->lines.line, "'%s' after the section's name: a key needs a line of its own", rest);
        return 0;
}

/* libinih's reader: the next line, with headers taken out. */
static char *read_line(char *buf, int size, void *data) {
        struct parser *p = data;
        char *line;

        if (p->result < 0)
                return NULL;
        line = ini_lines_read(buf, size, &p->lines);
        if (!line) {
                if (p->lines.error)
                        complain(p, p->lines.error_line, "%s", p->lines.error);
                return NULL;
        }
        if (*line == '[') {
                if (parse_header(p, line) < 0)
                        return NULL;
                strcpy(line, "\n");
        }
        return line;
}

static int complain_key(struct parser *p, const char *name) {
        const char *nearest = setting_nearest(p->section, name), *other = setting_section_of(name);

        if (nearest)
                return complain(p, p->lines.line, "unknown key '%s' in [%s]; did you mean '%s'?", name, p->section, nearest);
        if (other)
                return complain(p, p->lines.line, "unknown key '%s' in [%s]; it belongs to [%s]", name, p->section, other);
        return complain(p, p->lines.line, "unknown key '%s' in [%s]", name, p->section);
}

/* libinih's handler: 1 on success. */
static int take_key(void *data, const char *section, const char *name, const char *value) {
        struct parser *p = data;
        const struct setting *setting;
        char sentence[SETTINGS_ERROR_MAX];
        void *base;

        if (p->result < 0)
                return 0;
        if (!p->section)
                return complain(p, p->lines.line, "'%s' stands before the first [section]", name) >= 0;
        setting = setting_find(p->section, name);
        if (!setting)
                return complain_key(p, name) >= 0;
        if (p->seen[setting - settings_table])
                return complain(p, p->lines.line, "'%s' stands twice in [%s] of this file", name, p->section) >= 0;
        p->seen[setting - settings_table] = true;
        base = p->vm ? (void *) p->vm : (void *) p->settings;
        if (setting_parse(setting, value, base, sentence) < 0)
                return complain(p, p->lines.line, "[%s] %s", p->section, sentence) >= 0;
        if (p->vm)
                *((bool *) p->vm + setting->flag) = true;
        return 1;
}

int settings_parse(const char *name, const char *text, struct settings *settings, char error[static SETTINGS_ERROR_MAX]) {
        struct parser p = {
                .lines = { .next = text, .own_headers = true },
                .file = name,
                .settings = settings,
                .error = error,
        };
        int r;

        static_assert(sizeof(bool) == 1, "flags are found by their offset in bytes");
        r = ini_parse_stream(read_line, &p, take_key, &p);
        if (r == -2)
                return -ENOMEM;
        /* libinih names the first line that it could not read: one without '='. */
        if (r > 0 && (p.result == 0 || (unsigned) r < p.error_line)) {
                p.result = 0;
                complain(&p, (unsigned) r, "neither 'key = value' nor [section] nor a comment");
        }
        if (p.result < 0)
                return p.result;
        settings_derive(settings);
        return 0;
}
