/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/policy/internal.h"

/*
 * What can be done now toward the ideals. Free first, then grant: what is granted is memory that has verifiably come back; while the rule does
 * not hold nothing is granted. Shrinking that somebody waits for (a burst, the pool, a reservation, an unsafe host) runs at the balloon's own speed
 * and takes from the largest surplus first; shrinking that nobody waits for is slow.
 */

#define GRANT_GRAIN (4 * MIB)                  /* a grant that somebody waits for is this much or all that is wanted: no crumbs */
#define LAZY_GRAIN_MIN (16 * MIB)              /* the smallest dead band: what nobody waits for comes in fewer and larger steps ... */
#define LAZY_GRAIN_SHARE 256                   /* ... of so much of max */
#define LAZY_STEP_USEC USEC_PER_SEC
#define CALM_SHORT_USEC USEC_PER_SEC
#define CALM_FITS_USEC (2 * USEC_PER_SEC)

struct flow {
        uint64_t urgent;       /* wanted by VMs whose demand is not met */
        uint64_t lazy;         /* wanted by VMs that are to share in the surplus */
        uint64_t coming;       /* being given back by balloons that inflate */
        uint64_t urgent_resident, coming_resident; /* of them, by those that cannot swap */
};

static uint64_t urgent_want(const struct policy_context *c, const struct policy_work *w) {
        uint64_t toward = w->pinned || c->plan->fits ? w->ideal : MIN(w->share, w->ideal);
        uint64_t want = u64_sub(toward, w->base);

        return want >= policy_dead_band(w->max) || (want >= MIB && (w->pressed || w->pinned)) ? want : 0;
}

static uint64_t lazy_want(const struct policy_work *w, uint64_t urgent) {
        uint64_t want = u64_sub(w->ideal, u64_add(w->base, urgent));

        return want >= policy_dead_band(w->max) ? want : 0;
}

static void set_target(const struct policy_context *c, struct policy_vm *vm, const struct policy_work *w, uint64_t bytes, enum policy_reason reason) {
        uint64_t before = policy_size(vm->input.target_bytes, 0), held = policy_held(c, vm);

        if (bytes < before && before > held) {
                vm->state.revoked_bytes = before;
                vm->state.revoked_usec = c->now_usec;
        }
        vm->plan.target_bytes = bytes == w->ideal ? bytes : policy_round(bytes, w->floor, w->max);
        vm->plan.set = true;
        vm->plan.reason = reason;
        vm->state.set_usec = c->now_usec;
}

/* What a guest has not given back yet it may keep at no cost, if it is to have it after all: its balloon stops, nobody waits. What it has taken was
 * never granted, and is not made good like this. */
static void stop_shrinking(const struct policy_context *c, struct policy_vm *vm, struct policy_work *w) {
        bool takes = vm->state.settled && !vm->input.autodeflate;
        uint64_t held = takes ? MIN(w->actual, vm->state.allowed_bytes) : w->actual, kept = MIN(u64_sub(w->ideal, w->base), u64_sub(held, w->base));

        if (kept < (w->pressed ? MIB : policy_dead_band(w->max)))
                return;
        set_target(c, vm, w, w->base + kept, POLICY_REASON_GRANTED);
        w->base = vm->plan.target_bytes;
}

static struct flow measure(struct policy_context *c) {
        struct flow f = { 0 };

        for (size_t i = 0; i < c->n_vms; i++) {
                struct policy_vm *vm = &c->vms[i];
                struct policy_work *w = &c->work[i];
                uint64_t urgent, coming;

                if (w->pinned)
                        w->moves = true; /* from here on pinned VMs move like others, to their own ideal */
                if (w->pinned && w->base > w->ideal) { /* what a person asked for is done at once, and to the byte */
                        w->base = w->ideal;
                        set_target(c, vm, w, w->base, POLICY_REASON_PINNED);
                }
                if (w->moves && !w->held_back)
                        stop_shrinking(c, vm, w);
                coming = MIN(w->coming, u64_sub(w->actual, w->base)); /* base: where it may have been stopped */
                f.coming = u64_add(f.coming, coming);
                if (w->resident)
                        f.coming_resident = u64_add(f.coming_resident, coming);
                policy_nodes_want(c, w, 0, coming);
                if (!w->moves)
                        continue;
                /* It may not grow past what it holds until it has obeyed for a while. */
                if (w->held_back)
                        w->ideal = MIN(w->ideal, MIN(w->base, w->actual));
                urgent = urgent_want(c, w);
                w->urgent = urgent > 0;
                f.urgent = u64_add(f.urgent, urgent);
                if (w->resident)
                        f.urgent_resident = u64_add(f.urgent_resident, urgent);
                policy_nodes_want(c, w, urgent, 0);
                f.lazy = u64_add(f.lazy, lazy_want(w, urgent));
        }
        return f;
}

