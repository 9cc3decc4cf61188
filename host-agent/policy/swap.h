/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * How much swap the VMs may have now, whether the host is thrashing, and how large swap should be. Pure, as all of the policy.
 *
 * The ceiling is a limit that the kernel keeps (memory.swap.max on what holds all VMs), so that no reaction time matters. Survival outranks it: with
 * the limit in force and memory gone, the kernel would kill a QEMU while swap is free (seen: within 100 ms). So when VMs have
 * nearly reached the limit, and what is left of it and of available memory together is below 16 % of the reserve, or about to be so in half a
 * second, it is lifted step by step; it comes back, slower, once memory has been clear of that for a while. Where VMs have shares, one VM that has nearly
 * reached its own is enough, and what is left is what each can still swap of its memory: the rest of a small VM's share helps nobody.
 *
 * Bytes, microseconds of one monotonic clock, parts per million; AEROSTAT_UNKNOWN where a value is not known; any u64 is accepted anywhere.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host-agent/policy/policy.h"

/* What keeps the limit. */
enum swap_method {
        SWAP_NOT_LIMITED,                      /* off, paused, no swap, or it cannot be */
        SWAP_BY_FILE,                          /* cgroup v2, memory.swap.max */
        SWAP_BY_SYSTEMD,                       /* the same through systemd */
        SWAP_BY_SWAPPINESS,                    /* cgroup v1: a brake, not a limit */
};
const char *swap_method_to_string(enum swap_method method); /* "none", "cgroup_v2", "systemd", "cgroup_v1_swappiness" */

/* A VM, as far as its swap goes. */
struct swap_vm {
        int pid;                               /* of QEMU; negative: not known */
        uint64_t start_ticks;                  /* tells a reused pid */
        uint64_t weight;
        uint64_t swap_bytes;                   /* unknown counts as none */
        uint64_t resident_bytes;               /* what more of it the kernel could swap if its share were large enough; 0: none, or not known */
};

struct swap_input {
        uint64_t now_usec;                     /* of the caller's clock; never before that of the call before */
        bool enforce;                          /* the setting is on, and automation runs; otherwise there is no limit */
        bool soft;                             /* the limit is a brake (v1): it kills nobody, and need not be lifted */
        bool last;                             /* VMs are to be the last that the kernel swaps: guaranteed mode, in which nothing is expected to swap */
        const struct swap_vm *vms;             /* where each VM is held to a share of its own (swap_share); NULL: to the limit of all only */
        size_t n_vms;                          /* of vms */
        uint64_t vms_bytes;                    /* swap that VMs use, in zram too; what others have on disk is off their allowance */
        uint64_t zswap_bytes;                  /* RAM that zswap may take out of the allowance; 0: off */
        uint64_t zram_bytes;                   /* size of all zram swap: the kernel counts it in the same limit, the ceiling does not */
        uint64_t zram_used_bytes;              /* of it, by anyone */
        uint64_t total_bytes, used_bytes;      /* disk-backed swap */
        uint64_t ceiling_ppm;                  /* of total_bytes that may ever be used */
        uint64_t available_bytes, reserve_bytes; /* of the host's memory: what says that survival is in danger */
        uint64_t in_pages, out_pages;          /* /proc/vmstat: pswpin, pswpout since boot */
};

/* Zero-initialised by the caller at start, otherwise private. */
struct swap_state {
        uint64_t decided_usec;
        uint64_t seen_available_bytes, seen_vms_bytes; /* at decided_usec */
        uint64_t coming_bytes;                 /* what VMs were about to take then */
        uint64_t lift_bytes, lift_usec;        /* how far the limit is lifted, and when that last changed */
        uint64_t clear_usec;                   /* since when memory has been clear of danger; 0: it is not */
        uint64_t window_usec, window_in, window_out; /* where the window in which traffic is measured began, and the counters then */
        uint64_t in_per_sec, out_per_sec;      /* pages */
        unsigned busy_windows;                 /* in a row, with traffic in both directions */
        bool thrashing;                        /* as in the plan */
};

