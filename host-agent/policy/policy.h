/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The policy: (configuration, state, snapshot, now) -> plan. Pure and deterministic: reads no clock, does no I/O, allocates nothing, so that the
 * daemon, the simulator and the property tests run the same code. docs/POLICY.md tells the reasoning; the comments here say what each
 * number is.
 *
 * Bytes, microseconds of one monotonic clock, parts per million. AEROSTAT_UNKNOWN where a value is not known. Any u64 is accepted anywhere: inputs
 * are clamped (sizes to POLICY_SIZE_MAX), sums saturate.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/base.h"

#define POLICY_SIZE_MAX (UINT64_C(1) << 52)    /* 4 PiB; larger sizes count as this */
#define POLICY_WEIGHT_MAX UINT64_C(1000000)

enum policy_mode {
        POLICY_GUARANTEED,             /* envelope = capacity + KSM credit: nothing swaps in the expected case */
        POLICY_SWAP_BACKED,            /* envelope = capacity + swap allowance */
        POLICY_OPPORTUNISTIC,          /* swap-backed envelope x overcommit factor */
};

struct policy_config {
        enum policy_mode mode;                 /* what the envelope promises; guaranteed is the default */
        uint64_t overcommit_factor_ppm;        /* opportunistic only; 1000000 .. 10000000; default 1.5 */
        uint64_t reserve_bytes;                /* kept free on the host; unknown: auto, see policy_auto_reserve() */
        uint64_t memory_bytes;                 /* budget for all VMs; unknown: what the host has */
        uint64_t headroom_ppm;                 /* of a guest's need, at least 64 MiB; default 20 % */
        uint64_t psi_target_ppm;               /* guest stall that is still fine: by it goes how much more cache a guest is given; default 0.5 % */
        uint64_t growth_pool_ppm;              /* of the envelope, kept unassigned for bursts; default 4 % */
        uint64_t max_shrink_ppm;               /* of max and second, for shrinking that nobody waits for; default 2 % */
        uint64_t fresh_usec;                   /* a report older than this is not believed: 3 intervals, at least 10 s */
        uint64_t swap_ceiling_ppm;             /* of the host's disk-backed swap that may ever be used; default 30 % */
        uint64_t swap_warn_ppm;                /* of the ceiling; default 80 % */
        uint64_t ksm_credit_ppm;               /* of what KSM saves that may be promised again; default 50 % */
};

/* The defaults of aerostatd.conf. */
void policy_config_init(struct policy_config *ret);

/* min(6 % of memory, 899 MiB for the first 28 GiB + 1 % of the rest): the scale of VMware's minFree; percentages alone fail on large hosts. */
uint64_t policy_auto_reserve(uint64_t memory_bytes);

#define POLICY_NODES_MAX 64
#define POLICY_NODESETS_MAX 64

/* A NUMA node as sampled. */
struct policy_node {
        uint64_t total_bytes;                  /* 0: there is no such node, or it has no memory */
        uint64_t available_bytes;              /* of it; the nodes together have what the host has available */
};

