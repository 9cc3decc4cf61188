/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * How hard the kernel should look for equal pages (KSM), and whether at all. Pure, as all of the policy: (config, input, state) -> plan.
 *
 * Two things are in the loop that ksmtuned has not: what scanning costs (the CPU time that ksmd really took) and what it brings (what the last full
 * scans added). Effort is a CPU budget: `cpu-normal` of one CPU while memory is plentiful, up to `cpu-critical` when it is critically short.
 * A scan that adds less than 0.1 % of memory has found all there is: then ksmd rests (run=0 keeps what is merged), and looks again after 10 min,
 * doubling to 2 h as long as it finds nothing; or at once when a VM starts (and again 20 and 60 s later, when it has booted), when one ends (the
 * kernel keeps what it knew of it, 64 bytes for each page, until ksmd comes by) or when what was merged comes apart. Memory that is plentiful for a
 * while does not end a rest.
 *
 * Bytes, microseconds of one monotonic clock, parts per million; AEROSTAT_UNKNOWN where a value is not known; any u64 is accepted anywhere.
 */

#include <stdbool.h>
#include <stdint.h>

#include "host-agent/policy/policy.h"

enum ksm_mode { KSM_MODE_AUTO, KSM_MODE_ON, KSM_MODE_OFF, KSM_MODE_LEAVE };
const char *ksm_mode_to_string(enum ksm_mode mode); /* "auto", "on", "off", "leave" */

struct ksm_config {
        enum ksm_mode mode;
        uint64_t cpu_normal_ppm, cpu_critical_ppm; /* of one CPU; the higher of the two counts as the second */
};

/* KSM and the host as sampled. */
struct ksm_input {
        uint64_t now_usec;                     /* never before that of the call before */
        uint64_t full_scans;                   /* ksm/full_scans */
        uint64_t saved_bytes;                  /* (pages_sharing + ksm_zero_pages) x page */
        uint64_t metadata_bytes;               /* what the kernel keeps to do it: saved - general_profit, or an estimate; unknown: 0 */
        /* /proc/vmstat: cow_ksm + ksm_swpin_copy, merged pages that were written and copied; unknown: not counted */
        uint64_t cow_pages;
        uint64_t cpu_usec;                     /* of the kernel thread ksmd since boot; unknown: effort is set by the cost seen elsewhere */
        uint64_t memory_bytes;                 /* the budget in force (policy_plan) */
        enum policy_host_state host_state;
        bool short_of_memory;                  /* not everybody can have their maximum */
        uint64_t n_mergeable;                  /* running VMs whose memory may merge */
        uint64_t n_starts;                     /* how many such VMs have started so far: a change wakes ksmd */
};

enum ksm_phase {
        KSM_LEFT,                              /* mode leave: not ours */
        KSM_OFF,
        KSM_IDLE,                              /* auto: memory is plentiful, or fewer than two VMs can merge */
        KSM_SCANNING,
        KSM_RESTING,                           /* scanning brought nothing; until probe_usec */
};
const char *ksm_phase_to_string(enum ksm_phase phase); /* "left", "off", "idle", "scanning", "resting" */

/* What it remembers; zero-initialised by the caller at start and when the mode changes, otherwise private. */
struct ksm_state {
        bool started;                          /* there was a call before: */
        enum ksm_phase phase;
        uint64_t seen_starts, seen_mergeable, wanted_usec;
        /* cost */
        uint64_t window_usec, window_cpu_usec, window_cow_pages, window_saved_bytes;
        uint64_t batch_milli;                  /* pages for each 20 ms of sleep, x 1000: the effort in force */
        uint64_t cpu_ppm, debt_usec;           /* debt: CPU time taken beyond the budget, and not yet made up for */
        unsigned storms, backoff;              /* windows of copying in a row; the budget is halved so many times */
        uint64_t backoff_usec, storm_usec;     /* when it was last changed; when there was last reason for it */
        /* gain */
        uint64_t scan, scans, scan_profit_bytes, gain_bytes, wake_profit_bytes;
        unsigned poor_scans;                   /* in a row */
        unsigned settling;                     /* short rests to come, after a VM has started */
        uint64_t rest_usec, probe_usec, rest_saved_bytes; /* of the last rest, also while idle; probe_usec 0: nothing says it would not pay */
};

#define KSM_BACKOFF_MAX 3
#define KSM_PAGES_MAX 30000                    /* the kernel's own bound (advisor_max_pages_to_scan) */

struct ksm_plan {
        enum ksm_phase phase;
        bool run;                              /* ksm/run should be 1; otherwise 0, unless phase is left */
        uint64_t pages_to_scan, sleep_msec;    /* meant while it runs; sleep is never 0 */
        uint64_t budget_ppm;                   /* of one CPU */
        uint64_t cpu_ppm;                      /* measured over the last 2 s or more; unknown: not yet, or ksmd cannot be seen */
        uint64_t gain_bytes;                   /* what the last full scan added, net of metadata; unknown: none since it was woken */
        uint64_t probe_usec;                   /* resting: when it looks again; otherwise unknown */
        bool unprofitable;                     /* resting, and all that is merged is worth less than 0.1 % of memory */
        unsigned backoff;                      /* merged pages are written as fast as they merge: the budget is halved so many times */
};

/* Decides; to be called about once a second. */
void ksm_decide(const struct ksm_config *config, const struct ksm_input *input, struct ksm_state *state, struct ksm_plan *ret);

/* The CPU budget in this state of the host: a line from normal to critical with 5, 15, 30, 60 % for the defaults. */
uint64_t ksm_budget_ppm(const struct ksm_config *config, enum policy_host_state host_state);

/* What merging saves for processes that are there. When a process ends, the kernel goes on counting its pages until ksmd comes by: never, while it is
 * stopped (seen on Linux 6.18: 332 MiB saved by nobody). What processes say of themselves ends with them: merged_bytes is the sum of their
 * ksm_merging_pages, and one copy of each of the shared_bytes is not saved. (mm/ksm.c: the sum is sharing + shared while nothing is stale.)
 * Where processes other than VMs merge, too, the copies that they keep are taken off as well: too little is said to be saved, not too much.
 * saved_bytes: pages_sharing. All three in bytes; unknown merged or shared (before Linux 5.19): saved_bytes. */
uint64_t ksm_live_bytes(uint64_t saved_bytes, uint64_t shared_bytes, uint64_t merged_bytes);

/* Whether everything can be unmerged (run=2) without running out: it brings back all that was saved, and the reserve has to stay free.
 * ret_need_bytes: the available memory that it takes. Unknown amounts: no. */
bool ksm_unmerge_fits(uint64_t saved_bytes, uint64_t available_bytes, uint64_t reserve_bytes, uint64_t *ret_need_bytes);
