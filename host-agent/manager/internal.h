/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The manager's own state, shared by its parts only: manager.c (its life), decide.c (one decision), vms.c (what libvirt and channels say), memory.c
 * (KSM and swap), alerts.c, last_resort.c, operator.c, by_hand.c and reserve.c (what others see and ask), report.c (what the last days were like),
 * keep.c (what outlives us). */

#include "host-agent/log.h"
#include "host-agent/manager/balloon_speed.h"
#include "host-agent/manager/histogram.h"
#include "host-agent/manager/manager.h"
#include "host-agent/manager/view.h"
#include "host-agent/manager/vm.h"
#include "host-agent/memory/contain.h"
#include "host-agent/memory/ksm_control.h"
#include "host-agent/memory/swap_control.h"
#include "host-agent/policy/alerts.h"
#include "host-agent/policy/last_resort.h"
#include "host-agent/policy/policy.h"
#include "host-agent/policy/shadow.h"
#include "host-agent/state/history_file.h"
#include "host-agent/state/report.h"
#include "host-agent/state/reservations.h"
#include "host-agent/state/state_file.h"
#include "host-agent/system/host.h"
#include "host-agent/system/nodes.h"
#include "host-agent/system/undo.h"
#include "host-agent/virt/virt.h"

/* Swapping of the whole host over the last few seconds. */
struct swap_rates {
        uint64_t taken_usec, pswpin, pswpout;
        uint64_t in_bytes_per_sec, out_bytes_per_sec;
};

/* A call that waits until a reservation is met. */
struct reserve_waiter {
        uint64_t id, deadline_usec, wait_usec;
        bool hook;                     /* libvirt's: nothing is listed while it waits */
        bool unchecked;                /* made in our first seconds: whether it fits at all is still to be found out */
        void (*done)(int result, const struct reservation_view *reservation, const char *error, void *userdata);
        void *userdata;
};

/* Since they were last added to the report. */
struct report_moves {
        uint64_t done, done_bytes, would, would_bytes;
};

struct manager {
        sd_event *event;
        struct settings settings;
        struct manager_options options;
        int root_fd;
        struct virt *virt;
        bool connected;
        bool paused;
        bool ending, giving_back;      /* manager_release() was called: nothing new is begun; and VMs were asked to take their maximum */

        /* VMs, ordered by name, so that the policy has its own contiguous; and scratch with room for as many. Owned; see manager_make_room(). */
        struct vm **vms;
        struct policy_vm *policy_vms;
        struct policy_work *work;
        struct last_resort_vm *last_resort_vms;
        struct contain_vm *contain_vms;
        struct swap_vm *swap_vms;
        size_t n_vms, n_allocated;

        struct host_sample sample;
        struct host_config_sample host_config;
        struct nodes_sample nodes;
        uint64_t sample_usec, host_config_usec;
        uint64_t pagesets_bytes, pagesets_due_usec; /* free memory in CPUs' own lists, and when it is to be read again */
        uint64_t swap_out_bytes_per_sec;
        struct policy_host host;
        struct policy_state state;
        struct policy_plan plan;

        int psi_fd;
        sd_event_source *psi_source, *timer, *soon, *release_timer;
        bool psi_event;
        uint64_t psi_stalled_usec;     /* the kernel's count of stall at the last event that was believed */
        struct history history;        /* of the host: envelope, committed, used, swap */
        uint64_t started_usec, decided_usec, decisions;
        uint64_t synced_usec;          /* 0: the first full listing is still to come */
        bool ready;

        struct undo *undo;
        struct ksm_control *ksm;
        struct swap_control *swap;
        struct contain *contain;
        uint64_t contained_stall_usec; /* of the VMs that we hold, at the last event of the host's pressure that was believed */
        uint64_t memory_usec;          /* when KSM and swap were last looked at; 0: now */
        uint64_t starts;               /* VMs whose memory may merge that have started */

        void (*release_done)(void *userdata);
        void *release_userdata;
        size_t release_pending;

        struct last_resort_state last_resort;
        uint64_t last_resort_usec;     /* when it was last thought of; 0: never */

        struct alerts alerts;
        uint64_t alerts_usec;          /* of their last round; 0: none yet */
        struct swap_rates swap_rates;
        manager_watcher_t watcher;
        void *watcher_userdata;
        struct histogram decisions_taken, reactions;
        struct balloon_speed balloon_speed;
        uint64_t host_pressure_usec;   /* the host's pressure event that still waits for an answer; 0: none */