/* The host as sampled. */
struct policy_host {
        uint64_t total_bytes;                  /* MemTotal */
        uint64_t available_bytes;              /* MemAvailable, and the free pages in CPUs' own lists */
        uint64_t limit_bytes;                  /* the least memory limit among the cgroups above all VMs; unknown: none */
        uint64_t swap_total_bytes;             /* disk-backed swap; zram earns nothing, for it is RAM */
        uint64_t swap_used_bytes;              /* of it, by anyone */
        uint64_t swap_limit_bytes;             /* somebody else's limit on the swap of all VMs: promises beyond it are not kept; unknown: none */
        uint64_t swap_zram_used_bytes;         /* of zram, by anyone: VMs' swap_bytes may be there (swap_on_disk); unknown counts as none */
        uint64_t zswap_bytes;                  /* RAM that zswap may still take out of the allowance; 0: off */
        uint64_t arc_reclaimable_bytes;        /* the host's own ZFS cache above its minimum: not `other use`; unknown: none */
        uint64_t ksm_saved_bytes;              /* of what is in their rss, for VMs that are there (ksm_live_bytes) */
        uint64_t swap_out_bytes_per_sec;       /* of the last sample interval */
        uint64_t psi_some_ppm, psi_full_ppm;   /* avg10; unknown: no PSI */
        bool psi_event;                        /* a PSI trigger fired since the last decision, and not by limits that we set ourselves */
        bool only_zram;                        /* there is swap, but none of it on disk */
        bool khugepaged_refills;               /* khugepaged/max_ptes_none > 0 while THP is not "never": ballooned holes may fill again */
        uint64_t reserved_bytes;               /* sum of reservations not yet handed to a VM */
        uint64_t n_nodes;                      /* of nodes[], which is indexed by the node's number; up to 1: nobody is bound to a part of memory */
        struct policy_node nodes[POLICY_NODES_MAX];
};

/* One VM as sampled. */
struct policy_vm_input {
        uint64_t id;                           /* for the caller; equal input gives equal output whatever it is */
        uint64_t max_bytes;
        uint64_t floor_bytes;                  /* guaranteed minimum; clamped to max */
        uint64_t weight;                       /* 0 .. POLICY_WEIGHT_MAX; 0: what it demands when the demand of others is met, and no surplus */
        uint64_t pin_bytes;                    /* manual target, or unknown: automatic */

        bool managed;                          /* no: excluded, counted at max and never moved */
        bool fixed;                            /* the balloon frees nothing (no device, VFIO, locked, SEV/TDX): counted at max, never moved */
        bool hugepages;                        /* fixed on huge pages: counts its overhead only, the pool is already gone from MemAvailable */
        bool held;                             /* paused, migrating, saving: not moved */
        bool unresponsive;                     /* QEMU does not answer: cannot be moved, counts as unknown */
        bool autodeflate;                      /* the guest can grow on its own OOM without a grant */
        bool cannot_swap;                      /* locked memory, or a swap limit of 0 that is not ours; fixed VMs count as such anyway */
        uint64_t node_mask;                    /* bit n: it may have memory of NUMA node n; strictly so. 0: of all */

        uint64_t started_usec;                 /* when this boot began (start, reset, reboot, restore), on the caller's clock */
        bool balloon_confirmed;                /* in this boot the guest's driver has been heard of, so actual means something; else max counts */

        uint64_t actual_bytes;                 /* balloon size as QEMU has it; a claim; unknown counts as max */
        uint64_t target_bytes;                 /* what was last asked of the balloon in this boot; unknown: nothing yet */
        uint64_t rss_bytes, swap_bytes;        /* QEMU's resident and swapped memory; unknown counts as 0 evidence */
        uint64_t overhead_bytes;               /* QEMU memory that is not guest RAM; unknown: POLICY_OVERHEAD_DEFAULT */
        uint64_t run_usec;                     /* CPU time of the VM's process so far: whether it could run; unknown: believed to run */

        /* The guest's word; from its agent or from the balloon's statistics. report_usec 0: never in this boot. */
        uint64_t report_usec;                  /* when received */
        uint64_t report_actual_bytes;          /* actual when the report came: need is formed from one moment; unknown: actual_bytes */
        uint64_t guest_total_bytes;            /* MemTotal */
        uint64_t guest_available_bytes;        /* MemAvailable (plus reclaimable ARC) */
        uint64_t guest_free_bytes;             /* MemFree */
        uint64_t guest_cache_bytes;            /* Cached + Buffers - Shmem; unknown counts as none */
        uint64_t guest_swap_total_bytes, guest_swap_used_bytes; /* its own swap; unknown counts as none */
        uint64_t guest_swap_excess_bytes;      /* of its own swap used beyond the ceiling for guests; unknown counts as none */
        uint64_t guest_psi_some_total_usec;    /* counters; unknown where the guest has none */
        uint64_t guest_refault_bytes;          /* file cache that it read back, so far in this boot; a counter, as the next two are */
        uint64_t guest_swap_in_bytes;          /* read back from its own swap */
        uint64_t guest_oom_kills;              /* processes that it killed for lack of memory */
        bool guest_pressure;                   /* this report came because of pressure */
};

