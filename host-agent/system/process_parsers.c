/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/system/parsers.h"

#include <errno.h>
#include <string.h>

#include "protocol/units.h"

/* The value of "Name:   123 kB" in bytes. */
static uint64_t kib_value(const char *line, size_t name_length) {
        const char *p = line + name_length;
        uint64_t value;

        p += strspn(p, " \t");
        if (!procfs_take_u64(&p, &value) || strncmp(p, " kB", 3) != 0)
                return AEROSTAT_UNKNOWN;
        return u64_mul(value, KIB); /* saturates at "unknown" */
}

void process_status_parse(const char *text, struct process_sample *sample) {
        static const char rss[] = "\nVmRSS:", swap[] = "\nVmSwap:";
        const char *line;

        /* Names stand at the start of a line, and a process's own name, which could look like one, has its newlines escaped. */
        line = strstr(text, rss);
        sample->rss_bytes = line ? kib_value(line, strlen(rss)) : AEROSTAT_UNKNOWN;
        line = strstr(text, swap);
        sample->swap_bytes = line ? kib_value(line, strlen(swap)) : AEROSTAT_UNKNOWN;
}

/* Fields as proc(5) numbers them: 1 pid, 2 (comm), 3 state, 14 utime, 15 stime, 22 starttime. */
int process_stat_parse(const char *text, uint64_t ticks_per_sec, struct process_sample *sample) {
        uint64_t ticks[2] = {}, start = 0;
        const char *p = strrchr(text, ')'); /* comm may hold blanks and parentheses; nothing behind it does */
        char state;

        if (!p || p[1] != ' ' || !p[2] || p[3] != ' ')
                return -EBADMSG;
        state = p[2];
        p += 3;
        for (int field = 4; field <= 22; field++) {
                if (*p != ' ')
                        return -EBADMSG;
                p++;
                if (field == 14 || field == 15 || field == 22) {
                        if (!procfs_take_u64(&p, field == 22 ? &start : &ticks[field - 14]))
                                return -EBADMSG;
                } else
                        p += strcspn(p, " \n");
        }
        if (state == 'Z' || state == 'X' || state == 'x')
                return -ESRCH; /* has no memory any more */
        sample->run_usec = u64_mul_div(u64_add(ticks[0], ticks[1]), USEC_PER_SEC, ticks_per_sec);
        sample->start_ticks = start;
        return 0;
}

static bool take_hex(const char **s, uint64_t *ret) {
        uint64_t value = 0;
        int digits = 0;

        for (;; (*s)++, digits++) {
                char c = **s;
                if (c >= '0' && c <= '9')
                        value = value << 4 | (uint64_t) (c - '0');
                else if (c >= 'a' && c <= 'f')
                        value = value << 4 | (uint64_t) (c - 'a' + 10);
                else
                        break;
        }
        *ret = value;
        return digits >= 1 && digits <= 16;
}

/* "7f0c27e00000-7f0c47e00000 rw-p 00000000 00:00 0   [heap]" */
bool mapping_parse(const char *line, struct mapping *ret) {
        struct mapping m;

        if (!take_hex(&line, &m.start) || *line++ != '-' || !take_hex(&line, &m.end) || *line++ != ' ' || m.start >= m.end)
                return false;
        if (!line[0] || !line[1] || !line[2])
                return false;
        m.readable = line[0] == 'r';
        m.writable = line[1] == 'w';
        m.executable = line[2] == 'x';
        m.named = strstr(line, " [heap]") || strstr(line, " [stack");
        *ret = m;
        return true;
}

/*
 * Which mappings are guest RAM? The kernel does not say, so by what QEMU does:
 * - it is writable and not executable. TCG's translation cache is executable, and without a tb-cache limit it is a mapping of 1 GiB
 *   (QEMU 7.2), as large as many a guest;
 * - it is large. RAM is one mapping, or one for each NUMA node or DIMM, of which the least is 128 MiB. QEMU's own stay below that: glibc's
 *   arenas are 64 MiB, the cache for migration, too, video memory is 16 MiB. Of a VM of less than 512 MiB a quarter is enough, but never
 *   less than 32 MiB.
 */
bool mapping_is_overhead(const struct mapping *mapping, uint64_t ram_bytes) {
        uint64_t ram_min = CLAMP(ram_bytes / 4, 32 * MIB, 128 * MIB);

        if (!mapping->readable)
                return false; /* glibc reserves 64 MiB for each arena so */
        return !mapping->writable || mapping->executable || mapping->named || mapping->end - mapping->start < ram_min;
}

/* Documentation/admin-guide/mm/pagemap.rst: bit 63 in memory, bit 62 in swap. */
uint64_t pagemap_count(const uint64_t *entries, size_t n) {
        uint64_t count = 0;

        for (size_t i = 0; i < n; i++)
                count += (entries[i] >> 62) != 0;
        return count;
}
