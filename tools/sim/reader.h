/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Reads a scenario's JSON strictly. Every complaint names its place: "FILE: guests[2].memory: ...". The first complaint stays.
 * Getters return 1 where the key is there, 0 where it is absent (outputs untouched), -EINVAL after a complaint.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define READER_ERROR_MAX 512
#define READER_PATH_MAX 128

struct reader {
        const char *file;
        char error[READER_ERROR_MAX];
};

/* An object and where it stands: "" for the outermost, "host", "guests[2]". */
struct reader_object {
        struct reader *reader;
        json_t *json;                          /* borrowed */
        char path[READER_PATH_MAX];
};

/* Complains about object.key (key may be NULL: the object itself). Always -EINVAL. */
int reader_complain(const struct reader_object *object, const char *key, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The value as an object with a place of its own; its keys have to be among the NULL-terminated known ones. */
int reader_enter(const struct reader_object *parent, const char *key, const char *const *known, struct reader_object *ret);
int reader_enter_item(const struct reader_object *parent, const char *key, size_t index, json_t *item, const char *const *known,
                      struct reader_object *ret);
int reader_check_keys(const struct reader_object *object, const char *const *known);

int reader_array(const struct reader_object *object, const char *key, json_t **ret); /* borrowed */
int reader_size(const struct reader_object *object, const char *key, uint64_t *ret_bytes);     /* "4G"; "0" and the number 0 */
int reader_rate(const struct reader_object *object, const char *key, uint64_t *ret_bps);       /* a number of bytes, or a size; not 0 */
int reader_seconds(const struct reader_object *object, const char *key, uint64_t *ret_usec);   /* a number of seconds, or "5m" */
int reader_integer(const struct reader_object *object, const char *key, uint64_t min, uint64_t max, uint64_t *ret);
int reader_bool(const struct reader_object *object, const char *key, bool *ret);
int reader_string(const struct reader_object *object, const char *key, const char **ret);      /* borrowed */

/* The same for a value that is no member: at `key` for the complaint. */
int reader_size_value(const struct reader_object *object, const char *key, json_t *value, uint64_t *ret_bytes);
int reader_seconds_value(const struct reader_object *object, const char *key, json_t *value, uint64_t *ret_usec);
