/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/policy/internal.h"

/*
 * A second bound, for VMs that are strictly bound to some of the host's NUMA nodes: memory on another node does not help them, and when theirs are
 * full the kernel swaps, or kills, however much is free elsewhere.
 *
 * Each set of nodes that some VM is bound to, and that is not all of memory, is a bound on all VMs within it: those that may use these nodes or
 * some of them and no other. What everybody else uses there counts as it is found, as what others use counts for the host: it may go elsewhere, so
 * nothing is promised on it. Sets that overlap, and neither holds the other, have no fair shares (less demand of one VM can mean less for another
 * that it shares no node with): of such the first counts, and VMs bound to the other are found. A node's part of the reserve, of what the envelope
 * has beyond capacity, and of KSM's savings is by its size: where they really are is not known.
 *
 * VMs within a set share its room by the same water-filling as all VMs share the host's. To give each no more than its own level there, and then to
 * fill all, is weighted max-min fairness under both bounds: where the host's level is lower it decides, and else the set is just full. Smaller sets
 * go first, so that a socket's level is found among what its nodes have left standing.
 *
 * What cannot swap, and the floors of the rest, have to fit a set's own memory, as they have to fit the host's: where there are VMs that cannot
 * swap, the envelope beyond capacity backs no more than what the others have beyond their floors, and what they lack of these is kept for them.
 */


void policy_nodes_begin(struct policy_context *c) {
        uint64_t n = MIN(c->host->n_nodes, POLICY_NODES_MAX), found = 0;

        if (n < 2)
                return;
        for (uint64_t i = 0; i < n; i++)
                if (policy_size(c->host->nodes[i].total_bytes, 0) > 0) {
                        c->nodes_mask |= UINT64_C(1) << i;
                        found++;
                }
        if (found < 2)
                c->nodes_mask = 0;
}

/* The set's index, or POLICY_NODESETS_MAX where there can be none. */
static size_t find_set(struct policy_context *c, uint64_t mask) {
        struct policy_plan *p = c->plan;
        size_t k = p->n_nodesets;

        for (size_t i = 0; i < p->n_nodesets; i++) {
                uint64_t other = p->nodesets[i].mask, both = other & mask;

                if (other == mask)
                        return i;
                if (both != 0 && both != other && both != mask)
                        return POLICY_NODESETS_MAX;
        }
        if (k == POLICY_NODESETS_MAX)
                return k;
        p->nodesets[k] = (struct policy_nodeset) { .mask = mask };
        c->rooms[k] = (struct policy_node_room) { 0 };
        p->n_nodesets++;
        return k;
}

void policy_nodes_add(struct policy_context *c, struct policy_vm *vm, struct policy_work *work) {
        uint64_t mask = vm->input.node_mask & c->nodes_mask;
        uint64_t least = vm->input.hugepages && vm->input.managed ? work->liable : u64_add(work->floor, policy_overhead(vm));
        struct policy_nodeset *s;
        size_t k;

        if (mask == 0 || mask == c->nodes_mask)
                return;
        k = find_set(c, mask);
        if (k == POLICY_NODESETS_MAX)
                return;
        work->nodeset = vm->plan.nodeset = (uint8_t) (k + 1);
        s = &c->plan->nodesets[k];
        s->n_vms++;
        s->committed_bytes = u64_add(s->committed_bytes, vm->plan.committed_bytes);
        s->liable_bytes = u64_add(s->liable_bytes, work->liable);
        s->max_bytes = u64_add(s->max_bytes, work->max);
        c->rooms[k].rss_bytes = u64_add(c->rooms[k].rss_bytes, policy_size(vm->input.rss_bytes, 0));
        if (work->resident) {
                c->rooms[k].residents++;
                c->rooms[k].unswappable_bytes = u64_add(c->rooms[k].unswappable_bytes, work->liable);
        } else {
                c->rooms[k].swappable_bytes = u64_add(c->rooms[k].swappable_bytes, work->liable);
                c->rooms[k].least_bytes = u64_add(c->rooms[k].least_bytes, least);
        }
}

/* Which sets are within which, and an order in which smaller ones come first. */
static void arrange(struct policy_context *c) {
        const struct policy_plan *p = c->plan;

        for (size_t k = 0; k < p->n_nodesets; k++) {
                size_t at = k;

                for (size_t j = 0; j < p->n_nodesets; j++)
                        if ((p->nodesets[j].mask & ~p->nodesets[k].mask) == 0)
                                c->rooms[k].within |= UINT64_C(1) << j;
                for (; at > 0; at--) {
                        uint8_t before = c->rooms[at - 1].order;

                        if (__builtin_popcountll(p->nodesets[before].mask) <= __builtin_popcountll(p->nodesets[k].mask))
                                break;
                        c->rooms[at].order = before;
                }
                c->rooms[at].order = (uint8_t) k;
        }
}

