/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A dry run's other world: the host as it would be if targets were set. Guests need what they really need; balloons move as balloons do; the policy
 * decides on that beside the real state, at each of its decisions. Pure; it touches nothing of the real state.
 */

#include "host-agent/policy/policy.h"

/* Of each VM, kept from step to step; zero-initialised for a new VM, and for all when a dry run begins. */
struct shadow_vm {
        uint64_t boot_usec;                    /* of the boot that the rest belongs to */
        uint64_t actual_bytes, target_bytes;   /* target unknown: nothing asked yet */
        struct policy_vm_state state;
};

struct shadow {
        struct policy_state state;
        struct policy_plan plan;               /* of the last step */
        uint64_t moves, moved_bytes;           /* in the last step */
        uint64_t stepped_usec;                 /* 0: not begun */
};

/* live: the real VMs after their decision; ret: n_vms entries, the VMs as they would be, with their plans; work: scratch. */
void shadow_step(struct shadow *shadow, const struct policy_config *config, const struct policy_host *host, const struct policy_vm *live,
                 struct shadow_vm *const *memories, size_t n_vms, uint64_t now_usec, uint64_t inflate_bps, uint64_t deflate_bps,
                 struct policy_vm *ret, struct policy_work *work);
