/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The last resort: what is done to a VM when the host has been critically short for long, and balloons, KSM and swap could not help. Off by default.
 * Pure: (configuration, state, what is seen, now) -> which VM to take, which to let go on. Who carries it out: host-agent/manager/last_resort.c.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host-agent/policy/policy.h"

enum last_resort_action {
        LAST_RESORT_NONE,              /* off, the default */
        LAST_RESORT_PAUSE,             /* stops its growth, and frees nothing: only while memory is going; it runs again after a while */
        LAST_RESORT_SAVE,              /* to disk: frees all it has, and it does not run any more */
        LAST_RESORT_COMMAND,           /* the operator's own */
};

struct last_resort_config {
        enum last_resort_action action;        /* what is done to the VM of the lowest priority */
        uint64_t after_usec;                   /* in critical, before the first VM is taken, and between one and the next */
        uint64_t max_duration_usec;            /* of a pause */
};

struct last_resort_input {
        uint64_t now_usec;
        enum policy_host_state host_state;     /* nothing is done unless it is critical */
        uint64_t room_bytes;                   /* what there is before something is killed: available memory and free swap */
        uint64_t over_bytes;                   /* what VMs hold beyond their budget: what is available to them cannot be less than nothing */
        uint64_t reserve_bytes;                /* of the host; what rising memory is measured by */
};

struct last_resort_vm {
        uint64_t priority;                     /* the lowest goes first; of equals the one with the most committed */
        uint64_t committed_bytes;              /* as in its plan */
        bool can;                              /* managed, runs, and its QEMU answers */
        bool tried;                            /* taken, or found that it could not be, in this crisis (last_resort_crisis_is_over): once is enough */
        bool busy;                             /* it is being taken right now: one at a time, unless that is late */
        bool stopped;                          /* it does not run any more, which is the first step of a pause and of a save */
        bool paused;                           /* by us */
        uint64_t taken_usec;                   /* busy, paused: since when */
};

/* Zero-initialised by the caller at start. */
struct last_resort_state {
        uint64_t critical_usec;                /* since when, or when what was last done was done; 0: not critical */
        uint64_t room_usec, room_bytes, over_bytes; /* at the beginning of the window in which growth is measured; 0: none yet */
        bool rising;                           /* memory went during the last whole window */
};

/* To be called about once a second. True: take VM *ret_index now. */
bool last_resort_take(const struct last_resort_config *config, struct last_resort_state *state, const struct last_resort_input *input,
                      const struct last_resort_vm *vms, size_t n_vms, size_t *ret_index);

/* The VM that could not be taken does not count: the next one is due at once. */
void last_resort_failed(const struct last_resort_config *config, struct last_resort_state *state);

/* Whether a busy VM has been so for too long, and counts as failed from now on; what is under way may succeed later all the same. A QEMU that
 * hangs does not stop its VM: one that runs after 15 s is late. A save of one that has stopped takes as long as the disk does: it is late after the
 * time for what the VM has committed at 32 MiB/s, and a minute. */
bool last_resort_is_late(const struct last_resort_input *input, const struct last_resort_vm *vm);

/* Whether all may be taken again: the host is normal, or an operator has taken over. */
bool last_resort_crisis_is_over(const struct last_resort_config *config, const struct last_resort_input *input);

/* Whether a VM that we paused is to run again. */
bool last_resort_lets_go(const struct last_resort_config *config, const struct last_resort_input *input, const struct last_resort_vm *vm);