#define POLICY_OVERHEAD_DEFAULT (UINT64_C(128) << 20)  /* until measured: above the 95 MiB seen under TCG and the 30-60 MiB under KVM */

/* What the policy remembers about a VM; zero-initialised by the caller for a new VM, kept from call to call, otherwise private to the policy. */
struct policy_vm_state {
        uint64_t boot_usec;                    /* started_usec that the rest belongs to */
        /* learnt demand */
        uint64_t hot_cache_bytes;              /* cache that hurt when it was taken */
        uint64_t probe_after_usec, probe_interval_usec; /* when cache is next taken for a trial; the time between two trials */
        /* of the last report that was learnt from */
        uint64_t seen_report_usec, seen_psi_usec, seen_refault_bytes, seen_swap_in_bytes, seen_oom_kills;
        uint64_t pressure_until_usec;          /* the guest counts as under pressure until then */
        uint64_t untouched_until_usec;         /* it is believed to hold memory that it never touched until then */
        /* obedience */
        uint64_t window_since_usec, window_actual_bytes, window_gap_bytes, window_run_usec; /* where it was when its progress was last judged */
        uint64_t stuck_usec;                   /* a score: rises while it could obey and does not, falls while it obeys */
        bool uncooperative;                    /* stuck for long: may not grow past min(target, actual) until it has obeyed for a while */
        bool settled;                          /* the balloon had reached its target ... */
        uint64_t allowed_bytes;                /* ... and the most that was asked for since is this */
        bool taking;                           /* it holds clearly more than that */
        uint64_t distrust_until_usec;          /* it has taken memory, and counts at what it could take until then */
        uint64_t distrust_usec;                /* for how long, the last time */
        uint64_t speed_bps;                    /* at which its balloon inflates; unknown: not measured since it was asked */
        uint64_t practical_floor_bytes, practical_floor_until_usec; /* it could not go below, and for how long that is believed; 0: none */
        uint64_t breach_since_usec;            /* since when it holds more than its balloon leaves it; 0: it does not */
        bool breaching;                        /* ... for long enough to be said, and counted at max */
        /* pace */
        uint64_t shrunk_usec;                  /* when a lazy step was last made */
        uint64_t set_usec;                     /* when a target was last decided; 0: never */
        uint64_t revoked_bytes, revoked_usec;  /* the target that it was growing to when it was asked for less, and when that was; 0: none */
};

enum policy_class {
        POLICY_MANAGED,                        /* moves */
        POLICY_PINNED,                         /* held at a manual target */
        POLICY_FIXED,
        POLICY_EXCLUDED,
        POLICY_HELD,                           /* paused, migrating */
        POLICY_BOOTING,                        /* not heard of in this boot yet: counted at max */
        POLICY_UNKNOWN,                        /* was known, but its reports are stale; held at first, then moved on evidence */
        POLICY_UNCOOPERATIVE,                  /* was asked to shrink and did not */
        POLICY_BREACHING,                      /* uses more than its balloon leaves it */
};
const char *policy_class_to_string(enum policy_class class); /* "managed", ...: `state` of `list`; booting is "unknown" there */

