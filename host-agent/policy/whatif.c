/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/policy/whatif.h"

#include <string.h>

#include "host-agent/policy/balloon_model.h"
#include "host-agent/policy/swap.h"

#define VM_STEPS_MAX 300000u                   /* 0.26 us for a VM and step (bench-policy, on a busy machine): 80 ms */
#define STEPS_MIN 8u                           /* for 37,500 VMs and more; 1,000 have 300 */
#define STEPS_MAX 2000u
#define LOOK_USEC (2 * USEC_PER_MINUTE)        /* what the steps have to cover at least */
#define QUIET_USEC (5 * USEC_PER_SEC)          /* nothing moves for so long: settled. More than a lazy step takes */

struct world {
        const struct policy_config *config;
        const struct whatif_request *request;
        struct whatif_vm *models;
        struct policy_vm *vms;
        size_t n_vms;
        struct policy_host host;               /* as the policy sees it */
        uint64_t for_vms_bytes;                /* memory that others than VMs leave */
        uint64_t swap_used_bytes;              /* now, by anyone */
        uint64_t saved_bytes;                  /* now, by merging */
        uint64_t swap_peak_bytes;
        uint64_t node_others_bytes[POLICY_NODES_MAX]; /* used on each NUMA node by others than VMs */
};

static uint64_t rss(const struct policy_vm *vm) {
        return policy_size(vm->input.rss_bytes, 0);
}

/* What VMs may take before the kernel swaps: MemAvailable, and what they have. */
static uint64_t memory_for_vms(const struct policy_host *host, const struct policy_vm *vms, size_t n_vms, uint64_t others_more) {
        uint64_t sum = u64_add(policy_size(host->available_bytes, 0), policy_size(host->arc_reclaimable_bytes, 0));

        for (size_t i = 0; i < n_vms; i++)
                sum = u64_add(sum, rss(&vms[i]));
        sum = u64_sub(sum, u64_add(policy_size(host->ksm_saved_bytes, 0), others_more));
        return MIN(MIN(sum, u64_sub(policy_size(host->total_bytes, 0), others_more)), policy_size(host->limit_bytes, POLICY_SIZE_MAX));
}

static uint64_t swap_of_vms(const struct policy_vm *vms, size_t n_vms) {
        uint64_t sum = 0;

        for (size_t i = 0; i < n_vms; i++)
                sum = u64_add(sum, policy_size(vms[i].input.swap_bytes, 0));
        return sum;
}

static void find_worst(const struct policy_config *config, const struct policy_host *host, const struct policy_vm *vms, size_t n_vms,
                       const struct policy_plan *plan, uint64_t memory, uint64_t swap_of_others, struct whatif_worst *ret) {
        uint64_t stuck = 0, swap_total = policy_size(host->swap_total_bytes, 0), more;

        for (size_t i = 0; i < n_vms; i++) /* those on huge pages count their overhead only */
                if (vms[i].input.cannot_swap)
                        stuck = u64_add(stuck, vms[i].plan.committed_bytes);
        *ret = (struct whatif_worst) {
                .needed_bytes = u64_add(plan->liable_bytes, policy_size(host->reserved_bytes, 0)),
                .memory_bytes = memory, .swap_total_bytes = swap_total,
        };
        more = u64_sub(ret->needed_bytes, memory);
        ret->swap_used_bytes = u64_add(swap_of_others, more);
        ret->above_ceiling = more > 0 && ret->swap_used_bytes > policy_share(swap_total, config->swap_ceiling_ppm);
        ret->oom_possible = stuck > memory || (more > 0 && ret->swap_used_bytes > swap_total) ||
                            more > policy_size(host->swap_limit_bytes, POLICY_SIZE_MAX);
}

static void model_vm(const struct policy_config *config, uint64_t now_usec, struct policy_vm *vm, struct whatif_vm *model) {
        struct policy_vm_input *in = &vm->input;
        uint64_t actual = policy_actual(vm);

        model->obeys = balloon_model_obeys(vm);
        model->reports = in->report_usec != 0 && u64_sub(now_usec, in->report_usec) <= config->fresh_usec && !in->held;
        model->need_bytes = balloon_model_need(vm, model->reports);
        if (model->bursts)
                model->need_bytes = policy_max(vm);
        model->touched_bytes = policy_evidence(vm);
        model->swap_bytes = policy_size(in->swap_bytes, 0);
        model->now_bytes = model->then_bytes = actual;
        /* What it does not report now, it will not report on the way: counters stand still. */
        in->guest_pressure = model->bursts;
}

