/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the last days were like, in figures of fixed size: the host by the hour for 14 days (30 KiB), each VM by the day (600 bytes). Pure;
 * report_file.h keeps it over a restart. In a dry run "would" is what the shadow (policy/shadow.h) makes of it, and so are the bursts.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host-agent/policy/policy.h"
#include "host-agent/state/reservations.h"

#define REPORT_DAYS 14
#define REPORT_HOURS (REPORT_DAYS * 24)
#define REPORT_VMS_MAX 4096

/* One hour of the host. All of one type, so that they are written and read as a row; sizes in MiB, times in ms. */
struct report_hour {
        uint32_t hour;                         /* since 1970, UTC; 0: empty */
        uint32_t watched_msec, dry_run_msec;   /* while there was a plan; of it, in a dry run */
        uint32_t tight_msec, hard_msec, critical_msec; /* in these states */
        uint32_t unsafe_msec, would_unsafe_msec; /* while the rule did not hold; would: on the shadow's host, here and below */
        uint32_t envelope_mib;                 /* the least */
        uint32_t committed_mib, would_committed_mib, demand_mib, swap_mib; /* the most; demand: of all, with what cannot move */
        uint32_t moves, moved_mib, would_moves, would_moved_mib; /* targets that were set, and by how much they changed */
        uint32_t bursts_at_once, bursts_late, bursts_unmet;
        uint32_t late_msec, late_max_msec;     /* of the late ones: sum and longest */
};
#define REPORT_HOUR_FIELDS (sizeof(struct report_hour) / sizeof(uint32_t))

/* One day of a VM. */
struct report_day {
        uint32_t day;                          /* since 1970, UTC; 0: empty */
        uint32_t watched_msec;                 /* while its demand was known */
        uint32_t max_mib, floor_mib;           /* as of last */
        uint32_t demand_mib;                   /* the most */
        uint32_t near_max_msec;                /* its need was within 15 % of its maximum */
        uint32_t short_msec;                   /* it waited for memory */
        uint32_t bursts_at_once, bursts_late, bursts_unmet;
};
#define REPORT_DAY_FIELDS (sizeof(struct report_day) / sizeof(uint32_t))

struct report_vm {
        uint8_t uuid[16];
        char name[RESERVATION_NAME_MAX];
        bool runs;                             /* the owner points at it: its place is not given away */
        struct report_day days[REPORT_DAYS];   /* by day % REPORT_DAYS */
};

struct report {
        struct report_hour hours[REPORT_HOURS]; /* by hour % REPORT_HOURS */
        struct report_vm **vms;                /* owned, each; in no order */
        size_t n_vms;
};

void report_done(struct report *report);

/* The VM's record, made where there is none; in the place of one of which nothing is left to tell, unless now_sec is unknown. NULL: no memory, or no
 * place. */
struct report_vm *report_vm_of(struct report *report, const uint8_t uuid[static 16], const char *name, uint64_t now_sec);

/* A guest that needs more than it has: from its report until its balloon has followed. At once: all that it wants was granted with the decisions on
 * its reports; late: it had to wait until others had given; unmet: for a minute. Zero-initialised. */
struct report_burst {
        uint64_t since_usec;                   /* 0: none */
        bool waits, waited, unmet;             /* now; at any time since; for a minute, and told */
};
enum burst_outcome { BURST_NONE, BURST_AT_ONCE, BURST_LATE, BURST_UNMET };
enum burst_outcome report_watch_burst(struct report_burst *burst, const struct policy_vm *vm, uint64_t now_usec, uint64_t *ret_late_usec);

/* What is to be added after a decision. */
struct report_sample {
        uint64_t now_sec;                      /* CLOCK_REALTIME */
        uint64_t elapsed_usec;                 /* since the last */
        const struct policy_plan *plan;        /* the real one */
        const struct policy_plan *would;       /* in a dry run; else NULL */
        uint64_t demand_bytes, swap_used_bytes; /* of all VMs, with what cannot move; of the host, on disks */
        uint64_t moves, moved_bytes, would_moves, would_moved_bytes; /* since the last */
};
void report_add_host(struct report *report, const struct report_sample *sample);
void report_add_vm(struct report_vm *record, uint64_t now_sec, uint64_t elapsed_usec, const struct policy_vm *vm, const struct report_burst *burst);
/* To host and VM (may be NULL). */
void report_add_burst(struct report *report, struct report_vm *record, uint64_t now_sec, enum burst_outcome outcome, uint64_t late_usec);

/* Summed up over the last since_sec (to the hour; VMs to the day). */
struct report_sum {
        uint64_t watched_msec, dry_run_msec, tight_msec, hard_msec, critical_msec, unsafe_msec, would_unsafe_msec;
        uint64_t envelope_bytes;               /* the least; unknown: nothing was watched, as all below */
        uint64_t committed_bytes, would_committed_bytes, demand_bytes, swap_bytes;
        uint64_t committed_ppm, would_committed_ppm; /* the most of any hour, of that hour's least envelope */
        uint64_t moves, moved_bytes, would_moves, would_moved_bytes;
        uint64_t bursts_at_once, bursts_late, bursts_unmet, late_msec, late_max_msec;
};
void report_sum_host(const struct report *report, uint64_t now_sec, uint64_t since_sec, struct report_sum *ret);

enum report_size { REPORT_SIZE_FINE, REPORT_SIZE_TOO_LARGE, REPORT_SIZE_TOO_SMALL, REPORT_SIZE_UNKNOWN };
struct report_vm_sum {
        uint64_t watched_msec, near_max_msec, short_msec, bursts_at_once, bursts_late, bursts_unmet;
        uint64_t max_bytes, floor_bytes, demand_bytes; /* unknown: never watched in that time */
        enum report_size size;
        uint64_t suggested_bytes;              /* a maximum that would do; unknown: the one that it has */
};
void report_sum_vm(const struct report_vm *record, uint64_t now_sec, uint64_t since_sec, struct report_vm_sum *ret);

/* How many more VMs of max, floor and peak demand fit: so that demand at its peak has room, and the last can still start at its maximum. All with
 * overhead. */
uint64_t report_how_many(uint64_t rule_bytes, uint64_t pool_bytes, uint64_t least_bytes, uint64_t demand_peak_bytes, uint64_t max_bytes,
                         uint64_t floor_bytes, uint64_t demand_bytes);
