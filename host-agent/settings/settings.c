/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/settings/keys.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <string.h>
#include <sys/stat.h>

#include "protocol/units.h"

/* The same file by accident of a path must not fill our memory; a real one is some KiB. */
#define FILE_SIZE_MAX MIB

void settings_derive(struct settings *settings) {
        /* Two reports may be lost, and a guest that swaps is late, before a report counts as old. */
        settings->policy.fresh_usec = MAX(3 * settings->report_interval_usec, 10 * USEC_PER_SEC);
}

void settings_init(struct settings *ret) {
        char error[SETTINGS_ERROR_MAX];

        memset(ret, 0, sizeof(*ret));
        policy_config_init(&ret->policy);
        for (size_t i = 0; i < n_settings_table; i++)
                if (settings_table[i].fallback) {
                        int r = setting_parse(&settings_table[i], settings_table[i].fallback, ret, error);
                        assert(r == 0);
                        (void) r;
                }
        strcpy(ret->defaults.pattern, "*");
        ret->defaults.managed = true;
        ret->defaults.priority = 100;
        ret->defaults.has_managed = ret->defaults.has_floor = ret->defaults.has_weight = ret->defaults.has_priority = true;
        settings_derive(ret);
}

/* What no single key can tell. */
static int check(const char *file, const struct settings *settings, char error[static SETTINGS_ERROR_MAX]) {
        const char *wrong = NULL;

        if (settings->ksm_cpu_normal_ppm > settings->ksm_cpu_critical_ppm)
                wrong = "[ksm] cpu-normal is above cpu-critical";
        else if (settings->last_resort == SETTINGS_LAST_RESORT_COMMAND && !*settings->last_resort_command)
                wrong = "[last-resort] action = command, but there is no command";
        if (!wrong)
                return 0;
        snprintf(error, SETTINGS_ERROR_MAX, "%.200s: %s", file, wrong);
        return -EINVAL;
}

static int refuse_file(int r, const char *file, const char *why, char error[static SETTINGS_ERROR_MAX]) {
        snprintf(error, SETTINGS_ERROR_MAX, "%.200s: %s", file, why);
        return r;
}

/* The whole file, NUL-terminated; the caller frees *ret. */
static int read_file(const char *file, char **ret, char error[static SETTINGS_ERROR_MAX]) {
        _cleanup_close_ int fd = -1;
        _cleanup_free_ char *text = NULL;
        struct stat st;
        size_t size = 0;

        fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK); /* a FIFO must not hold us */
        if (fd < 0 || fstat(fd, &st) < 0)
                return refuse_file(-errno, file, strerror(errno), error);
        if (!S_ISREG(st.st_mode))
                return refuse_file(S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL, file, "not a regular file", error);
        if ((uint64_t) st.st_size > FILE_SIZE_MAX)
                return refuse_file(-EFBIG, file, "larger than 1 MiB: not a configuration file", error);
        text = malloc(FILE_SIZE_MAX + 2);
        if (!text)
                return refuse_file(-ENOMEM, file, strerror(ENOMEM), error);
        while (size <= FILE_SIZE_MAX) {
                ssize_t n = read(fd, text + size, FILE_SIZE_MAX + 1 - size);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return refuse_file(-errno, file, strerror(errno), error);
                if (n == 0)
                        break;
                size += (size_t) n;
        }
        if (size > FILE_SIZE_MAX)
                return refuse_file(-EFBIG, file, "larger than 1 MiB: not a configuration file", error);
        text[size] = 0;
        if (strlen(text) != size)
                return refuse_file(-EINVAL, file, "holds NUL bytes: not a configuration file", error);
        *ret = TAKE_PTR(text);
        return 0;
}

static int load_file(const char *file, struct settings *settings, char error[static SETTINGS_ERROR_MAX]) {
        _cleanup_free_ char *text = NULL;
        int r;

        r = read_file(file, &text, error);
        if (r < 0)
                return r;
        return settings_parse(file, text, settings, error);
}

static int is_conf_name(const struct dirent *entry) {
        const char *dot = strrchr(entry->d_name, '.');

        return dot && dot != entry->d_name && entry->d_name[0] != '.' && strcmp(dot, ".conf") == 0;
}

/* By bytes: alphasort() follows the locale, and the order must not. */
static int compare_names(const struct dirent **a, const struct dirent **b) {
        return strcmp((*a)->d_name, (*b)->d_name);
}

