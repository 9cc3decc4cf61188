/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>

#include "host-agent/control/metrics.h"
#include "host-agent/manager/nodes.h"

static void head(FILE *f, const char *name, const char *help) {
        fprintf(f, "# HELP %s %s\n# TYPE %s gauge\n", name, help, name);
}

/* What is known of each node. */
static void format_sizes(FILE *f, const struct host_view *h) {
        static const struct {
                const char *name, *help;
                size_t offset;
        } sizes[] = {
                { "aerostat_host_node_memory_bytes", "Memory of the NUMA node.", offsetof(struct policy_node, total_bytes) },
                { "aerostat_host_node_available_bytes", "Memory available on the node, estimated as the kernel does for the host.",
                  offsetof(struct policy_node, available_bytes) },
        };

        for (size_t m = 0; m < ARRAY_SIZE(sizes); m++) {
                head(f, sizes[m].name, sizes[m].help);
                for (size_t i = 0; i < MIN(h->host->n_nodes, POLICY_NODES_MAX); i++)
                        if (h->host->nodes[i].total_bytes > 0)
                                fprintf(f, "%s{node=\"%zu\"} %" PRIu64 "\n", sizes[m].name, i,
                                        *(const uint64_t *) (const void *) ((const char *) &h->host->nodes[i] + sizes[m].offset));
        }
}

/* What is promised where VMs are bound. */
static void format_bounds(FILE *f, const struct policy_plan *p) {
        static const struct {
                const char *name, *help;
                size_t offset;
        } bounds[] = {
                { "aerostat_host_node_capacity_bytes", "Memory that VMs bound to the node can have there.",
                        offsetof(struct policy_nodeset, capacity_bytes) },
                { "aerostat_host_node_limit_bytes", "What they may be committed to: with the node's part of what swap or KSM may add.",
                  offsetof(struct policy_nodeset, rule_bytes) },
                { "aerostat_host_node_committed_bytes", "What they can take at most as they are.", offsetof(struct policy_nodeset, committed_bytes) },
                { "aerostat_host_node_deficit_bytes", "What they can take beyond the limit; 0 when the node is safe.",
                  offsetof(struct policy_nodeset, deficit_bytes) },
                { "aerostat_host_node_vms", "VMs that are bound to the node.", offsetof(struct policy_nodeset, n_vms) },
        };
        char nodes[NODES_TEXT_MAX];

        for (size_t m = 0; p->n_nodesets > 0 && m < ARRAY_SIZE(bounds); m++) {
                head(f, bounds[m].name, bounds[m].help);
                for (size_t k = 0; k < p->n_nodesets; k++)
                        fprintf(f, "%s{node=\"%s\"} %" PRIu64 "\n", bounds[m].name, nodes_to_string(p->nodesets[k].mask, nodes),
                                *(const uint64_t *) (const void *) ((const char *) &p->nodesets[k] + bounds[m].offset));
        }
}

void metrics_format_nodes(FILE *f, const struct host_view *h) {
        if (h->host->n_nodes < 2)
                return;
        format_sizes(f, h);
        format_bounds(f, h->plan);
}