/* Why a VM has the target that it has. */
enum policy_reason {
        POLICY_REASON_FITS,                    /* everything fits: max */
        POLICY_REASON_DEMAND,                  /* demand is met; surplus is shared by weight */
        POLICY_REASON_SHARE,                   /* demand exceeds its share of a short host */
        POLICY_REASON_FLOOR,                   /* held up by its floor */
        POLICY_REASON_FLOORS_DO_NOT_FIT,       /* the floors alone are more than the host can bear */
        POLICY_REASON_WAITS,                   /* is to grow as soon as memory has come back from others */
        POLICY_REASON_GRANTED,                 /* grew now */
        POLICY_REASON_FUNDS,                   /* shrank now, because others or the pool wait for it, or the host is unsafe */
        POLICY_REASON_EQUALIZES,               /* moves slowly to its share; nobody waits */
        POLICY_REASON_DEAD_BAND,               /* the difference is too small to move for */
        POLICY_REASON_PRACTICAL_FLOOR,         /* the guest could not go lower */
        POLICY_REASON_STUCK,                   /* does not obey; may not grow until it does */
        POLICY_REASON_TAKES,                   /* took memory back without being asked: counted at max until it has kept to its balloon for a while */
        POLICY_REASON_PINNED,
        POLICY_REASON_PINNED_WAITS,            /* pinned above what can be granted now */
        POLICY_REASON_FIXED,
        POLICY_REASON_EXCLUDED,
        POLICY_REASON_HELD,
        POLICY_REASON_BOOTING,
        POLICY_REASON_UNKNOWN_HELD,
        POLICY_REASON_UNKNOWN_EVIDENCE,
        POLICY_REASON_UNRESPONSIVE,
        POLICY_REASON_BREACHING,
        POLICY_REASON_NODE,                    /* the NUMA nodes that it is bound to cannot hold more */
        _POLICY_REASON_MAX,
};
const char *policy_reason_to_string(enum policy_reason reason); /* "fits", "demand", ... */

struct policy_vm_plan {
        enum policy_class class;               /* what it is, which says whether it is moved */
        enum policy_reason reason;             /* why it has this target, or none of its own */
        bool set;                              /* ask the balloon for target_bytes now */
        bool contain;                          /* breaching: its cgroup should be limited to target + overhead */
        bool gap;                              /* its balloon is on the way: look at it often */
        uint8_t nodeset;                       /* its place in the plan's nodesets, from 1; 0: it is bound to no part of memory */
        uint64_t target_bytes;                 /* what to ask for (or what stands); floor .. max */
        uint64_t ideal_bytes;                  /* where it should end up */
        uint64_t need_bytes, hot_bytes, headroom_bytes; /* terms of the demand; unknown without a report */
        uint64_t demand_bytes;                 /* their sum, clamped to what the host sees; unknown without a report */
        uint64_t entitled_bytes;               /* what it gets when everybody wants everything */
        uint64_t floor_bytes;                  /* in force: with the practical floor */
        uint64_t committed_bytes;              /* POLICY: max(actual + overhead, rss + swap); max while booting, fixed, breaching */
        uint64_t pressure_below_bytes;         /* ask the agent to report at once when MemAvailable falls below: half the headroom */
};

/* How short the host is; what enters and leaves each is in docs/POLICY.md. */
enum policy_host_state { POLICY_NORMAL, POLICY_TIGHT, POLICY_HARD, POLICY_CRITICAL };
const char *policy_host_state_to_string(enum policy_host_state state); /* "normal", ... */

/* Whether the promise is proved, proved but for the weaknesses below, or not. */
enum policy_guarantee { POLICY_FULL, POLICY_CONDITIONAL, POLICY_NONE };
const char *policy_guarantee_to_string(enum policy_guarantee guarantee); /* "full", "conditional", "none" */

