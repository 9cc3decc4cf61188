/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The host's memory as it runs: what others use, what guests have touched, and what happens when that is more than there is: swap fills (zram first),
 * and when that is full the kernel kills the largest VM. Pages once swapped stay out for long, as they do in life.
 */

#include "tools/sim/guest.h"

struct host_node {
        uint64_t memory_bytes;
        uint64_t use_bytes;                    /* of processes bound to it */
        uint64_t available_bytes;
};

struct host {
        uint64_t memory_bytes, swap_total_bytes, zram_bytes;
        uint64_t others_bytes;                 /* base use and host processes */
        /* as of the last step */
        uint64_t available_bytes;
        uint64_t swap_used_bytes;              /* on disk */
        uint64_t own_swap_bytes;               /* of it, what VMs' own limits pushed out ... */
        uint64_t node_swap_bytes;              /* ... and what full NUMA nodes did */
        uint64_t zram_used_bytes;              /* swapped into zram, before compression */
        uint64_t swap_out_bps;
        uint64_t psi_some_ppm, psi_full_ppm;   /* avg10 */
        bool psi_event;                        /* since the last decision; the reader clears it */
        uint64_t psi_event_usec;
        uint64_t oom_kills;
        size_t n_nodes;                        /* 0: memory is in one piece */
        struct host_node nodes[POLICY_NODES_MAX];
};

/* What the kernel lets anybody use: it swaps when less than half a percent is free. */
#define HOST_WATERMARK_PPM 5000
static inline uint64_t host_usable_bytes(uint64_t memory_bytes) {
        return memory_bytes - u64_mul_div(memory_bytes, HOST_WATERMARK_PPM, 1000000);
}

void host_init(struct host *h, const struct scenario *scenario);
void host_step(struct host *h, struct guest *guests, size_t n_guests, uint64_t ceiling_bytes, const struct guest_world *w);

/* Resident memory of a VM's process. Huge pages are a pool of their own. */
static inline uint64_t host_guest_rss(const struct guest *g) {
        if (g->spec->hugepages)
                return g->spec->overhead_bytes;
        return u64_sub(g->touched_bytes + g->spec->overhead_bytes, g->host_swap_bytes);
}
