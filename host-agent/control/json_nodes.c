/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The host's NUMA nodes, and the sets of several that VMs are bound to. */

#include "host-agent/control/json.h"
#include "host-agent/control/put.h"
#include "host-agent/manager/nodes.h"

/* s: what the VMs bound to just these nodes may have; NULL: nobody is bound so. */
static json_t *json_node(const struct host_view *h, uint64_t mask, const struct policy_nodeset *s) {
        uint64_t total = 0, available = 0, no = AEROSTAT_UNKNOWN;
        char nodes[NODES_TEXT_MAX];
        struct put put = put_new();

        for (size_t i = 0; i < POLICY_NODES_MAX; i++)
                if (mask >> i & 1) {
                        total = u64_add(total, h->host->nodes[i].total_bytes);
                        available = u64_add(available, h->host->nodes[i].available_bytes);
                }
        put_count(&put, "node", nodes_count(mask) == 1 ? (uint64_t) __builtin_ctzll(mask) : no);
        put_text(&put, "nodes", nodes_to_string(mask, nodes));
        put_bytes(&put, "total_bytes", total);
        put_bytes(&put, "available_bytes", available);
        put_bytes(&put, "reserve_bytes", s ? s->reserve_bytes : no);
        put_bytes(&put, "other_bytes", s ? s->other_bytes : no);
        put_bytes(&put, "capacity_bytes", s ? s->capacity_bytes : no);
        put_bytes(&put, "rule_bytes", s ? s->rule_bytes : no);
        put_bytes(&put, "committed_bytes", s ? s->committed_bytes : no);
        put_bytes(&put, "liable_bytes", s ? s->liable_bytes : no);
        put_bytes(&put, "deficit_bytes", s ? s->deficit_bytes : no);
        put_bytes(&put, "free_bytes", s ? s->free_bytes : no);
        put_bytes(&put, "pool_bytes", s ? s->pool_bytes : no);
        put_bytes(&put, "floors_bytes", s ? s->floors_bytes : no);
        put_bytes(&put, "max_bytes", s ? s->max_bytes : no);
        put_value(&put, "fits", s ? json_boolean(s->fits) : json_null());
        put_count(&put, "vms", s ? s->n_vms : 0);
        return put_end(&put);
}

json_t *json_nodes(const struct host_view *h) {
        const struct policy_plan *p = h->plan;
        json_t *array = json_array();
        int r = 0;

        for (size_t i = 0; i < MIN(h->host->n_nodes, POLICY_NODES_MAX); i++) {
                const struct policy_nodeset *s = NULL;

                if (h->host->nodes[i].total_bytes == 0)
                        continue;
                for (size_t k = 0; k < p->n_nodesets; k++)
                        if (p->nodesets[k].mask == UINT64_C(1) << i)
                                s = &p->nodesets[k];
                r |= json_array_append_new(array, json_node(h, UINT64_C(1) << i, s));
        }
        for (size_t k = 0; k < p->n_nodesets; k++)
                if (nodes_count(p->nodesets[k].mask) > 1)
                        r |= json_array_append_new(array, json_node(h, p->nodesets[k].mask, &p->nodesets[k]));
        if (r != 0) {
                json_decref(array);
                return NULL;
        }
        return array;
}
