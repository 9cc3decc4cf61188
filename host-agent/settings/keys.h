/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The table of all keys of aerostatd.conf: what each may hold, where it goes and what it is when nobody says. Parsing, defaults, range checks,
 * printing and "did you mean" all come from it. Private to the settings library. No state; any thread.
 */

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "host-agent/settings/settings.h"

enum setting_type {
        SETTING_BOOL,          /* bool: yes, no */
        SETTING_CHOICE,        /* an enum, as the index into choices */
        SETTING_NUMBER,        /* uint64_t */
        SETTING_AUTO_SIZE,     /* uint64_t bytes; "auto" is AEROSTAT_UNKNOWN */
        SETTING_PERCENT,       /* uint64_t ppm, written "30%" */
        SETTING_FACTOR,        /* uint64_t ppm, written "1.5" */
        SETTING_DURATION,      /* uint64_t microseconds */
        SETTING_SECONDS,       /* the same, whole seconds only */
        SETTING_FLOOR,         /* floor_bytes and floor_ppm of a struct settings_vm: "512M" or "25%" */
        SETTING_TEXT,          /* char[SETTINGS_TEXT_MAX] */
};

struct setting {
        const char *section, *name;
        enum setting_type type;
        size_t offset;                         /* of the value: in struct settings; in struct settings_vm where section is "vm" */
        uint64_t min, max;                     /* both allowed; of numbers, shares and times; of SETTING_FLOOR, of its share */
        const char *const *choices;            /* SETTING_CHOICE: NULL-terminated, in the order of the enum */
        const char *(*complaint)(const char *text); /* SETTING_TEXT: what is wrong with it, as the end of a sentence, or NULL */
        const char *fallback;                  /* the default as a file would have it; NULL: policy_config_init() sets it, or (vm) there is none */
        size_t flag;                           /* [vm]: offset of the bool that says that it was given */
};

#define SETTINGS_KEYS_MAX 64 /* of the table; it has fewer */
extern const struct setting settings_table[];
extern const size_t n_settings_table;

/* The names of all sections, in the order of the table, NULL-terminated. */
extern const char *const settings_sections[];

/* The entry of that name, or NULL. */
const struct setting *setting_find(const char *section, const char *name);

/* The known name nearest to this one in this section, or NULL. */
const char *setting_nearest(const char *section, const char *name);

/* The section that a key of this name does belong to, or NULL. */
const char *setting_section_of(const char *name);

/* Sets the value below base (a struct settings, or a struct settings_vm for section "vm"). 0, or -EINVAL or -ERANGE with a sentence (without a
 * place) in error, and the value untouched. */
int setting_parse(const struct setting *setting, const char *text, void *base, char error[static SETTINGS_ERROR_MAX]);

/* Prints the value as setting_parse takes it. */
void setting_print(const struct setting *setting, const void *base, FILE *out);

/* Sets what follows from other settings (fresh_usec). */
void settings_derive(struct settings *settings);
