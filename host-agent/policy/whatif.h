/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What would happen if: the policy on a changed copy of the live state, in simulated time, with guests that need what they need now and balloons
 * that obey at a given speed, until nothing moves any more. Pure as the rest of the policy: it reads the live state and writes only into what the
 * caller gave for it.
 *
 * Not foreseen: what guests learn on the way (hot cache), KSM, and pages that come back from swap. A guest that bursts uses all that it is given.
 */

#include "host-agent/policy/policy.h"

#define WHATIF_INFLATE_BPS UINT64_C(922746880)         /* until measured: 0.86 GiB/s (HyperAlloc, EuroSys'25, on real hardware) */
#define WHATIF_DEFLATE_BPS UINT64_C(2254857830)        /* 2.1 GiB/s */

struct whatif_request {
        uint64_t start_bytes;                  /* of VMs to come, with their overhead: as a reservation for them; 0: none */
        uint64_t host_use_bytes;               /* taken by others than VMs, besides what they have now */
        uint64_t swap_total_bytes;             /* disk-backed swap that there would be; unknown: as it is */
        uint64_t inflate_bps, deflate_bps;     /* of one balloon, bytes a second */
};

/* One for each VM, in the order of the VMs. */
struct whatif_vm {
        bool bursts;                           /* in: uses all that it is given, up to its maximum */
        bool obeys;                            /* its balloon moves */
        bool reports;                          /* and its guest says what it needs */
        uint64_t need_bytes;                   /* what the guest uses */
        uint64_t touched_bytes, swap_bytes;    /* what QEMU holds of memory and swap; of it, in swap now */
        uint64_t now_bytes, then_bytes;        /* the balloon's size; unknown counts as max */
};

/* Every guest uses all that its balloon leaves it, reservations are used, and every merged page is written: all at once. */
struct whatif_worst {
        uint64_t needed_bytes;                 /* by the VMs */
        uint64_t memory_bytes;                 /* there is for them: what others than VMs use is taken off, the reserve is not, for now it is used */
        uint64_t swap_used_bytes, swap_total_bytes; /* disk-backed, by anyone; used: what is needed, be there as much or not */
        bool above_ceiling;                    /* more swap than the ceiling allows */
        bool oom_possible;                     /* more than there is memory and swap that VMs may use, or of what cannot swap more than memory */
};

struct whatif_result {
        struct policy_plan before, after;      /* as of now, and when nothing moves any more */
        struct whatif_worst worst_before, worst_after; /* the worst case at these two moments */
        uint64_t least_bytes;                  /* the VMs' least, with the reservations that there are */
        uint64_t rule_bytes;                   /* what the changed host can bear */
        uint64_t missing_bytes;                /* of least and start; 0: it fits */
        uint64_t safe_usec;                    /* until the rule holds, with what is to start; unknown: it does not come to that */
        uint64_t settled_usec;                 /* until nothing moves any more; unknown: that was not reached in the time looked at */
        uint64_t looked_usec;                  /* that time */
        uint64_t swap_peak_bytes;              /* on the way, by anyone */
        unsigned steps;                        /* decisions that were simulated */
};

/* What is asked about: the live state after a decision; only read. */
struct whatif_live {
        const struct policy_config *config;
        const struct policy_host *host;
        const struct policy_state *state;
        const struct policy_vm *vms;
        size_t n_vms;
        uint64_t now_usec;                     /* not before that decision */
};

/* models, scratch and work: n_vms entries each. scratch and work are written over; scratch then holds the VMs as they end. At most 300,000 VM-steps:
 * less than 100 ms. */
void policy_whatif(const struct whatif_live *live, const struct whatif_request *request, struct whatif_vm *models, struct policy_vm *scratch,
                    struct policy_work *work, struct whatif_result *ret);
