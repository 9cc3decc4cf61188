/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What host.c and host_nodes.c share. */

#include "protocol/units.h"
#include "tools/sim/host.h"

#define ZRAM_RATIO 3
#define SWAP_IN_USEC (60 * USEC_PER_SEC)       /* time constant with which swapped pages come back when there is room */

/* What a VM takes of the host: of huge pages all at once. */
static inline uint64_t host_guest_takes(const struct guest *g) {
        return (g->spec->hugepages ? g->spec->memory_bytes : g->touched_bytes) + g->spec->overhead_bytes;
}

/* ... and what of it can be on disk. */
static inline uint64_t host_guest_swappable(const struct guest *g) {
        return g->spec->hugepages || g->spec->cannot_swap ? 0 : g->touched_bytes;
}

/* Swap that is taken away while it is in use goes as its pages come back: swapoff wants memory for them first. */
static inline uint64_t host_swap_bytes(const struct host *h) {
        return MAX(h->swap_total_bytes, h->swap_used_bytes);
}

/* Of those on a node, or of all (-1). False where there is nobody: host processes alone do not fit, which is not our business. */
bool host_kill_largest(struct host *h, struct guest *guests, size_t n_guests, int node);

/* host_nodes.c. Swaps out what does not fit on its node, beside `own` that is swapped already; returns all that is out for that. */
uint64_t host_nodes_push(struct host *h, struct guest *guests, size_t n_guests, uint64_t own, const struct guest_world *w);

/* What is available on each node. */
void host_nodes_settle(struct host *h, const struct guest *guests, size_t n_guests);
