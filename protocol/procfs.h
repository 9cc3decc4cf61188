/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What both agents read from /proc: memory, counters, pressure. Parsing is separate from reading: the parsers take text, the readers
 * take a root directory ("/" or a fixture tree) and a buffer, and allocate nothing.
 * Fields that the text does not have stay AEROSTAT_UNKNOWN. Numbers that overflow are unknown, too. Any thread.
 */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "protocol/base.h"

/* Opens root (a path such as "/") as a directory for the functions below: fd >= 0 or -errno. The caller closes it. */
int procfs_open_root(const char *root);

/* Reads a small file below root_fd ("proc/meminfo") whole into buf and terminates it. Returns its size; -E2BIG when it does not
 * fit, or what openat/read say. */
ssize_t procfs_read(int root_fd, const char *path, char *buf, size_t size);

/* The same from an open descriptor, from its start (pread): for files read often. */
ssize_t procfs_read_fd(int fd, char *buf, size_t size);

/* /proc/meminfo, KiB -> bytes. */
struct meminfo {
        uint64_t total_bytes, free_bytes, available_bytes, buffers_bytes, cached_bytes, shmem_bytes, anon_bytes, dirty_bytes, writeback_bytes;
        uint64_t mlocked_bytes, slab_reclaimable_bytes, swap_total_bytes, swap_free_bytes, hugetlb_bytes;
        uint64_t balloon_bytes;        /* "Balloon:", Linux 6.15 and later */
        uint64_t zswap_bytes;          /* "Zswap:": compressed pool in RAM, Linux 5.19 and later */
        uint64_t hugepages_total, hugepages_free, hugepage_size_bytes; /* the default huge page size's pool */
};
/* Takes a decimal number from the front of *s: false when there is none. One that does not fit is unknown, and its digits are taken all the same. */
bool procfs_take_u64(const char **s, uint64_t *ret);

/* 0, or -EBADMSG when MemTotal or MemFree is missing or a line is malformed. MemAvailable missing (before Linux 3.14): estimated as
 * MemFree + Buffers + Cached - Shmem. */
int meminfo_parse(const char *text, struct meminfo *ret);

/* /proc/vmstat; counts (pages unless said otherwise). */
struct vmstat {
        uint64_t pswpin, pswpout, workingset_refault_file, workingset_refault_anon, pgmajfault, oom_kill;
        uint64_t allocstall;           /* sum of allocstall_* */
        uint64_t balloon_inflate, balloon_deflate;
        uint64_t ksm_swpin_copy, cow_ksm;
};
int vmstat_parse(const char *text, struct vmstat *ret); /* 0, or -EBADMSG when no line has the form "name number" */

/* Merged pages (KSM) that were copied, because they were written or came back from swap; unknown: the kernel does not count them. */
uint64_t vmstat_ksm_copies(const struct vmstat *vmstat);

/* /proc/pressure/memory */
struct pressure {
        uint64_t some_avg10_ppm, some_total_usec, full_avg10_ppm, full_total_usec;
};
int pressure_parse(const char *text, struct pressure *ret); /* 0, or -EBADMSG when there is no "some" line */

/* Arms a PSI trigger on proc/pressure/memory below root_fd: `some` stall of stall_usec within window_usec. Returns a descriptor
 * to poll for POLLPRI (edge by window; the caller closes it), or -errno: -EOPNOTSUPP no PSI, -EPERM (before Linux 6.1 without
 * privilege), -EINVAL (without CAP_SYS_RESOURCE the window must be a multiple of 2 s). On POLLERR drop it and fall back to a
 * timer. */
int psi_trigger_open(int root_fd, uint64_t stall_usec, uint64_t window_usec);
