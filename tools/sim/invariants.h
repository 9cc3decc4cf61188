/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The invariants of the policy (docs/POLICY.md), as checks on one decision. They reckon from the input anew and share no code with the policy.
 * The simulator asks after every decision, the property tests after every generated one.
 */

#include "host-agent/policy/policy.h"

#define INVARIANTS 10 /* I1 .. I10; index 0 is not used */

struct violations {
        uint64_t count[INVARIANTS + 1];
        char first[256];                       /* the first one, in words; "" if none */
};

/* What stood before the decision that is checked. */
struct invariants_before {
        bool unsafe;                           /* state.unsafe */
        enum policy_host_state host_state;
};

/* I1-I5, I9, I10 on what policy_decide() wrote into vms and plan. */
void invariants_check(const struct policy_config *config, const struct policy_host *host, uint64_t now_usec, const struct invariants_before *before,
                      const struct policy_vm *vms, size_t n_vms, const struct policy_plan *plan, struct violations *v);

void invariants_violate(struct violations *v, unsigned which, const char *format, ...) __attribute__((format(printf, 3, 4)));
uint64_t invariants_total(const struct violations *v);
