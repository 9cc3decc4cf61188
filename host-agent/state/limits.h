/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Limits that an operator set for one VM by hand. They go before the domain's metadata, which goes before the configuration. */

#include <stdbool.h>
#include <stdint.h>

struct limits {
        bool has_floor, has_weight, has_priority, has_managed; /* what is not set by hand comes from elsewhere */
        bool managed;
        uint64_t floor_bytes;          /* if floor_ppm is unknown */
        uint64_t floor_ppm;            /* of the VM's maximum, 0 .. 1000000; or AEROSTAT_UNKNOWN */
        uint64_t weight;               /* 0 .. LIMITS_WEIGHT_MAX */
        uint64_t priority;             /* 0 .. LIMITS_PRIORITY_MAX; higher is more important */
};

#define LIMITS_WEIGHT_MAX UINT64_C(1000000)
#define LIMITS_PRIORITY_MAX UINT64_C(1000)

static inline bool limits_any(const struct limits *limits) {
        return limits->has_floor || limits->has_weight || limits->has_priority || limits->has_managed;
}

/* What `over` sets replaces what `limits` has. */
static inline void limits_merge(struct limits *limits, const struct limits *over) {
        if (over->has_floor) {
                limits->has_floor = true;
                limits->floor_bytes = over->floor_bytes;
                limits->floor_ppm = over->floor_ppm;
        }
        if (over->has_weight) {
                limits->has_weight = true;
                limits->weight = over->weight;
        }
        if (over->has_priority) {
                limits->has_priority = true;
                limits->priority = over->priority;
        }
        if (over->has_managed) {
                limits->has_managed = true;
                limits->managed = over->managed;
        }
}
