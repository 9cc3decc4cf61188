/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/policy/policy.h"

#include <string.h>

#include "host-agent/policy/internal.h"

#define WEIGHT_GRAIN 1024                      /* weight 0 counts as so much less than weight 1: next to nothing while others' demand is not met */
#define UNKNOWN_HOLD_USEC USEC_PER_MINUTE      /* a VM whose reports have gone stale is left alone for so long, unless memory is short */
#define STUCK_USEC (5 * USEC_PER_SEC)          /* others cover for it from here on */
#define COMING_SEC 5                            /* what a slow balloon gives back later than this is not waited for: others cover for it */
#define GROWTH_WATCH_USEC (10 * USEC_PER_SEC)  /* deflating takes well under a second for each GiB */

void policy_config_init(struct policy_config *ret) {
        *ret = (struct policy_config) {
                .mode = POLICY_GUARANTEED,
                .overcommit_factor_ppm = 1500000,
                .reserve_bytes = AEROSTAT_UNKNOWN,
                .memory_bytes = AEROSTAT_UNKNOWN,
                .headroom_ppm = 200000,
                .psi_target_ppm = 5000,
                .growth_pool_ppm = 40000,
                .max_shrink_ppm = 20000,
                .fresh_usec = 10 * USEC_PER_SEC,
                .swap_ceiling_ppm = 300000,
                .swap_warn_ppm = 800000,
                .ksm_credit_ppm = 500000,
        };
}

uint64_t policy_auto_reserve(uint64_t memory_bytes) {
        uint64_t memory = policy_size(memory_bytes, 0);

        return MIN(policy_share(memory, 60000), 899 * MIB + u64_sub(memory, 28 * GIB) / 100);
}

/* A new boot: nothing that was learnt about the guest holds, but what it did before stays on its record. */
static void follow_boot(struct policy_vm *vm) {
        struct policy_vm_state *s = &vm->state;

        if (s->boot_usec == vm->input.started_usec)
                return;
        *s = (struct policy_vm_state) {
                .boot_usec = vm->input.started_usec,
                .stuck_usec = s->stuck_usec,
                .uncooperative = s->uncooperative,
                .distrust_until_usec = s->distrust_until_usec,
                .distrust_usec = s->distrust_usec,
                .speed_bps = AEROSTAT_UNKNOWN,
                .seen_psi_usec = AEROSTAT_UNKNOWN,
                .seen_refault_bytes = AEROSTAT_UNKNOWN,
                .seen_swap_in_bytes = AEROSTAT_UNKNOWN,
                .seen_oom_kills = AEROSTAT_UNKNOWN,
        };
}

/* When the silence of a VM began: with its last report, or with its boot. */
static bool is_freshly_unknown(const struct policy_context *c, const struct policy_vm *vm) {
        const struct policy_vm_input *in = &vm->input;
        uint64_t since = in->report_usec != 0 ? u64_add(in->report_usec, c->config->fresh_usec) : in->started_usec;

        /* Where memory is short, one that has been heard of before is not spared; one that boots is: its driver could not obey anyway. */
        if (c->state->unsafe && in->balloon_confirmed)
                return false;
        return u64_sub(c->now_usec, since) < UNKNOWN_HOLD_USEC;
}

/* Whether the balloon is moving toward its target. A guest that takes nothing of what it was granted is not waited for. */
static bool is_under_way(const struct policy_context *c, const struct policy_vm *vm, uint64_t actual, uint64_t target) {
        const struct policy_vm_input *in = &vm->input;
        uint64_t tolerance = MAX(2 * MIB, policy_max(vm) / 1024);

        if (in->held || in->unresponsive || in->fixed || in->hugepages || !in->managed || in->target_bytes == AEROSTAT_UNKNOWN)
                return false; /* nothing comes from these, whatever was asked of them once */
        if (actual > target && !in->balloon_confirmed) /* its driver was not heard of yet: it may obey, but is not waited for long */
                return u64_sub(c->now_usec, vm->state.set_usec) < STUCK_USEC;
        if (actual > target)
                return actual - target > tolerance && vm->state.stuck_usec < STUCK_USEC;
        return target - actual > tolerance && u64_sub(c->now_usec, vm->state.set_usec) < GROWTH_WATCH_USEC;
}

/* What the guest could not go below, for as long as it says that it uses about as much: it was exhausted there. (Whether it has touched that much is
 * not asked: a kernel may hold on to memory that was never used. It buys nothing, for the guest holds that memory anyway.) */
