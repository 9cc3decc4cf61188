/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the files of /proc and /sys say, apart from reading them: text in, numbers out. Private to this folder, its tests and its fuzzer. The
 * text is NUL-terminated. No allocation, no I/O; any thread. What is not there, malformed or too large is AEROSTAT_UNKNOWN.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "host-agent/system/host.h"
#include "host-agent/system/nodes.h"

/* A file that holds one number: "123\n". */
uint64_t number_parse(const char *text);

/* "0-1,3\n" -> 3: how many; 0 when malformed. */
uint32_t list_count(const char *text);

/* The same as bits; numbers from 64 on are left out. 0 when malformed. */
uint64_t list_mask(const char *text);

/* sysfs nodeN/meminfo, all but available_bytes; sizes above the total count as that. -EBADMSG without MemTotal or MemFree. */
int node_meminfo_parse(const char *text, struct node_sample *ret);

/* Fills in available_bytes. */
void nodes_estimate(struct nodes_sample *nodes, uint64_t host_available_bytes);

/* "always [madvise] never\n": whether this choice is the one in brackets. */
bool choice_is(const char *text, const char *choice);

/* /proc/swaps into the swap_ fields of a sample. */
void swaps_parse(const char *text, struct host_sample *sample);

/* /proc/spl/kstat/zfs/arcstats into the arc_ fields. */
void arcstats_parse(const char *text, struct host_sample *sample);

/* A line of /proc/zoneinfo: true where it is the length of a CPU's list of free pages. */
bool pageset_count_parse(const char *line, uint64_t *ret_pages);

/* /proc/PID/status: VmRSS and VmSwap; without them (a kernel thread, a zombie) unknown. */
void process_status_parse(const char *text, struct process_sample *sample);

/* /proc/PID/stat: the rest. 0; -ESRCH for a zombie; -EBADMSG. */
int process_stat_parse(const char *text, uint64_t ticks_per_sec, struct process_sample *sample);

/* A line of /proc/PID/maps. */
struct mapping {
        uint64_t start, end;           /* addresses; start < end */
        bool readable, writable, executable;
        bool named;                    /* [heap], [stack]: the process's own by name */
};
bool mapping_parse(const char *line, struct mapping *ret); /* false: malformed */

/* Whether its resident and swapped pages are QEMU's own: neither guest RAM of a VM of this size, nor a mere reservation of addresses. */
bool mapping_is_overhead(const struct mapping *mapping, uint64_t ram_bytes);

/* How many of n entries of /proc/PID/pagemap are pages in memory or in swap. */
uint64_t pagemap_count(const uint64_t *entries, size_t n);

/* Undoes the kernel's escapes of blanks (\040 and so on), in place. */
void unescape_octal(char *s);
