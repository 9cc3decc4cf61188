/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* How fast balloons move here: a running mean over all VMs. Zero-initialised: not measured yet. Pure. */

#include <stdbool.h>
#include <stdint.h>

#include "protocol/base.h"
#include "protocol/units.h"

#define BALLOON_SPEED_BYTES_MIN (16 * MIB)             /* less between two readings is noise */
#define BALLOON_SPEED_USEC_MIN (50 * USEC_PER_MSEC)
#define BALLOON_SPEED_USEC_MAX (1500 * USEC_PER_MSEC)

struct balloon_speed {
        uint64_t inflate_bps, deflate_bps;     /* bytes a second; 0: not measured yet */
};

/* Two readings of one balloon's size. Only a balloon that was on its way all the time says how fast it is: asked before the first, not there at
 * the second. */
static inline void balloon_speed_learn(struct balloon_speed *speed, uint64_t before_bytes, uint64_t after_bytes, uint64_t target_bytes,
                                       uint64_t elapsed_usec) {
        bool inflates = after_bytes < before_bytes;
        uint64_t moved = u64_distance(before_bytes, after_bytes), *bps = inflates ? &speed->inflate_bps : &speed->deflate_bps, now;

        if (moved < BALLOON_SPEED_BYTES_MIN || elapsed_usec < BALLOON_SPEED_USEC_MIN || elapsed_usec > BALLOON_SPEED_USEC_MAX ||
            target_bytes == AEROSTAT_UNKNOWN || (inflates ? after_bytes <= target_bytes : after_bytes >= target_bytes))
                return;
        now = u64_mul_div(moved, USEC_PER_SEC, elapsed_usec);
        *bps = *bps == 0 ? now : *bps - *bps / 4 + now / 4;
}
