/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/sim/baseline.h"

#include <errno.h>
#include <stdlib.h>

#include "protocol/units.h"
#include "tools/sim/run.h"

/*
 * static: every guest gets an equal share of what free(1) shows as available beside base use, less the reserve; what a guest cannot take goes to the
 * others.
 *
 * mom: oVirt MOM's balloon.rules. Guests and host are sampled every 5 s, the rule works every 10 s on means of the last 10 samples. Under 20 % of
 * free host memory every guest shrinks by at most 5 %, but not below what it uses and a share of free memory that falls with the host's; else every
 * guest grows by 5 %, or to 20 % of free memory if that is more. "Used" is what is not MemFree, page cache included.
 *
 * proxmox: pvestatd and PVE::AutoBalloon. Every 10 s toward 80 % use of the host; each VM by at most 100 MiB toward a share by weight of what is
 * above the minimums; VMs with little MemFree (a quarter of their minimum) grow first, others shrink first.
 */

#define SAMPLES 10
#define SAMPLE_USEC (5 * USEC_PER_SEC)
#define RULE_USEC (10 * USEC_PER_SEC)
#define PROXMOX_CHANGE (100.0 * (double) MIB)
#define PROXMOX_ROUNDS 1000

const char *const baseline_names[] = { "aerostat", "static", "mom", "proxmox", NULL };

struct samples {
        double unused[SAMPLES], actual[SAMPLES];
        unsigned n, next;
};

struct baseline_state {
        uint64_t sample_usec, rule_usec;       /* the next one */
        struct samples *guests;                /* by index of the scenario's */
        double host_free[SAMPLES];
        unsigned n_host, next_host;
        double *result;                        /* scratch, for each VM: the new target */
        bool *done;
};

int baseline_new(struct baseline_state **ret, const struct run *run) {
        struct baseline_state *s = calloc(1, sizeof(*s));
        size_t n = MAX(run->scenario->n_guests, 1);

        if (!s)
                return -ENOMEM;
        s->guests = calloc(n, sizeof(*s->guests));
        s->result = calloc(n, sizeof(*s->result));
        s->done = calloc(n, sizeof(*s->done));
        if (!s->guests || !s->result || !s->done) {
                baseline_free(s);
                return -ENOMEM;
        }
        *ret = s;
        return 0;
}

struct baseline_state *baseline_free(struct baseline_state *s) {
        if (!s)
                return NULL;
        free(s->guests);
        free(s->result);
        free(s->done);
        free(s);
        return NULL;
}

static const struct guest *guest_at(const struct run *run, size_t vm) {
        return &run->guests[run->guest_of[vm]];
}

static bool can_move(const struct run *run, size_t vm) {
        return guest_at(run, vm)->report.usec != 0 && !guest_at(run, vm)->spec->fixed && !guest_at(run, vm)->spec->hugepages;
}

static void set(struct run *run, size_t vm, double bytes) {
        double max = (double) guest_at(run, vm)->spec->memory_bytes, floor = (double) run->accounts[run->guest_of[vm]].floor_bytes;

        if (can_move(run, vm))
                run_set_target(run, vm, (uint64_t) CLAMP(bytes, floor, max));
}

static void decide_static(struct run *run) {
        uint64_t reserve = policy_auto_reserve(run->scenario->memory_bytes);
        double left = (double) u64_sub(host_usable_bytes(run->scenario->memory_bytes), run->scenario->base_use_bytes + reserve);
        double open = (double) run->n_vms, share;
        bool again = true;

        for (size_t k = 0; k < run->n_vms; k++) {
                left -= (double) guest_at(run, k)->spec->overhead_bytes;
                run->baseline_state->done[k] = false;
        }
        while (again && open > 0) {
                again = false;
                share = MAX(left, 0) / open;
                for (size_t k = 0; k < run->n_vms; k++) {
                        double max = (double) guest_at(run, k)->spec->memory_bytes;

                        if (run->baseline_state->done[k] || max > share)
                                continue;
                        run->baseline_state->done[k] = again = true;
                        left -= max;
                        open--;
                }
        }
        for (size_t k = 0; k < run->n_vms; k++)
                set(run, k, run->baseline_state->done[k] ? (double) guest_at(run, k)->spec->memory_bytes : MAX(left, 0) / open);
}

static double mean(const double *values, unsigned n) {
        double sum = 0;

        for (unsigned i = 0; i < n; i++)
                sum += values[i];
        return n > 0 ? sum / n : 0;
}

static void sample(struct run *run) {
        struct baseline_state *s = run->baseline_state;

        s->host_free[s->next_host++ % SAMPLES] = (double) run->host.available_bytes;
        s->n_host = MIN(s->n_host + 1, SAMPLES);
        for (size_t k = 0; k < run->n_vms; k++) {
                struct samples *g = &s->guests[run->guest_of[k]];
                const struct guest_report *r = &guest_at(run, k)->report;

                if (r->usec == 0)
                        continue;
                g->unused[g->next % SAMPLES] = (double) r->free_bytes;
                g->actual[g->next++ % SAMPLES] = (double) r->actual_bytes;
                g->n = MIN(g->n + 1, SAMPLES);
        }
}