/* What the nodes of one set can bear. The sums of smaller sets are still their own. */
static void bear(struct policy_context *c, size_t k, uint64_t all_bytes, const struct policy_nodeset_state *old, size_t n_old) {
        struct policy_plan *p = c->plan;
        struct policy_nodeset *s = &p->nodesets[k];
        struct policy_nodeset_state *state = &c->state->nodesets[k];
        uint64_t rss = 0, residents = 0, unswappable = 0, swappable = 0, least = 0, beyond, merged, raw;

        for (size_t i = 0; i < POLICY_NODES_MAX; i++)
                if (s->mask >> i & 1) {
                        s->total_bytes = u64_add(s->total_bytes, policy_size(c->host->nodes[i].total_bytes, 0));
                        s->available_bytes = u64_add(s->available_bytes, policy_size(c->host->nodes[i].available_bytes, 0));
                }
        s->available_bytes = MIN(u64_add(s->available_bytes, u64_mul_div(policy_size(c->host->arc_reclaimable_bytes, 0), s->total_bytes, all_bytes)),
                                 s->total_bytes);
        for (size_t j = 0; j < p->n_nodesets; j++) {
                if (!(c->rooms[k].within >> j & 1))
                        continue;
                rss = u64_add(rss, c->rooms[j].rss_bytes);
                residents += c->rooms[j].residents;
                unswappable = u64_add(unswappable, c->rooms[j].unswappable_bytes);
                swappable = u64_add(swappable, c->rooms[j].swappable_bytes);
                least = u64_add(least, c->rooms[j].least_bytes);
                if (j == k)
                        continue;
                s->n_vms += p->nodesets[j].n_vms;
                s->committed_bytes = u64_add(s->committed_bytes, p->nodesets[j].committed_bytes);
                s->liable_bytes = u64_add(s->liable_bytes, p->nodesets[j].liable_bytes);
                s->max_bytes = u64_add(s->max_bytes, p->nodesets[j].max_bytes);
        }
        merged = MIN(u64_mul_div(policy_size(c->host->ksm_saved_bytes, 0), rss, MAX(c->rss_bytes, 1)), rss);
        raw = u64_sub(u64_sub(s->total_bytes, s->available_bytes), rss - merged);
        *state = (struct policy_nodeset_state) { .mask = s->mask, .other_bytes = raw, .fits = true };
        for (size_t i = 0; i < n_old; i++)
                if (old[i].mask == s->mask) {
                        state->other_bytes = policy_follow_other(c, old[i].other_bytes, raw);
                        state->fits = old[i].fits;
                }
        s->other_bytes = state->other_bytes;
        s->reserve_bytes = u64_mul_div(p->reserve_bytes, s->total_bytes, all_bytes);
        s->capacity_bytes = u64_sub(s->total_bytes, u64_add(s->other_bytes, s->reserve_bytes));
        beyond = u64_mul_div(u64_sub(p->envelope_bytes, p->capacity_bytes), s->total_bytes, all_bytes);
        s->rule_bytes = u64_add(s->capacity_bytes, beyond);
        if (residents > 0) /* unswappable + least <= capacity, in other words */
                s->rule_bytes = MIN(s->rule_bytes, u64_sub(u64_add(s->capacity_bytes, swappable), least));
        /* By size, so that the parts of all the sets within another are no more than its own: what each leaves to demand beyond entitlements never
         * exceeds what the larger leaves to it. */
        s->pool_bytes = u64_mul_div(policy_share(p->envelope_bytes, c->config->growth_pool_ppm), s->total_bytes, all_bytes);
        s->deficit_bytes = u64_sub(s->liable_bytes, s->rule_bytes);
        s->free_bytes = u64_sub(s->rule_bytes, s->liable_bytes);
        if (s->liable_bytes > u64_add(s->capacity_bytes, beyond) || unswappable > s->capacity_bytes) {
                p->unsafe = true;
                c->weaknesses |= POLICY_WEAK_UNSAFE;
        }
}

