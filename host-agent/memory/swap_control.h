/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Keeps the swap ceiling in the kernel: takes what policy/swap.h decides to the control groups of the VMs. On cgroup v2 one
 * memory.swap.max on the group above all of them, through systemd where it owns that, and each VM's share on its own where asked
 * for or where there is no such group; on v1 swappiness of each VM's group. Notes what was set before (undo.h). Main thread;
 * waits for nobody but at the end.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <systemd/sd-event.h>

#include "host-agent/policy/swap.h"
#include "host-agent/system/undo.h"
#include "protocol/base.h"

#define SWAP_NOTE_MAX 200

struct swap_view {
        struct swap_plan plan;
        enum swap_method method;
        uint64_t limit_bytes;                  /* in force on the group of all VMs, ours or somebody's own that is less; unknown: none */
        uint64_t admin_limit_bytes;            /* somebody's own on that group, from before us; unknown: none, or dry-run */
        uint64_t swappiness;                   /* v1: of the VMs, now; unknown: not used */
        char group[256];                       /* that has the limit: "machine.slice", a path; "": each VM's own */
        char note[SWAP_NOTE_MAX];              /* why it is not kept, or not kept exactly; "" nothing to say */
};

struct swap_control; /* opaque */

/* root_fd, undo: borrowed, must outlive it. */
int swap_control_new(struct swap_control **ret, sd_event *event, int root_fd, struct undo *undo);

/* Lifts everything. */
struct swap_control *swap_control_free(struct swap_control *control);
DEFINE_CLEANUP(struct swap_control *, swap_control_free)

/*
 * Puts the kernel's own count of what VMs have in swap into input->vms_bytes, where there is one: VmSwap leaves out what is in swap and, for now, in
 * memory, too. Where VMs have shares (per_vm, or no group is above them all) input->vms is vms, which has to outlive it, with that count of each and no
 * more to swap than a limit of somebody else's leaves it. swap_control_tick() does all that, too, once it knows the groups.
 */
void swap_control_count(const struct swap_control *control, bool per_vm, struct swap_vm *vms, size_t n_vms, struct swap_input *input);

/* Decides and acts; about once a second. write: no in dry-run: then what is set is given back once, and the plan is made all the
 * same. per_vm: shares by weight inside the limit. */
void swap_control_tick(struct swap_control *control, const struct swap_input *input, bool write, bool per_vm, struct swap_vm *vms, size_t n_vms);

/* What there is since the last tick; valid as long as the control. */
const struct swap_view *swap_control_view(const struct swap_control *control);
