/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/control/put.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "protocol/base.h"
#include "protocol/units.h"

struct put put_new(void) {
        json_t *object = json_object();

        return (struct put) { .object = object, .failed = !object };
}

json_t *put_end(struct put *put) {
        if (put->failed) {
                json_decref(put->object);
                put->object = NULL;
        }
        return TAKE_PTR(put->object);
}

void put_value(struct put *put, const char *key, json_t *value) {
        if (json_object_set_new_nocheck(put->object, key, value) < 0)
                put->failed = true;
}

size_t put_utf8_length(const char *text) {
        const unsigned char *s = (const unsigned char *) text;
        size_t n = s[0] < 0x80 ? 1 : s[0] >= 0xc2 && s[0] < 0xe0 ? 2 : s[0] >= 0xe0 && s[0] < 0xf0 ? 3 : s[0] >= 0xf0 && s[0] < 0xf5 ? 4 : 0;
        /* longer than needed; a half of UTF-16; beyond the last character */
        unsigned char least = s[0] == 0xe0 ? 0xa0 : s[0] == 0xf0 ? 0x90 : 0x80, most = s[0] == 0xed ? 0x9f : s[0] == 0xf4 ? 0x8f : 0xbf;

        if (n > 1 && (s[1] < least || s[1] > most))
                return 0;
        for (size_t i = 2; i < n; i++)
                if ((s[i] & 0xc0) != 0x80)
                        return 0;
        return n;
}

/* Texts come from libvirt and from guests, or were cut within a character. One that is not UTF-8 must not cost the operator the whole reply. */
static json_t *repaired(const char *text) {
        _cleanup_free_ char *copy = strdup(text);

        if (!copy)
                return NULL;
        for (char *c = copy; *c;) {
                size_t n = put_utf8_length(c);

                if (n == 0)
                        *c = '?';
                c += MAX(n, (size_t) 1);
        }
        return json_string(copy);
}

static json_t *json_text(const char *text) {
        return json_string(text) ?: repaired(text);
}

void put_text(struct put *put, const char *key, const char *text) {
        put_value(put, key, text ? json_text(text) : json_null());
}

void put_bool(struct put *put, const char *key, bool value) {
        put_value(put, key, json_boolean(value));
}

void put_count(struct put *put, const char *key, uint64_t value) {
        put_value(put, key, value == AEROSTAT_UNKNOWN ? json_null() : json_integer((json_int_t) MIN(value, (uint64_t) INT64_MAX)));
}

void put_bytes(struct put *put, const char *key, uint64_t bytes) {
        put_count(put, key, bytes);
}

void put_ppm(struct put *put, const char *key, uint64_t ppm) {
        put_fraction(put, key, ppm, PPM_ONE);
}

void put_fraction(struct put *put, const char *key, uint64_t value, uint64_t of) {
        bool known = value != AEROSTAT_UNKNOWN && of != AEROSTAT_UNKNOWN && of > 0;

        put_value(put, key, known ? json_real((double) value / (double) of) : json_null());
}

void put_usec(struct put *put, const char *key, uint64_t usec) {
        put_fraction(put, key, usec, USEC_PER_SEC);
}

struct put_list put_list_new(void) {
        json_t *list = json_array();

        return (struct put_list) { .list = list, .failed = !list };
}

json_t *put_list_end(struct put_list *list) {
        if (!list->failed)
                return list->list;
        json_decref(list->list);
        return NULL;
}

void put_sentence(struct put_list *list, const char *format, ...) {
        char sentence[PUT_SENTENCE_MAX];
        va_list ap;

        va_start(ap, format);
        (void) vsnprintf(sentence, sizeof(sentence), format, ap);
        va_end(ap);
        list->failed |= json_array_append_new(list->list, json_text(sentence)) < 0;
}
