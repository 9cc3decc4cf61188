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
                        /* On an unsafe host others cover for what a slow balloon will not have given back soon. */
                        gone = u64_add(gone, u64_add(w->overhead, c->plan->deficit_bytes > 0 ? u64_sub(u64_sub(w->actual, w->base), w->coming) : 0));
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

static void fill_entitlements(struct policy_context *c, struct policy_room room) {
        for (size_t i = 0; i < c->n_vms; i++)
                c->work[i].cap = u64_sub(c->work[i].max, c->work[i].floor);
        policy_nodes_cut(c, NODES_ENTITLE, 0);
        policy_fill_room(c->work, c->n_vms, &room);
        for (size_t i = 0; i < c->n_vms; i++)
                if (c->work[i].moves)
                        c->work[i].entitled = u64_add(c->work[i].floor, c->work[i].fill);
}

static void fill_demand(struct policy_context *c, struct policy_room *room) {
        for (size_t i = 0; i < c->n_vms; i++) {
                struct policy_work *w = &c->work[i];

                /* What nobody vouches for is met up to the entitlement. So is that of VMs that two bounds hold which cross: what one of these
                 * leaves it would else be at the expense of others' entitlement under the other. */
                w->cap = u64_sub(w->vouched && !(w->resident && w->nodeset > 0) ? w->demand : MIN(w->demand, w->entitled), w->floor);
        }
        policy_nodes_cut(c, NODES_DEMAND, 0);
        policy_fill_room(c->work, c->n_vms, room);
        for (size_t i = 0; i < c->n_vms; i++)
                if (c->work[i].moves) {
                        c->work[i].share = u64_add(c->work[i].floor, c->work[i].fill);
                        policy_nodes_took(c, &c->work[i], c->work[i].fill);
                }
}

static void fill_surplus(struct policy_context *c, struct policy_room room) {
        for (size_t i = 0; i < c->n_vms; i++)
                c->work[i].cap = c->work[i].no_surplus ? 0 : u64_sub(c->work[i].max, c->work[i].share);
        policy_nodes_cut(c, NODES_SURPLUS, 0);
        policy_fill_room(c->work, c->n_vms, &room);
        for (size_t i = 0; i < c->n_vms; i++)
                if (c->work[i].moves)
                        c->work[i].ideal = u64_add(c->work[i].share, c->work[i].fill);
}

/* Above the floors, what VMs that cannot swap may have together. */
static uint64_t resident_room(const struct policy_context *c, uint64_t margin) {
        uint64_t gone = u64_add(u64_add(c->plan->resident_least_bytes, policy_size(c->host->reserved_bytes, 0)), margin);

        return u64_sub(c->plan->resident_rule_bytes, gone);
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

/* Where not everybody can have its maximum: demands first, then the surplus, less the pool. left: what the floors leave. */
static void share_out(struct policy_context *c, struct policy_room left, uint64_t floors) {
        struct policy_plan *p = c->plan;
        struct policy_room demand;
        uint64_t demand_room;

        fill_entitlements(c, (struct policy_room) { .all = u64_sub(left.all, p->pool_bytes), .resident = left.resident });
        /* In guaranteed mode the envelope goes beyond capacity by the KSM credit only, which is real memory today. */
        demand_room = c->config->mode == POLICY_GUARANTEED ? left.all
                                                           : MIN(left.all, u64_sub(distributable(c, p->resident_rule_bytes), floors));
        demand = (struct policy_room) { .all = demand_room, .resident = left.resident };
        fill_demand(c, &demand);
        left = (struct policy_room) { .all = u64_add(left.all - demand_room, demand.all), .resident = demand.resident };
        p->pool_bytes = MIN(p->pool_bytes, left.all);
        fill_surplus(c, (struct policy_room) { .all = left.all - p->pool_bytes, .resident = left.resident });
}

void policy_targets(struct policy_context *c) {
        struct policy_plan *p = c->plan;
        uint64_t floors = 0, maxes = 0, residents = 0, room, pool, ideals = 0, margin = policy_margin(c->n_vms);
        struct policy_room left;

        aim_pinned(c);
        room = distributable(c, u64_sub(p->rule_bytes, margin));
        for (size_t i = 0; i < c->n_vms; i++) {
                const struct policy_work *w = &c->work[i];

                if (!w->moves)
                        continue;
                floors = u64_add(floors, w->floor);
                maxes = u64_add(maxes, w->max);
                if (w->resident)
                        residents = u64_add(residents, w->max - w->floor);
        }
        left = (struct policy_room) { .all = u64_sub(room, floors), .resident = resident_room(c, margin) };
        pool = policy_share(p->envelope_bytes, c->config->growth_pool_ppm);
        /* From short back to fits only with room for the pool, too: its size must not be pumped in and out at the border. */
        p->fits = policy_nodes_room(c) && u64_add(maxes, c->state->fits || c->state->decided_usec == 0 ? 0 : pool) <= room &&
                residents <= left.resident;
        c->state->fits = p->fits;
        p->floors_fit = floors <= room && u64_add(p->resident_least_bytes, policy_size(c->host->reserved_bytes, 0)) <= p->resident_rule_bytes;
        p->pool_bytes = p->fits ? 0 : pool;
        p->floors_bytes = u64_add(floors, u64_sub(p->rule_bytes, room));

        if (p->fits) {
                for (size_t i = 0; i < c->n_vms; i++)
                        if (c->work[i].moves)
                                c->work[i].ideal = c->work[i].share = c->work[i].entitled = c->work[i].max;
        } else
                share_out(c, left, floors);

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
