/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * aerostatd's reading of NUMA nodes on a kernel that has several: PID 1 of a guest that test_nodes.py boots. Reads the nodes, then once more while a
 * process that is bound to the last node holds memory there. For each a JSON line on the console.
 *
 *   node-sample MIB
 */

#include <inttypes.h>
#include <linux/mempolicy.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host-agent/system/host.h"
#include "host-agent/system/nodes.h"
#include "protocol/procfs.h"
#include "protocol/units.h"
#include "tests/lab/guest/pid1.h"

static void sample(int root_fd, const char *when) {
        struct host_config_sample config;
        struct nodes_sample nodes;
        struct host_sample host;

        if (host_config_read(root_fd, &config) < 0 || host_sample_read(root_fd, &host) < 0 ||
            nodes_sample_read(root_fd, config.node_mask, host.meminfo.available_bytes, &nodes) < 0)
                die("sampling");
        printf("{\"when\": \"%s\", \"total\": %" PRIu64 ", \"available\": %" PRIu64 ", \"nodes\": [", when, host.meminfo.total_bytes,
               host.meminfo.available_bytes);
        for (size_t i = 0; i < nodes.n; i++)
                printf("%s{\"total\": %" PRIu64 ", \"free\": %" PRIu64 ", \"available\": %" PRIu64 "}", i > 0 ? ", " : "", nodes.nodes[i].total_bytes,
                       nodes.nodes[i].free_bytes, nodes.nodes[i].available_bytes);
        printf("]}\n");
        fflush(stdout);
}

int main(int argc, char **argv) {
        size_t size = argc > 1 ? strtoul(argv[1], NULL, 10) * MIB : 64 * MIB;
        int root_fd = procfs_open_root("/");
        struct host_config_sample config;
        unsigned long mask;
        char *held;

        if (root_fd < 0 || host_config_read(root_fd, &config) < 0 || config.node_mask == 0)
                die("nodes");
        sample(root_fd, "idle");
        mask = 1ul << (63 - __builtin_clzll(config.node_mask));
        held = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (held == MAP_FAILED || syscall(SYS_mbind, held, size, MPOL_BIND, &mask, 64ul, 0ul) < 0)
                die("mbind");
        memset(held, 1, size);
        sample(root_fd, "held");
        done();
}
