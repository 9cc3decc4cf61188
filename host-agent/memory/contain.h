/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Holds a VM that uses more than its balloon leaves it to its target, by memory.high on its own control group: the kernel then swaps out that VM's
 * memory, and slows that VM down, instead of everybody's. Lifted when it obeys. On cgroup v1 there is nothing of the kind (its soft limit only orders
 * reclaim), and that is said.
 *
 * What is set is noted in the undo file before; what an earlier run left is lifted at the start. Main thread; nothing blocks: limits come down in
 * steps, and through systemd where that owns the group.
 */

#include <stdbool.h>
#include <stdint.h>

#include <systemd/sd-event.h>

#include "host-agent/system/undo.h"

struct contain;

/* undo has to outlive it. -ENOMEM. */
int contain_new(struct contain **ret, sd_event *event, int root_fd, struct undo *undo);
struct contain *contain_free(struct contain *contain); /* lifts all */

struct contain_vm {
        int pid;                       /* of its QEMU; not positive: not known */
        uint64_t start_ticks;          /* tells a reused pid */
        uint64_t bytes;                /* to be held to so much; unknown: let go */
        /* out: */
        uint64_t held_bytes;           /* limited to so much now; unknown: it is not */
        const char *why_not;           /* static: why it cannot be held, though it should; NULL */
};

/* To be called about once a second, with all VMs that run. */
void contain_tick(struct contain *contain, uint64_t now_usec, struct contain_vm *vms, size_t n_vms);

/* Whether the kernel is still at work on a limit that contain_tick() set. */
bool contain_is_writing(struct contain *contain);

/* How much of the host's pressure is in groups that are, or were just now, held by us: at most, and so to be taken off the host's. As in
 * struct pressure: shares of the last 10 s, and microseconds of stall since the start. */
struct contain_pressure {
        uint64_t some_ppm, full_ppm;
        uint64_t some_total_usec;
};
void contain_measure(struct contain *contain, struct contain_pressure *ret);

/* Lifts what the undo file has, waiting for systemd 2 s at most for each. How many; errno in ret_error (0: none). */
int contain_lift(int root_fd, struct undo *undo, int *ret_error);