/* What weakens the proof; a bit mask. */
enum policy_weakness {
        POLICY_WEAK_MODE = 1 << 0,             /* opportunistic: statistics instead of proof */
        POLICY_WEAK_AUTODEFLATE = 1 << 1,      /* a guest can take memory back on its own OOM, without a grant */
        POLICY_WEAK_KHUGEPAGED = 1 << 2,       /* holes that balloons made may fill again */
        POLICY_WEAK_BREACHING = 1 << 3,        /* a VM holds more than its balloon leaves it */
        POLICY_WEAK_UNCOOPERATIVE = 1 << 4,    /* a VM does not give back what is asked */
        POLICY_WEAK_ONLY_ZRAM = 1 << 5,        /* there is swap, and all of it is memory itself */
        POLICY_WEAK_UNSAFE = 1 << 6,           /* the rule does not hold now */
        POLICY_WEAK_FLOORS = 1 << 7,           /* what cannot swap and the floors exceed capacity */
};
#define POLICY_WEAKNESSES 8
const char *policy_weakness_to_string(enum policy_weakness one); /* "autodeflate", ... */

/* What is remembered of a set of nodes (nodes.c). */
struct policy_nodeset_state {
        uint64_t mask;                         /* bit n: node n */
        uint64_t other_bytes;                  /* used there by all others: up at once, down slowly */
        bool fits;                             /* all its VMs could have their max, as of the last decision */
};

/* What the policy remembers about the host; zero-initialised by the caller at start. */
struct policy_state {
        uint64_t decided_usec;                 /* the last decision; 0: none yet */
        uint64_t other_bytes;                  /* used by all others than VMs: up at once, down slowly, or at once when a VM is found to be part */
        uint64_t n_measured;                   /* VMs of which rss was known at the last decision */
        uint64_t correction_bytes;             /* feedback from reality, off the envelope: up at once, down slowly */
        uint64_t correction_hold_until_usec;   /* MemAvailable lags: do not squeeze twice for one shortfall */
        uint64_t correction_shortfall_bytes;   /* that it was last raised for */
        enum policy_host_state host_state;     /* with hysteresis: leaving takes clearly more than entering */
        uint64_t swapped_out_usec;             /* when swap-out was last seen; 0: never */
        bool unsafe, fits;                     /* as of the last decision */
        size_t n_nodesets;
        struct policy_nodeset_state nodesets[POLICY_NODESETS_MAX]; /* in the order of the plan's */
};

/* NUMA nodes that some VM is bound to strictly, together: a bound of their own on all VMs that may use nothing but these nodes, or some of them. */
struct policy_nodeset {
        uint64_t mask;                         /* bit n: node n */
        uint64_t total_bytes, available_bytes; /* of these nodes */
        uint64_t reserve_bytes;                /* their part of the host's, by size */
        uint64_t other_bytes;                  /* used there by all others: processes, VMs that are not bound to them; up at once, down slowly */
        uint64_t capacity_bytes;               /* total - other - reserve */
        uint64_t rule_bytes;                   /* with their part of what the host's envelope has beyond its capacity: what liable may reach */
        uint64_t n_vms;
        uint64_t committed_bytes, liable_bytes, max_bytes; /* of those VMs */
        uint64_t deficit_bytes, free_bytes;    /* liable above, or below, the rule */
        uint64_t floors_bytes;                 /* what cannot move, and the floors of the rest, with overhead */
        uint64_t pool_bytes;                   /* of the growth pool, what is kept here */
        bool fits;                             /* all these VMs can have their max here */
        bool floors_fit;                       /* all of them can have their floor here */
};

