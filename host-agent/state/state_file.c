/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/state/state_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "protocol/parse.h"
#include "protocol/units.h"

#define HEADER "aerostat-state 1"
#define FIELDS_MAX 8

void state_done(struct state *state) {
        free(state->vms);
        *state = (struct state) { 0 };
}

/* ---- writing ---- */

static const char *number_or_dash(bool known, uint64_t value, char buf[static 24]) {
        if (!known)
                return "-";
        snprintf(buf, 24, "%" PRIu64, value);
        return buf;
}

static void format_vm(FILE *f, const struct state_vm *vm) {
        const struct limits *l = &vm->limits;
        char uuid[UUID_STRING_SIZE], a[24], b[24], floor[40] = "-";

        format_uuid(vm->uuid, uuid);
        if (vm->pin_bytes != AEROSTAT_UNKNOWN)
                fprintf(f, "pin %s %" PRIu64 " %" PRIu64 " %s\n", uuid, vm->run, vm->pin_bytes,
                        number_or_dash(vm->pin_until_usec != AEROSTAT_UNKNOWN, vm->pin_until_usec, a));
        if (vm->agent_spoke)
                fprintf(f, "agent %s %" PRIu64 "\n", uuid, vm->run);
        if (!limits_any(l))
                return;
        if (l->has_floor && l->floor_ppm != AEROSTAT_UNKNOWN)
                snprintf(floor, sizeof(floor), "%" PRIu64 ".%04" PRIu64 "%%", l->floor_ppm / 10000, l->floor_ppm % 10000);
        else if (l->has_floor)
                snprintf(floor, sizeof(floor), "%" PRIu64 "B", l->floor_bytes);
        fprintf(f, "limits %s %" PRIu64 " %s %s %s %s\n", uuid, vm->run, floor, number_or_dash(l->has_weight, l->weight, a),
                number_or_dash(l->has_priority, l->priority, b), !l->has_managed ? "-" : l->managed ? "yes" : "no");
}

int state_format(const struct state *state, char **ret) {
        char uuid[UUID_STRING_SIZE], *text = NULL;
        size_t size;
        FILE *f = open_memstream(&text, &size);
        bool failed;

        if (!f)
                return -ENOMEM;
        fprintf(f, HEADER "\nboot %s\n%s", format_uuid(state->boot_id, uuid), state->paused ? "paused\n" : "");
        for (size_t i = 0; i < state->n_vms; i++)
                format_vm(f, &state->vms[i]);
        for (size_t i = 0; i < state->reservations.n; i++) {
                const struct reservation *r = &state->reservations.list[i];

                fprintf(f, "reserve %" PRIu64 " %" PRIu64 " %" PRIu64 "%s%s\n", r->id, r->bytes, r->until_usec, r->for_vm[0] ? " " : "", r->for_vm);
        }
        failed = ferror(f) != 0;
        if (fclose(f) != 0 || failed) {
                free(text);
                return -ENOMEM;
        }
        *ret = text;
        return 0;
}

/* ---- reading ---- */

/* Splits at single spaces into exactly n fields; the last one may hold spaces where `rest` says so. */
static bool split(char *line, char *fields[static FIELDS_MAX], size_t n, bool rest) {
        size_t i = 0;

        for (fields[i++] = line; i < n; i++) {
                char *space = strchr(fields[i - 1], ' ');

                if (!space)
                        return false;
                *space = 0;
                fields[i] = space + 1;
        }
        for (i = 0; i < n; i++)
                if (!*fields[i])
                        return false;
        return rest || !strchr(fields[n - 1], ' ');
}

static bool parse_known(const char *s, bool *ret_known, uint64_t *ret, uint64_t max) {
        uint64_t value;

        *ret_known = strcmp(s, "-") != 0;
        if (!*ret_known)
                return true;
        if (parse_u64(s, &value) < 0 || value > max)
                return false;
        *ret = value;
        return true;
}

/* The record of this run of the VM, made where there is none. A VM has one run, and each kind of line once. */
static struct state_vm *record_of(struct state *state, const char *uuid_text, const char *run_text) {
        struct state_vm *vm;
        uint8_t uuid[16];
        uint64_t run;