struct swap_plan {
        uint64_t allowance_bytes;              /* what VMs may have of the ceiling */
        uint64_t limit_bytes;                  /* for all VMs together, zram included; unknown: no limit */
        uint64_t brake_bytes;                  /* v1: the limit that swappiness goes by: limit_bytes, or none at all for VMs that are to be last */
        uint64_t lift_bytes;                   /* by how much the limit and each share are lifted, but not beyond all of swap: survival */
        uint64_t ceiling_bytes;                /* of disk-backed swap */
        bool above_ceiling;                    /* disk-backed swap is used beyond it */
        bool thrashing;                        /* in and out above 200 pages/s for a minute, whatever the use */
        uint64_t in_per_sec, out_per_sec;      /* pages; unknown: not yet */
};

/*
 * What VMs that have vms_bytes in swap have on disk. The kernel counts a process' or group's swap in zram and on disk together, but the ceiling is for
 * disks. Where both are in use nobody knows whose pages are where; VMs' are taken to be spread as all are. The extremes are worse: with as much as can
 * be on disk, others' disk use vanishes, and the allowance promises what they have; with as little, VMs' own disk use comes off their allowance.
 * Without zram in use it is all of vms_bytes. Unknown counts as none.
 */
uint64_t swap_on_disk(uint64_t vms_bytes, uint64_t disk_used_bytes, uint64_t zram_used_bytes);

/* Decides; about once a second, and as often as it may be while swap_is_urgent(). */
void swap_decide(const struct swap_input *input, struct swap_state *state, struct swap_plan *ret);

/* Whether the limit may have to be lifted any moment: memory is under the reserve, and VMs, or one of them, have most of what they may swap. */
bool swap_is_urgent(const struct swap_input *input);

/*
 * A VM's share of the limit: by weight (all weights 0: equal shares) of what is not lifted, and the whole lift, for any VM may be the one that is about to be
 * killed, also one of weight 0. n_vms > 0. Unknown (no limit) stays unknown.
 */
uint64_t swap_share(uint64_t limit_bytes, uint64_t lift_bytes, uint64_t weight, uint64_t sum_of_weights, uint64_t n_vms);

/*
 * cgroup v1 cannot limit swap alone. The nearest that strangles nobody is swappiness: from 80 % of the limit on it falls from what the host
 * has to 1 at the limit. The kernel then takes file cache and other processes first, and swaps a VM only when it would else have to kill. With a limit
 * of 0 that is so from the start.
 */
uint64_t swap_v1_swappiness(uint64_t used_bytes, uint64_t limit_bytes, uint64_t normal);

/* `swap plan`. */
struct swap_sizing_input {
        enum policy_mode mode;
        uint64_t overcommit_factor_ppm, ceiling_ppm, ksm_credit_ppm;
        uint64_t memory_bytes;                 /* of the host */
        uint64_t capacity_bytes;               /* what it bears without swap (policy_plan) */
        uint64_t vms_bytes;                    /* maximum of all VMs, their overhead included */
        uint64_t others_bytes;                 /* swap that others use on disk */
        uint64_t zswap_bytes;                  /* RAM that zswap may take out of the allowance; 0: off */
        uint64_t ksm_saved_bytes;
        uint64_t total_bytes;                  /* disk-backed swap that there is */
};
struct swap_sizing {
        /* so that all VMs can have their maximum in this mode (guaranteed: so that merged pages are backed); unknown: no amount does (ceiling 0) */
        uint64_t needed_bytes;
        uint64_t classic_bytes;                /* 2 x memory below 2 GiB, memory + 2 GiB up to 16 GiB, 8 GiB above */
        uint64_t advised_bytes;                /* the larger of the two */
        uint64_t missing_bytes;                /* advised - total, 0 where there is enough */
        uint64_t backed_bytes;                 /* what the allowance that is needed has to back */
};
void swap_size(const struct swap_sizing_input *input, struct swap_sizing *ret);
