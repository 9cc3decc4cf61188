/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the checks share. Private to invariants.c and invariants_nodes.c. */

#include "protocol/units.h"
#include "tools/sim/invariants.h"

#define GRAIN (4 * MIB)                        /* grants and rounding */

#define LLU(x) ((unsigned long long) (x))

static inline uint64_t size(uint64_t bytes, uint64_t unknown) {
        return bytes == AEROSTAT_UNKNOWN ? unknown : MIN(bytes, POLICY_SIZE_MAX);
}

struct reckoned {
        uint64_t max, floor, overhead, actual, base, after, committed, liable, liable_after;
        uint64_t least;                        /* what it has been guaranteed, with overhead */
        bool movable;                          /* it may be asked to shrink now */
        bool resident;                         /* it cannot swap */
};

/* One VM from its input: what it may hold now, and what it may hold when it has done what was asked. */
struct reckoned invariants_reckon(const struct policy_vm *vm, uint64_t now_usec);

/* I2 and I3 for NUMA nodes that VMs are bound to. */
void invariants_check_nodes(const struct policy_host *host, uint64_t now_usec, const struct policy_vm *vms, size_t n_vms,
                            const struct policy_plan *plan, struct violations *v);