void policy_nodes_envelope(struct policy_context *c) {
        struct policy_nodeset_state old[POLICY_NODESETS_MAX];
        size_t n_old = MIN(c->state->n_nodesets, POLICY_NODESETS_MAX);
        uint64_t all = 0;

        c->state->n_nodesets = c->plan->n_nodesets;
        if (c->plan->n_nodesets == 0)
                return;
        for (size_t i = 0; i < n_old; i++)
                old[i] = c->state->nodesets[i];
        for (size_t i = 0; i < POLICY_NODES_MAX; i++)
                if (c->nodes_mask >> i & 1)
                        all = u64_add(all, policy_size(c->host->nodes[i].total_bytes, 0));
        arrange(c);
        for (size_t k = c->plan->n_nodesets; k > 0; k--) /* the largest first: it adds up those within it */
                bear(c, c->rooms[k - 1].order, all, old, n_old);
}

bool policy_nodes_room(struct policy_context *c) {
        struct policy_plan *p = c->plan;
        bool fit = true;

        if (p->n_nodesets == 0)
                return true;
        for (size_t k = 0; k < p->n_nodesets; k++) {
                struct policy_nodeset *s = &p->nodesets[k];
                struct policy_node_room *room = &c->rooms[k];
                uint64_t maxes = 0;

                for (size_t i = 0; i < c->n_vms; i++) {
                        const struct policy_work *w = &c->work[i];
                        uint64_t gone;

                        if (!policy_is_within(c, w, k))
                                continue;
                        if (w->moves) /* as in targets.c: others cover for what a slow balloon will not have given back soon */
                                gone = u64_add(w->overhead, s->deficit_bytes > 0 ? u64_sub(u64_sub(w->actual, w->base), w->coming) : 0);
                        else
                                gone = w->pinned ? u64_add(w->ideal, w->overhead) : w->liable;
                        room->gone = u64_add(room->gone, gone);
                        room->floors = u64_add(room->floors, w->moves ? w->floor : 0);
                        maxes = u64_add(maxes, w->moves ? w->max : 0);
                }
                s->floors_bytes = u64_add(room->gone, room->floors);
                room->left = u64_sub(u64_sub(s->rule_bytes, policy_margin(c->n_vms)), room->gone);
                s->fits = u64_add(maxes, c->state->nodesets[k].fits || c->state->decided_usec == 0 ? 0 : s->pool_bytes) <= room->left;
                c->state->nodesets[k].fits = s->fits;
                s->floors_fit = room->floors <= room->left && s->floors_bytes <= s->capacity_bytes;
                if (!s->floors_fit)
                        c->weaknesses |= POLICY_WEAK_FLOORS;
                if (s->fits)
                        s->pool_bytes = 0;
                fit &= s->fits;
                room->left = u64_sub(room->left, room->floors);
                /* As for the host: what swap backs is for headroom and surplus, demand has to fit what is there. */
                room->demand_left = c->config->mode == POLICY_GUARANTEED ? room->left : MIN(room->left, u64_sub(s->capacity_bytes, s->floors_bytes));
        }
        return fit;
}

static uint64_t room_for(struct policy_context *c, size_t k, enum policy_nodes_phase phase) {
        struct policy_nodeset *s = &c->plan->nodesets[k];
        const struct policy_node_room *room = &c->rooms[k];

        switch (phase) {
        case NODES_DEMAND:
                return room->demand_left;
        case NODES_URGENT:
                return room->left;
        case NODES_SURPLUS:
                s->pool_bytes = MIN(s->pool_bytes, room->left);
                break;
        case NODES_ENTITLE:
        case NODES_LAZY:
                break;
        }
        return u64_sub(room->left, s->pool_bytes);
}

void policy_nodes_cut(struct policy_context *c, enum policy_nodes_phase phase, uint64_t grain) {
        for (size_t k = 0; k < c->plan->n_nodesets; k++) {
                size_t set = c->rooms[k].order;
                uint64_t room = room_for(c, set, phase), wanted = 0;

                for (size_t i = 0; i < c->n_vms; i++)
                        if (c->work[i].moves && policy_is_within(c, &c->work[i], set))
                                wanted = u64_add(wanted, c->work[i].cap);
                if (wanted <= room)
                        continue;
                for (size_t i = 0; i < c->n_vms; i++)
                        c->work[i].out = !policy_is_within(c, &c->work[i], set);
                policy_fill(c->work, c->n_vms, room);
                for (size_t i = 0; i < c->n_vms; i++) {
                        struct policy_work *w = &c->work[i];

                        w->out = false;
                        if (!w->moves || !policy_is_within(c, w, set) || w->fill == w->cap)
                                continue;
                        w->cut |= phase == NODES_SURPLUS;
                        w->cap = w->fill < MIN(w->cap, grain) ? 0 : w->fill;
                }
        }
}

