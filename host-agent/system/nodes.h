/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The memory of the host's NUMA nodes. A node has no MemAvailable of its own in the kernel; here it is estimated as the kernel does it for the host
 * (si_mem_available() in mm/show_mem.c): what is free, file cache and slab that can be reclaimed, less what the kernel keeps for itself of these.
 * How much that is (watermarks, half of a small cache) is the difference to the host's own MemAvailable, and each node's part of it is by size: so
 * that the nodes together have what the host has. Takes a root directory fd ("/" or a fixture tree). Main thread.
 */

#include <stddef.h>
#include <stdint.h>

#define NODES_MAX 64

/* sys/devices/system/node/nodeN/meminfo, KiB -> bytes. */
struct node_sample {
        uint64_t total_bytes;                  /* MemTotal; 0: there is no such node, or it has no memory */
        uint64_t free_bytes;                   /* MemFree */
        uint64_t file_bytes;                   /* Active(file) + Inactive(file) */
        uint64_t reclaimable_bytes;            /* KReclaimable; before Linux 4.20 SReclaimable */
        uint64_t available_bytes;              /* estimated, see above */
};

struct nodes_sample {
        size_t n;                              /* one more than the largest number of a node with memory; up to 1: memory is in one piece */
        struct node_sample nodes[NODES_MAX];   /* by number */
};

/* Reads the nodes of mask (bit n: node n). host_available_bytes: MemAvailable of the same moment. One node or none: nothing is read, and n is 0.
 * -errno when one of them cannot be read: then *ret is as it was. */
int nodes_sample_read(int root_fd, uint64_t mask, uint64_t host_available_bytes, struct nodes_sample *ret);
