/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/state/report_file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host-agent/state/state_file.h"
#include "protocol/base.h"
#include "protocol/parse.h"

#define HEADER "aerostat-report 1"

_Static_assert(sizeof(struct report_hour) == REPORT_HOUR_FIELDS * sizeof(uint32_t), "a row of equal fields");
_Static_assert(sizeof(struct report_day) == REPORT_DAY_FIELDS * sizeof(uint32_t), "a row of equal fields");

/*
 * All rows that are there, of n_fields each, rising by their first field, a number that is 0 where there is none. Whether a row is too old, or of a
 * future that a wrong clock made up (an RTC years ahead, or behind, until NTP has corrected it), is for those to judge who sum up: here one wrong row
 * would cost all that are right.
 */
static void format_rows(FILE *f, const char *word, const void *rows, size_t n_rows, size_t n_fields) {
        const uint32_t *first = rows, *end = first + n_rows * n_fields, *next;

        for (uint32_t last = 0;; last = *next) {
                next = NULL;
                for (const uint32_t *row = first; row < end; row += n_fields)
                        if (*row > last && (!next || *row < *next))
                                next = row;
                if (!next)
                        return;
                fputs(word, f);
                for (size_t i = 0; i < n_fields; i++)
                        fprintf(f, " %" PRIu32, next[i]);
                fputc('\n', f);
        }
}

int report_format(const struct report *report, char **ret) {
        char uuid[UUID_STRING_SIZE], *text = NULL;
        bool failed;
        size_t size;
        FILE *f = open_memstream(&text, &size);

        if (!f)
                return -ENOMEM;
        fputs(HEADER "\n", f);
        format_rows(f, "hour", report->hours, REPORT_HOURS, REPORT_HOUR_FIELDS);
        for (size_t i = 0; i < report->n_vms; i++) {
                fprintf(f, "vm %s %s\n", format_uuid(report->vms[i]->uuid, uuid), report->vms[i]->name);
                format_rows(f, "day", report->vms[i]->days, REPORT_DAYS, REPORT_DAY_FIELDS);
        }
        failed = ferror(f) != 0;
        if (fclose(f) != 0 || failed) {
                free(text);
                return -ENOMEM;
        }
        *ret = text;
        return 0;
}

/* Exactly n numbers with single spaces between them. */
static bool parse_row(char *line, void *ret, size_t n) {
        uint32_t *fields = ret;
        uint64_t value;

        for (size_t i = 0; i < n; i++) {
                char *word = strsep(&line, " ");

                if (!word || parse_u64(word, &value) < 0 || value > UINT32_MAX)
                        return false;
                fields[i] = (uint32_t) value;
        }
        return !line;
}

static bool parse_hour(struct report *r, char *line, uint32_t *last) {
        struct report_hour h, *at;

        if (!parse_row(line, &h, REPORT_HOUR_FIELDS) || h.hour <= *last || r->n_vms > 0)
                return false;
        at = &r->hours[h.hour % REPORT_HOURS];
        *last = h.hour;
        *at = h;
        return true;
}

static bool parse_day(struct report *r, char *line) {
        struct report_vm *vm = r->n_vms > 0 ? r->vms[r->n_vms - 1] : NULL;
        struct report_day d;

        if (!vm || !parse_row(line, &d, REPORT_DAY_FIELDS) || d.day == 0)
                return false;
        for (size_t i = 0; i < REPORT_DAYS; i++)
                if (vm->days[i].day >= d.day)
                        return false;
        vm->days[d.day % REPORT_DAYS] = d;
        return true;
}

/* 0, -EBADMSG or -ENOMEM. */
static int parse_vm(struct report *r, char *line) {
        char *uuid_text = strsep(&line, " ");
        struct report_vm *vm;
        uint8_t uuid[16];

        if (!line || parse_uuid(uuid_text, uuid) < 0 || !reservation_name_is_valid(line) || r->n_vms >= REPORT_VMS_MAX)
                return -EBADMSG;
        for (size_t i = 0; i < r->n_vms; i++)
                if (memcmp(r->vms[i]->uuid, uuid, sizeof(uuid)) == 0)
                        return -EBADMSG;
        vm = report_vm_of(r, uuid, line, AEROSTAT_UNKNOWN); /* a new one */
        return vm ? 0 : -ENOMEM;
}

static int parse_line(struct report *r, char *line, unsigned number, uint32_t *last_hour) {
        if (number == 1)
                return strcmp(line, HEADER) == 0 ? 0 : -EBADMSG;
        if (strncmp(line, "hour ", 5) == 0)
                return parse_hour(r, line + 5, last_hour) ? 0 : -EBADMSG;
        if (strncmp(line, "vm ", 3) == 0)
                return parse_vm(r, line + 3);
        if (strncmp(line, "day ", 4) == 0)
                return parse_day(r, line + 4) ? 0 : -EBADMSG;
        return -EBADMSG;
}

int report_parse(const char *text, struct report *ret, unsigned *ret_line) {
        _cleanup_free_ char *copy = strdup(text);
        _cleanup_free_ struct report *report = calloc(1, sizeof(*report));
        unsigned number = 0;
        uint32_t last_hour = 0;
        int r = copy && report ? 0 : -ENOMEM;

        for (char *line = copy, *end; r >= 0 && (*line || number == 0); line = end + 1) {
                number++;
                end = strchr(line, '\n');
                if (end)
                        *end = 0;
                r = end ? parse_line(report, line, number, &last_hour) : -EBADMSG;
        }
        if (r < 0) {
                if (report)
                        report_done(report);
                *ret_line = number;
                return r;
        }
        *ret = *report;
        return 0;
}

int report_load(const char *folder, struct report *ret, unsigned *ret_line) {
        _cleanup_free_ char *text = NULL;
        int r;

        *ret_line = 0;
        r = state_read(folder, "report", &text);
        return r < 0 ? r : report_parse(text, ret, ret_line);
}
