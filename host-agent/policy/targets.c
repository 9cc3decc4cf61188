/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/policy/internal.h"

/*
 * Where everybody should end up. Where all fits, everybody has its maximum. Where it does not: floors first; then demand, by weighted
 * max-min fairness; then what is left to everybody by weight, less the growth pool.
 *
 * swap_backed and opportunistic: the allowance may back headroom and surplus, but demand itself has to fit capacity; so the demand round gets no more
 * than capacity leaves.
 */

/* What is left for the guests of VMs that move when all others have what they hold. */
static uint64_t distributable(const struct policy_context *c, uint64_t limit) {
        uint64_t gone = policy_size(c->host->reserved_bytes, 0);

        for (size_t i = 0; i < c->n_vms; i++) {
                const struct policy_work *w = &c->work[i];

                if (w->moves)
                        gone = u64_add(gone, w->overhead);
                else if (w->pinned)
                        gone = u64_add(gone, u64_add(w->ideal, w->overhead));
                else
                        gone = u64_add(gone, w->liable);
        }
        return u64_sub(limit, gone);
}

static void aim_pinned(struct policy_context *c) {
        for (size_t i = 0; i < c->n_vms; i++)
                if (c->work[i].pinned)
                        c->work[i].ideal = CLAMP(policy_size(c->vms[i].input.pin_bytes, 0), c->work[i].floor, c->work[i].max);
}

static void fill_entitlements(struct policy_context *c, uint64_t amount) {
        for (size_t i = 0; i < c->n_vms; i++)
                c->work[i].cap = u64_sub(c->work[i].max, c->work[i].floor);
        policy_nodes_cut(c, NODES_ENTITLE, 0);
        policy_fill(c->work, c->n_vms, amount);
        for (size_t i = 0; i < c->n_vms; i++)
                if (c->work[i].moves)
                        c->work[i].entitled = u64_add(c->work[i].floor, c->work[i].fill);
}

static uint64_t fill_demand(struct policy_context *c, uint64_t amount) {
        uint64_t left;

        for (size_t i = 0; i < c->n_vms; i++) {
                struct policy_work *w = &c->work[i];

                /* What nobody vouches for is met up to the entitlement. */
                w->cap = u64_sub(w->vouched ? w->demand : MIN(w->demand, w->entitled), w->floor);
        }
        policy_nodes_cut(c, NODES_DEMAND, 0);
        left = policy_fill(c->work, c->n_vms, amount);
        for (size_t i = 0; i < c->n_vms; i++)
                if (c->work[i].moves) {
                        c->work[i].share = u64_add(c->work[i].floor, c->work[i].fill);
                        policy_nodes_took(c, &c->work[i], c->work[i].fill);
                }
        return left;
}

static void fill_surplus(struct policy_context *c, uint64_t amount) {
        for (size_t i = 0; i < c->n_vms; i++)
                c->work[i].cap = u64_sub(c->work[i].max, c->work[i].share);
        policy_nodes_cut(c, NODES_SURPLUS, 0);
        policy_fill(c->work, c->n_vms, amount);
        for (size_t i = 0; i < c->n_vms; i++)
                if (c->work[i].moves)
                        c->work[i].ideal = u64_add(c->work[i].share, c->work[i].fill);
}

static enum policy_reason explain(const struct policy_context *c, const struct policy_vm *vm, const struct policy_work *w) {
        if (vm->plan.class == POLICY_UNKNOWN)
                return POLICY_REASON_UNKNOWN_EVIDENCE;
        if (c->plan->fits)
                return POLICY_REASON_FITS;
        if (!c->plan->floors_fit)
                return POLICY_REASON_FLOORS_DO_NOT_FIT;
        if (w->cut && w->fill == w->cap)
                return POLICY_REASON_NODE;
        if (w->share < vm->plan.demand_bytes)
                return POLICY_REASON_SHARE;
        if (w->floor > vm->plan.demand_bytes && w->ideal == w->floor)
                return w->floor > policy_size(vm->input.floor_bytes, 0) ? POLICY_REASON_PRACTICAL_FLOOR : POLICY_REASON_FLOOR;
        return POLICY_REASON_DEMAND;
}

void policy_targets(struct policy_context *c) {
        struct policy_plan *p = c->plan;
        uint64_t floors = 0, maxes = 0, room, pool, left, demand_room, ideals = 0;

        aim_pinned(c);
        room = distributable(c, u64_sub(p->rule_bytes, policy_margin(p->envelope_bytes)));
        for (size_t i = 0; i < c->n_vms; i++)
                if (c->work[i].moves) {
                        floors = u64_add(floors, c->work[i].floor);
                        maxes = u64_add(maxes, c->work[i].max);
                }
        pool = policy_share(p->envelope_bytes, c->config->growth_pool_ppm);
        /* From short back to fits only with room for the pool, too: its size must not be pumped in and out at the border. */
        p->fits = policy_nodes_room(c) && u64_add(maxes, c->state->fits || c->state->decided_usec == 0 ? 0 : pool) <= room;
        c->state->fits = p->fits;
        p->floors_fit = floors <= room;
        p->pool_bytes = p->fits ? 0 : pool;
        p->floors_bytes = u64_add(floors, u64_sub(p->rule_bytes, room));

        if (p->fits) {
                for (size_t i = 0; i < c->n_vms; i++)
                        if (c->work[i].moves)
                                c->work[i].ideal = c->work[i].share = c->work[i].entitled = c->work[i].max;
        } else {
                left = u64_sub(room, floors);
                fill_entitlements(c, u64_sub(left, p->pool_bytes));
                /* In guaranteed mode the envelope goes beyond capacity by the KSM credit only, which is real memory today. */
                demand_room = c->config->mode == POLICY_GUARANTEED ? left
                                                                   : MIN(left, u64_sub(distributable(c, u64_sub(p->capacity_bytes, p->correction_bytes)), floors));
                left = u64_add(left - demand_room, fill_demand(c, demand_room));
                p->pool_bytes = MIN(p->pool_bytes, left);
                fill_surplus(c, left - p->pool_bytes);
        }

        for (size_t i = 0; i < c->n_vms; i++) {
                struct policy_vm *vm = &c->vms[i];
                struct policy_work *w = &c->work[i];

                if (w->moves) {
                        w->ideal = policy_round(w->ideal, w->floor, w->max);
                        vm->plan.reason = explain(c, vm, w);
                }
                vm->plan.ideal_bytes = w->ideal;
                vm->plan.entitled_bytes = w->entitled;
                if (w->moves)
                        ideals = u64_add(ideals, w->ideal);
        }
        policy_nodes_pool(c);
        if (!p->fits) /* what rounding and small demands leave belongs to the pool, up to its size */
                p->pool_bytes = MIN(p->pool_bytes, u64_sub(room, ideals));
}
