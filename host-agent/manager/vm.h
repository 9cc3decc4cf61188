/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * One virtual machine as the manager knows it: what libvirt, the host's kernel and the guest say of it, and what was asked of it. Joins these into
 * the policy's input. Decides nothing. Main thread.
 */

#include <stdbool.h>
#include <stdint.h>

#include "host-agent/log.h"
#include "host-agent/manager/decisions.h"
#include "host-agent/manager/view.h"
#include "host-agent/policy/last_resort.h"
#include "host-agent/policy/policy.h"
#include "host-agent/policy/shadow.h"
#include "host-agent/settings/settings.h"
#include "host-agent/state/history.h"
#include "host-agent/state/limits.h"
#include "host-agent/state/report.h"
#include "host-agent/system/host.h"
#include "host-agent/system/ksm.h"
#include "host-agent/virt/channel.h"
#include "host-agent/virt/virt.h"

enum resort_step {
        RESORT_NONE,
        RESORT_TAKING,                         /* libvirt was asked to pause or save it */
        RESORT_LATE,                           /* it was, and is not heard of: failed, unless the answer is yes in the end; a pause is still noted */
        RESORT_LOST,                           /* the answer to a pause was lost: failed, as far as we know; still noted, for it may be paused */
        RESORT_PAUSED,
        RESORT_RESUMING,                       /* libvirt was asked to let it run again */
};

/* What the last resort does with a run of a VM (last_resort.c). */
struct resort {
        enum resort_step step;
        enum last_resort_action action;        /* the last one; none: it was never taken */
        bool tried;                            /* taken, or could not be, in this crisis */
        bool left;                             /* an earlier run of ours paused it, or meant to: it runs again as soon as we can have it so */
        uint64_t runs_usec;                    /* LOST: since when it runs and answers without a break; 0: it does not */
};

struct vm {
        struct manager *manager;
        uint8_t uuid[16];
        char name[VIRT_NAME_MAX];
        int id;                                /* libvirt's id of this run */
        enum virt_state state;
        struct virt_domain_info info;
        bool unresponsive;

        /* policy in force: limits set by hand over domain metadata over [vm] patterns over defaults */
        uint64_t floor_bytes, weight, priority;
        bool managed;
        struct limits limits;                  /* set by hand, for this run of the VM */
        struct {
                bool pending;                  /* libvirt was asked to write the metadata */
                struct virt_metadata metadata;
                void (*done)(int result, const char *error, void *userdata); /* or NULL: nobody listens any more */
                void *userdata;
        } persist;
        uint64_t pin_bytes;                    /* unknown: automatic */
        uint64_t pin_until_usec;               /* unknown: no end */

        /* this boot */
        uint64_t started_usec;
        bool balloon_confirmed;
        uint8_t boot_id[16];                   /* zero: not known */

        /* balloon */
        uint64_t actual_bytes, actual_usec;    /* unknown, 0: not read yet */
        uint64_t target_bytes;                 /* last asked for in this boot; unknown: nothing */
        uint64_t set_usec;                     /* when last asked; 0: never */
        uint64_t refused_usec;                 /* when libvirt last refused; 0: it took the last one */
        uint64_t stats_asked_usec, stats_read_usec; /* 0: never */
        uint64_t stats_usec;                   /* when the guest last updated them; 0: not seen to in this boot */
        struct virt_stats stats;

        /* agent */
        struct channel *channel;               /* NULL: the VM has none */
        char agent_version[MESSAGE_TEXT_MAX];  /* "": not heard of */
        bool agent_spoke;                      /* in this boot; kept over a restart of the daemon */
        struct message_report report;
        uint64_t report_usec;                  /* when the agent's last report of this boot came; 0: never */
        uint64_t refault_bytes_per_sec;        /* between its last two reports; unknown: fewer than two */
        bool report_pressure;
        uint64_t pressure_below_bytes;         /* what the agent was told */
        uint64_t pressure_usec;                /* the pressure report that still waits for an answer; 0: none */
        uint64_t reaction_usec;                /* unknown: none yet */

        /* process */
        int pid;                               /* -ESRCH: not found */
        uint64_t pid_sought_usec;
        struct process_sample process;
        uint64_t process_usec;                 /* when sampled; 0: never */
        uint64_t overhead_bytes;               /* decaying peak, with room for growth; unknown: never measured */
        uint64_t overhead_due_usec;            /* when to measure next */
        uint64_t young_until_usec;             /* until then its QEMU has just been started: vm_is_young(); 0: it was running when we came */
        struct ksm_process ksm;                /* what it merged, if ksm_known */
        bool ksm_known;
        uint64_t ksm_usec;                     /* when that was read; 0: never */
        struct cgroup_limits cgroup;           /* read with the overhead; no limit until then */

        struct history history;                /* actual, demand, rss, swap */
        struct decisions decisions;            /* its last moves, those of earlier boots too */
        struct decision move;                  /* the last one decided, dry run or not; after_bytes unknown: none in this boot */
        uint64_t told_bytes;                   /* the target that the log last told of; unknown: none in this boot */
        uint64_t oom_kill_usec, violation_usec, last_resort_usec; /* when last; 0: never */
        struct report_vm *record;              /* its part of the report; NULL: none */
        struct report_burst burst;
        struct shadow_vm shadow;               /* what would be, in a dry run */
        struct resort resort;
        uint64_t contained_bytes;              /* held to so much by memory.high; unknown: not */
        const char *why_not_contained;         /* static; NULL */
        char note[160];                        /* a sentence about what is wrong; "" nothing */
        struct log_limit move_log, error_log, boot_log;
};

/* manager: the VM's owner, for callbacks only. -ENOMEM. */
int vm_new(struct vm **ret, struct manager *manager, const uint8_t uuid[static 16]);
struct vm *vm_free(struct vm *vm);

/* A boot begins: all memory is the guest's until the balloon is heard of, and nothing said or asked before counts. */
void vm_boot(struct vm *vm, uint64_t now_usec);

/* Its QEMU has just been started: for a minute it counts with no less overhead than one that was never measured. */
void vm_is_young(struct vm *vm, uint64_t now_usec);

/* Ends what an operator set for it: pin and limits. */
void vm_clear_by_hand(struct vm *vm);

/* Joins settings, metadata and limits set by hand into floor, weight, priority and managed. */
void vm_apply_settings(struct vm *vm, const struct settings *settings);

/* Takes a reading of the balloon's size. */
void vm_take_actual(struct vm *vm, uint64_t actual_bytes, uint64_t now_usec);

/* Takes the balloon's statistics (those without a time say how large it is, no more), or a report of its agent. */
void vm_take_stats(struct vm *vm, const struct virt_stats *stats, uint64_t now_usec);
void vm_take_report(struct vm *vm, const struct message_report *report, uint64_t now_usec);

/* Reads the process where the last reading is older than max_age_usec; looks for it where it is not known; measures overhead and
 * reads the limits of its control groups now and then. undo: what we have limited there ourselves. */
void vm_sample(struct vm *vm, int root_fd, const struct undo *undo, uint64_t now_usec, uint64_t max_age_usec);

/* Of the guest's own swap; unknown where the report does not tell. */
uint64_t vm_guest_swap_used_bytes(const struct message_report *report);

/* Fills the policy's input. */
void vm_input(const struct vm *vm, const struct settings *settings, uint64_t now_usec, struct policy_vm_input *ret);

/* Whose word the input's report is, and how old it is (unknown: never). */
enum report_source vm_source(const struct vm *vm, const struct settings *settings, uint64_t now_usec, uint64_t *ret_age_usec);
