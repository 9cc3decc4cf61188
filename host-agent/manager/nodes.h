/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* NUMA nodes in words, for whoever tells people about them. Pure. */

#include <stdint.h>

#include "host-agent/policy/policy.h"

#define NODES_TEXT_MAX 200     /* every second of 64 nodes takes 32 numbers and commas */

static inline unsigned nodes_count(uint64_t mask) {
        return (unsigned) __builtin_popcountll(mask);
}

/* "0-2,5": the form of libvirt's nodeset. Returns buf. */
char *nodes_to_string(uint64_t mask, char buf[static NODES_TEXT_MAX]);

/* The set of nodes that lacks most, or else one whose floors do not fit; NULL: all is well on all of them. */
const struct policy_nodeset *nodes_worst(const struct policy_plan *plan);

/* The set of nodes that makes the host unsafe, where nothing else does; else NULL. */
const struct policy_nodeset *nodes_unsafe(const struct policy_plan *plan);
