/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The last moves of one VM, so that an operator can be told how it came to what it has. A fixed ring: no allocation when a decision is made. Pure;
 * zero-initialised by the owner.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host-agent/policy/policy.h"

#define DECISIONS_MAX 16

/* Some steps of one kind, one after the other: a balloon that creeps toward its share is one story, and must not push the others out. */
struct decision {
        uint64_t first_usec, last_usec;        /* monotonic, of the first and of the last step */
        uint64_t before_bytes, after_bytes;    /* what was asked of the balloon before the first step (unknown: nothing), and after the last */
        uint64_t demand_bytes;                 /* at the last step; unknown without a report */
        uint64_t steps;                        /* at least 1 */
        enum policy_reason reason;
        bool dry_run;                          /* would have been made */
};

struct decisions {
        struct decision ring[DECISIONS_MAX];
        size_t n;                              /* ever begun; the newest is ring[(n - 1) % DECISIONS_MAX] */
};

/* Adds one step (first_usec and steps are filled in); joins it to the last decision where that has the same reason and direction and is at most a
 * minute old, or where a dry run would do the very same again. */
void decisions_add(struct decisions *decisions, const struct decision *step);

size_t decisions_count(const struct decisions *decisions); /* 0 .. DECISIONS_MAX */

/* The newest is index 0; index < decisions_count(). Borrowed, until the next decisions_add(). */
const struct decision *decisions_get(const struct decisions *decisions, size_t index);
