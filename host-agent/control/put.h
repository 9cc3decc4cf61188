/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Members of a JSON object, put one after the other; whether all could be put is asked once, at the end. Keys are literals.
 */

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

struct put {
        json_t *object;         /* owned; NULL once memory was short */
        bool failed;            /* sticks; put_end() tells */
};

/* An empty object. Without memory for it, put_end() says so. */
struct put put_new(void);
json_t *put_end(struct put *put); /* the object, now the caller's; NULL when anything failed */

void put_value(struct put *put, const char *key, json_t *value); /* takes the reference; NULL: failed */
void put_text(struct put *put, const char *key, const char *text); /* NULL: null; bytes that are not UTF-8 become '?' */
void put_bool(struct put *put, const char *key, bool value);
void put_count(struct put *put, const char *key, uint64_t value); /* unknown: null; larger than 2^63-1: that */
void put_bytes(struct put *put, const char *key, uint64_t bytes);
void put_ppm(struct put *put, const char *key, uint64_t ppm); /* as a ratio */
void put_fraction(struct put *put, const char *key, uint64_t value, uint64_t of); /* null when `of` is 0 or either is unknown */
void put_usec(struct put *put, const char *key, uint64_t usec); /* as seconds */

/* An array of sentences, put one after the other. */
struct put_list {
        json_t *list;           /* owned; NULL: there was no memory for it */
        bool failed;            /* sticks; put_list_end() tells */
};

struct put_list put_list_new(void);
json_t *put_list_end(struct put_list *list); /* the array, now the caller's; NULL when anything failed */

void put_sentence(struct put_list *list, const char *format, ...) __attribute__((format(printf, 2, 3))); /* cut at PUT_SENTENCE_MAX;
        bytes that are not UTF-8 become '?' */
#define PUT_SENTENCE_MAX 640

/* Bytes of the UTF-8 character that the text begins with, or 0 where it is none. */
size_t put_utf8_length(const char *text);