/* Hands out of `room` among those that want; returns what was given. */
static uint64_t grant(struct policy_context *c, struct policy_room *room, bool urgent) {
        struct policy_room most = *room;
        uint64_t given = 0;

        for (size_t i = 0; i < c->n_vms; i++) {
                struct policy_work *w = &c->work[i];
                uint64_t pressing = w->moves ? urgent_want(c, w) : 0;

                w->cap = !w->moves ? 0 : urgent ? pressing : lazy_want(w, pressing);
        }
        policy_nodes_cut(c, urgent ? NODES_URGENT : NODES_LAZY, GRANT_GRAIN);
        policy_fill_room(c->work, c->n_vms, &most);
        for (size_t i = 0; i < c->n_vms; i++) {
                struct policy_vm *vm = &c->vms[i];
                struct policy_work *w = &c->work[i];
                uint64_t start, pressing, wanted;

                if (w->cap == 0)
                        continue;
                /* Of what it wants, not of what a bound left of that: else the last crumb under it would be granted for ever. */
                pressing = urgent_want(c, w);
                wanted = urgent ? pressing : lazy_want(w, pressing);
                if (w->fill < MIN(wanted, urgent ? GRANT_GRAIN : MAX(w->max / LAZY_GRAIN_SHARE, LAZY_GRAIN_MIN)))
                        continue;
                start = vm->plan.set ? vm->plan.target_bytes : w->base;
                set_target(c, vm, w, u64_add(start, w->fill), w->pinned ? POLICY_REASON_PINNED : POLICY_REASON_GRANTED);
                given += w->fill;
                policy_nodes_took(c, w, w->fill);
                if (w->resident)
                        room->resident -= w->fill;
        }
        room->all -= given;
        return given;
}

static uint64_t surplus(const struct policy_work *w) {
        return w->moves ? u64_sub(w->base, MAX(w->ideal, w->floor)) : 0;
}

/* Whom to ask: everybody, those that cannot swap, or those within a set of nodes (its index). */
#define EVERYBODY SIZE_MAX
#define RESIDENT (SIZE_MAX - 1)

static bool is_asked(const struct policy_context *c, const struct policy_work *w, size_t whom) {
        return whom == EVERYBODY || (whom == RESIDENT ? w->resident : policy_is_within(c, w, whom));
}

/* Takes `amount` from the largest surpluses: level them down. Filling the surpluses with what may stay is the same, seen from below. What is asked
 * for is coming from now on. */
static void fund(struct policy_context *c, struct flow *f, uint64_t amount, size_t whom) {
        uint64_t all = 0;

        for (size_t i = 0; i < c->n_vms; i++) {
                c->work[i].cap = is_asked(c, &c->work[i], whom) ? surplus(&c->work[i]) : 0;
                c->work[i].weight = 1;
                all = u64_add(all, c->work[i].cap);
        }
        policy_fill(c->work, c->n_vms, u64_sub(all, amount));
        for (size_t i = 0; i < c->n_vms; i++) {
                struct policy_work *w = &c->work[i];
                uint64_t asked;

                if (w->cap <= w->fill)
                        continue;
                set_target(c, &c->vms[i], w, w->base - (w->cap - w->fill), POLICY_REASON_FUNDS);
                asked = w->base - c->vms[i].plan.target_bytes;
                f->coming = u64_add(f->coming, asked);
                if (w->resident)
                        f->coming_resident = u64_add(f->coming_resident, asked);
                policy_nodes_want(c, w, 0, asked);
                w->base = c->vms[i].plan.target_bytes;
        }
}

/* What a node lacks only those can give that are on it. */
static void fund_nodes(struct policy_context *c, struct flow *f) {
        for (size_t k = 0; k < c->plan->n_nodesets; k++) {
                size_t set = c->rooms[k].order;
                uint64_t waiting = policy_nodes_waiting(c, set);

                if (waiting > 0)
                        fund(c, f, MAX(waiting, GRANT_GRAIN), set);
        }
}

