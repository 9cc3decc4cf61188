/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/manager/paused.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "host-agent/virt/virt.h"
#include "protocol/parse.h"

/* "paused:UUID" -> "RUN URI" */
#define PREFIX "paused:"
#define ENTRY_MAX (sizeof(PREFIX) + UUID_STRING_SIZE)
#define VALUE_MAX 320

static const char *name_of(const uint8_t uuid[static 16], char buf[static ENTRY_MAX]) {
        char text[UUID_STRING_SIZE];

        (void) snprintf(buf, ENTRY_MAX, PREFIX "%s", format_uuid(uuid, text));
        return buf;
}

/* The entry at *index or after it that is of a VM; false: no more. */
static bool next_entry(struct undo *undo, size_t *index, uint8_t uuid[static 16], const char **ret_value) {
        const char *name;

        for (; undo_entry(undo, *index, &name, ret_value); (*index)++)
                if (strncmp(name, PREFIX, strlen(PREFIX)) == 0 && parse_uuid(name + strlen(PREFIX), uuid) >= 0)
                        return true;
        return false;
}

/* False: not what paused_note() writes. */
static bool parse_value(const char *value, int *ret_run, const char **ret_uri) {
        const char *blank = strchr(value, ' ');
        char number[16];
        uint64_t run;

        if (!blank || (size_t) (blank - value) >= sizeof(number))
                return false;
        (void) snprintf(number, sizeof(number), "%.*s", (int) (blank - value), value);
        if (parse_u64(number, &run) < 0 || run > INT32_MAX)
                return false;
        *ret_run = (int) run;
        *ret_uri = blank + 1;
        return true;
}

int paused_note(struct undo *undo, const uint8_t uuid[static 16], int run, const char *uri) {
        char name[ENTRY_MAX], value[VALUE_MAX];
        int r;

        if (run < 0 || snprintf(value, sizeof(value), "%d %s", run, uri) >= (int) sizeof(value))
                return -EINVAL;
        paused_forget(undo, uuid); /* an earlier run */
        r = undo_note(undo, name_of(uuid, name), value);
        return r < 0 ? r : 0;
}

bool paused_is_noted(struct undo *undo, const uint8_t uuid[static 16], int run) {
        char name[ENTRY_MAX];
        const char *value = undo_value(undo, name_of(uuid, name)), *uri;
        int noted;

        return value && parse_value(value, &noted, &uri) && noted == run;
}

void paused_forget(struct undo *undo, const uint8_t uuid[static 16]) {
        char name[ENTRY_MAX];

        if (undo_value(undo, name_of(uuid, name)))
                undo_forget(undo, name);
}

void paused_forget_unknown(struct undo *undo, bool (*keep)(const uint8_t uuid[static 16], void *userdata), void *userdata) {
        const char *value;
        uint8_t uuid[16];

        for (size_t i = 0; next_entry(undo, &i, uuid, &value);)
                if (keep(uuid, userdata))
                        i++;
                else
                        paused_forget(undo, uuid);
}

int paused_resume_all(struct undo *undo, int *ret_error) {
        const char *value, *uri;
        int resumed = 0, error = 0;
        uint8_t uuid[16];

        for (size_t i = 0; next_entry(undo, &i, uuid, &value);) {
                int run, r = parse_value(value, &run, &uri) ? virt_resume_wait(uri, uuid, run) : 0;

                if (r < 0) {
                        error = error ? error : -r;
                        i++;
                        continue;
                }
                resumed += r;
                paused_forget(undo, uuid);
        }
        *ret_error = error;
        return resumed;
}
