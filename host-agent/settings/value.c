/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/settings/keys.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "protocol/parse.h"
#include "protocol/units.h"

static_assert(sizeof(enum policy_mode) == sizeof(unsigned) && sizeof(enum settings_ksm_mode) == sizeof(unsigned),
              "SETTING_CHOICE writes an unsigned where an enum is");

/* Printing: each form is exact, so that what is printed reads back as the same number. */

static void print_scaled(FILE *out, uint64_t value, uint64_t one, int decimals, const char *unit) {
        char fraction[24];
        size_t n;

        n = (size_t) snprintf(fraction, sizeof(fraction), ".%0*" PRIu64, decimals, value % one);
        while (fraction[n - 1] == '0')
                n--;
        if (fraction[n - 1] == '.')
                n--;
        fprintf(out, "%" PRIu64 "%.*s%s", value / one, (int) n, fraction, unit);
}

static void print_percent(FILE *out, uint64_t ppm) {
        print_scaled(out, ppm, PPM_ONE / 100, 4, "%");
}

static void print_size(FILE *out, uint64_t bytes) {
        static const struct { uint64_t unit; const char *name; } units[] = {
                { TIB, "T" }, { GIB, "G" }, { MIB, "M" }, { KIB, "K" }, { 1, "B" },
        };
        size_t i = 0;

        if (bytes == 0) {
                fputs("0", out);
                return;
        }
        while (bytes % units[i].unit != 0)
                i++;
        fprintf(out, "%" PRIu64 "%s", bytes / units[i].unit, units[i].name);
}

