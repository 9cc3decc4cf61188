/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/system/nodes.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "host-agent/system/parsers.h"
#include "protocol/procfs.h"
#include "protocol/units.h"

#define FILE_MAX 8192 /* 40 lines of 40 characters */

/* "Node 0 MemTotal:       24689764 kB". The value, or false where the line has another name or form. */
static bool take_line(const char *line, const char *name, uint64_t *ret_bytes) {
        size_t n = strlen(name);
        uint64_t number;

        if (strncmp(line, "Node ", 5) != 0)
                return false;
        line += 5;
        if (!procfs_take_u64(&line, &number) || *line != ' ' || strncmp(line + 1, name, n) != 0 || line[1 + n] != ':')
                return false;
        line += n + 2;
        line += strspn(line, " \t");
        if (!procfs_take_u64(&line, &number) || strncmp(line, " kB", 3) != 0 || (line[3] != '\n' && line[3] != 0))
                return false;
        *ret_bytes = u64_mul(number, KIB);
        return true;
}

int node_meminfo_parse(const char *text, struct node_sample *ret) {
        uint64_t total = AEROSTAT_UNKNOWN, free = AEROSTAT_UNKNOWN, active = 0, inactive = 0, slab = 0, reclaimable = AEROSTAT_UNKNOWN;

        while (*text) {
                /* Each line is one of these, or of no interest. */
                (void) (take_line(text, "MemTotal", &total) || take_line(text, "MemFree", &free) || take_line(text, "Active(file)", &active) ||
                        take_line(text, "Inactive(file)", &inactive) || take_line(text, "KReclaimable", &reclaimable) ||
                        take_line(text, "SReclaimable", &slab));
                text += strcspn(text, "\n");
                text += *text == '\n';
        }
        if (total == AEROSTAT_UNKNOWN || free == AEROSTAT_UNKNOWN)
                return -EBADMSG;
        *ret = (struct node_sample) {
                .total_bytes = total, .free_bytes = MIN(free, total), .file_bytes = MIN(u64_add(active, inactive), total),
                .reclaimable_bytes = MIN(reclaimable != AEROSTAT_UNKNOWN ? reclaimable : slab, total),
        };
        return 0;
}

void nodes_estimate(struct nodes_sample *nodes, uint64_t host_available_bytes) {
        uint64_t total = 0, raw = 0, kept;

        for (size_t i = 0; i < nodes->n; i++) {
                struct node_sample *n = &nodes->nodes[i];

                n->available_bytes = MIN(u64_add(u64_add(n->free_bytes, n->file_bytes), n->reclaimable_bytes), n->total_bytes);
                raw = u64_add(raw, n->available_bytes);
                total = u64_add(total, n->total_bytes);
        }
        kept = host_available_bytes == AEROSTAT_UNKNOWN ? 0 : u64_sub(raw, host_available_bytes);
        for (size_t i = 0; i < nodes->n; i++) {
                struct node_sample *n = &nodes->nodes[i];

                n->available_bytes = u64_sub(n->available_bytes, u64_mul_div(kept, n->total_bytes, total));
        }
}

int nodes_sample_read(int root_fd, uint64_t mask, uint64_t host_available_bytes, struct nodes_sample *ret) {
        struct nodes_sample sample = { 0 };
        char path[64], buf[FILE_MAX];

        if ((mask & (mask - 1)) == 0) {
                *ret = sample;
                return 0;
        }
        for (unsigned i = 0; i < NODES_MAX; i++) {
                ssize_t r;

                if (!(mask >> i & 1))
                        continue;
                snprintf(path, sizeof(path), "sys/devices/system/node/node%u/meminfo", i);
                r = procfs_read(root_fd, path, buf, sizeof(buf));
                if (r >= 0)
                        r = node_meminfo_parse(buf, &sample.nodes[i]);
                if (r < 0)
                        return (int) r;
                sample.n = i + 1;
        }
        nodes_estimate(&sample, host_available_bytes);
        *ret = sample;
        return 0;
}
