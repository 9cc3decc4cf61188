/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/aerostatctl/field.h"

#include <stdio.h>
#include <string.h>

#include "protocol/base.h"
#include "protocol/units.h"

uint64_t field_count(const json_t *object, const char *key) {
        const json_t *value = json_object_get(object, key);

        return json_is_integer(value) && json_integer_value(value) >= 0 ? (uint64_t) json_integer_value(value) : AEROSTAT_UNKNOWN;
}

bool field_ratio(const json_t *object, const char *key, double *ret) {
        const json_t *value = json_object_get(object, key);

        if (!json_is_number(value))
                return false;
        *ret = json_number_value(value);
        return true;
}

uint64_t field_usec(const json_t *object, const char *key) {
        double seconds;

        return field_ratio(object, key, &seconds) && seconds >= 0 && seconds < 1e12 ? (uint64_t) (seconds * (double) USEC_PER_SEC)
                                                                                    : AEROSTAT_UNKNOWN;
}

const char *field_text(const json_t *object, const char *key) {
        return json_string_value(json_object_get(object, key));
}

bool field_is_true(const json_t *object, const char *key) {
        return json_is_true(json_object_get(object, key));
}

bool field_automation_is(const json_t *reply, const char *what) {
        return strcmp(field_text(reply, "automation") ?: "running", what) == 0;
}

char *field_size(const json_t *object, const char *key, char buf[static FORMAT_SIZE_MAX]) {
        return format_size(field_count(object, key), buf);
}

char *field_duration(const json_t *object, const char *key, char buf[static FORMAT_DURATION_MAX]) {
        return format_duration(field_usec(object, key), buf);
}

char *field_percent(const json_t *object, const char *key, char buf[static FIELD_PERCENT_MAX]) {
        double ratio;

        if (field_ratio(object, key, &ratio))
                snprintf(buf, FIELD_PERCENT_MAX, ratio >= 0.1 || ratio == 0 ? "%.0f%%" : "%.2f%%", ratio * 100);
        else
                snprintf(buf, FIELD_PERCENT_MAX, "-");
        return buf;
}

enum style field_swap_style(const json_t *swap) {
        uint64_t used = field_count(swap, "disk_used_bytes"), ceiling = field_count(swap, "ceiling_bytes");
        double warn = FIELD_SWAP_WARN_DEFAULT;

        if (used == AEROSTAT_UNKNOWN || ceiling == AEROSTAT_UNKNOWN || ceiling == 0)
                return STYLE_PLAIN;
        (void) field_ratio(swap, "warn_ratio", &warn);
        return used >= ceiling ? STYLE_BAD : (double) used >= (double) ceiling * warn ? STYLE_WARN : STYLE_PLAIN;
}
