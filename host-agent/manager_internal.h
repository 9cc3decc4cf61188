/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The manager's own state, shared by manager.c (sources and decisions), operator.c (what others see and ask) and manager_memory.c (KSM and
 * swap) only. */

#include "host-agent/ksm_control.h"
#include "host-agent/log.h"
#include "host-agent/histogram.h"
#include "host-agent/manager.h"
#include "host-agent/policy/alerts.h"
#include "host-agent/policy/policy.h"
#include "host-agent/swap_control.h"
#include "host-agent/system/host.h"
#include "host-agent/view.h"
#include "host-agent/system/undo.h"
#include "host-agent/virt/virt.h"
#include "host-agent/vm.h"

/* Swapping of the whole host over the last few seconds. */
struct swap_rates {
        uint64_t taken_usec, pswpin, pswpout;
        uint64_t in_bytes_per_sec, out_bytes_per_sec;
};

struct manager {
        sd_event *event;
        struct settings settings;
        struct manager_options options;
        int root_fd;
        struct virt *virt;
        bool connected;
        bool paused;

        /* VMs, ordered by name; three arrays of equal length so that the policy has its own contiguous. Owned. */
        struct vm **vms;
        struct policy_vm *policy_vms;
        struct policy_work *work;
        size_t n_vms, n_allocated;

        struct host_sample sample;
        struct host_config_sample host_config;
        uint64_t sample_usec, host_config_usec;
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
        struct swap_vm *swap_vms;      /* scratch */
        size_t n_swap_vms;
        uint64_t memory_usec;          /* when KSM and swap were last looked at; 0: now */
        uint64_t starts;               /* VMs whose memory may merge that have started */

        void (*release_done)(void *userdata);
        void *release_userdata;
        size_t release_pending;

        struct alerts alerts;
        uint64_t alerts_usec;          /* of their last round; 0: none yet */
        struct swap_rates swap_rates;
        manager_watcher_t watcher;
        void *watcher_userdata;
        struct histogram decisions_taken, reactions;
        uint64_t host_pressure_usec;   /* the host's pressure event that still waits for an answer; 0: none */

        struct log_limit alerts_log, sample_log, connect_log;
        enum policy_host_state logged_state;
        bool logged_unsafe;
};

/* Tells the watcher. */
void manager_emit(struct manager *manager, const struct manager_event *event);

/* After a decision: a round of the alerts, if it is time. */
void manager_watch_alerts(struct manager *manager, uint64_t now_usec);

/* Decides as soon as the event loop is back, once, however often it is asked for until then. */
void manager_decide_soon(struct manager *manager);

/* manager_memory.c. new: after root_fd is open; free: restores what was set on the host. */
int manager_memory_new(struct manager *manager);
void manager_memory_free(struct manager *manager);
void manager_memory_configure(struct manager *manager);
void manager_memory_tick(struct manager *manager, uint64_t now_usec); /* after each decision; does its work once a second */
const char *manager_memory_why_not_merging(const struct vm *vm); /* static; NULL: it may merge */