        if (parse_uuid(uuid_text, uuid) < 0 || parse_u64(run_text, &run) < 0 || run > INT32_MAX)
                return NULL;
        for (size_t i = 0; i < state->n_vms; i++)
                if (memcmp(state->vms[i].uuid, uuid, sizeof(uuid)) == 0)
                        return state->vms[i].run == run ? &state->vms[i] : NULL;
        vm = &state->vms[state->n_vms++];
        *vm = (struct state_vm) { .run = run, .pin_bytes = AEROSTAT_UNKNOWN, .pin_until_usec = AEROSTAT_UNKNOWN };
        memcpy(vm->uuid, uuid, sizeof(uuid));
        return vm;
}

static bool parse_pin(struct state *state, char *line) {
        char *fields[FIELDS_MAX];
        struct state_vm *vm;
        bool ends;

        if (!split(line, fields, 4, false))
                return false;
        vm = record_of(state, fields[0], fields[1]);
        return vm && vm->pin_bytes == AEROSTAT_UNKNOWN && parse_u64(fields[2], &vm->pin_bytes) >= 0 && vm->pin_bytes <= INT64_MAX &&
               parse_known(fields[3], &ends, &vm->pin_until_usec, INT64_MAX);
}

static bool parse_agent(struct state *state, char *line) {
        char *fields[FIELDS_MAX];
        struct state_vm *vm = split(line, fields, 2, false) ? record_of(state, fields[0], fields[1]) : NULL;

        return vm && !vm->agent_spoke && (vm->agent_spoke = true);
}

static bool parse_floor(const char *s, struct limits *l) {
        l->has_floor = strcmp(s, "-") != 0;
        l->floor_ppm = AEROSTAT_UNKNOWN;
        if (!l->has_floor)
                return true;
        if (strchr(s, '%'))
                return parse_percent(s, &l->floor_ppm) >= 0 && l->floor_ppm <= PPM_ONE;
        return parse_size(s, &l->floor_bytes) >= 0;
}

static bool parse_limits(struct state *state, char *line) {
        char *fields[FIELDS_MAX];
        struct state_vm *vm;
        struct limits *l;

        if (!split(line, fields, 6, false))
                return false;
        vm = record_of(state, fields[0], fields[1]);
        if (!vm || limits_any(&vm->limits))
                return false;
        l = &vm->limits;
        if (!parse_floor(fields[2], l) || !parse_known(fields[3], &l->has_weight, &l->weight, LIMITS_WEIGHT_MAX) ||
            !parse_known(fields[4], &l->has_priority, &l->priority, LIMITS_PRIORITY_MAX))
                return false;
        l->has_managed = strcmp(fields[5], "-") != 0;
        l->managed = strcmp(fields[5], "yes") == 0;
        return limits_any(l) && (!l->has_managed || l->managed || strcmp(fields[5], "no") == 0);
}

static bool parse_reservation(struct state *state, char *line) {
        struct reservations *all = &state->reservations;
        bool named = strchr(line, ' ') && strchr(strchr(line, ' ') + 1, ' ') && strchr(strchr(strchr(line, ' ') + 1, ' ') + 1, ' ');
        char *fields[FIELDS_MAX];
        struct reservation *one;
        uint64_t id, bytes, until;

        if (!split(line, fields, named ? 4 : 3, named) || parse_u64(fields[0], &id) < 0 || parse_u64(fields[1], &bytes) < 0 ||
            parse_u64(fields[2], &until) < 0 || id <= all->last_id || id > INT64_MAX || bytes == 0 || bytes > INT64_MAX || until > INT64_MAX ||
            reservations_add(all, bytes, until, named ? fields[3] : "", &one) < 0)
                return false;
        all->last_id = one->id = id;
        return true;
}

