/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "protocol/units.h"
#include "tools/sim/run.h"

/* What is counted in every step. */

static int add_latency(struct account *a, uint64_t usec) {
        if (a->n_latency == a->latency_allocated) {
                size_t n = MAX(64, 2 * a->latency_allocated);
                uint64_t *p = reallocarray(a->latency_usec, n, sizeof(*p));

                if (!p)
                        return -ENOMEM;
                a->latency_usec = p;
                a->latency_allocated = n;
        }
        a->latency_usec[a->n_latency++] = usec;
        return 0;
}

/*
 * How long a guest under pressure waits until it has been granted what ends the pressure, or all that it is to have. Guests that are under
 * pressure and have that already wait for nothing. Those that play tricks are not asked how they feel.
 */
static int follow_pressure(struct run *run, size_t vm) {
        const struct guest *g = &run->guests[run->guest_of[vm]];
        struct guest_account *a = &run->accounts[run->guest_of[vm]];
        const struct policy_vm_plan *p = &run->vms[vm].plan;
        uint64_t coming = u64_sub(g->target_bytes == AEROSTAT_UNKNOWN ? 0 : g->target_bytes, g->held_bytes), since = a->pressure_since_usec;
        uint64_t target = g->target_bytes == AEROSTAT_UNKNOWN ? g->held_bytes : g->target_bytes;
        bool pressed;

        if (g->spec->behaviour != COOPERATIVE && g->spec->behaviour != SLOW)
                return 0;
        pressed = !g->vm_paused && g->pressure_below_bytes > 0 && guest_available(g) < g->pressure_below_bytes;
        if (pressed && !a->pressed) {
                a->pressure_since_usec = run->now_usec;
                a->granted = false;
        }
        a->pressed = pressed;
        if (since == AEROSTAT_UNKNOWN)
                return 0;
        if (guest_available(g) + coming < g->pressure_below_bytes && target < p->ideal_bytes)
                return 0;
        a->pressure_since_usec = AEROSTAT_UNKNOWN;
        return a->granted ? add_latency(&run->account, run->now_usec - since) : 0;
}

/* Demand that is not in memory: what the guest could not get, and what it has but the host has on disk (kindly: what it does not use is out first).
 * Of one that the host killed: all. */
static uint64_t unmet(struct guest *g, uint64_t now_usec) {
        if (g->lost)
                return now_usec < g->spec->stop_usec ? series_at(g->spec->demand, now_usec, &g->demand_cursor) : 0;
        return g->unmet_bytes + MIN(u64_sub(g->host_swap_bytes, u64_sub(g->touched_bytes, g->in_use_bytes)), g->in_use_bytes);
}

int run_account_step(struct run *run) {
        struct account *a = &run->account;
        uint64_t step = run->now_usec == 0 ? 0 : run->scenario->step_usec;

        for (size_t i = 0; i < run->scenario->n_guests; i++)
                run->accounts[i].unmet_byte_usec += (unsigned __int128) unmet(&run->guests[i], run->now_usec) * step;
        for (size_t k = 0; k < run->n_vms; k++) {
                int r = follow_pressure(run, k);
                if (r < 0)
                        return r;
        }
        if (run->plan.unsafe)
                a->unsafe_usec += step;
        if (run->now_usec >= run->scenario->settle_usec && run->plan.envelope_bytes > 0)
                a->committed_ppm = MAX(a->committed_ppm, u64_mul_div(run->plan.committed_bytes, PPM_ONE, run->plan.envelope_bytes));
        if (run->host.swap_total_bytes > 0)
                a->swap_ppm = MAX(a->swap_ppm, u64_mul_div(run->host.swap_used_bytes, PPM_ONE, run->host.swap_total_bytes));
        return 0;
}

/* Who still waits at the end has waited so long, at least. */
int run_account_end(struct run *run) {
        for (size_t i = 0; i < run->scenario->n_guests; i++) {
                const struct guest_account *g = &run->accounts[i];

                if (g->pressure_since_usec != AEROSTAT_UNKNOWN && run->guests[i].running) {
                        int r = add_latency(&run->account, run->now_usec - g->pressure_since_usec);
                        if (r < 0)
                                return r;
                }
        }
        return 0;
}
