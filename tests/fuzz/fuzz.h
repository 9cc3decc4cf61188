/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a fuzz target is. With --enable-fuzzing libFuzzer calls it; without, replay.c does, on the files of its corpus. */

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A property that input may not break; like assert(), and never compiled out. */
#define CHECK(condition)                        \
        do {                                    \
                if (!(condition))               \
                        abort();                \
        } while (0)

/* The input as a string of its own, so that a sanitizer sees what reads past its end. The caller frees it. */
static inline char *fuzz_string(const uint8_t *data, size_t size) {
        char *s = malloc(size + 1);

        CHECK(s);
        if (size > 0)
                memcpy(s, data, size);
        s[size] = 0;
        return s;
}
