/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * One control group whose swap we limit: what was set before is noted (undo.h), then our limit is set through systemd where it
 * owns the group, else in the group's own file, and kept there. Main thread; waits for nobody.
 */

#include <stdbool.h>
#include <stdint.h>

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "host-agent/system/swap_limit.h"
#include "host-agent/system/undo.h"

#define SWAP_GROUPS "sys/fs/cgroup/"           /* where every distribution mounts them; elsewhere nothing is touched */
#define SWAP_UNIT "unit:"                      /* how the undo file names what systemd was told */

/* What all keepers of a daemon share. */
struct swap_keeping {
        int root_fd;                           /* borrowed, as are undo and event */
        struct undo *undo;
        sd_event *event;
        sd_bus *bus;                           /* NULL: no systemd, or it does not answer; swap_keeping_done() */
        uint64_t bus_usec;                     /* when it was last looked for; 0: never */
        uint64_t now_usec;                     /* of this tick */
};

struct swap_keeper {
        struct swap_group group;
        uint64_t before;                       /* limit, or swappiness, from before us; unknown: no limit */
        bool noted, noted_unit;                /* before is known, and in the undo file: for the group's file; for systemd */
        bool asked;                            /* before is what systemd has said */
        uint64_t sent_bytes, sent_usec;        /* what systemd was told last, and when; 0: never */
        uint64_t failed_usec;                  /* when systemd refused; 0: it did not */
        sd_bus_slot *slot;                     /* a call under way: this struct must not move */
};

void swap_keeping_done(struct swap_keeping *keeping);

/* Keeps `bytes` (unknown: what was set before), or less where somebody's own limit is less. ret_by_systemd: it has been told.
 * -ENOENT: the group has no such file. Positive: systemd does not take it, the file was written. */
int swap_keeper_limit(struct swap_keeping *keeping, struct swap_keeper *keeper, uint64_t bytes, bool *ret_by_systemd);

/* v1: swappiness for so much in use of a limit (swap_v1_swappiness). ret: what it is now. */
int swap_keeper_slow_down(struct swap_keeping *keeping, struct swap_keeper *keeper, uint64_t used_bytes, uint64_t limit_bytes, uint64_t *ret);

/* Gives back what was set before, and forgets it: the group is not limited any more. Nobody waits for systemd. */
void swap_keeper_release(struct swap_keeping *keeping, struct swap_keeper *keeper);

/* The group is gone with its VM, and what was before does not matter any more. */
void swap_keeper_forget(struct swap_keeping *keeping, struct swap_keeper *keeper);

/* Whether an entry of the undo file is this group's. */
bool swap_keeper_is_of(const struct swap_keeper *keeper, const char *name);

/* Lifts what one entry of the undo file says, and forgets it. Nobody waits for systemd. -errno: it stays there. */
int swap_keeping_lift(struct swap_keeping *keeping, const char *name);

/* Lifts all that the undo file says. Waits for systemd, 2 s at most. How many limits were lifted; ret_error: errno of what could
 * not be, 0: nothing. */
int swap_keeping_lift_all(int root_fd, struct undo *undo, int *ret_error);
