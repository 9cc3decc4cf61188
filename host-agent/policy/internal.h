/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The steps of one decision, in the order in which policy_decide() takes them. Each reads what the ones before it wrote; all share one
 * context. Private to the policy.
 */

#include "host-agent/policy/policy.h"
#include "protocol/units.h"

struct policy_context {
        const struct policy_config *config;
        const struct policy_host *host;
        uint64_t now_usec;
        uint64_t elapsed_usec;         /* since the last decision, at most POLICY_ELAPSED_MAX; 0 at the first */
        struct policy_state *state;
        struct policy_vm *vms;
        struct policy_work *work;
        size_t n_vms;
        struct policy_plan *plan;
        /* summed up while VMs are classified: each VM is big, and not to be walked over more often than needed */
        uint64_t rss_bytes, swap_bytes, committed_bytes, liable_bytes, max_bytes;
        uint64_t unswappable_bytes;            /* what VMs that cannot swap are liable for */
        uint64_t resident_bytes, resident_least_bytes; /* as in the plan */
        size_t n_measured;                     /* VMs of which rss is known */
        bool newcomers;                        /* they are more than at the last decision: some of what others used is theirs */
        unsigned weaknesses;           /* enum policy_weakness, of the VMs */
        uint64_t nodes_mask;           /* nodes with memory, where there are two or more; else 0 */
        struct policy_node_room *rooms; /* one for each of the plan's nodesets */
};

/* A daemon that was stopped for an hour must not shrink by an hour's worth at once. */
#define POLICY_ELAPSED_MAX (5 * USEC_PER_SEC)

/* A size from outside, bounded; unknown becomes `unknown`. */
static inline uint64_t policy_size(uint64_t bytes, uint64_t unknown) {
        return bytes == AEROSTAT_UNKNOWN ? unknown : MIN(bytes, POLICY_SIZE_MAX);
}

static inline uint64_t policy_share(uint64_t bytes, uint64_t ppm) {
        return u64_mul_div(bytes, ppm, PPM_ONE);
}

static inline uint64_t policy_max(const struct policy_vm *vm) {
        return policy_size(vm->input.max_bytes, 0);
}

/* Balloon size to reckon with: a claim, bounded by max; all of max while the balloon has not been heard of in this boot. */
static inline uint64_t policy_actual(const struct policy_vm *vm) {
        uint64_t max = policy_max(vm);
        return vm->input.balloon_confirmed ? MIN(policy_size(vm->input.actual_bytes, max), max) : max;
}

/* It may have been taking what it was granted until it heard of less; of its size we hear every 150 ms at that time. */
#define POLICY_REVOKED_USEC (500 * USEC_PER_MSEC)

/* What its balloon may have let it take by now: its size, and for a while a grant that was taken back before all of it was used. */
static inline uint64_t policy_held(const struct policy_context *c, const struct policy_vm *vm) {
        bool doubt = u64_sub(c->now_usec, vm->state.revoked_usec) < POLICY_REVOKED_USEC;

        return doubt ? MAX(policy_actual(vm), MIN(vm->state.revoked_bytes, policy_max(vm))) : policy_actual(vm);
}

static inline uint64_t policy_overhead(const struct policy_vm *vm) {
        return policy_size(vm->input.overhead_bytes, POLICY_OVERHEAD_DEFAULT);
}

/* What the host's kernel says that QEMU holds. */
static inline uint64_t policy_evidence(const struct policy_vm *vm) {
        return u64_add(policy_size(vm->input.rss_bytes, 0), policy_size(vm->input.swap_bytes, 0));
}

/* Ideals and targets are whole MiB where they can be: noise of a few pages moves nobody, and balloons, which move in pages, can reach them. */
#define POLICY_GRAIN MIB

static inline uint64_t policy_round(uint64_t bytes, uint64_t floor, uint64_t max) {
        return bytes >= max ? max : MAX(bytes & ~(POLICY_GRAIN - 1), MIN(floor, bytes)); /* never up: that would be a grant */
}

/* Changes smaller than this are not worth a move. */
static inline uint64_t policy_dead_band(uint64_t max_bytes) {
        return MAX(max_bytes / 100, 16 * MIB);
}

/* Never given away: what QEMUs' own memory may grow by between two readings, a few KiB each. Without it the lab saw hosts unsafe by that, many times
 * a minute. */
static inline uint64_t policy_margin(size_t n_vms) {
        return CLAMP(n_vms * 256 * KIB, 4 * MIB, 64 * MIB);
}

/* A guest with less available than this has nothing left to give: 1/32 of its memory, at least 16 MiB. (Of its balloon's size: its own MemTotal
 * includes the balloon where autodeflate is on.) */
static inline uint64_t policy_exhaustion(const struct policy_vm *vm) {
        return MAX(policy_actual(vm) / 32, 16 * MIB);
}

/* How much faster than on a normal host that is done for which nobody waits: what is short is moved and learnt sooner. What somebody waits for runs
 * at the balloons' own speed in any state. */
static inline uint64_t policy_pace(const struct policy_context *c) {
        static const uint64_t paces[] = { [POLICY_NORMAL] = 1, [POLICY_TIGHT] = 2, [POLICY_HARD] = 4, [POLICY_CRITICAL] = 8 };

        return paces[c->state->host_state];
}