static void decide_mom(struct run *run) {
        struct baseline_state *s = run->baseline_state;
        double free_share = mean(s->host_free, s->n_host) / (double) run->host.memory_bytes;

        for (size_t k = 0; k < run->n_vms; k++) {
                const struct samples *g = &s->guests[run->guest_of[k]];
                double current = (double) guest_at(run, k)->actual_bytes, used = mean(g->actual, g->n) - mean(g->unused, g->n), wants, size;

                if (free_share < 0.2) {
                        double keep = free_share <= 0.05 ? free_share - 0.05 : 0.2 * free_share / 0.2;

                        wants = used + keep * current;
                        size = MAX(current * 0.95, wants);
                        if (size > current)
                                continue;
                } else {
                        wants = used + 0.2 * current;
                        size = MAX(MIN(current * 1.05, (double) guest_at(run, k)->spec->memory_bytes), wants);
                }
                if (size > current * 1.0025 || size < current * 0.9975)
                        set(run, k, size);
        }
}

static bool is_comfortable(const struct run *run, size_t vm) {
        return (double) guest_at(run, vm)->report.free_bytes > 0.25 * (double) run->accounts[run->guest_of[vm]].floor_bytes;
}

enum who { ALL, PRESSED, COMFORTABLE };

/* Gives (or takes, if negative) `rest` to those of one group; returns what could not be placed. */
static double change(struct run *run, enum who who, double rest) {
        struct baseline_state *s = run->baseline_state;
        bool grow = rest > 0, repeat = true;

        for (size_t k = 0; k < run->n_vms; k++)
                s->done[k] = !can_move(run, k) || run->accounts[run->guest_of[k]].weight == 0 ||
                        (who != ALL && is_comfortable(run, k) != (who == COMFORTABLE));
        for (unsigned round = 0; repeat && round < PROXMOX_ROUNDS && (rest >= 1 || rest <= -1); round++) {
                double shares = 0, above = rest, changes = 0;

                repeat = false;
                for (size_t k = 0; k < run->n_vms; k++)
                        if (!s->done[k]) {
                                above += s->result[k] - (double) run->accounts[run->guest_of[k]].floor_bytes;
                                shares += (double) run->accounts[run->guest_of[k]].weight;
                        }
                for (size_t k = 0; k < run->n_vms; k++) {
                        double floor = (double) run->accounts[run->guest_of[k]].floor_bytes, max = (double) guest_at(run, k)->spec->memory_bytes;
                        double now = (double) guest_at(run, k)->actual_bytes, desired, before = s->result[k];

                        if (s->done[k])
                                continue;
                        desired = CLAMP(floor + above / shares * (double) run->accounts[run->guest_of[k]].weight, floor, max);
                        if (grow && desired > now)
                                s->result[k] = MIN(now + PROXMOX_CHANGE, desired);
                        else if (desired < now)
                                s->result[k] = MAX(now - PROXMOX_CHANGE, desired);
                        else
                                s->done[k] = true;
                        changes += s->result[k] - before;
                        repeat |= s->result[k] > before + 1 || s->result[k] < before - 1;
                }
                rest -= changes;
        }
        return rest;
}

static void decide_proxmox(struct run *run) {
        struct baseline_state *s = run->baseline_state;
        double used = (double) u64_sub(run->host.memory_bytes, run->host.available_bytes), goal = 0.8 * (double) run->host.memory_bytes - used, rest;

        for (size_t k = 0; k < run->n_vms; k++)
                s->result[k] = (double) guest_at(run, k)->actual_bytes;
        if (goal > 10.0 * (double) MIB) {
                rest = change(run, PRESSED, goal);
                if (rest >= goal)
                        change(run, ALL, rest);
        } else if (goal < -10.0 * (double) MIB) {
                rest = change(run, COMFORTABLE, goal);
                if (rest <= goal)
                        change(run, ALL, rest);
        }
        for (size_t k = 0; k < run->n_vms; k++)
                if (s->result[k] != (double) guest_at(run, k)->actual_bytes)
                        set(run, k, s->result[k]);
}

void baseline_decide(struct run *run) {
        struct baseline_state *s = run->baseline_state;

        if (run->now_usec >= s->sample_usec) {
                sample(run);
                s->sample_usec = run->now_usec + SAMPLE_USEC;
        }
        if (run->baseline == BASELINE_STATIC) {
                decide_static(run);
                return;
        }
        if (run->now_usec < s->rule_usec)
                return;
        s->rule_usec = run->now_usec + RULE_USEC;
        if (run->baseline == BASELINE_MOM)
                decide_mom(run);
        else
                decide_proxmox(run);
}
