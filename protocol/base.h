/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What every part of Aerostat may use: saturating arithmetic on u64, cleanup attributes, small helpers.
 * libc only; no state, no I/O. Safe in every thread.
 *
 * Convention for all of Aerostat: functions return 0 or a positive, documented condition on success and
 * a negative errno on failure; on failure the ret_ outputs are untouched.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

/* "Not known" for every u64 amount, count and time in Aerostat. Never 0: 0 is a measurement. */
#define AEROSTAT_UNKNOWN UINT64_MAX

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define CLAMP(x, low, high) ((x) < (low) ? (low) : (x) > (high) ? (high) : (x))

/* a + b, or UINT64_MAX where that does not fit. */
static inline uint64_t u64_add(uint64_t a, uint64_t b) {
        uint64_t r;
        return __builtin_add_overflow(a, b, &r) ? UINT64_MAX : r;
}

/* a - b, or 0 where b is larger. */
static inline uint64_t u64_sub(uint64_t a, uint64_t b) {
        return a > b ? a - b : 0;
}

/* a * b, or UINT64_MAX where that does not fit. */
static inline uint64_t u64_mul(uint64_t a, uint64_t b) {
        uint64_t r;
        return __builtin_mul_overflow(a, b, &r) ? UINT64_MAX : r;
}

/* a * num / den with a 128-bit intermediate, rounded down; saturates; den 0 gives 0. */
static inline uint64_t u64_mul_div(uint64_t a, uint64_t num, uint64_t den) {
        unsigned __int128 r;

        if (den == 0)
                return 0;
        r = (unsigned __int128) a * num / den;
        return r > UINT64_MAX ? UINT64_MAX : (uint64_t) r;
}

/* |a - b| */
static inline uint64_t u64_distance(uint64_t a, uint64_t b) {
        return a > b ? a - b : b - a;
}

/* _cleanup_(f) calls f(&variable) when the variable leaves its scope. */
#define _cleanup_(f) __attribute__((cleanup(f)))

/* Defines f##p(T **) for use with _cleanup_; f takes the pointer and accepts NULL. */
#define DEFINE_CLEANUP(type, f)                          \
        static inline void f##p(type *p) {               \
                if (*p)                                  \
                        f(*p);                           \
        }

static inline void freep(void *p) {
        free(*(void **) p);
}

static inline void closep(int *fd) {
        if (*fd >= 0)
                close(*fd);
}

#define _cleanup_free_ _cleanup_(freep)
#define _cleanup_close_ _cleanup_(closep)

/* Takes the value out of a variable, leaving NULL: hands ownership on. */
#define TAKE_PTR(p)                             \
        ({                                      \
                __typeof__(p) _taken = (p);     \
                (p) = NULL;                     \
                _taken;                         \
        })

#define TAKE_FD(fd)                             \
        ({                                      \
                int _taken = (fd);              \
                (fd) = -1;                      \
                _taken;                         \
        })
