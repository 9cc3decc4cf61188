/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the manager shows of itself, and what an operator may ask of it. The control socket, metrics and the dashboard see the daemon through this
 * header only. Main thread. Pointers stay valid until the event loop runs again.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host-agent/manager/decisions.h"
#include "host-agent/manager/histogram.h"
#include "host-agent/manager/whatif.h"
#include "host-agent/memory/ksm_control.h"
#include "host-agent/memory/swap_control.h"
#include "host-agent/policy/alerts.h"
#include "host-agent/policy/last_resort.h"
#include "host-agent/policy/policy.h"
#include "host-agent/settings/settings.h"
#include "host-agent/state/history.h"
#include "host-agent/state/limits.h"
#include "host-agent/state/report.h"
#include "host-agent/state/reservations.h"

struct manager; /* host-agent/manager/manager.h */

/* Whether targets are set: yes; not until an operator says so; they are only said. */
enum automation { AUTOMATION_RUNNING, AUTOMATION_PAUSED, AUTOMATION_DRY_RUN };

/* The host. Pointers are the manager's, and valid until it decides again. */
struct host_view {
        const struct policy_plan *plan;        /* of the last decision */
        const struct policy_host *host;        /* what it was made from */
        const struct settings *settings;       /* in force */
        enum automation automation;
        bool connected;                        /* libvirt answers */
        uint64_t swap_total_bytes, swap_used_bytes;    /* all host swap, zram too */
        uint64_t ksm_run, ksm_saved_bytes, ksm_cpu_ppm; /* unknown where there is no KSM */
        uint64_t ksm_profit_bytes;             /* the same; estimated where the kernel does not tell; negative counts as 0 */
        const struct ksm_view *ksm;            /* all about KSM */
        const struct swap_view *swap;          /* the ceiling, and what keeps it */
        uint64_t psi_some_ppm, psi_full_ppm;   /* memory pressure of the host, avg10; unknown: no PSI */
        uint64_t swap_in_bytes_per_sec, swap_out_bytes_per_sec; /* of all host swap, over the last 5 s or more */
        const struct alerts *alerts;           /* what fires, and what has recently */
        const struct histogram *decisions_taken;       /* how long each decision took: sampling, policy, requests */
        const struct histogram *reactions;             /* from a guest's or the host's pressure event to setMemory issued */
        size_t n_vms;                          /* for manager_view_vm() */
        uint64_t now_usec, uptime_usec;        /* CLOCK_MONOTONIC; of the daemon */
        uint64_t decisions;                    /* made since start */
        const struct history *history;         /* envelope, committed, used (MemTotal - MemAvailable), swap used */
};

/* On whose word a VM is judged: nobody's, libvirt's balloon statistics, or its agent's. */
enum report_source { SOURCE_NONE, SOURCE_BALLOON_STATS, SOURCE_AGENT };

/* A VM. Pointers are the manager's, and valid until its event loop runs again. */
struct vm_view {
        const char *name;                      /* libvirt's */
        uint8_t uuid[16];
        const struct policy_vm *policy;        /* input and plan */
        uint64_t priority;                     /* the lowest is the last resort's first; in force */
        uint64_t floor_bytes, weight;          /* in force from now on; policy->input has those of the last decision */
        bool managed;                          /* in force; no: it is left alone */
        const struct limits *limits;           /* set by hand */
        enum report_source source;             /* of what the last decision knew of its guest */
        uint64_t report_age_usec;              /* unknown: never */
        uint64_t pin_until_usec_left;          /* of a pin with an end; unknown: no end */
        bool paused;                           /* by an operator in libvirt, or migrating */
        const char *agent_version;             /* or NULL */
        bool agent_spoke;                      /* in this boot of the guest; perhaps to the daemon before a restart, and not since */
        /* avg10 in the guest, of its last report; unknown: it has none, or that is older than alert_believed_usec() */
        uint64_t guest_psi_some_ppm, guest_psi_full_ppm;
        uint64_t guest_swap_used_bytes, guest_swap_total_bytes; /* of the same report; unknown as well; total 0: it has no swap */
        uint64_t guest_refault_bytes_per_sec;  /* cache that it read back, between its last two reports; unknown: fewer than two */
        uint64_t last_set_usec_ago;            /* since setMemory was last issued; unknown: never */
        uint64_t reaction_usec;                /* of the last pressure report: from its receipt to setMemory issued; unknown: none yet */
        const struct history *history;         /* actual, demand, rss, swap */
        const struct decisions *decisions;     /* its last moves; their times on the clock of host_view.now_usec */
        /* How long ago; unknown: never. */
        uint64_t oom_kill_usec_ago;            /* the guest's count of OOM kills rose */
        uint64_t violation_usec_ago;           /* its agent broke the protocol */
        uint64_t last_resort_usec_ago;         /* the last resort was taken on it; 0 for as long as it lasts */
        enum last_resort_action last_resort;   /* what it was; none: never */
        bool last_resort_paused;               /* and it is paused by it ... */
        uint64_t last_resort_left_usec;        /* ... for so long at the most */
        uint64_t contained_bytes;              /* breaching, and held to so much by memory.high of its control group; unknown: it is not */
        const char *why_not_contained;         /* breaching, and why it cannot be held; or NULL */
        const char *note;                      /* a sentence about what is wrong with it (bad metadata, protocol error, no pid), or NULL */
};

