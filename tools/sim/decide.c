/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "protocol/units.h"
#include "tools/sim/run.h"

/* What the daemon does around a decision: samples in, targets out. */

#define CONTAIN_MARGIN (64 * MIB)
#define REPEAT_EVERY 16 /* decisions; one in so many is made twice, to see that it comes out the same */

void run_add_vm(struct run *run, size_t guest) {
        run->vms[run->n_vms] = (struct policy_vm) { 0 };
        run->guest_of[run->n_vms++] = guest;
}

void run_remove_vm(struct run *run, size_t guest) {
        for (size_t k = 0; k < run->n_vms; k++)
                if (run->guest_of[k] == guest) {
                        memmove(&run->vms[k], &run->vms[k + 1], (run->n_vms - k - 1) * sizeof(*run->vms));
                        memmove(&run->guest_of[k], &run->guest_of[k + 1], (run->n_vms - k - 1) * sizeof(*run->guest_of));
                        run->n_vms--;
                        return;
                }
}

static void sample_guest(const struct run *run, size_t index, struct policy_vm_input *in) {
        const struct guest *g = &run->guests[index];
        const struct guest_spec *spec = g->spec;
        const struct guest_account *a = &run->accounts[index];
        const struct guest_report *r = &g->report;

        *in = (struct policy_vm_input) {
                .id = index,
                .max_bytes = spec->memory_bytes,
                .floor_bytes = a->floor_bytes,
                .weight = a->weight,
                .pin_bytes = a->pin_bytes,
                .managed = true,
                .fixed = spec->fixed,
                .hugepages = spec->hugepages,
                .held = g->vm_paused,
                .autodeflate = spec->autodeflate,
                .cannot_swap = spec->hugepages || spec->cannot_swap,
                .node_mask = spec->node < 0 ? 0 : UINT64_C(1) << spec->node,
                .started_usec = RUN_EPOCH_USEC + g->started_usec,
                .balloon_confirmed = r->usec != 0,
                .actual_bytes = g->actual_bytes,
                .target_bytes = g->target_bytes,
                .rss_bytes = host_guest_rss(g),
                .swap_bytes = g->host_swap_bytes,
                .overhead_bytes = spec->overhead_bytes,
                .run_usec = g->run_usec,
                .report_usec = r->usec ? RUN_EPOCH_USEC + r->usec : 0,
                .report_actual_bytes = r->actual_bytes,
                .guest_total_bytes = r->total_bytes,
                .guest_available_bytes = r->available_bytes,
                .guest_free_bytes = r->free_bytes,
                .guest_cache_bytes = r->cache_bytes,
                .guest_swap_total_bytes = spec->swap_bytes,
                .guest_swap_used_bytes = r->swap_used_bytes,
                .guest_swap_in_bytes = r->swap_in_bytes,
                .guest_swap_excess_bytes = u64_sub(r->swap_used_bytes,
                                                   u64_mul_div(spec->swap_bytes, run->scenario->settings.guest_ceiling_ppm, PPM_ONE)),
                /* The balloon's own statistics know neither PSI nor refaults. */
                .guest_psi_some_total_usec = spec->agent ? r->psi_some_usec : AEROSTAT_UNKNOWN,
                .guest_refault_bytes = spec->agent ? r->refault_bytes : AEROSTAT_UNKNOWN,
                .guest_oom_kills = 0,
                .guest_pressure = r->pressure,
        };
}

static void sample_host(struct run *run) {
        run->policy_host = (struct policy_host) {
                .total_bytes = run->host.memory_bytes,
                .available_bytes = run->host.available_bytes,
                .limit_bytes = AEROSTAT_UNKNOWN,
                .swap_total_bytes = run->host.swap_total_bytes,
                .swap_used_bytes = run->host.swap_used_bytes,
                .swap_limit_bytes = AEROSTAT_UNKNOWN,
                .arc_reclaimable_bytes = AEROSTAT_UNKNOWN,
                .swap_out_bytes_per_sec = run->host.swap_out_bps,
                .psi_some_ppm = run->host.psi_some_ppm,
                .psi_full_ppm = run->host.psi_full_ppm,
                .psi_event = run->host.psi_event,
                .only_zram = run->host.swap_total_bytes == 0 && run->host.zram_bytes > 0,
                .reserved_bytes = run_reserved_bytes(run),
                .n_nodes = run->host.n_nodes,
        };
        for (size_t i = 0; i < run->host.n_nodes; i++)
                run->policy_host.nodes[i] = (struct policy_node) { .total_bytes = run->host.nodes[i].memory_bytes,
                                                                   .available_bytes = run->host.nodes[i].available_bytes };
        run->host.psi_event = false;
}

