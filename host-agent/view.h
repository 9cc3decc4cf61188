/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the manager shows of itself, and what an operator may ask of it. The control socket, metrics and the dashboard see the daemon through this
 * header only. Main thread. Pointers stay valid until the event loop runs again.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host-agent/ksm_control.h"
#include "host-agent/policy/policy.h"
#include "host-agent/settings.h"
#include "host-agent/swap_control.h"

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
        const struct ksm_view *ksm;            /* all about KSM */
        const struct swap_view *swap;          /* the ceiling, and what keeps it */
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

/* What KSM does for one VM. */
struct ksm_vm_view {
        const char *name;
        const char *why_not;                   /* static: why its memory does not merge; NULL: it may */
        bool opted_out;                        /* by <nosharepages/> */
        uint64_t merged_bytes;                 /* of its memory, shared with others; the one copy that is kept counted too */
        uint64_t saved_bytes;                  /* its part of what is saved, in proportion to what it merged */
        uint64_t zero_bytes;
        int64_t profit_bytes;                  /* the kernel's own reckoning, metadata taken off; INT64_MIN: unknown */
};
void manager_view_ksm_vm(struct manager *manager, size_t index, struct ksm_vm_view *ret);

/* Until the configuration is read again. As above, and -EBUSY: another tuner is at work; -ENOENT: no KSM in this kernel; -EROFS, -EACCES. */
int manager_set_ksm_mode(struct manager *manager, enum ksm_mode mode, char error[static VIEW_ERROR_MAX]);

/* Takes all merged pages apart, in the background, and switches KSM off. -ENOSPC: that would not fit, with the numbers. */
int manager_unmerge_ksm(struct manager *manager, char error[static VIEW_ERROR_MAX]);

/* Until the configuration is read again. -ERANGE: more than all of it. */
int manager_set_swap_ceiling(struct manager *manager, uint64_t ceiling_ppm, char error[static VIEW_ERROR_MAX]);

/* How much swap there should be for VMs of this much memory altogether (unknown: those that run), and from what that was worked out. */
void manager_plan_swap(struct manager *manager, uint64_t vms_bytes, struct swap_sizing_input *ret_input, struct swap_sizing *ret);