void policy_nodes_take(struct policy_context *c, const struct policy_work *w, uint64_t bytes) {
        for (size_t k = 0; k < c->plan->n_nodesets; k++)
                if (policy_is_within(c, w, k))
                        c->rooms[k].left = u64_sub(c->rooms[k].left, bytes);
}

void policy_nodes_pool(struct policy_context *c) {
        for (size_t k = 0; k < c->plan->n_nodesets; k++) {
                struct policy_nodeset *s = &c->plan->nodesets[k];
                uint64_t used = u64_add(c->rooms[k].gone, policy_margin(c->n_vms));

                for (size_t i = 0; i < c->n_vms; i++)
                        if (c->work[i].moves && policy_is_within(c, &c->work[i], k))
                                used = u64_add(used, c->work[i].ideal);
                s->pool_bytes = MIN(s->pool_bytes, u64_sub(s->rule_bytes, used));
        }
}

void policy_nodes_need(struct policy_context *c, const struct policy_work *w, uint64_t urgent, uint64_t coming) {
        for (size_t k = 0; k < c->plan->n_nodesets; k++)
                if (policy_is_within(c, w, k)) {
                        c->rooms[k].urgent = u64_add(c->rooms[k].urgent, urgent);
                        c->rooms[k].coming = u64_add(c->rooms[k].coming, coming);
                }
}

void policy_nodes_measured(struct policy_context *c) {
        for (size_t k = 0; k < c->plan->n_nodesets; k++) {
                struct policy_node_room *room = &c->rooms[k];
                const struct policy_nodeset *s = &c->plan->nodesets[k];

                room->left = u64_sub(s->free_bytes, policy_margin(c->n_vms));
                room->urgent = u64_sub(room->urgent, room->left); /* from here on: what is lacking */
        }
}

uint64_t policy_nodes_waiting(const struct policy_context *c, size_t k) {
        const struct policy_nodeset *s = &c->plan->nodesets[k];
        const struct policy_node_room *room = &c->rooms[k];
        uint64_t waiting = u64_add(s->deficit_bytes, room->urgent);

        if (room->left < s->pool_bytes - s->pool_bytes / 4)
                waiting = u64_add(waiting, s->pool_bytes - room->left);
        return u64_sub(waiting, room->coming);
}

void policy_nodes_resident(const struct policy_host *host, const struct policy_vm *vms, size_t n_vms, uint64_t ret_bytes[static POLICY_NODES_MAX]) {
        uint64_t n = MIN(host->n_nodes, POLICY_NODES_MAX), all = 0;

        for (uint64_t k = 0; k < POLICY_NODES_MAX; k++) {
                ret_bytes[k] = 0;
                all |= k < n && policy_size(host->nodes[k].total_bytes, 0) > 0 ? UINT64_C(1) << k : 0;
        }
        for (size_t i = 0; i < n_vms && n > 1; i++) {
                uint64_t mask = vms[i].input.node_mask & all, within = 0;

                mask = mask ? mask : all;
                for (uint64_t k = 0; k < n; k++)
                        within = u64_add(within, mask >> k & 1 ? policy_size(host->nodes[k].total_bytes, 0) : 0);
                for (uint64_t k = 0; k < n; k++)
                        if (mask >> k & 1)
                                ret_bytes[k] = u64_add(ret_bytes[k], u64_mul_div(policy_size(vms[i].input.rss_bytes, 0),
                                                                                 policy_size(host->nodes[k].total_bytes, 0), within));
        }
}

void policy_nodes_follow(struct policy_host *host, const struct policy_vm *before, const struct policy_vm *after, size_t n_vms) {
        uint64_t was[POLICY_NODES_MAX], is[POLICY_NODES_MAX];

        if (host->n_nodes < 2)
                return;
        policy_nodes_resident(host, before, n_vms, was);
        policy_nodes_resident(host, after, n_vms, is);
        for (size_t i = 0; i < POLICY_NODES_MAX; i++) {
                uint64_t total = policy_size(host->nodes[i].total_bytes, 0), used = u64_sub(total, policy_size(host->nodes[i].available_bytes, 0));

                host->nodes[i].available_bytes = u64_sub(total, u64_add(u64_sub(used, was[i]), is[i]));
        }
}
