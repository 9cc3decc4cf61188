/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/sim/invariants_internal.h"

/* The nodes that have memory, or 0 where that is no more than one. */
static uint64_t memory_nodes(const struct policy_host *host) {
        uint64_t mask = 0;

        for (uint64_t i = 0; i < MIN(host->n_nodes, POLICY_NODES_MAX); i++)
                if (size(host->nodes[i].total_bytes, 0) > 0)
                        mask |= UINT64_C(1) << i;
        return (mask & (mask - 1)) == 0 ? 0 : mask;
}

/* The nodes that a VM is bound to: a true part of all, or 0. */
static uint64_t bound_to(const struct policy_vm *vm, uint64_t all) {
        uint64_t mask = vm->input.node_mask & all;

        return mask == all ? 0 : mask;
}

/* Whether it is a bound, or at least cannot be one beside those that there are. */
static bool is_looked_after(const struct policy_plan *plan, uint64_t mask) {
        for (size_t k = 0; k < plan->n_nodesets; k++) {
                uint64_t other = plan->nodesets[k].mask;

                if (other == mask || ((other & mask) != 0 && (other & ~mask) != 0 && (mask & ~other) != 0))
                        return true;
        }
        return plan->n_nodesets == POLICY_NODESETS_MAX;
}

/* What may be promised on these nodes is no more than their memory, and what the envelope has beyond the host's. */
static void check_rule(const struct policy_host *host, const struct policy_plan *plan, const struct policy_nodeset *s, struct violations *v) {
        uint64_t total = 0, most;

        for (size_t i = 0; i < POLICY_NODES_MAX; i++)
                if (s->mask >> i & 1)
                        total = u64_add(total, size(host->nodes[i].total_bytes, 0));
        most = u64_add(s->capacity_bytes, u64_sub(plan->envelope_bytes, plan->capacity_bytes));
        if (s->total_bytes != total || s->capacity_bytes > total || s->rule_bytes > most)
                invariants_violate(v, 10, "nodes %llx: %llu may be promised of %llu", LLU(s->mask), LLU(s->rule_bytes), LLU(total));
        if (s->n_vms == 0 || (s->deficit_bytes > 0 && s->free_bytes > 0) || (s->liable_bytes > most && !plan->unsafe))
                invariants_violate(v, 10, "nodes %llx: deficit %llu, free %llu, unsafe %d", LLU(s->mask), LLU(s->deficit_bytes), LLU(s->free_bytes),
                                   plan->unsafe);
        if (s->available_bytes > total)
                invariants_violate(v, 10, "nodes %llx: %llu available of %llu", LLU(s->mask), LLU(s->available_bytes), LLU(total));
}

static void check_set(uint64_t now_usec, const struct policy_vm *vms, size_t n_vms, uint64_t all, const struct policy_nodeset *s,
                      struct violations *v) {
        uint64_t unswappable = 0, unswappable_after = 0, least = 0, liable = 0, liable_after = 0, grants = 0, asked = 0, could_give = 0, n = 0;

        for (size_t i = 0; i < n_vms; i++) {
                uint64_t mask = bound_to(&vms[i], all);
                struct reckoned r;

                if (mask == 0 || (mask & ~s->mask) != 0 || vms[i].plan.nodeset == 0)
                        continue;
                n++;
                r = invariants_reckon(&vms[i], now_usec);
                if (r.resident) {
                        unswappable = u64_add(unswappable, r.liable);
                        unswappable_after = u64_add(unswappable_after, r.liable_after);
                } else
                        least = u64_add(least, r.least);
                liable = u64_add(liable, r.liable);
                liable_after = u64_add(liable_after, r.liable_after);
                grants = u64_add(grants, u64_sub(r.liable_after, r.liable));
                asked = u64_add(asked, r.movable || vms[i].plan.gap ? r.after + r.overhead : r.liable_after);
                if (r.movable)
                        could_give = u64_add(could_give, u64_sub(r.after, MAX(vms[i].plan.floor_bytes, vms[i].plan.ideal_bytes)));
        }
        if (n != s->n_vms || liable != s->liable_bytes || u64_sub(liable, s->rule_bytes) != s->deficit_bytes)
                invariants_violate(v, 2, "nodes %llx: %llu of %llu VMs counted as %llu of %llu, deficit %llu", LLU(s->mask), LLU(liable), LLU(n),
                                   LLU(s->liable_bytes), LLU(s->n_vms), LLU(s->deficit_bytes));
        if (s->deficit_bytes > 0 && grants > 0)
                invariants_violate(v, 2, "nodes %llx: granted %llu while %llu are missing", LLU(s->mask), LLU(grants), LLU(s->deficit_bytes));
        if (s->deficit_bytes == 0 && liable_after > s->rule_bytes)
                invariants_violate(v, 2, "nodes %llx: %llu promised of %llu", LLU(s->mask), LLU(liable_after), LLU(s->rule_bytes));
        if (s->deficit_bytes > 0 && asked > u64_add(s->rule_bytes, GRAIN) && could_give > (n + 1) * MIB)
                invariants_violate(v, 2, "nodes %llx: %llu are missing, %llu could still be asked for", LLU(s->mask), LLU(asked - s->rule_bytes),
                                   LLU(could_give));
        if (unswappable_after > unswappable && u64_add(unswappable_after, least) > s->capacity_bytes)
                invariants_violate(v, 2, "nodes %llx: what cannot swap grows to %llu, with floors of %llu, in %llu", LLU(s->mask),
                                   LLU(unswappable_after), LLU(least), LLU(s->capacity_bytes));
        if (grants > s->free_bytes)
                invariants_violate(v, 3, "nodes %llx: granted %llu where %llu are free", LLU(s->mask), LLU(grants), LLU(s->free_bytes));
}

void invariants_check_nodes(const struct policy_host *host, uint64_t now_usec, const struct policy_vm *vms, size_t n_vms,
                            const struct policy_plan *plan, struct violations *v) {
        uint64_t all = memory_nodes(host);

        for (size_t i = 0; i < n_vms; i++) {
                uint64_t mask = bound_to(&vms[i], all);

                if (mask != 0 && !is_looked_after(plan, mask))
                        invariants_violate(v, 2, "vm %zu: the nodes that it is bound to are not looked after", i);
        }
        for (size_t k = 0; k < plan->n_nodesets; k++) {
                check_rule(host, plan, &plan->nodesets[k], v);
                check_set(now_usec, vms, n_vms, all, &plan->nodesets[k], v);
        }
}
