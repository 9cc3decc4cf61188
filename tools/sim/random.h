/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Pseudo-random numbers that are the same on every machine: splitmix64 (Steele, Lea, Flood, OOPSLA'14). */

#include <stdint.h>

static inline uint64_t random_next(uint64_t *state) {
        uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        return z ^ (z >> 31);
}

/* 0 .. n-1; n > 0. */
static inline uint64_t random_below(uint64_t *state, uint64_t n) {
        return (uint64_t) (((unsigned __int128) random_next(state) * n) >> 64);
}
