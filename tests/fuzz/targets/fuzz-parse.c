/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The parsers of what people write. */

#include <inttypes.h>
#include <stdio.h>

#include "protocol/base.h"
#include "protocol/parse.h"
#include "protocol/units.h"
#include "tests/fuzz/fuzz.h"

/* Numbers that are printed are read back as the same. */
static void check_u64(const char *s) {
        uint64_t value, again;
        char text[24];

        if (parse_u64(s, &value) < 0)
                return;
        snprintf(text, sizeof(text), "%" PRIu64, value);
        CHECK(parse_u64(text, &again) == 0 && again == value);
}

static void check_uuid(const char *s) {
        char text[UUID_STRING_SIZE];
        uint8_t uuid[16], again[16];

        if (parse_uuid(s, uuid) < 0)
                return;
        CHECK(strlen(s) == UUID_STRING_SIZE - 1);
        CHECK(parse_uuid(format_uuid(uuid, text), again) == 0 && memcmp(uuid, again, 16) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static const char *const choices[] = { "ceiling", "warn", "enforce", "per-vm-limits", "guest-ceiling", NULL };
        char *s = fuzz_string(data, size), buf[FORMAT_DURATION_MAX];
        uint64_t value;
        bool yes;

        check_u64(s);
        check_uuid(s);
        if (parse_size(s, &value) == 0) {
                CHECK(value <= INT64_MAX);
                CHECK(strlen(format_size(value, buf)) < FORMAT_SIZE_MAX);
        }
        if (parse_percent(s, &value) == 0)
                CHECK(value <= 10 * PPM_ONE);
        if (parse_factor(s, &value) == 0)
                CHECK(value <= 1000 * PPM_ONE);
        if (parse_duration(s, &value) == 0) {
                CHECK(value <= INT64_MAX);
                CHECK(strlen(format_duration(value, buf)) < sizeof(buf));
        }
        (void) parse_bool(s, &yes);
        if (parse_choice(s, choices) >= 0)
                CHECK(parse_nearest(s, choices) != NULL);
        else
                (void) parse_nearest(s, choices);
        free(s);
        return 0;
}
