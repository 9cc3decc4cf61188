/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/sim/reader.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "protocol/base.h"
#include "protocol/parse.h"
#include "protocol/units.h"

#define SECONDS_MAX 1e9

int reader_complain(const struct reader_object *object, const char *key, const char *format, ...) {
        struct reader *r = object->reader;
        char text[READER_ERROR_MAX / 2];
        va_list ap;

        if (r->error[0])
                return -EINVAL;
        va_start(ap, format);
        vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);
        snprintf(r->error, sizeof(r->error), "%.120s: %s%s%.40s%s%s", r->file, object->path, key && object->path[0] && key[0] != '[' ? "." : "",
                 key ? key : "", key || object->path[0] ? ": " : "", text);
        return -EINVAL;
}

int reader_check_keys(const struct reader_object *object, const char *const *known) {
        const char *key;
        json_t *value;

        json_object_foreach(object->json, key, value) {
                const char *nearest;

                if (parse_choice(key, known) >= 0)
                        continue;
                nearest = parse_nearest(key, known);
                return nearest ? reader_complain(object, key, "unknown key; did you mean \"%s\"?", nearest)
                               : reader_complain(object, key, "unknown key");
        }
        return 0;
}

int reader_enter(const struct reader_object *parent, const char *key, const char *const *known, struct reader_object *ret) {
        json_t *value = json_object_get(parent->json, key);
        int r;

        if (!value)
                return 0;
        *ret = (struct reader_object) { .reader = parent->reader, .json = value };
        snprintf(ret->path, sizeof(ret->path), "%.60s%s%.60s", parent->path, parent->path[0] ? "." : "", key);
        if (!json_is_object(value))
                return reader_complain(ret, NULL, "an object was expected");
        r = known ? reader_check_keys(ret, known) : 0;
        return r < 0 ? r : 1;
}

int reader_enter_item(const struct reader_object *parent, const char *key, size_t index, json_t *item, const char *const *known,
                      struct reader_object *ret) {
        *ret = (struct reader_object) { .reader = parent->reader, .json = item };
        snprintf(ret->path, sizeof(ret->path), "%.60s%s%.40s[%zu]", parent->path, parent->path[0] ? "." : "", key, index);
        if (!json_is_object(item))
                return reader_complain(ret, NULL, "an object was expected");
        return reader_check_keys(ret, known);
}

int reader_array(const struct reader_object *object, const char *key, json_t **ret) {
        json_t *value = json_object_get(object->json, key);

        if (!value)
                return 0;
        if (!json_is_array(value))
                return reader_complain(object, key, "an array was expected");
        *ret = value;
        return 1;
}

int reader_size_value(const struct reader_object *object, const char *key, json_t *value, uint64_t *ret_bytes) {
        if (json_is_integer(value) && json_integer_value(value) == 0) {
                *ret_bytes = 0;
                return 1;
        }
        if (json_is_number(value))
                return reader_complain(object, key, "a size needs a unit, such as \"512M\" or \"4G\"");
        if (!json_is_string(value))
                return reader_complain(object, key, "a size was expected, such as \"4G\"");
        if (parse_size(json_string_value(value), ret_bytes) < 0)
                return reader_complain(object, key, "\"%.40s\" is not a size; write \"512M\", \"4G\", \"1.5GiB\"", json_string_value(value));
        return 1;
}

int reader_size(const struct reader_object *object, const char *key, uint64_t *ret_bytes) {
        json_t *value = json_object_get(object->json, key);

        return value ? reader_size_value(object, key, value, ret_bytes) : 0;
}

int reader_rate(const struct reader_object *object, const char *key, uint64_t *ret_bps) {
        json_t *value = json_object_get(object->json, key);
        uint64_t bps;
        int r = 1;

        if (!value)
                return 0;
        if (json_is_number(value)) {
                double number = json_number_value(value);

                if (!(number >= 1 && number <= 1e15))
                        return reader_complain(object, key, "bytes per second were expected, from 1 to 1e15");
                bps = (uint64_t) number;
        } else {
                r = reader_size_value(object, key, value, &bps);
                if (r >= 0 && bps == 0)
                        return reader_complain(object, key, "0 bytes per second never arrive");
        }
        if (r > 0)
                *ret_bps = bps;
        return r;
}

int reader_seconds_value(const struct reader_object *object, const char *key, json_t *value, uint64_t *ret_usec) {
        double seconds;

        if (json_is_string(value)) {
                if (parse_duration(json_string_value(value), ret_usec) < 0)
                        return reader_complain(object, key, "\"%.40s\" is not a time; write a number of seconds, or \"500ms\", \"10s\", \"5m\"",
                                               json_string_value(value));
                return 1;
        }
        if (!json_is_number(value))
                return reader_complain(object, key, "a number of seconds was expected");
        seconds = json_number_value(value);
        if (!(seconds >= 0 && seconds <= SECONDS_MAX))
                return reader_complain(object, key, "seconds from 0 to 1e9 were expected");
        *ret_usec = (uint64_t) (seconds * 1e6 + 0.5);
        return 1;
}

int reader_seconds(const struct reader_object *object, const char *key, uint64_t *ret_usec) {
        json_t *value = json_object_get(object->json, key);

        return value && !json_is_null(value) ? reader_seconds_value(object, key, value, ret_usec) : 0;
}

int reader_integer(const struct reader_object *object, const char *key, uint64_t min, uint64_t max, uint64_t *ret) {
        json_t *value = json_object_get(object->json, key);

        if (!value)
                return 0;
        if (!json_is_integer(value) || json_integer_value(value) < 0 || (uint64_t) json_integer_value(value) < min ||
            (uint64_t) json_integer_value(value) > max)
                return reader_complain(object, key, "a whole number from %llu to %llu was expected", (unsigned long long) min,
                                       (unsigned long long) max);
        *ret = (uint64_t) json_integer_value(value);
        return 1;
}

int reader_bool(const struct reader_object *object, const char *key, bool *ret) {
        json_t *value = json_object_get(object->json, key);

        if (!value)
                return 0;
        if (!json_is_boolean(value))
                return reader_complain(object, key, "true or false was expected");
        *ret = json_is_true(value);
        return 1;
}

int reader_string(const struct reader_object *object, const char *key, const char **ret) {
        json_t *value = json_object_get(object->json, key);

        if (!value)
                return 0;
        if (!json_is_string(value) || !*json_string_value(value))
                return reader_complain(object, key, "a text was expected");
        *ret = json_string_value(value);
        return 1;
}