#define POLICY_BUSY_USEC (100 * USEC_PER_MSEC) /* while anything is under way */

static inline bool policy_is_fresh(const struct policy_context *c, const struct policy_vm *vm) {
        return vm->input.report_usec != 0 && u64_sub(c->now_usec, vm->input.report_usec) <= c->config->fresh_usec;
}

/* obedience.c: does the guest do what it was asked? */
void policy_obedience(const struct policy_context *c, struct policy_vm *vm);

/* demand.c: what does the guest need? Learns, and writes the terms of the demand into the plan. */
void policy_demand(const struct policy_context *c, struct policy_vm *vm);

/* envelope.c: what can the host bear, and is it safe? */
void policy_envelope(struct policy_context *c);

/* What others use, after what it was and what is seen of it now: up at once, down slowly, so that a process that comes and goes does not pump the
 * guests. A VM of which rss has just become known was among the others so far, and is not counted twice until that has decayed. */
uint64_t policy_follow_other(const struct policy_context *c, uint64_t before, uint64_t raw);

/* fill.c: weighted max-min fairness. Gives each VM with work.moves up to work.cap, in proportion to work.weight until it is full, writes work.fill,
 * and returns what nobody could take. The sum given never exceeds amount; rounding loses less than a byte for each VM and round. Passes over
 * work.out. */
uint64_t policy_fill(struct policy_work *work, size_t n_vms, uint64_t amount);

/* The same under both bounds: those that cannot swap get no more than ->resident together. Takes what it gives out of both. */
struct policy_room {
        uint64_t all, resident;
};
void policy_fill_room(struct policy_work *work, size_t n_vms, struct policy_room *room);

/* targets.c: where should everybody end up? */
void policy_targets(struct policy_context *c);

/* moves.c: what can be done toward that now? */
void policy_moves(struct policy_context *c);

/* nodes.c: NUMA nodes that VMs are bound to. What a decision works with, beside the plan's nodesets and by the same index. */
struct policy_node_room {
        uint64_t within;               /* bit k: nodeset k has no node that this one has not */
        uint64_t rss_bytes;            /* of the VMs bound to exactly these nodes ... */
        uint64_t residents, unswappable_bytes; /* ... how many of them cannot swap, and what these are liable for, ... */
        uint64_t swappable_bytes, least_bytes; /* ... and the others; least: at their floors */
        uint64_t gone, floors;         /* of all VMs within */
        uint64_t left, demand_left;    /* not given out yet */
        uint64_t urgent, coming;       /* as in moves.c, of all VMs within; urgent becomes what of it the nodes lack */
        uint8_t order;                 /* place k: the index of the set that comes k-th, smaller ones first */
};

enum policy_nodes_phase { NODES_ENTITLE, NODES_DEMAND, NODES_SURPLUS, NODES_URGENT, NODES_LAZY };

void policy_nodes_begin(struct policy_context *c);
void policy_nodes_add(struct policy_context *c, struct policy_vm *vm, struct policy_work *work);       /* classified; c->nodes_mask is not 0 */
void policy_nodes_envelope(struct policy_context *c);

/* What is left for the VMs of each set. Returns whether all of them can have their maximum. */
bool policy_nodes_room(struct policy_context *c);

/* Cuts the VMs' caps down to what their nodes have left; what is less than `grain`, and not all that was wanted, is nothing. After
 * policy_fill() what they got is to be taken. */
void policy_nodes_cut(struct policy_context *c, enum policy_nodes_phase phase, uint64_t grain);
void policy_nodes_take(struct policy_context *c, const struct policy_work *w, uint64_t bytes);
void policy_nodes_pool(struct policy_context *c);      /* after the ideals: what of the pool is really left */

/* Moves: wants and returns of a VM on a node; what a set waits for beyond what is coming; whether a VM is within it. */
void policy_nodes_need(struct policy_context *c, const struct policy_work *w, uint64_t urgent, uint64_t coming);
void policy_nodes_measured(struct policy_context *c);
uint64_t policy_nodes_waiting(const struct policy_context *c, size_t set);

/* What VMs have on each node: bound ones on theirs, others everywhere, by size. */
void policy_nodes_resident(const struct policy_host *host, const struct policy_vm *vms, size_t n_vms, uint64_t ret_bytes[static POLICY_NODES_MAX]);

/* What would be available on each node of `host`, where `before` is so, if `after` were. */
void policy_nodes_follow(struct policy_host *host, const struct policy_vm *before, const struct policy_vm *after, size_t n_vms);

static inline void policy_nodes_took(struct policy_context *c, const struct policy_work *w, uint64_t bytes) {
        if (w->nodeset > 0)
                policy_nodes_take(c, w, bytes);
}

static inline void policy_nodes_want(struct policy_context *c, const struct policy_work *w, uint64_t urgent, uint64_t coming) {
        if (w->nodeset > 0)
                policy_nodes_need(c, w, urgent, coming);
}

static inline bool policy_is_within(const struct policy_context *c, const struct policy_work *w, size_t set) {
        return w->nodeset > 0 && (c->rooms[set].within >> (w->nodeset - 1) & 1);
}

/* states.c: labels for people, and what weakens the guarantee. */
void policy_states(struct policy_context *c);
