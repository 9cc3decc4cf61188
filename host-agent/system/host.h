/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The host and its QEMU processes as the kernel sees them. Every function takes a root directory fd ("/" or a fixture tree). Main thread;
 * nothing here blocks on a VM. Unknown values are AEROSTAT_UNKNOWN.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/base.h"
#include "protocol/procfs.h"

/* The parts that change all the time; read before each decision. */
struct host_sample {
        struct meminfo meminfo;
        struct vmstat vmstat;
        struct pressure pressure;              /* unknown throughout where the kernel has no PSI */
        uint64_t swap_disk_total_bytes, swap_disk_used_bytes; /* /proc/swaps without zram */
        uint64_t swap_zram_total_bytes, swap_zram_used_bytes;
        uint64_t ksm_run;                      /* /sys/kernel/mm/ksm/run */
        uint64_t ksm_saved_bytes;              /* pages_sharing x page; not ksm_zero_pages, which are in no process's resident size */
        uint64_t arc_size_bytes, arc_min_bytes; /* spl/kstat/zfs/arcstats: size, c_min */
};
int host_sample_read(int root_fd, struct host_sample *ret); /* -errno only when meminfo cannot be read */

/* Free pages that CPUs keep in lists of their own (per-cpu pagesets), from /proc/zoneinfo: free like others, but neither in MemFree nor in MemAvailable.
 * Since Linux 6.7 the kernel lets these lists grow to an eighth of memory; 40 to 90 % of what balloons give back was seen there for seconds. Some 120
 * bytes for each CPU and zone are read. -errno. */
int host_pagesets_read(int root_fd, uint64_t *ret_bytes);

/* The parts that hardly change; read every minute. */
struct host_config_sample {
        bool thp_never;                        /* transparent_hugepage/enabled is [never] */
        uint64_t khugepaged_max_ptes_none;
        bool zswap_enabled;                    /* /sys/module/zswap/parameters/enabled */
        uint64_t zswap_max_pool_ppm;           /* zswap max_pool_percent */
        uint64_t node_mask;                    /* bit n: node n has memory; 0: a kernel without NUMA */
};
/* Always 0: what cannot be read is unknown, off, or one node. */
int host_config_read(int root_fd, struct host_config_sample *ret);

/* One process, from /proc/PID/{status,stat}. */
struct process_sample {
        uint64_t rss_bytes;                    /* VmRSS: anonymous + file + shared */
        uint64_t swap_bytes;                   /* VmSwap (anonymous only; shared memory's swap is not in it) */
        uint64_t run_usec;                     /* utime + stime + guest time is inside utime */
        uint64_t start_ticks;                  /* field 22 of stat: tells a reused pid */
};
int process_sample_read(int root_fd, int pid, struct process_sample *ret); /* -ESRCH when it is gone */

/* QEMU memory that is not guest RAM: pages in memory and in swap of all mappings but those that are guest RAM, which are told by their size and
 * kind (process_parsers.c). ram_bytes: the VM's maximum. Takes about a millisecond whatever the VM's size: for every minute, not for every second.
 * -ESRCH, -EACCES. */
int process_overhead_read(int root_fd, int pid, uint64_t ram_bytes, uint64_t *ret_bytes);

/* The QEMU process of a VM: run/libvirt/qemu/NAME.pid, checked against -uuid in its command line; otherwise a search of /proc for a qemu
 * command line with that uuid. Returns the pid or -ESRCH. */
int process_find_qemu(int root_fd, const char *name, const uint8_t uuid[static 16]);

/* What control groups leave a process, v1 or v2 (the hierarchy is found through proc/PID/cgroup and proc/PID/mountinfo). */
struct cgroup_limits {
        uint64_t memory_bytes;                 /* the least memory limit among the groups above the VM's own, or above the process's; unknown: none */
        bool no_swap;                          /* its group, or one above, lets it have nothing in swap (memory.swap.max = 0; v1: memsw = memory) */
};

/* undo: what we have limited ourselves (undo.h), which counts as it was before; NULL: nothing. 35 us measured, mountinfo above all: for every few
 * seconds, not for every sample. -ESRCH: the process is gone; -ENODATA: it has no memory controller; or another -errno. */
struct undo;
int cgroup_limits_read(int root_fd, int pid, const struct undo *undo, struct cgroup_limits *ret);