#define VIEW_ERROR_MAX 512

/* What there is now. */
void manager_view_host(struct manager *manager, struct host_view *ret);
void manager_view_vm(struct manager *manager, size_t index, struct vm_view *ret);      /* index < n_vms, ordered by name */

/* What happens, as it happens. */
enum manager_event_type {
        MANAGER_EVENT_ALERT,                   /* alert is set */
        MANAGER_EVENT_MOVE,                    /* a target was decided: vm, before, after, reason, would */
        MANAGER_EVENT_HOST,                    /* text */
        MANAGER_EVENT_VM,                      /* vm and text */
        MANAGER_EVENT_LAST_RESORT,             /* vm, text, action, would: a VM is taken; the command is for the watcher to run */
};
struct manager_event {
        enum manager_event_type type;
        const struct alert_event *alert;       /* or NULL */
        const char *vm;                        /* its name; or NULL */
        const char *text;                      /* a sentence without a full stop */
        uint64_t before_bytes, after_bytes;    /* targets; before: unknown where there was none in this boot */
        enum policy_reason reason;             /* of a move */
        enum last_resort_action action;        /* of the last resort */
        bool would;                            /* in dry-run: not done */
};
typedef void (*manager_watcher_t)(const struct manager_event *event, void *userdata);

/* One watcher; called from within a decision, so it must not ask the manager for anything but views. NULL ends it. */
void manager_watch(struct manager *manager, manager_watcher_t watcher, void *userdata);

/* Takes up an alert from before a restart (policy/alerts.h, alerts_restore). Before the event loop runs. */
bool manager_restore_alert(struct manager *manager, const struct alert_condition *condition, uint64_t since_realtime_usec,
                           uint64_t told_realtime_usec);

/* By libvirt name or UUID: the index, or -ENOENT with a sentence (and the nearest name) in error. */
int manager_find_vm(struct manager *manager, const char *name_or_uuid, size_t *ret_index, char error[static VIEW_ERROR_MAX]);

/* Operator's wishes. 0, or negative errno with a sentence (with the numbers) in error, and nothing changed; 1: a target was forced, and error
 * says what that risks.
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
        uint64_t zero_bytes;                   /* of zeros, merged with the kernel's page of zeros; unknown: not counted here */
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
/* Limits set by hand: they go before the domain's metadata, which goes before the configuration, and hold until reset or until this run of the VM
 * ends. */
struct limits_request {
        struct limits limits;          /* what is set replaces what was */
        bool reset;                    /* forget first what was set by hand before */
        bool persist;                  /* write all that is set by hand to the domain's metadata instead */
        void (*done)(int result, const char *error, void *userdata); /* persist: libvirt's answer */
        void *userdata;
};

/* 0: they hold; 1: done() will be called. -ERANGE: a floor above max; -ENOSPC: the floors would not fit; -EBUSY: still writing; -EINVAL: nothing to
 * write. */
int manager_set_limits(struct manager *manager, size_t index, const struct limits_request *request, char error[static VIEW_ERROR_MAX]);
void manager_limits_abandon(struct manager *manager, void *userdata); /* done() is not to be called any more */

/* What would happen if: the policy on a changed copy of the live state, which stays as it is. ret: whatif_answer_done() frees it. -EAGAIN: just
 * started; -ENOMEM. */
int manager_whatif(struct manager *manager, const struct whatif_question *request, struct whatif_answer *ret, char error[static VIEW_ERROR_MAX]);

/* What the last days were like (report.h). */
const struct report *manager_report(struct manager *manager);

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
        bool hook;                     /* libvirt's hook waits, with its domain's lock: nothing enumerates domains until it has its answer */
        void (*done)(int result, const struct reservation_view *reservation, const char *error, void *userdata); /* the end of the wait */
        void *userdata;
};

/* 0: made; 1: made, and done() will be called, with 0 when it is met, or negative and it is gone: -ETIMEDOUT, -ECANCELED (released, replaced),
 * -EEXIST. Otherwise at once: -ENOSPC it cannot be met without breaking a floor; -EEXIST the VM runs; -EAGAIN just started; -ENOBUFS too many;
 * -EINVAL bad name. */
int manager_reserve(struct manager *manager, const struct reserve_request *request, struct reservation_view *ret, char error[static VIEW_ERROR_MAX]);

/* Who waited is gone: done() is not called any more, and the reservation is given up. */
void manager_reserve_abandon(struct manager *manager, void *userdata);

/* By id or, where for_vm is not NULL, by VM. -ENOENT. */
int manager_unreserve(struct manager *manager, uint64_t id, const char *for_vm, char error[static VIEW_ERROR_MAX]);