static uint64_t practical_floor(const struct policy_context *c, const struct policy_vm *vm) {
        uint64_t floor = MIN(vm->state.practical_floor_bytes, policy_max(vm));

        if (vm->state.practical_floor_until_usec <= c->now_usec)
                return 0;
        if (!policy_is_fresh(c, vm))
                return floor;
        return MIN(floor, u64_add(u64_sub(policy_size(vm->input.report_actual_bytes, policy_actual(vm)),
                                          policy_size(vm->input.guest_available_bytes, 0)),
                                  policy_exhaustion(vm)));
}

static void sum_up(struct policy_context *c, const struct policy_vm *vm, const struct policy_work *work) {
        const struct policy_vm_input *in = &vm->input;
        uint64_t least = in->hugepages && in->managed ? work->liable : u64_add(work->floor, policy_overhead(vm));

        c->rss_bytes = u64_add(c->rss_bytes, policy_size(in->rss_bytes, 0));
        c->n_measured += in->rss_bytes != AEROSTAT_UNKNOWN;
        c->swap_bytes = u64_add(c->swap_bytes, policy_size(in->swap_bytes, 0));
        c->committed_bytes = u64_add(c->committed_bytes, vm->plan.committed_bytes);
        c->liable_bytes = u64_add(c->liable_bytes, work->liable);
        c->max_bytes = u64_add(c->max_bytes, work->max);
        c->resident_bytes = u64_add(c->resident_bytes, work->resident ? work->liable : least);
        c->resident_least_bytes = u64_add(c->resident_least_bytes, work->resident && !work->moves ? work->liable : least);
        if (work->resident)
                c->unswappable_bytes = u64_add(c->unswappable_bytes, work->liable);
        if (vm->state.breaching)
                c->weaknesses |= POLICY_WEAK_BREACHING;
        if (vm->state.uncooperative)
                c->weaknesses |= POLICY_WEAK_UNCOOPERATIVE;
        if (in->autodeflate && in->managed && !in->fixed && work->actual < work->max)
                c->weaknesses |= POLICY_WEAK_AUTODEFLATE;
}

static void bind_to_nodes(struct policy_context *c, struct policy_vm *vm, struct policy_work *work) {
        work->nodeset = 0;
        work->cut = false;
        if (c->nodes_mask != 0 && vm->input.node_mask != 0)
                policy_nodes_add(c, vm, work);
}

/* What it is, and whether it is moved. Returns whether it counts at its maximum. */
static bool choose_class(struct policy_context *c, struct policy_vm *vm, struct policy_work *work, bool distrusted) {
        const struct policy_vm_input *in = &vm->input;
        struct policy_vm_plan *p = &vm->plan;

        work->moves = false;
        if (!in->managed) {
                p->class = POLICY_EXCLUDED, p->reason = POLICY_REASON_EXCLUDED;
                return true;
        }
        if (in->fixed || in->hugepages) {
                p->class = POLICY_FIXED, p->reason = POLICY_REASON_FIXED;
                return true;
        }
        if (in->held)
                p->class = POLICY_HELD, p->reason = POLICY_REASON_HELD;
        else if (in->unresponsive)
                p->class = POLICY_UNKNOWN, p->reason = POLICY_REASON_UNRESPONSIVE;
        else if (vm->state.breaching) {
                p->class = POLICY_BREACHING, p->reason = POLICY_REASON_BREACHING;
                p->contain = true;
        } else if (distrusted) {
                p->class = POLICY_UNCOOPERATIVE, p->reason = POLICY_REASON_TAKES;
                p->contain = vm->state.taking;
        } else if (vm->state.stuck_usec >= STUCK_USEC)
                p->class = vm->state.uncooperative ? POLICY_UNCOOPERATIVE : POLICY_MANAGED, p->reason = POLICY_REASON_STUCK;
        else if (in->pin_bytes != AEROSTAT_UNKNOWN && c->state->host_state != POLICY_CRITICAL)
                p->class = POLICY_PINNED, p->reason = POLICY_REASON_PINNED;
        else if (policy_is_fresh(c, vm)) {
                p->class = vm->state.uncooperative ? POLICY_UNCOOPERATIVE : POLICY_MANAGED, p->reason = POLICY_REASON_DEMAND;
                work->moves = true;
        } else if (is_freshly_unknown(c, vm)) {
                p->class = in->balloon_confirmed ? POLICY_UNKNOWN : POLICY_BOOTING;
                p->reason = in->balloon_confirmed ? POLICY_REASON_UNKNOWN_HELD : POLICY_REASON_BOOTING;
        } else {
                p->class = POLICY_UNKNOWN, p->reason = POLICY_REASON_UNKNOWN_EVIDENCE;
                work->moves = true;
        }
        return vm->state.breaching || distrusted; /* also while it is paused or does not answer */
}

