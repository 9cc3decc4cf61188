/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* How long something took, counted in buckets as Prometheus does. Zero-initialised. No library, no I/O. */

#include <stddef.h>
#include <stdint.h>

#include "protocol/base.h"

/* Upper bounds in microseconds, from a decision on a small host to a reaction that took far too long; what is longer is counted by the last, +Inf. */
#define HISTOGRAM_BOUNDS { 100, 250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 500000, 1000000, 2500000, 5000000, 10000000 }
#define HISTOGRAM_BUCKETS 16

static const uint64_t histogram_bounds_usec[HISTOGRAM_BUCKETS] = HISTOGRAM_BOUNDS;

struct histogram {
        uint64_t counts[HISTOGRAM_BUCKETS + 1]; /* each of its own bucket only; the last: above all bounds */
        uint64_t count, sum_usec;
};

static inline void histogram_add(struct histogram *h, uint64_t usec) {
        size_t i = 0;

        while (i < HISTOGRAM_BUCKETS && usec > histogram_bounds_usec[i])
                i++;
        h->counts[i]++;
        h->count++;
        h->sum_usec = u64_add(h->sum_usec, usec);
}
