/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The clock that everything but people's eyes goes by. Any thread. */

#include <stdint.h>
#include <time.h>

#include "protocol/units.h"

/* CLOCK_MONOTONIC in microseconds. */
static inline uint64_t clock_monotonic_usec(void) {
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t) now.tv_sec * USEC_PER_SEC + (uint64_t) now.tv_nsec / 1000;
}

/* Microseconds since 1970: to be told to people, never to measure with. */
static inline uint64_t clock_realtime_usec(void) {
        struct timespec now;

        clock_gettime(CLOCK_REALTIME, &now);
        return (uint64_t) now.tv_sec * USEC_PER_SEC + (uint64_t) now.tv_nsec / 1000;
}
