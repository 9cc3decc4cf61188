/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guest-agent/pace.h"

/* A guest that the host has squeezed hovers at about twice the threshold, which is half of its headroom; from there a burst at
 * 300 MiB/s needs only 0.1 s per 32 MiB. So "near" begins above that. */
#define NEAR_FACTOR 3
#define CLOSE_NUMERATOR 3 /* 1.5 x threshold */
#define CLOSE_DENOMINATOR 2

/* Looks within the time that is left at the present rate: one may come late and three still follow. */
#define LOOKS_BEFORE_THRESHOLD 4

/* A drop that is worth a report before its time: 25 % of the headroom (half the threshold), at least 16 MiB. */
#define DROP_MIN (16 * MIB)

void pace_reset(struct pace *pace) {
        *pace = (struct pace) {
                .interval_usec = PACE_DEFAULT_INTERVAL_USEC,
                .threshold_bytes = AEROSTAT_UNKNOWN,
        };
}

uint64_t pace_threshold(const struct pace *pace, uint64_t total_bytes, uint64_t available_bytes) {
        uint64_t used = u64_sub(total_bytes, available_bytes);

        if (pace->threshold_bytes != AEROSTAT_UNKNOWN)
                return pace->threshold_bytes;
        return MAX(64 * MIB, used / 5) / 2;
}

/* Less than this is noise: it neither makes a report below the threshold nor counts as movement. */
static uint64_t noise(uint64_t threshold) {
        return CLAMP(threshold / 16, MIB, 16 * MIB);
}

static void remember_look(struct pace *pace, uint64_t now, uint64_t available, uint64_t threshold) {
        uint64_t elapsed = u64_sub(now, pace->look_usec), rate = 0;

        if (pace->looked && elapsed > 0)
                rate = u64_mul_div(u64_sub(pace->look_available, available), USEC_PER_SEC, elapsed);
        /* A pause in a burst is not its end: the rate fades by half with each look. */
        pace->fall_rate = MAX(rate, pace->fall_rate / 2);
        if (!pace->looked || u64_distance(available, pace->changed_available) > noise(threshold)) {
                pace->changed_usec = now;
                pace->changed_available = available;
        }
        pace->looked = true;
        pace->look_usec = now;
        pace->look_available = available;
}

static enum report_reason report_reason(const struct pace *pace, uint64_t now, uint64_t available, uint64_t threshold) {
        uint64_t since = u64_sub(now, pace->report_usec), drop = u64_sub(pace->report_available, available);

        if (!pace->reported)
                return REPORT_REQUESTED;
        if (since < PACE_MIN_USEC)
                return 0;
        if (pace->psi)
                return REPORT_PRESSURE;
        if (available < threshold &&
            (pace->report_available >= threshold || u64_distance(available, pace->report_available) > noise(threshold)))
                return REPORT_PRESSURE;
        if (threshold > 0 && drop > MAX(DROP_MIN, threshold / 2))
                return available < u64_mul_div(threshold, CLOSE_NUMERATOR, CLOSE_DENOMINATOR) ? REPORT_PRESSURE : REPORT_PERIODIC;
        if (since >= pace->interval_usec)
                return REPORT_PERIODIC;
        return 0;
}

static uint64_t look_interval(const struct pace *pace, uint64_t now, uint64_t available, uint64_t threshold) {
        uint64_t step = PACE_CALM_USEC, still = u64_sub(now, pace->changed_usec);

        if (threshold == 0)
                return pace->interval_usec;
        if (available < threshold)
                return still < PACE_CLOSE_USEC         ? PACE_MIN_USEC
                       : still < PACE_STUCK_AFTER_USEC ? PACE_CLOSE_USEC
                                                       : PACE_STUCK_USEC;
        if (available < u64_mul_div(threshold, CLOSE_NUMERATOR, CLOSE_DENOMINATOR))
                step = PACE_CLOSE_USEC;
        else if (available < u64_mul(threshold, NEAR_FACTOR))
                step = PACE_NEAR_USEC;
        if (pace->fall_rate > 0) {
                uint64_t left = u64_mul_div(available - threshold, USEC_PER_SEC, pace->fall_rate);
                step = MIN(step, left / LOOKS_BEFORE_THRESHOLD);
        }
        return MAX(step, PACE_MIN_USEC);
}

struct pace_decision pace_look(struct pace *pace, uint64_t now_usec, uint64_t total_bytes, uint64_t available_bytes, bool psi) {
        uint64_t threshold = pace_threshold(pace, total_bytes, available_bytes), due;
        struct pace_decision decision;

        remember_look(pace, now_usec, available_bytes, threshold);
        pace->psi |= psi;
        decision.reason = report_reason(pace, now_usec, available_bytes, threshold);
        if (decision.reason) {
                pace->psi = false;
                pace->reported = true;
                pace->report_usec = now_usec;
                pace->report_available = available_bytes;
        }
        due = u64_add(pace->report_usec, pace->interval_usec);
        decision.next_usec = MIN(u64_add(now_usec, look_interval(pace, now_usec, available_bytes, threshold)), due);
        /* A report that was held back by the rate limit is due then; and the clock always moves on. */
        decision.next_usec = MAX(decision.next_usec, now_usec + PACE_MIN_USEC);
        return decision;
}