static bool parse_line(struct state *state, char *line, unsigned number, bool *booted) {
        if (number == 1)
                return strcmp(line, HEADER) == 0;
        if (number == 2) {
                *booted = strncmp(line, "boot ", 5) == 0 && parse_uuid(line + 5, state->boot_id) >= 0;
                return *booted;
        }
        if (strcmp(line, "paused") == 0 && !state->paused)
                return state->paused = true;
        if (strncmp(line, "pin ", 4) == 0)
                return parse_pin(state, line + 4);
        if (strncmp(line, "agent ", 6) == 0)
                return parse_agent(state, line + 6);
        if (strncmp(line, "limits ", 7) == 0)
                return parse_limits(state, line + 7);
        if (strncmp(line, "reserve ", 8) == 0)
                return parse_reservation(state, line + 8);
        return false;
}

int state_parse(const char *text, struct state *ret, unsigned *ret_line) {
        _cleanup_free_ char *copy = strdup(text);
        struct state state = { 0 };
        unsigned number = 0;
        size_t lines = 1;
        bool booted = false;

        for (const char *c = text; *c; c++)
                lines += *c == '\n';
        state.vms = calloc(lines, sizeof(*state.vms));
        if (!copy || !state.vms) {
                state_done(&state);
                return -ENOMEM;
        }
        for (char *line = copy, *end; *line || number == 0; line = end + 1) {
                number++;
                end = strchr(line, '\n');
                if (end)
                        *end = 0;
                if (!end || !parse_line(&state, line, number, &booted)) {
                        state_done(&state);
                        *ret_line = number;
                        return -EBADMSG;
                }
        }
        if (!booted) {
                state_done(&state);
                *ret_line = number + 1;
                return -EBADMSG;
        }
        *ret = state;
        return 0;
}

/* ---- the file ---- */

int state_read(const char *folder, const char *name, char **ret) {
        _cleanup_free_ char *text = NULL, *path = NULL;
        _cleanup_close_ int fd = -1;
        size_t size = 0;
        struct stat st;

        if (asprintf(&path, "%s/%s", folder, name) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode) || st.st_size > (off_t) STATE_FILE_SIZE_MAX)
                return -EBADMSG;
        text = malloc((size_t) st.st_size + 1);
        if (!text)
                return -ENOMEM;
        while (size < (size_t) st.st_size) {
                ssize_t n = read(fd, text + size, (size_t) st.st_size - size);

                if (n < 0)
                        return -errno;
                if (n == 0)
                        break;
                size += (size_t) n;
        }
        if (memchr(text, 0, size))
                return -EBADMSG;
        text[size] = 0;
        *ret = TAKE_PTR(text);
        return 0;
}

int state_load(const char *folder, const uint8_t boot_id[static 16], struct state *ret, unsigned *ret_line) {
        _cleanup_free_ char *text = NULL;
        struct state state;
        unsigned line = 0;
        int r;

        r = state_read(folder, "state", &text);
        if (r >= 0)
                r = state_parse(text, &state, &line);
        if (r < 0) {
                *ret_line = line;
                return r;
        }
        if (memcmp(state.boot_id, boot_id, sizeof(state.boot_id)) != 0) {
                state.n_vms = 0;
                state.reservations.n = 0;
        }
        *ret = state;
        return 0;
}

static int write_all(int fd, const char *text) {
        for (size_t left = strlen(text); left > 0;) {
                ssize_t n = write(fd, text, left);

                if (n < 0 && errno != EINTR)
                        return -errno;
                if (n > 0) {
                        text += n;
                        left -= (size_t) n;
                }
        }
        return fsync(fd) < 0 ? -errno : 0;
}

int state_save(const char *folder, const char *name, const char *text) {
        _cleanup_close_ int dir = open(folder, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
        _cleanup_close_ int fd = -1;
        char aside[64];
        int r;

        if (dir < 0)
                return -errno;
        snprintf(aside, sizeof(aside), "%s.new", name);
        fd = openat(dir, aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return -errno;
        r = write_all(fd, text);
        if (r >= 0 && (renameat(dir, aside, dir, name) < 0 || fsync(dir) < 0))
                r = -errno;
        if (r < 0)
                unlinkat(dir, aside, 0);
        return r;
}