/* Which class is it in, may it be moved, and what does it count for? */
static void classify(struct policy_context *c, struct policy_vm *vm, struct policy_work *work) {
        const struct policy_vm_input *in = &vm->input;
        struct policy_vm_plan *p = &vm->plan;
        uint64_t max = policy_max(vm), actual = policy_actual(vm), held = policy_held(c, vm), evidence = policy_evidence(vm), counted;

        counted = choose_class(c, vm, work, vm->state.distrust_until_usec > c->now_usec) ? max : actual;
        work->overhead = policy_overhead(vm);
        if (in->hugepages && in->managed) /* the pool is gone from MemAvailable already */
                p->committed_bytes = work->overhead;
        else
                p->committed_bytes = MAX(u64_add(counted, work->overhead), evidence);

        /* A grant counts from the moment that it is made: the guest may take it at once. One that is taken back counts until we know how much it took. */
        work->base = MIN(policy_size(in->target_bytes, actual), max);
        work->liable = in->hugepages && in->managed ? p->committed_bytes
                                                    : MAX(p->committed_bytes, u64_add(MAX(work->base, held), work->overhead));

        /* Memory that it holds beyond its balloon and what QEMU is known to need will not come with the balloon: others make room for it. */
        if (!in->hugepages && work->base <= actual)
                work->overhead = MAX(work->overhead, u64_sub(evidence, actual));

        work->floor = MAX(MIN(policy_size(in->floor_bytes, 0), max), practical_floor(c, vm));
        p->floor_bytes = work->floor;
        p->target_bytes = work->ideal = work->share = work->base;
        /* Of one that counts at max nothing comes back. */
        p->gap = counted == actual && is_under_way(c, vm, held, work->base);
        work->coming = !p->gap ? 0 : MIN(u64_sub(held, work->base), u64_mul(vm->state.speed_bps, COMING_SEC));
        work->weight = MAX(MIN(in->weight, POLICY_WEIGHT_MAX) * WEIGHT_GRAIN, UINT64_C(1));
        work->no_surplus = in->weight == 0;
        work->max = max;
        work->actual = actual;
        work->demand = MIN(p->demand_bytes, max);
        work->entitled = work->base;
        work->pinned = p->class == POLICY_PINNED;
        work->resident = in->cannot_swap || in->fixed;
        work->out = false;
        work->vouched = p->class != POLICY_UNKNOWN;
        work->pressed = vm->state.pressure_until_usec > c->now_usec;
        work->held_back = vm->state.uncooperative;
        sum_up(c, vm, work);
        bind_to_nodes(c, vm, work);
}

void policy_decide(const struct policy_config *config, const struct policy_host *host, uint64_t now_usec, struct policy_state *state,
                   struct policy_vm *vms, struct policy_work *work, size_t n_vms, struct policy_plan *ret_plan) {
        struct policy_context c = {
                .config = config, .host = host, .now_usec = now_usec, .state = state,
                .vms = vms, .work = work, .n_vms = n_vms, .plan = ret_plan,
                .elapsed_usec = state->decided_usec == 0 ? 0 : MIN(u64_sub(now_usec, state->decided_usec), POLICY_ELAPSED_MAX),
        };

        struct policy_node_room rooms[POLICY_NODESETS_MAX]; /* each is set up when a VM is bound so */

        c.rooms = rooms;
        memset(ret_plan, 0, sizeof(*ret_plan));
        policy_nodes_begin(&c);
        for (size_t i = 0; i < n_vms; i++) {
                vms[i].plan = (struct policy_vm_plan) { 0 };
                follow_boot(&vms[i]);
                policy_obedience(&c, &vms[i]);
                policy_demand(&c, &vms[i]);
                classify(&c, &vms[i], &work[i]);
        }
        policy_envelope(&c);
        policy_nodes_envelope(&c);
        policy_targets(&c);
        policy_moves(&c);
        policy_states(&c);
        state->decided_usec = MAX(now_usec, 1);
}
