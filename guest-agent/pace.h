/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * When to look at the guest's memory next, and when to say something about it. Pure: time and sample come in, a decision comes
 * out.
 *
 * A burst in a guest takes memory at hundreds of MiB a second, and the host needs to hear of it while there is still something
 * left. But a calm guest should cost nothing. So: look about once a second, more often the sooner MemAvailable could reach the
 * threshold at the rate at which it falls, and closely when it is near or below. Look is cheap (one file); a report is made only
 * where it tells something new.
 *
 *   state                                  next look                               report
 *   no threshold wanted                    with the next periodic report           every interval
 *   available >= NEAR_FACTOR x threshold   1 s, or a quarter of the time left      every interval; at once after a large drop
 *   below that                             200 ms, or less                         the same
 *   available < CLOSE_FACTOR x threshold   100 ms                                  the same, as pressure
 *   below threshold                        50 ms while changing, else 100, 250 ms  at once on each change that matters, 50 ms apart
 *   PSI trigger                            as above                                at once as pressure
 */

#include <stdbool.h>
#include <stdint.h>

#include "protocol/base.h"
#include "protocol/message.h"
#include "protocol/units.h"

#define PACE_CALM_USEC USEC_PER_SEC                /* at most one wake-up a second when calm */
#define PACE_NEAR_USEC (200 * USEC_PER_MSEC)
#define PACE_CLOSE_USEC (100 * USEC_PER_MSEC)
#define PACE_MIN_USEC (50 * USEC_PER_MSEC)         /* never sooner: 12 looks and 3 reports a second take 0.12 % of a CPU */
#define PACE_STUCK_USEC (250 * USEC_PER_MSEC)      /* below the threshold for PACE_STUCK_AFTER_USEC and nothing moves */
#define PACE_STUCK_AFTER_USEC (2 * USEC_PER_SEC)

#define PACE_DEFAULT_INTERVAL_USEC (2 * USEC_PER_SEC) /* until the host says otherwise */

struct pace {
        /* What the host wants; agent.c sets it. */
        uint64_t interval_usec;
        uint64_t threshold_bytes;     /* 0: never report early; AEROSTAT_UNKNOWN: pace_threshold()'s own rule */
        /* The last look. */
        bool looked;
        uint64_t look_usec, look_available;
        uint64_t fall_rate;           /* bytes a second that available fell at, smoothed downwards; 0: it does not fall */
        uint64_t changed_usec;        /* when available last changed by more than noise */
        uint64_t changed_available;   /* and what it was then */
        bool psi;                     /* a PSI trigger that no report has told of yet */
        /* The last report. */
        bool reported;
        uint64_t report_usec, report_available;
};

struct pace_decision {
        uint64_t next_usec;           /* when to look again, CLOCK_MONOTONIC; always later than now */
        enum report_reason reason;    /* what to report now; 0: nothing */
};

/* Starts anew, as for a new session: the first look makes a REPORT_REQUESTED. */
void pace_reset(struct pace *pace);

/* The threshold in force for a guest like this, bytes; 0: none. The own rule is half of max(64 MiB, 20 % of what is in use). */
uint64_t pace_threshold(const struct pace *pace, uint64_t total_bytes, uint64_t available_bytes);

/* A look at time now (CLOCK_MONOTONIC, never going backwards) found this much; psi: a PSI trigger caused it. */
struct pace_decision pace_look(struct pace *pace, uint64_t now_usec, uint64_t total_bytes, uint64_t available_bytes, bool psi);
