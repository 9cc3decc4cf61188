/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the manager shows of itself, and what an operator may ask of it. The control socket, metrics and the dashboard see the daemon through this
 * header only. Main thread. Pointers stay valid until the event loop runs again.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host-agent/limits.h"
#include "host-agent/policy/policy.h"
#include "host-agent/reservations.h"
#include "host-agent/settings.h"

struct manager; /* host-agent/manager.h */

enum automation { AUTOMATION_RUNNING, AUTOMATION_PAUSED, AUTOMATION_DRY_RUN };

struct host_view {
        const struct policy_plan *plan;
        const struct policy_host *host;
        const struct settings *settings;
        enum automation automation;
        bool connected;                        /* libvirt answers */
        uint64_t swap_total_bytes, swap_used_bytes;    /* all host swap, zram too */
        uint64_t ksm_run, ksm_saved_bytes, ksm_profit_bytes, ksm_cpu_ppm; /* unknown where there is no KSM */
        uint64_t psi_some_ppm, psi_full_ppm;
        size_t n_vms;
        uint64_t now_usec, uptime_usec;
        uint64_t decisions;                    /* made since start */
};

enum report_source { SOURCE_NONE, SOURCE_BALLOON_STATS, SOURCE_AGENT };

struct vm_view {
        const char *name;
        uint8_t uuid[16];
        const struct policy_vm *policy;        /* input and plan */
        uint64_t priority;
        uint64_t floor_bytes, weight;          /* in force from now on; policy->input has those of the last decision */
        bool managed;
        const struct limits *limits;           /* set by hand */
        enum report_source source;
        uint64_t report_age_usec;              /* unknown: never */
        uint64_t pin_until_usec_left;          /* of a pin with an end; unknown: no end */
        bool paused;                           /* by an operator in libvirt, or migrating */
        const char *agent_version;             /* or NULL */
        uint64_t guest_psi_some_ppm, guest_psi_full_ppm;
        uint64_t guest_refault_bytes_per_sec;
        uint64_t last_set_usec_ago;            /* since setMemory was last issued; unknown: never */
        uint64_t reaction_usec;                /* of the last pressure report: from its receipt to setMemory issued; unknown: none yet */
        const char *note;                      /* a sentence about what is wrong with it (bad metadata, protocol error, no pid), or NULL */
};

#define VIEW_ERROR_MAX 512

void manager_view_host(struct manager *manager, struct host_view *ret);
void manager_view_vm(struct manager *manager, size_t index, struct vm_view *ret);      /* index < n_vms, ordered by name */

/* By libvirt name or UUID: the index, or -ENOENT with a sentence (and the nearest name) in error. */
int manager_find_vm(struct manager *manager, const char *name_or_uuid, size_t *ret_index, char error[static VIEW_ERROR_MAX]);

/* Operator's wishes. 0, or negative errno with a sentence (with the numbers) in error, and nothing changed.
 *   -ERANGE  outside floor .. max         -ENOSPC  beyond the envelope and not forced
 *   -EPERM   the VM cannot be moved (fixed, excluded)      -EALREADY  nothing to do */
int manager_set_target(struct manager *manager, size_t index, uint64_t bytes, uint64_t for_usec /* unknown: until auto */, bool force,
                       char error[static VIEW_ERROR_MAX]);
int manager_set_auto(struct manager *manager, size_t index, char error[static VIEW_ERROR_MAX]);
int manager_set_paused(struct manager *manager, bool paused, char error[static VIEW_ERROR_MAX]);

/* Limits set by hand: they go before the domain's metadata, which goes before the configuration, and hold until reset or until this run of the VM ends. */
struct limits_request {
        struct limits limits;          /* what is set replaces what was */
        bool reset;                    /* forget first what was set by hand before */
        bool persist;                  /* write all that is set by hand to the domain's metadata instead */
        void (*done)(int result, const char *error, void *userdata); /* persist: libvirt's answer */
        void *userdata;
};

/* 0: they hold; 1: done() will be called. -ERANGE: a floor above max; -ENOSPC: the floors would not fit; -EBUSY: still writing; -EINVAL: nothing to write. */
int manager_set_limits(struct manager *manager, size_t index, const struct limits_request *request, char error[static VIEW_ERROR_MAX]);
void manager_limits_abandon(struct manager *manager, void *userdata); /* done() is not to be called any more */

/* Memory set aside before a VM starts. */
struct reservation_view {
        uint64_t id;
        uint64_t bytes;                /* with the VM's overhead, where it is for one */
        uint64_t left_usec;            /* until it is given up */
        const char *for_vm;            /* "": nobody's */
        bool met;                      /* free inside the envelope */
};

/* All of them, oldest first; their number. */
size_t manager_view_reservations(struct manager *manager, struct reservation_view ret[static RESERVATIONS_MAX]);

struct reserve_request {
        uint64_t bytes;                /* > 0; of a VM: its memory, what QEMU takes besides is added */
        uint64_t ttl_usec;             /* given up after this */
        const char *for_vm;            /* taken over when a VM of this name appears; NULL: nobody's */
        uint64_t wait_usec;            /* 0: do not wait until it is met */
        void (*done)(int result, const struct reservation_view *reservation, const char *error, void *userdata); /* the end of the wait */
        void *userdata;
};

/* 0: made; 1: made, and done() will be called, with 0 when it is met, or negative and it is gone: -ETIMEDOUT, -ECANCELED (released, replaced), -EEXIST.
 * Otherwise at once: -ENOSPC it cannot be met without breaking a floor; -EEXIST the VM runs; -EAGAIN just started; -ENOBUFS too many; -EINVAL bad name. */
int manager_reserve(struct manager *manager, const struct reserve_request *request, struct reservation_view *ret, char error[static VIEW_ERROR_MAX]);

/* Who waited is gone: done() is not called any more, and the reservation is given up. */
void manager_reserve_abandon(struct manager *manager, void *userdata);

/* By id or, where for_vm is not NULL, by VM. -ENOENT. */
int manager_unreserve(struct manager *manager, uint64_t id, const char *for_vm, char error[static VIEW_ERROR_MAX]);
