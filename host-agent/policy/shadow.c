/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/policy/shadow.h"

#include "host-agent/policy/balloon_model.h"

/* As it would be now: its balloon where it has come to, its guest with what it really uses. Returns by how much less QEMU would hold. */
static uint64_t place(const struct policy_vm *live, const struct shadow_vm *memory, bool reports, struct policy_vm *vm) {
        struct policy_vm_input *in = &vm->input;
        uint64_t held, less;

        *vm = (struct policy_vm) { .input = live->input, .state = memory->state };
        in->actual_bytes = memory->actual_bytes;
        in->target_bytes = memory->target_bytes;
        if (reports) {
                uint64_t need = balloon_model_need(live, true);

                in->report_actual_bytes = memory->actual_bytes;
                in->guest_available_bytes = u64_sub(memory->actual_bytes, need);
                in->guest_free_bytes = MIN(in->guest_free_bytes, in->guest_available_bytes);
                in->guest_cache_bytes = MIN(in->guest_cache_bytes, in->guest_available_bytes);
        }
        if (in->rss_bytes == AEROSTAT_UNKNOWN || !balloon_model_obeys(live))
                return 0;
        held = u64_add(memory->actual_bytes, policy_overhead(live));
        less = u64_sub(in->rss_bytes, held);
        in->rss_bytes -= less;
        return less;
}

void shadow_step(struct shadow *s, const struct policy_config *config, const struct policy_host *host, const struct policy_vm *live,
                 struct shadow_vm *const *memories, size_t n_vms, uint64_t now_usec, uint64_t inflate_bps, uint64_t deflate_bps,
                 struct policy_vm *ret, struct policy_work *work) {
        uint64_t elapsed = s->stepped_usec == 0 ? 0 : u64_sub(now_usec, s->stepped_usec), less = 0;
        struct policy_host would = *host;

        for (size_t i = 0; i < n_vms; i++) {
                const struct policy_vm_input *in = &live[i].input;
                struct shadow_vm *memory = memories[i];
                bool reports = in->report_usec != 0 && u64_sub(now_usec, in->report_usec) <= config->fresh_usec;

                if (memory->boot_usec != in->started_usec || s->stepped_usec == 0)
                        *memory = (struct shadow_vm) { .boot_usec = in->started_usec, .actual_bytes = policy_actual(&live[i]),
                                                       .target_bytes = AEROSTAT_UNKNOWN };
                if (!balloon_model_obeys(&live[i]) || memory->target_bytes == AEROSTAT_UNKNOWN)
                        memory->actual_bytes = memory->target_bytes == AEROSTAT_UNKNOWN ? policy_actual(&live[i]) : memory->actual_bytes;
                else
                        memory->actual_bytes = balloon_model_step(memory->actual_bytes, memory->target_bytes,
                                                                  balloon_model_need(&live[i], reports), inflate_bps, deflate_bps, elapsed);
                less = u64_add(less, place(&live[i], memory, reports, &ret[i]));
        }
        would.available_bytes = MIN(u64_add(policy_size(host->available_bytes, 0), less), policy_size(host->total_bytes, 0));
        policy_nodes_follow(&would, live, ret, n_vms);
        would.psi_event = false; /* of the real world, as the averages are */
        would.psi_some_ppm = would.psi_full_ppm = AEROSTAT_UNKNOWN;
        policy_decide(config, &would, now_usec, &s->state, ret, work, n_vms, &s->plan);
        s->moves = s->moved_bytes = 0;
        for (size_t i = 0; i < n_vms; i++) {
                memories[i]->state = ret[i].state;
                if (!ret[i].plan.set)
                        continue;
                s->moves++;
                s->moved_bytes = u64_add(s->moved_bytes, u64_distance(ret[i].plan.target_bytes,
                                                                      policy_size(memories[i]->target_bytes, memories[i]->actual_bytes)));
                memories[i]->target_bytes = ret[i].plan.target_bytes;
        }
        s->stepped_usec = now_usec;
}
