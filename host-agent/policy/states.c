/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/policy/internal.h"

/*
 * Host states are labels for people and set KSM's effort; the correction does the work. Thresholds of available memory are shares of the reserve, as
 * VMware's high/soft/hard/low are of minFree. Leaving needs a quarter more than entering.
 */

#define SWAPPING_USEC (30 * USEC_PER_SEC)      /* swap-out longer ago says nothing about now */

#define LOOK_USEC (250 * USEC_PER_MSEC)       /* calm, a host in any state is not looked at more often than this */

struct threshold {
        uint64_t available_ppm;        /* of the reserve */
        uint64_t some_ppm, full_ppm;   /* PSI avg10; unknown: does not count */
        uint64_t swap_ppm;             /* of the ceiling, while swapping out; unknown: does not count */
};

static const struct threshold thresholds[] = {
        [POLICY_TIGHT] = { 1000000, 20000, AEROSTAT_UNKNOWN, AEROSTAT_UNKNOWN },
        [POLICY_HARD] = { 640000, 100000, AEROSTAT_UNKNOWN, 800000 },
        [POLICY_CRITICAL] = { 320000, AEROSTAT_UNKNOWN, 50000, 1000000 },
};

/* Whether a reading is at or beyond a limit; while leaving, the limit counts as a quarter lower. */
static bool above(uint64_t value, uint64_t limit, bool leaving) {
        if (value == AEROSTAT_UNKNOWN || limit == AEROSTAT_UNKNOWN)
                return false;
        return value > (leaving ? limit - limit / 4 : limit);
}

static bool holds(const struct policy_context *c, enum policy_host_state state, bool leaving) {
        const struct threshold *t = &thresholds[state];
        const struct policy_plan *p = c->plan;
        uint64_t below = policy_share(p->reserve_bytes, t->available_ppm);
        uint64_t ceiling = policy_share(policy_size(c->host->swap_total_bytes, 0), c->config->swap_ceiling_ppm);
        bool swapping = c->state->swapped_out_usec != 0 && c->now_usec - c->state->swapped_out_usec <= SWAPPING_USEC;

        if (leaving)
                below = u64_add(below, below / 4);
        if (p->available_bytes < below)
                return true;
        if (above(c->host->psi_some_ppm, t->some_ppm, leaving) || above(c->host->psi_full_ppm, t->full_ppm, leaving))
                return true;
        return t->swap_ppm != AEROSTAT_UNKNOWN && swapping && ceiling > 0 &&
               policy_size(c->host->swap_used_bytes, 0) >= policy_share(ceiling, leaving ? t->swap_ppm - t->swap_ppm / 4 : t->swap_ppm);
}

static unsigned weaknesses(const struct policy_context *c) {
        const struct policy_plan *p = c->plan;
        unsigned weak = c->weaknesses;

        if (c->config->mode == POLICY_OPPORTUNISTIC)
                weak |= POLICY_WEAK_MODE;
        if (c->host->khugepaged_refills)
                weak |= POLICY_WEAK_KHUGEPAGED;
        if (c->host->only_zram)
                weak |= POLICY_WEAK_ONLY_ZRAM;
        if (p->unsafe)
                weak |= POLICY_WEAK_UNSAFE;
        if (!p->floors_fit)
                weak |= POLICY_WEAK_FLOORS;
        return weak;
}

void policy_states(struct policy_context *c) {
        struct policy_plan *p = c->plan;
        enum policy_host_state state = POLICY_NORMAL;

        if (c->host->swap_out_bytes_per_sec != AEROSTAT_UNKNOWN && c->host->swap_out_bytes_per_sec > 0)
                c->state->swapped_out_usec = MAX(c->now_usec, 1);
        for (int s = POLICY_CRITICAL; s > POLICY_NORMAL && state == POLICY_NORMAL; s--)
                if (holds(c, (enum policy_host_state) s, (enum policy_host_state) s <= c->state->host_state))
                        state = (enum policy_host_state) s;
        c->state->host_state = p->host_state = state;
        if (p->next_usec > POLICY_BUSY_USEC) /* a calm plan on a short host: reality is to be looked at more often */
                p->next_usec = MAX(p->next_usec / policy_pace(c), LOOK_USEC);

        p->weaknesses = weaknesses(c);
        p->guarantee = p->weaknesses & (POLICY_WEAK_MODE | POLICY_WEAK_UNSAFE | POLICY_WEAK_FLOORS) ? POLICY_NONE
                       : p->weaknesses ? POLICY_CONDITIONAL : POLICY_FULL;
}
