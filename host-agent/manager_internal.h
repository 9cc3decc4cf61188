/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The manager's own state, shared by manager.c (sources and decisions) and operator.c (what others see and ask) only. */

#include "host-agent/log.h"
#include "host-agent/manager.h"
#include "host-agent/policy/policy.h"
#include "host-agent/system/host.h"
#include "host-agent/virt/virt.h"
#include "host-agent/vm.h"

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

        void (*release_done)(void *userdata);
        void *release_userdata;
        size_t release_pending;

        struct log_limit sample_log, connect_log;
        enum policy_host_state logged_state;
        bool logged_unsafe;
};

/* Decides as soon as the event loop is back, once, however often it is asked for until then. */
void manager_decide_soon(struct manager *manager);