/* The balloon goes on for a while; a guest that uses its memory cannot give it. */
static void move_balloon(const struct whatif_request *request, uint64_t elapsed_usec, struct policy_vm *vm, struct whatif_vm *model) {
        struct policy_vm_input *in = &vm->input;
        uint64_t actual = policy_actual(vm), target = MIN(policy_size(in->target_bytes, actual), policy_max(vm)), before = actual;

        if (!model->obeys)
                return;
        actual = balloon_model_step(actual, target, model->need_bytes, request->inflate_bps, request->deflate_bps, elapsed_usec);
        in->actual_bytes = actual;
        if (actual < before) /* what the balloon takes is free on the host, where it was ever touched */
                model->touched_bytes -= MIN(before - actual, u64_sub(model->touched_bytes, u64_add(actual, policy_overhead(vm))));
        in->run_usec = in->run_usec == AEROSTAT_UNKNOWN ? AEROSTAT_UNKNOWN : u64_add(in->run_usec, elapsed_usec);
}

static void report(uint64_t now_usec, struct policy_vm *vm, struct whatif_vm *model) {
        struct policy_vm_input *in = &vm->input;
        uint64_t actual = policy_actual(vm), available = u64_sub(actual, model->need_bytes);

        if (model->bursts)
                model->touched_bytes = MAX(model->touched_bytes, u64_add(actual, policy_overhead(vm)));
        if (!model->reports)
                return;
        in->report_usec = now_usec;
        in->report_actual_bytes = actual;
        in->guest_available_bytes = available;
        in->guest_free_bytes = MIN(in->guest_free_bytes, available);
        in->guest_cache_bytes = MIN(in->guest_cache_bytes, available);
}

/* What others have on each node, now and with what is to come; host: as it is. */
static void find_node_others(struct world *w, const struct policy_host *host, const struct policy_vm *vms) {
        uint64_t used[POLICY_NODES_MAX], gives = policy_size(host->arc_reclaimable_bytes, 0), more = w->request->host_use_bytes, all = 0;

        policy_nodes_resident(host, vms, w->n_vms, used);
        for (size_t i = 0; i < POLICY_NODES_MAX; i++)
                all = u64_add(all, policy_size(host->nodes[i].total_bytes, 0));
        for (size_t i = 0; i < POLICY_NODES_MAX; i++) {
                uint64_t total = policy_size(host->nodes[i].total_bytes, 0);

                w->node_others_bytes[i] = u64_sub(total, u64_add(policy_size(host->nodes[i].available_bytes, 0), used[i]));
                w->node_others_bytes[i] = u64_add(u64_sub(w->node_others_bytes[i], u64_mul_div(gives, total, all)), u64_mul_div(more, total, all));
        }
}

static void sample_nodes(struct world *w) {
        uint64_t used[POLICY_NODES_MAX];

        if (w->host.n_nodes < 2)
                return;
        policy_nodes_resident(&w->host, w->vms, w->n_vms, used);
        for (size_t i = 0; i < MIN(w->host.n_nodes, POLICY_NODES_MAX); i++)
                w->host.nodes[i].available_bytes = u64_sub(policy_size(w->host.nodes[i].total_bytes, 0), u64_add(w->node_others_bytes[i], used[i]));
}

/* Memory that is not there is swapped out, from each by what it has. What is in swap now stays there. */
static void sample(struct world *w) {
        uint64_t touched = 0, swapped = 0, resident, excess;

        for (size_t i = 0; i < w->n_vms; i++) {
                touched = u64_add(touched, w->models[i].touched_bytes);
                swapped = u64_add(swapped, MIN(w->models[i].swap_bytes, w->models[i].touched_bytes));
        }
        resident = u64_sub(u64_sub(touched, swapped), w->saved_bytes);
        excess = u64_sub(resident, w->for_vms_bytes);
        w->host.swap_used_bytes = u64_add(w->swap_used_bytes, excess);
        w->host.available_bytes = u64_sub(w->for_vms_bytes, resident);
        w->swap_peak_bytes = MAX(w->swap_peak_bytes, w->host.swap_used_bytes);
        for (size_t i = 0; i < w->n_vms; i++) {
                const struct whatif_vm *model = &w->models[i];
                struct policy_vm_input *in = &w->vms[i].input;

                if (in->rss_bytes == AEROSTAT_UNKNOWN && !model->bursts)
                        continue;
                in->swap_bytes = MIN(u64_add(model->swap_bytes, u64_mul_div(excess, model->touched_bytes, MAX(touched, 1))), model->touched_bytes);
                in->rss_bytes = model->touched_bytes - in->swap_bytes;
        }
        sample_nodes(w);
}

/* Applies what was decided; whether anything moves. */
static bool apply(struct world *w) {
        bool moves = false;

        for (size_t i = 0; i < w->n_vms; i++) {
                struct policy_vm *vm = &w->vms[i];

                if (vm->plan.set)
                        vm->input.target_bytes = vm->plan.target_bytes;
                moves |= vm->plan.set || (vm->plan.gap && w->models[i].obeys);
        }
        return moves;
}