/* Of what is wanted urgently, what the nodes of those that want it could give now: memory from elsewhere does not help the rest. */
static void limit_to_nodes(struct policy_context *c, struct flow *f) {
        if (c->plan->n_nodesets == 0)
                return;
        policy_nodes_measured(c);
        for (size_t i = 0; i < c->n_vms; i++) {
                c->work[i].cap = c->work[i].moves ? urgent_want(c, &c->work[i]) : 0;
        }
        policy_nodes_cut(c, NODES_URGENT, GRANT_GRAIN);
        f->urgent = f->urgent_resident = 0;
        for (size_t i = 0; i < c->n_vms; i++) {
                f->urgent = u64_add(f->urgent, c->work[i].cap);
                if (c->work[i].resident)
                        f->urgent_resident = u64_add(f->urgent_resident, c->work[i].cap);
        }
}

/* Shrinking that nobody waits for: at most max_shrink of max a second, faster on a short host, in steps no smaller than the dead band. */
static void equalize(struct policy_context *c, uint64_t wanted) {
        for (size_t i = 0; i < c->n_vms && wanted > 0; i++) {
                struct policy_vm *vm = &c->vms[i];
                struct policy_work *w = &c->work[i];
                uint64_t band = policy_dead_band(w->max), spare = surplus(w), since, step;

                if (spare < band || vm->plan.set || vm->plan.gap)
                        continue;
                since = MIN(u64_sub(c->now_usec, vm->state.shrunk_usec), 2 * LAZY_STEP_USEC);
                if (since < LAZY_STEP_USEC)
                        continue;
                step = u64_mul_div(policy_share(w->max, c->config->max_shrink_ppm), since * policy_pace(c), USEC_PER_SEC);
                if (step == 0)
                        continue;
                step = MIN(MAX(step, band), spare);
                set_target(c, vm, w, w->base - step, POLICY_REASON_EQUALIZES);
                vm->state.shrunk_usec = c->now_usec;
                wanted = u64_sub(wanted, step);
        }
}

void policy_moves(struct policy_context *c) {
        struct policy_plan *p = c->plan;
        struct flow f = measure(c);
        uint64_t margin = policy_margin(c->n_vms), waiting = p->deficit_bytes, granted, spare = 0;
        struct policy_room left = {
                .all = u64_sub(p->free_bytes, margin),
                .resident = u64_sub(p->resident_rule_bytes, u64_add(u64_add(p->resident_bytes, policy_size(c->host->reserved_bytes, 0)), margin)),
        };
        uint64_t resident_before = left.resident, resident;
        bool busy;

        limit_to_nodes(c, &f);
        if (p->deficit_bytes == 0) {
                granted = grant(c, &left, true);
                if (left.all > p->pool_bytes) {
                        struct policy_room extra = { .all = left.all - p->pool_bytes, .resident = left.resident };
                        uint64_t more = grant(c, &extra, false);

                        granted += more;
                        left = (struct policy_room) { .all = left.all - more, .resident = extra.resident };
                }
                waiting = u64_sub(f.urgent, MIN(granted, f.urgent));
        } else
                waiting = u64_add(waiting, f.urgent);
        if (left.all < p->pool_bytes - p->pool_bytes / 4) /* refill when a quarter is gone, but then whole */
                waiting = u64_add(waiting, p->pool_bytes - left.all);

        fund_nodes(c, &f);
        /* Under the second bound only those that cannot swap can help each other. */
        resident = u64_sub(u64_add(p->resident_deficit_bytes, f.urgent_resident), resident_before - left.resident);
        if (resident > f.coming_resident)
                fund(c, &f, MAX(resident - f.coming_resident, GRANT_GRAIN), RESIDENT);
        if (waiting > f.coming)
                fund(c, &f, MAX(waiting - f.coming, GRANT_GRAIN), EVERYBODY);
        else if (f.lazy > f.coming)
                equalize(c, f.lazy - f.coming);

        busy = waiting > 0;
        for (size_t i = 0; i < c->n_vms; i++) {
                struct policy_vm *vm = &c->vms[i];
                struct policy_work *w = &c->work[i];

                spare = u64_add(spare, surplus(w));
                busy |= vm->plan.gap || vm->plan.set;
                if (vm->plan.set || !w->moves)
                        continue;
                if (w->urgent)
                        vm->plan.reason = w->pinned ? POLICY_REASON_PINNED_WAITS : POLICY_REASON_WAITS;
                else if (w->ideal != w->base && vm->plan.reason == POLICY_REASON_DEMAND)
                        vm->plan.reason = POLICY_REASON_DEAD_BAND;
        }
        /* An unsafe host whose guests have nothing left to give is not helped by looking ten times a second. */
        if (busy && f.coming == 0 && spare == 0 && f.urgent == 0)
                busy = false;
        p->next_usec = busy ? POLICY_BUSY_USEC : p->fits ? CALM_FITS_USEC : CALM_SHORT_USEC;
}