static void print_duration(FILE *out, uint64_t usec) {
        static const struct { uint64_t unit; const char *name; } units[] = {
                { USEC_PER_DAY, "d" }, { USEC_PER_HOUR, "h" }, { USEC_PER_MINUTE, "m" }, { USEC_PER_SEC, "s" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(units); i++)
                if (usec > 0 && usec % units[i].unit == 0) {
                        fprintf(out, "%" PRIu64 "%s", usec / units[i].unit, units[i].name);
                        return;
                }
        fprintf(out, "%" PRIu64 "ms", usec / USEC_PER_MSEC);
}

/* A number in the form that its key is written in. */
static void print_number(FILE *out, enum setting_type type, uint64_t value) {
        switch (type) {
        case SETTING_PERCENT:
        case SETTING_FLOOR:
                print_percent(out, value);
                break;
        case SETTING_FACTOR:
                print_scaled(out, value, PPM_ONE, 6, "");
                break;
        case SETTING_AUTO_SIZE:
                print_size(out, value);
                break;
        case SETTING_DURATION:
        case SETTING_SECONDS:
                print_duration(out, value);
                break;
        default:
                fprintf(out, "%" PRIu64, value);
        }
}

void setting_print(const struct setting *setting, const void *base, FILE *out) {
        const char *at = (const char *) base + setting->offset;
        const struct settings_vm *vm = (const void *) at;
        const uint64_t *number = (const void *) at;

        switch (setting->type) {
        case SETTING_BOOL:
                fputs(*(const bool *) at ? "yes" : "no", out);
                break;
        case SETTING_CHOICE:
                fputs(setting->choices[*(const unsigned *) (const void *) at], out);
                break;
        case SETTING_TEXT:
                fputs(at, out);
                break;
        case SETTING_FLOOR:
                if (vm->floor_ppm == AEROSTAT_UNKNOWN)
                        print_size(out, vm->floor_bytes);
                else
                        print_percent(out, vm->floor_ppm);
                break;
        case SETTING_AUTO_SIZE:
                if (*number == AEROSTAT_UNKNOWN) {
                        fputs("auto", out);
                        break;
                }
                /* fall through */
        default:
                print_number(out, setting->type, *number);
        }
}

/* Sentences. */

static int refuse_form(const struct setting *setting, const char *text, const char *form, char error[static SETTINGS_ERROR_MAX]) {
        snprintf(error, SETTINGS_ERROR_MAX, "%s = '%.80s' is not %s", setting->name, text, form);
        return -EINVAL;
}

static int refuse_range(const struct setting *setting, const char *text, char error[static SETTINGS_ERROR_MAX]) {
        FILE *out = fmemopen(error, SETTINGS_ERROR_MAX, "w");

        if (!out)
                return -ENOMEM;
        fprintf(out, "%s = %.80s is out of range: ", setting->name, text);
        print_number(out, setting->type, setting->min);
        fputs(" to ", out);
        print_number(out, setting->type, setting->max);
        fclose(out);
        return -ERANGE;
}

static int refuse_choice(const struct setting *setting, const char *text, char error[static SETTINGS_ERROR_MAX]) {
        size_t n = (size_t) snprintf(error, SETTINGS_ERROR_MAX, "%s = '%.80s' is not known: choose ", setting->name, text);

        for (size_t i = 0; setting->choices[i] && n < SETTINGS_ERROR_MAX; i++)
                n += (size_t) snprintf(error + n, SETTINGS_ERROR_MAX - n, "%s%s",
                                       i == 0 ? "" : setting->choices[i + 1] ? ", " : " or ", setting->choices[i]);
        return -EINVAL;
}

/* Parsing. */

/* So that it fits a line of 180 with its key, however that is spaced. */
#define TEXT_LENGTH_MAX 160
static_assert(TEXT_LENGTH_MAX < SETTINGS_TEXT_MAX, "texts are copied whole");

static int parse_text(const struct setting *setting, const char *text, char *at, char error[static SETTINGS_ERROR_MAX]) {
        const char *complaint;

        /* libinih ends a value at " ;" but not at " #", nor at ";" right after the '=': the comment would silently become part of it. */
        if (strstr(text, " #") || strstr(text, "\t#") || *text == '#' || *text == ';')
                return refuse_form(setting, text, "taken: a comment needs a line of its own", error);
        if (strlen(text) > TEXT_LENGTH_MAX)
                return refuse_form(setting, text, "taken: more than 160 characters", error);
        complaint = setting->complaint(text);
        if (complaint) {
                snprintf(error, SETTINGS_ERROR_MAX, "%s = '%.80s' %s", setting->name, text, complaint);
                return -EINVAL;
        }
        strcpy(at, text);
        return 0;
}

/* The number types: how they are written, and an example for who got it wrong. */
static int parse_number(enum setting_type type, const char *text, uint64_t *ret, const char **ret_form) {
        switch (type) {
        case SETTING_AUTO_SIZE:
                *ret_form = "auto or a size with its unit, such as 512M or 1.5G";
                return parse_size(text, ret);
        case SETTING_PERCENT:
                *ret_form = "a percentage, such as 30% or 0.5%";
                return parse_percent(text, ret);
        case SETTING_FACTOR:
                *ret_form = "a factor, such as 1.5";
                return parse_factor(text, ret);
        case SETTING_DURATION:
                *ret_form = "a time with its unit, such as 500ms, 10s, 5m, 2h or 1d";
                return parse_duration(text, ret);
        case SETTING_SECONDS:
                *ret_form = "a time in whole seconds with its unit, such as 2s or 1m";
                return parse_duration(text, ret);
        default:
                *ret_form = "a whole number";
                return parse_u64(text, ret);
        }
}

static int parse_floor(const struct setting *setting, const char *text, struct settings_vm *vm, char error[static SETTINGS_ERROR_MAX]) {
        uint64_t ppm = AEROSTAT_UNKNOWN, bytes = 0;
        bool share = strchr(text, '%');
        int r;

        r = share ? parse_percent(text, &ppm) : parse_size(text, &bytes);
        if (r == -EINVAL)
                return refuse_form(setting, text, "a size with its unit or a share of the VM's memory, such as 512M or 25%", error);
        if (!share && (r < 0 || bytes > POLICY_SIZE_MAX))
                return refuse_form(setting, text, "taken: too large", error);
        if (r < 0 || (share && (ppm < setting->min || ppm > setting->max)))
                return refuse_range(setting, text, error);
        vm->floor_bytes = bytes;
        vm->floor_ppm = ppm;
        return 0;
}

int setting_parse(const struct setting *setting, const char *text, void *base, char error[static SETTINGS_ERROR_MAX]) {
        char *at = (char *) base + setting->offset;
        const char *form = NULL;
        uint64_t number;
        int r;

        switch (setting->type) {
        case SETTING_BOOL:
                if (parse_bool(text, (bool *) at) < 0)
                        return refuse_form(setting, text, "yes or no", error);
                return 0;
        case SETTING_CHOICE:
                r = parse_choice(text, setting->choices);
                if (r < 0)
                        return refuse_choice(setting, text, error);
                *(unsigned *) (void *) at = (unsigned) r;
                return 0;
        case SETTING_TEXT:
                return parse_text(setting, text, at, error);
        case SETTING_FLOOR:
                return parse_floor(setting, text, (struct settings_vm *) (void *) at, error);
        default:
                if (setting->type == SETTING_AUTO_SIZE && strcmp(text, "auto") == 0) {
                        *(uint64_t *) (void *) at = AEROSTAT_UNKNOWN;
                        return 0;
                }
                r = parse_number(setting->type, text, &number, &form);
                if (r == -EINVAL)
                        return refuse_form(setting, text, form, error);
                if (r < 0 || number < setting->min || number > setting->max)
                        return refuse_range(setting, text, error);
                if (setting->type == SETTING_SECONDS && number % USEC_PER_SEC != 0)
                        return refuse_form(setting, text, form, error);
                *(uint64_t *) (void *) at = number;
                return 0;
        }
}