static void change(struct world *w, const struct policy_host *host, const struct policy_vm *vms) {
        const struct whatif_request *r = w->request;

        memcpy(w->vms, vms, w->n_vms * sizeof(*vms));
        w->host = *host;
        w->host.psi_event = false;
        w->host.swap_out_bytes_per_sec = 0;
        w->host.arc_reclaimable_bytes = AEROSTAT_UNKNOWN; /* in for_vms_bytes */
        w->host.psi_some_ppm = w->host.psi_full_ppm = AEROSTAT_UNKNOWN; /* pressure is of now, and cannot be foreseen */
        w->host.reserved_bytes = u64_add(policy_size(host->reserved_bytes, 0), r->start_bytes);
        if (r->swap_total_bytes != AEROSTAT_UNKNOWN)
                w->host.swap_total_bytes = r->swap_total_bytes;
        w->for_vms_bytes = memory_for_vms(host, vms, w->n_vms, r->host_use_bytes);
        w->swap_used_bytes = policy_size(host->swap_used_bytes, 0);
        w->saved_bytes = policy_size(host->ksm_saved_bytes, 0);
        w->swap_peak_bytes = 0;
        find_node_others(w, host, vms);
}

/* The first decision on the changed host says what it can bear, and whether that is enough: the arithmetic of reservations. */
static void judge(const struct world *w, struct whatif_result *ret) {
        ret->rule_bytes = ret->after.rule_bytes;
        ret->least_bytes = u64_add(policy_least_bytes(w->vms, w->n_vms, SIZE_MAX, 0), u64_sub(w->host.reserved_bytes, w->request->start_bytes));
        ret->missing_bytes = u64_sub(u64_add(ret->least_bytes, w->request->start_bytes), ret->rule_bytes);
}

static void run(struct world *w, const struct policy_state *start, uint64_t start_usec, struct policy_work *work, struct whatif_result *ret) {
        unsigned steps_max = (unsigned) CLAMP(VM_STEPS_MAX / MAX(w->n_vms, (size_t) 1), (size_t) STEPS_MIN, (size_t) STEPS_MAX);
        uint64_t now = start_usec, still_usec = AEROSTAT_UNKNOWN, elapsed = 0;
        struct policy_state state = *start;

        while (ret->steps < steps_max && (still_usec == AEROSTAT_UNKNOWN || now - still_usec < QUIET_USEC)) {
                now = u64_add(now, elapsed);
                for (size_t i = 0; i < w->n_vms; i++) {
                        move_balloon(w->request, elapsed, &w->vms[i], &w->models[i]);
                        report(now, &w->vms[i], &w->models[i]);
                }
                sample(w);
                policy_decide(w->config, &w->host, now, &state, w->vms, work, w->n_vms, &ret->after);
                if (ret->steps++ == 0)
                        judge(w, ret);
                if (ret->after.deficit_bytes > 0)
                        ret->safe_usec = AEROSTAT_UNKNOWN;
                else if (ret->safe_usec == AEROSTAT_UNKNOWN)
                        ret->safe_usec = now - start_usec;
                if (apply(w))
                        still_usec = AEROSTAT_UNKNOWN;
                else if (still_usec == AEROSTAT_UNKNOWN)
                        still_usec = now;
                elapsed = MAX(ret->after.next_usec, LOOK_USEC / steps_max);
        }
        ret->looked_usec = now - start_usec;
        ret->settled_usec = still_usec == AEROSTAT_UNKNOWN || now - still_usec < QUIET_USEC ? AEROSTAT_UNKNOWN : still_usec - start_usec;
}

void policy_whatif(const struct whatif_live *live, const struct whatif_request *request, struct whatif_vm *models, struct policy_vm *scratch,
                    struct policy_work *work, struct whatif_result *ret) {
        struct world w = { .config = live->config, .request = request, .models = models, .vms = scratch, .n_vms = live->n_vms };
        const struct policy_host *host = live->host;
        struct policy_state before = *live->state;
        uint64_t swap_of_others;

        memset(ret, 0, sizeof(*ret));
        ret->safe_usec = AEROSTAT_UNKNOWN;
        memcpy(scratch, live->vms, live->n_vms * sizeof(*scratch));
        policy_decide(live->config, host, live->now_usec, &before, scratch, work, live->n_vms, &ret->before);
        swap_of_others = u64_sub(policy_size(host->swap_used_bytes, 0),
                                 swap_on_disk(swap_of_vms(live->vms, live->n_vms), host->swap_used_bytes, host->swap_zram_used_bytes));
        find_worst(live->config, host, scratch, live->n_vms, &ret->before, memory_for_vms(host, live->vms, live->n_vms, 0), swap_of_others,
                   &ret->worst_before);

        change(&w, host, live->vms);
        for (size_t i = 0; i < w.n_vms; i++)
                model_vm(live->config, live->now_usec, &scratch[i], &models[i]);
        run(&w, live->state, live->now_usec, work, ret);
        for (size_t i = 0; i < w.n_vms; i++)
                models[i].then_bytes = policy_actual(&scratch[i]);
        find_worst(live->config, &w.host, scratch, w.n_vms, &ret->after, w.for_vms_bytes, swap_of_others, &ret->worst_after);
        ret->swap_peak_bytes = w.swap_peak_bytes;
}
