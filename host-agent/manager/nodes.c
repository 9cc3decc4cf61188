/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/manager/nodes.h"

#include <stdbool.h>
#include <stdio.h>

char *nodes_to_string(uint64_t mask, char buf[static NODES_TEXT_MAX]) {
        size_t n = 0;

        buf[0] = 0;
        for (unsigned first = 0; first < 64; first++) {
                unsigned last = first;

                if (!(mask >> first & 1))
                        continue;
                while (last < 63 && (mask >> (last + 1) & 1))
                        last++;
                n += (size_t) snprintf(buf + n, NODES_TEXT_MAX - n, last > first ? "%s%u-%u" : "%s%u", n > 0 ? "," : "", first, last);
                first = last;
        }
        return buf;
}

const struct policy_nodeset *nodes_worst(const struct policy_plan *plan) {
        const struct policy_nodeset *worst = NULL;

        for (size_t i = 0; i < plan->n_nodesets; i++) {
                const struct policy_nodeset *s = &plan->nodesets[i];

                if ((s->deficit_bytes > 0 || !s->floors_fit) && (!worst || s->deficit_bytes > worst->deficit_bytes))
                        worst = s;
        }
        return worst;
}

const struct policy_nodeset *nodes_unsafe(const struct policy_plan *plan) {
        const struct policy_nodeset *worst = plan->deficit_bytes == 0 && plan->resident_deficit_bytes == 0 ? nodes_worst(plan) : NULL;

        return worst && worst->deficit_bytes > 0 ? worst : NULL;
}
