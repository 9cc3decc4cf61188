/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * One guest as it runs: its memory, its balloon, and what it tells. A model, not a kernel: memory that the workload wants is taken first; page cache
 * fills what is left, up to what the guest would like; the balloon takes free memory and cache, then the guest's own swap makes room, then it stops.
 * Demand that does not fit is counted as unmet instead of killing anybody.
 */

#include "tools/sim/random.h"
#include "tools/sim/scenario.h"

struct guest_report {
        uint64_t usec;                         /* when it was sent; 0: never in this boot */
        uint64_t actual_bytes, total_bytes, available_bytes, free_bytes, cache_bytes, swap_used_bytes;
        uint64_t psi_some_usec, refault_bytes, swap_in_bytes; /* counters */
        bool pressure;
};

struct guest {
        const struct guest_spec *spec;
        size_t demand_cursor, cache_cursor;
        uint64_t random;
        bool running, lost;                    /* lost: killed by the host's OOM killer */
        bool vm_paused;
        uint64_t started_usec, boot_until_usec, next_reboot_usec;
        /* the balloon */
        uint64_t target_bytes;                 /* asked for in this boot; unknown: nothing */
        uint64_t held_bytes;                   /* guest RAM that the guest really has */
        uint64_t actual_bytes;                 /* what QEMU shows */
        /* guest RAM */
        uint64_t want_bytes;                   /* demand now */
        uint64_t in_use_bytes, cache_bytes, swapped_bytes, unmet_bytes;
        uint64_t cache_known_bytes;            /* cache that was there before: reading it again is a refault */
        uint64_t touched_bytes;                /* what the host has had to back */
        uint64_t burst_until_usec, next_burst_usec;
        /* as the host has it; written by the host's model */
        uint64_t host_swap_bytes, own_swap_bytes; /* own: pushed out by its own cgroup's limit */
        uint64_t node_swap_bytes;              /* ... and because the node that it is bound to is full */
        uint64_t contain_bytes;                /* that limit; unknown: none */
        /* counters */
        uint64_t psi_some_usec, refault_bytes, swap_in_bytes, run_usec;
        /* the agent */
        struct guest_report report;
        uint64_t next_report_usec, pressure_sent_usec;
        uint64_t pressure_below_bytes;         /* told by the host */
};

/* What guests need to know of the rest. */
struct guest_world {
        uint64_t now_usec, elapsed_usec;
        uint64_t settle_usec;                  /* adversaries begin then */
        uint64_t report_interval_usec, stats_period_usec;
};

void guest_init(struct guest *g, const struct guest_spec *spec, uint64_t seed, size_t index);
void guest_start(struct guest *g, uint64_t now_usec, uint64_t boot_usec, uint64_t report_interval_usec);
void guest_stop(struct guest *g);
void guest_reboot(struct guest *g, uint64_t now_usec, uint64_t report_interval_usec);

/* One step: the workload, the balloon, the cache, and the counters. */
void guest_step(struct guest *g, const struct guest_world *w);

/* Sends a report if one is due: 1 a new one because of pressure or the first, 0 otherwise. */
bool guest_tell(struct guest *g, const struct guest_world *w);

/* MemAvailable. A limited guest's kernel holds on to its limit, and says so. */
static inline uint64_t guest_available(const struct guest *g) {
        return u64_sub(g->held_bytes, MAX(g->in_use_bytes, g->spec->behaviour == LIMITED ? g->spec->limit_bytes : 0));
}
