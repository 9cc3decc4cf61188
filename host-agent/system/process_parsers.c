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
        if (!take_u64(&p, &value) || strncmp(p, " kB", 3) != 0)
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
                        if (!take_u64(&p, field == 22 ? &start : &ticks[field - 14]))
                                return -EBADMSG;
                } else
                        p += strcspn(p, " \n");
        }
        if (state == 'Z' || state == 'X' || state == 'x')
                return -ESRCH; /* has no memory any more */
        sample->run_usec = u64_mul_div(u64_add(ticks[0], ticks[1]), USEC_PER_SEC, ticks_per_sec);
        sample->start_ticks = start;
        sample->stopped = state == 'T' || state == 't';
        return 0;
}

/*
 * Which mappings are guest RAM? smaps does not say, so by what QEMU does:
 * - it is writable and not executable. TCG's translation cache is executable, and without a tb-cache limit it is a mapping of 1 GiB
 *   (QEMU 7.2), as large as many a guest;
 * - it is at least a quarter of the VM's memory: RAM is one mapping, or one for each NUMA node or DIMM; and at least 32 MiB, for small VMs:
 *   video memory (16 MiB) and what glibc's arenas commonly grow to stay below;
 * - or, for a VM of many small DIMMs, at least 128 MiB (the least DIMM; glibc's arenas are 64 MiB) and either advised to use huge pages
 *   (VmFlags hg), which QEMU does for all RAM and glibc for none of its memory, or made of huge pages (ht).
 */
#define RAM_MIN (32 * MIB)
#define DIMM_MIN (128 * MIB)

static bool is_guest_ram(const struct overhead_parser *parser) {
        if (!parser->data)
                return false;
        return (parser->ram_bytes > 0 && parser->size_bytes >= MAX(parser->ram_bytes / 4, RAM_MIN)) ||
               (parser->advised && parser->size_bytes >= DIMM_MIN);
}

void overhead_parse_end(struct overhead_parser *parser) {
        if (!parser->inside)
                return;
        if (is_guest_ram(parser))
                parser->ram_found_bytes = u64_add(parser->ram_found_bytes, parser->size_bytes);
        else
                parser->overhead_bytes = u64_add(parser->overhead_bytes, parser->used_bytes);
        parser->inside = false;
}

/* "7f0c27e00000-7f0c47e00000 rw-p 00000000 00:00 0   [heap]" begins a mapping; the lines of its fields begin with a capital letter. */
static const char *mapping_permissions(const char *line) {
        static const char hex[] = "0123456789abcdef";
        size_t n = strspn(line, hex), m;

        if (n == 0 || line[n] != '-')
                return NULL;
        m = strspn(line + n + 1, hex);
        return m > 0 && line[n + 1 + m] == ' ' ? line + n + 1 + m + 1 : NULL;
}

static void begin_mapping(struct overhead_parser *parser, const char *line, const char *permissions) {
        overhead_parse_end(parser);
        parser->inside = true;
        parser->data = permissions[0] == 'r' && permissions[1] == 'w' && permissions[2] == '-' && !strstr(line, " [heap]") && !strstr(line, " [stack");
        parser->advised = false;
        parser->size_bytes = parser->used_bytes = 0;
}

/* Adds "Name:  123 kB" where the line has that name. */
static void add_field(const char *line, const char *name, uint64_t *sum) {
        size_t n = strlen(name);
        uint64_t bytes;

        if (strncmp(line, name, n) != 0)
                return;
        bytes = kib_value(line, n);
        if (bytes != AEROSTAT_UNKNOWN)
                *sum = u64_add(*sum, bytes);
}

void overhead_parse_line(struct overhead_parser *parser, const char *line) {
        static const char flags[] = "VmFlags:";
        const char *permissions = mapping_permissions(line);

        if (permissions) {
                begin_mapping(parser, line, permissions);
                return;
        }
        add_field(line, "Size:", &parser->size_bytes);
        add_field(line, "Rss:", &parser->used_bytes);
        add_field(line, "Swap:", &parser->used_bytes);
        if (strncmp(line, flags, strlen(flags)) == 0)
                parser->advised = strstr(line, " hg") || strstr(line, " ht");
}