static int load_folder(const char *folder, struct settings *settings, char error[static SETTINGS_ERROR_MAX]) {
        struct dirent **entries;
        int n, r = 0;

        n = scandir(folder, &entries, is_conf_name, compare_names);
        if (n < 0)
                return errno == ENOENT ? 0 : refuse_file(-errno, folder, strerror(errno), error);
        for (int i = 0; i < n; i++) {
                _cleanup_free_ char *path = NULL;

                if (r == 0 && asprintf(&path, "%s/%s", folder, entries[i]->d_name) < 0)
                        r = refuse_file(-ENOMEM, folder, strerror(ENOMEM), error);
                if (r == 0)
                        r = load_file(path, settings, error);
                free(entries[i]);
        }
        free(entries);
        return r;
}

int settings_load(const char *file, bool required, struct settings *ret, char error[static SETTINGS_ERROR_MAX]) {
        _cleanup_free_ struct settings *settings = malloc(sizeof(*settings));
        _cleanup_free_ char *folder = NULL;
        int r;

        if (!settings || asprintf(&folder, "%s.d", file) < 0)
                return refuse_file(-ENOMEM, file, strerror(ENOMEM), error);
        settings_init(settings);
        r = load_file(file, settings, error);
        if (r < 0 && (r != -ENOENT || required))
                return r;
        r = load_folder(folder, settings, error);
        if (r < 0)
                return r;
        r = check(file, settings, error);
        if (r < 0)
                return r;
        *ret = *settings;
        return 0;
}

/* How specific a pattern is for this name: 0 does not match, else 1 + characters before the first wildcard; an exact name beats all. A VM may
 * be called "web[1]": then that text is its name before it is a pattern. */
static size_t specificity(const char *pattern, const char *name) {
        if (strcmp(pattern, name) == 0)
                return SIZE_MAX;
        return fnmatch(pattern, name, 0) == 0 ? 1 + strcspn(pattern, "*?[\\") : 0;
}

void settings_for_vm(const struct settings *settings, const char *name, struct settings_vm *ret) {
        size_t managed = 0, floor = 0, weight = 0, priority = 0; /* the specificity of whom each value is from */

        *ret = settings->defaults;
        for (size_t i = 0; i < settings->n_vms; i++) {
                const struct settings_vm *vm = &settings->vms[i];
                size_t s = specificity(vm->pattern, name);

                if (s == 0)
                        continue;
                if (vm->has_managed && s >= managed) {
                        managed = s;
                        ret->managed = vm->managed;
                }
                if (vm->has_floor && s >= floor) {
                        floor = s;
                        ret->floor_bytes = vm->floor_bytes;
                        ret->floor_ppm = vm->floor_ppm;
                }
                if (vm->has_weight && s >= weight) {
                        weight = s;
                        ret->weight = vm->weight;
                }
                if (vm->has_priority && s >= priority) {
                        priority = s;
                        ret->priority = vm->priority;
                }
        }
}

uint64_t settings_floor_bytes(const struct settings_vm *vm, uint64_t max_bytes) {
        uint64_t bytes = vm->floor_ppm == AEROSTAT_UNKNOWN ? vm->floor_bytes : u64_mul_div(max_bytes, vm->floor_ppm, PPM_ONE);

        return MIN(bytes, max_bytes);
}

static void format_section(const char *section, const void *base, FILE *out) {
        for (size_t i = 0; i < n_settings_table; i++) {
                const struct setting *setting = &settings_table[i];

                if (strcmp(setting->section, section) != 0)
                        continue;
                if (strcmp(section, "vm") == 0 && !*((const bool *) base + setting->flag))
                        continue;
                fprintf(out, "%s = ", setting->name);
                setting_print(setting, base, out);
                fputc('\n', out);
        }
}

int settings_format(const struct settings *settings, char **ret) {
        _cleanup_free_ char *text = NULL;
        size_t size;
        FILE *out = open_memstream(&text, &size);
        bool failed;

        if (!out)
                return -ENOMEM;
        for (size_t i = 0; settings_sections[i]; i++) {
                if (strcmp(settings_sections[i], "vm") == 0)
                        continue;
                fprintf(out, "%s[%s]\n", i == 0 ? "" : "\n", settings_sections[i]);
                format_section(settings_sections[i], settings, out);
        }
        for (size_t i = 0; i < settings->n_vms; i++) {
                fprintf(out, "\n[vm \"%s\"]\n", settings->vms[i].pattern);
                format_section("vm", &settings->vms[i], out);
        }
        failed = ferror(out);
        if (fclose(out) != 0 || failed)
                return -ENOMEM;
        *ret = TAKE_PTR(text);
        return 0;
}