        /* what outlives us */
        uint8_t boot_id[16];           /* of the host; zero: not known */
        struct state kept;             /* vms: of the last run, those not found yet */
        struct history_kept kept_history; /* of the last run, until a listing has found all */
        struct state_writer *writer;   /* NULL: nothing is kept */
        bool changed;                  /* to be written after the next decision */
        struct reservations reservations;
        struct reserve_waiter waiters[RESERVATIONS_MAX]; /* in no order; at most one for each reservation */
        size_t n_waiters;

        struct report report;
        struct report_moves report_moves;
        struct state_writer *report_writer; /* NULL: it is not kept */
        uint64_t report_usec, report_written_usec;
        struct shadow shadow;          /* of a dry run; the two arrays have n_vms entries */
        struct policy_vm *shadow_vms;
        struct shadow_vm **shadow_memories;

        struct log_limit alerts_log, sample_log, connect_log;
        enum policy_host_state logged_state;
        bool logged_unsafe;
};

/* Tells the watcher. */
void manager_emit(struct manager *manager, const struct manager_event *event);

/* After a decision: a round of the alerts, if it is time. */
void manager_watch_alerts(struct manager *manager, uint64_t now_usec);

/* One line of the story that is not about one VM's size: for the log and for whoever watches. vm: whom it is about; NULL: the host. */
void manager_tell(struct manager *manager, int level, const struct vm *vm, const char *format, ...) __attribute__((format(printf, 4, 5)));

/* decide.c: decides now. */
void manager_decide(struct manager *manager);

/* vms.c. make_room: for one more VM; -ENOMEM. on_virt: libvirt's news. release_step: one more VM has answered to manager_release(). */
int manager_make_room(struct manager *manager);
void manager_on_virt(const struct virt_event *event, void *userdata);
void manager_release_step(struct manager *manager);

/* Decides as soon as the event loop is back, once, however often it is asked for until then. */
void manager_decide_soon(struct manager *manager);

/* memory.c. new: after root_fd is open; free: restores what was set on the host. */
int manager_memory_new(struct manager *manager);
void manager_memory_free(struct manager *manager);
void manager_memory_configure(struct manager *manager);
void manager_memory_tick(struct manager *manager, uint64_t now_usec); /* after each decision; does its work once a second */
uint64_t manager_memory_ksm_saved(const struct manager *manager, uint64_t counted_bytes); /* of that, what is saved for VMs there are */
const char *manager_memory_why_not_merging(const struct vm *vm); /* static; NULL: it may merge */

/* last_resort.c. tick: after each decision. end: lets go of all that are paused; how many were asked for, each with one VIRT_EVENT_PAUSE to come.
 * found: a run of a VM was found; synced: all were. state (also one that is as before), answer (to a pause or a save), gone: libvirt's news. */
void manager_last_resort_tick(struct manager *manager, uint64_t now_usec);
size_t manager_last_resort_end(struct manager *manager);
void manager_last_resort_found(struct manager *manager, struct vm *vm);
void manager_last_resort_synced(struct manager *manager);
void manager_last_resort_state(struct manager *manager, struct vm *vm, enum virt_state before);
void manager_last_resort_answer(struct manager *manager, struct vm *vm, int result, const char *text);
void manager_last_resort_gone(struct manager *manager, struct vm *vm);

/* keep.c. Start: reads the state and begins to write it; -errno only when it could not be written at all. Restore: a VM was found. Forget: all that
 * run were found, the rest is gone. Changed: write what holds now, after the decision that follows. History: memory over time, at the end. */
int manager_keep_start(struct manager *manager);
void manager_keep_restore(struct manager *manager, struct vm *vm);
void manager_keep_forget(struct manager *manager);
void manager_keep_changed(struct manager *manager);
void manager_keep_write(struct manager *manager);
void manager_keep_history(struct manager *manager);

/* report.c. Start: reads it, and begins to write it. Vm: one was found. Tick: after each decision. */
int manager_report_start(struct manager *manager);
void manager_report_free(struct manager *manager);
void manager_report_vm(struct manager *manager, struct vm *vm);
void manager_report_tick(struct manager *manager, uint64_t now_usec);

/* reserve.c. Before a decision: gives up what has expired, and tells the policy the sum. After it: says what is met, and answers those that wait. */
void manager_reservations_expire(struct manager *manager, uint64_t now_usec);
void manager_reservations_judge(struct manager *manager, uint64_t now_usec);
void manager_reservations_hand_over(struct manager *manager, const char *name); /* a VM of this name has started */

/* by_hand.c: libvirt has answered a request to write metadata, or the VM is gone. */
void manager_limits_written(struct manager *manager, struct vm *vm, int result, const char *text);

/* operator.c. What all hold for good: floors of what can move, all of what cannot, overheads, reservations; VM `index` with `bytes` (SIZE_MAX: none
 * so). */
uint64_t manager_least_bytes(struct manager *manager, size_t index, uint64_t bytes);
