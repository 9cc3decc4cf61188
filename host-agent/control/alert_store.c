/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/control/alert_store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "host-agent/control/alert_json.h"
#include "host-agent/control/put.h"
#include "protocol/clock.h"
#include "protocol/parse.h"

#define FORMAT_VERSION 1
#define FILE_MAX (8u << 20)             /* 512 alerts, and 1,024 texts that are to be delivered: some 3 MiB */

static json_t *to_json(const struct alert *a, uint64_t now_usec) {
        struct put put = put_new();
        json_t *numbers = json_array();
        char uuid[UUID_STRING_SIZE];

        for (size_t i = 0; i < ALERT_NUMBERS; i++)
                put.failed |= json_array_append_new(numbers, a->numbers[i] > (uint64_t) INT64_MAX
                                                                     ? json_null() : json_integer((json_int_t) a->numbers[i])) < 0;
        put_text(&put, "name", alert_kinds[a->name].name);
        put_text(&put, "uuid", format_uuid(a->uuid, uuid));
        put_text(&put, "subject", a->subject);
        put_count(&put, "since_usec", a->since_realtime_usec);
        put_count(&put, "told_usec", u64_sub(clock_realtime_usec(), u64_sub(now_usec, a->told_usec)));
        put_value(&put, "numbers", numbers);
        return put_end(&put);
}

int alert_store_save(const char *path, const struct alerts *alerts, uint64_t now_usec, json_t *untold) {
        char temporary[4096];
        struct put put = put_new();
        json_t *array = json_array(), *object;
        int r;

        put_count(&put, "version", FORMAT_VERSION);
        for (size_t i = 0; i < ALERTS_MAX; i++)
                if (alerts->table[i].used && alerts->table[i].firing)
                        put.failed |= json_array_append_new(array, to_json(&alerts->table[i], now_usec)) < 0;
        put_value(&put, "alerts", array);
        put_value(&put, "untold", json_incref(untold));
        object = put_end(&put);
        if (!object)
                return -ENOMEM;
        (void) snprintf(temporary, sizeof(temporary), "%s.tmp", path);
        r = json_dump_file(object, temporary, JSON_COMPACT) < 0 || rename(temporary, path) < 0 ? -(errno ?: EIO) : 0;
        json_decref(object);
        return r;
}

static bool take_count(const json_t *object, const char *key, uint64_t *ret) {
        const json_t *value = json_object_get(object, key);

        if (!json_is_integer(value) || json_integer_value(value) < 0)
                return false;
        *ret = (uint64_t) json_integer_value(value);
        return true;
}

static bool restore(const json_t *object, struct manager *manager) {
        const char *name = json_string_value(json_object_get(object, "name")), *uuid = json_string_value(json_object_get(object, "uuid"));
        const char *subject = json_string_value(json_object_get(object, "subject"));
        const json_t *numbers = json_object_get(object, "numbers");
        struct alert_condition condition = { .subject = subject };
        uint64_t since, told;
        int kind = name ? alert_name_from_string(name) : -1;

        if (kind < 0 || !uuid || !subject || parse_uuid(uuid, condition.uuid) < 0 || !take_count(object, "since_usec", &since) ||
            !take_count(object, "told_usec", &told))
                return false;
        condition.name = (enum alert_name) kind;
        for (size_t i = 0; i < ALERT_NUMBERS; i++) {
                const json_t *n = json_array_get(numbers, i);

                condition.numbers[i] = json_is_integer(n) && json_integer_value(n) >= 0 ? (uint64_t) json_integer_value(n) : AEROSTAT_UNKNOWN;
        }
        return manager_restore_alert(manager, &condition, since, told);
}

int alert_store_load(const char *path, struct manager *manager, json_t **ret_untold) {
        _cleanup_free_ char *text = NULL;
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        json_t *object, *alert;
        struct stat st;
        ssize_t n;
        size_t i;
        int taken = 0;

        if (fd < 0)
                return errno == ENOENT ? 0 : -errno;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode) || st.st_size > (off_t) FILE_MAX)
                return -EBADMSG;
        text = malloc((size_t) st.st_size + 1);
        if (!text)
                return -ENOMEM;
        n = read(fd, text, (size_t) st.st_size);
        if (n < 0)
                return -errno;
        object = json_loadb(text, (size_t) n, JSON_REJECT_DUPLICATES, NULL);
        if (json_integer_value(json_object_get(object, "version")) != FORMAT_VERSION) {
                json_decref(object);
                return -EBADMSG;
        }
        json_array_foreach(json_object_get(object, "alerts"), i, alert)
                taken += restore(alert, manager);
        *ret_untold = json_incref(json_object_get(object, "untold"));
        json_decref(object);
        return taken;
}