void run_set_target(struct run *run, size_t vm, uint64_t bytes) {
        size_t index = run->guest_of[vm];
        struct guest *g = &run->guests[index];
        struct guest_account *a = &run->accounts[index];
        uint64_t before = g->target_bytes != AEROSTAT_UNKNOWN ? g->target_bytes : g->actual_bytes;
        int direction = bytes > before ? 1 : -1;

        if (bytes < MIN(a->floor_bytes, g->spec->memory_bytes) && bytes < before)
                run->account.floor_violations++;
        if (bytes == before && g->target_bytes != AEROSTAT_UNKNOWN)
                return;
        g->target_bytes = bytes;
        run->account.moves++;
        run->account.moved_bytes += u64_distance(bytes, before);
        if (a->direction == -direction)
                run->account.reversals++;
        a->direction = direction;
        if (direction > 0)
                a->granted = true;
}

static void apply(struct run *run) {
        for (size_t k = 0; k < run->n_vms; k++) {
                const struct policy_vm_plan *p = &run->vms[k].plan;
                struct guest *g = &run->guests[run->guest_of[k]];

                g->pressure_below_bytes = p->pressure_below_bytes;
                if (run->scenario->settings.dry_run || (run->paused && p->class != POLICY_PINNED))
                        continue;
                if (p->set)
                        run_set_target(run, k, p->target_bytes);
                g->contain_bytes = p->contain && run->scenario->settings.contain ? p->target_bytes + g->spec->overhead_bytes + CONTAIN_MARGIN
                                                                                 : AEROSTAT_UNKNOWN;
        }
}

/* I7: the same again, from a copy of all that it may depend on. */
static void repeat(struct run *run, const struct policy_state *before, uint64_t now_usec) {
        struct policy_state state = *before;
        struct policy_plan plan;

        policy_decide(&run->scenario->settings.policy, &run->policy_host, now_usec, &state, run->scratch, run->work, run->n_vms, &plan);
        if (memcmp(&plan, &run->plan, sizeof(plan)) != 0)
                invariants_violate(&run->violations, 7, "the same decision came out differently");
        for (size_t k = 0; k < run->n_vms; k++)
                if (memcmp(&run->scratch[k].plan, &run->vms[k].plan, sizeof(run->vms[k].plan)) != 0)
                        invariants_violate(&run->violations, 7, "%s: the same decision came out differently",
                                           run->guests[run->guest_of[k]].spec->name);
}

void run_decide(struct run *run) {
        uint64_t now_usec = RUN_EPOCH_USEC + run->now_usec;
        struct policy_state before = run->state;
        struct invariants_before stood = { .unsafe = before.unsafe, .host_state = before.host_state };
        bool twice = run->account.decisions % REPEAT_EVERY == 0;

        sample_host(run);
        for (size_t k = 0; k < run->n_vms; k++)
                sample_guest(run, run->guest_of[k], &run->vms[k].input);
        if (twice)
                memcpy(run->scratch, run->vms, run->n_vms * sizeof(*run->vms));
        policy_decide(&run->scenario->settings.policy, &run->policy_host, now_usec, &run->state, run->vms, run->work, run->n_vms, &run->plan);
        run->account.decisions++;
        run->decide_usec = run->now_usec + run->plan.next_usec;
        run->decide_now = false;
        if (run->baseline != BASELINE_NONE) {
                baseline_decide(run);
                return;
        }
        invariants_check(&run->scenario->settings.policy, &run->policy_host, now_usec, &stood, run->vms, run->n_vms, &run->plan, &run->violations);
        if (twice)
                repeat(run, &before, now_usec);
        apply(run);
        run_reservations(run);
}