struct policy_plan {
        uint64_t memory_bytes;                 /* the budget in force */
        uint64_t available_bytes;              /* the smaller of the real one, with reclaimable ARC, and what the budget leaves */
        uint64_t over_bytes;                   /* what VMs hold beyond the budget */
        uint64_t reserve_bytes;                /* kept free on the host */
        uint64_t other_bytes;                  /* used by all others than VMs, beyond the budget where there is one */
        uint64_t capacity_bytes;               /* min(memory - other, the least cgroup limit) - reserve */
        uint64_t allowance_bytes;              /* of disk-backed swap, what VMs may use below the ceiling */
        uint64_t ksm_credit_bytes;             /* of what KSM saves, what is promised again */
        uint64_t correction_bytes;             /* feedback from reality */
        uint64_t envelope_bytes;               /* capacity and what the mode adds (enum policy_mode) */
        uint64_t rule_bytes;                   /* envelope - correction: what committed + reservations may reach */
        uint64_t committed_bytes;              /* sum over VMs */
        uint64_t liable_bytes;                 /* committed, with grants that are on their way */
        uint64_t max_bytes;                    /* sum of max */
        uint64_t deficit_bytes;                /* liable + reservations above the rule; 0: safe */
        uint64_t free_bytes;                   /* below it */
        uint64_t pool_bytes;                   /* growth pool aimed at */
        uint64_t floors_bytes;                 /* what cannot move or swap, and the floors of the rest, with overhead */
        /* The second bound: what has to stay in memory, whatever the mode lets swap back. */
        uint64_t resident_rule_bytes;          /* capacity - correction: what resident + reservations may reach */
        uint64_t resident_bytes;               /* what VMs that cannot swap may hold, and the floors of the others, with overhead */
        uint64_t resident_least_bytes;         /* the same when all that can move are at their floors */
        uint64_t resident_deficit_bytes;       /* resident + reservations above it; 0: it holds */
        bool fits;                             /* everybody has max */
        bool unsafe;                           /* a rule does not hold, the host's or that of nodes, or what cannot swap is more than capacity */
        bool floors_fit;                       /* everybody's floor, and what cannot be moved, keeps both rules */
        enum policy_host_state host_state;
        enum policy_guarantee guarantee;
        unsigned weaknesses;                   /* enum policy_weakness */
        uint64_t next_usec;                    /* decide again after this many microseconds at the latest: 100 ms while anything is under way */
        size_t n_nodesets;                     /* 0 on a host with one node, and where nobody is bound to a part of the nodes */
        struct policy_nodeset nodesets[POLICY_NODESETS_MAX];
};

/* A VM in the caller's array. The policy reads input, keeps state, writes plan. */
struct policy_vm {
        struct policy_vm_input input;
        struct policy_vm_state state;
        struct policy_vm_plan plan;
};

/* Scratch space, one for each VM, supplied by the caller; means nothing between calls. Compact, for it is what the inner loops walk over. */
struct policy_work {
        uint64_t cap, weight, fill;            /* of policy_fill(): at most, by, gets */
        uint64_t max, actual, floor, overhead, liable, demand;
        uint64_t base, entitled, share, ideal; /* where it is, and where it should be */
        uint32_t open;                         /* index of a VM that still takes */
        uint64_t coming;                       /* what its balloon will have given back before long */
        bool moves, pinned;                    /* by the policy; by an operator */
        bool vouched;                          /* its class is not `unknown`: more than the host's evidence speaks for its demand */
        bool pressed, held_back;               /* under pressure; uncooperative */
        bool urgent;                           /* its demand is not met: memory is wanted at once */
        bool cut;                              /* by what its nodes can hold */
        uint8_t nodeset;                       /* as in the plan */
        bool resident;                         /* cannot swap: all that it may hold has to stay in memory */
        bool out;                              /* of policy_fill(): passed over */
        bool no_surplus;                       /* weight 0: nothing beyond its demand */
};

/* Decides. now_usec: never before that of the call before. work: n_vms entries. Near O(n). */
void policy_decide(const struct policy_config *config, const struct policy_host *host, uint64_t now_usec, struct policy_state *state,
                   struct policy_vm *vms, struct policy_work *work, size_t n_vms, struct policy_plan *ret_plan);

/* What all hold for good, as of the last decision: the floors of what can move, what is asked for pinned VMs, all of what cannot move, and overheads.
 * VM `index` counts with `bytes` instead (SIZE_MAX: none so). Reservations are not in it. */
uint64_t policy_least_bytes(const struct policy_vm *vms, size_t n_vms, size_t index, uint64_t bytes);
