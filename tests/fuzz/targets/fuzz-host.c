/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the host agent reads from /proc, /sys and cgroups. The first byte chooses the parser, the rest is the file. Names of processes, of swap
 * files and of groups in them are other people's choice. */

#include <errno.h>
#include <sys/mman.h>

#include "host-agent/system/cgroup.h"
#include "host-agent/system/lines.h"
#include "host-agent/system/parsers.h"
#include "tests/fuzz/fuzz.h"

static void fuzz_process(const char *text) {
        struct process_sample sample;
        int r = process_stat_parse(text, 100, &sample);

        CHECK(r == 0 || r == -EBADMSG || r == -ESRCH);
        process_status_parse(text, &sample);
}

static void fuzz_node(const char *text) {
        struct nodes_sample nodes = { .n = 2, .nodes = { { .total_bytes = 1 << 30, .free_bytes = 1 << 20 } } };
        struct node_sample *n = &nodes.nodes[1];
        int r = node_meminfo_parse(text, n);

        CHECK(r == 0 || r == -EBADMSG);
        CHECK(n->free_bytes <= n->total_bytes && n->file_bytes <= n->total_bytes && n->reclaimable_bytes <= n->total_bytes);
        nodes_estimate(&nodes, 1 << 19);
        CHECK(n->available_bytes <= n->total_bytes);
}

static void fuzz_zoneinfo(char *text) {
        uint64_t pages;

        for (char *save, *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
                CHECK(!pageset_count_parse(line, &pages) || strstr(line, "count:"));
}

static void fuzz_mappings(char *text) {
        struct mapping mapping;

        for (char *save, *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
                if (mapping_parse(line, &mapping)) {
                        CHECK(mapping.start < mapping.end);
                        (void) mapping_is_overhead(&mapping, 1 << 30);
                }
}

/* Lines of proc/PID/cgroup up to the first empty one, then those of mountinfo. */
static void fuzz_cgroup(char *text) {
        static struct cgroup_place place;
        char *mounts = strstr(text, "\n\n"), *save, *line;

        place.found = place.mounted = false;
        if (mounts) {
                *mounts = 0;
                mounts += 2;
        }
        for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
                cgroup_parse_membership(&place, line);
        if (!mounts)
                return;
        for (line = strtok_r(mounts, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
                cgroup_parse_mount(&place, line);
        if (place.found)
                CHECK(cgroup_parent_length(place.path) <= strlen(place.path));
        if (place.mounted)
                CHECK(place.found && place.root_length <= strlen(place.path) && place.mount[0] == '/');
}

/* Every byte is in a line, is a delimiter, or belongs to a line that is too long. */
static void fuzz_lines(const char *data, size_t size) {
        _cleanup_close_ int fd = memfd_create("lines", 0);
        struct lines lines;
        size_t n = 0;
        char *line;

        CHECK(fd >= 0 && write(fd, data, size) == (ssize_t) size && lseek(fd, 0, SEEK_SET) == 0);
        lines_init(&lines, fd, '\n');
        while (lines_next(&lines, &line) > 0) {
                n += strlen(line) + 1;
                CHECK(strlen(line) <= LINES_MAX);
        }
        CHECK(n <= size + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        _cleanup_free_ char *text = NULL;
        struct host_sample sample;

        if (size < 1 || size > 64 * 1024)
                return 0;
        text = fuzz_string(data + 1, size - 1);
        switch (*data) {
        case 's':
                swaps_parse(text, &sample);
                break;
        case 'a':
                arcstats_parse(text, &sample);
                break;
        case 'd':
                fuzz_node(text);
                break;
        case 'n':
                (void) number_parse(text);
                CHECK(list_mask(text) == 0 || list_count(text) > 0);
                (void) choice_is(text, "never");
                (void) cgroup_parse_limit(text);
                break;
        case 'p':
                fuzz_process(text);
                break;
        case 'z':
                fuzz_zoneinfo(text);
                break;
        case 'm':
                fuzz_mappings(text);
                break;
        case 'c':
                fuzz_cgroup(text);
                break;
        case 'l':
                fuzz_lines(text, size - 1);
                break;
        }
        return 0;
}
