/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The kernel's KSM: /sys/kernel/mm/ksm, the thread ksmd, and what each process merged. Every function takes a root directory fd ("/" or a fixture
 * tree). Kernels differ: 6.1 has neither the advisor nor general_profit nor smart_scan nor zero pages; each file is probed. Main thread; nothing
 * here blocks, as long as run is not set to 2: that write returns when everything is unmerged (ksm_control.c has a child do it). Unknown values are
 * AEROSTAT_UNKNOWN.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/base.h"

/* What we set, and so what is saved and restored. Unknown: the kernel has no such file. */
struct ksm_knobs {
        uint64_t run;                          /* 0 stopped, what is merged stays; 1 scanning; 2 stopped and all unmerged */
        uint64_t pages_to_scan;                /* refuses writes while the advisor is on */
        uint64_t sleep_msec;
        uint64_t advisor;                      /* advisor_mode: 1 scan-time, 0 none */
        uint64_t advisor_max_cpu;              /* percent */
        uint64_t advisor_min_pages, advisor_max_pages;
};
#define KSM_N_KNOBS 7
/* Its entries by index, in the order above; names as in a file of saved settings: "pages_to_scan". */
const char *ksm_knob_name(size_t index);
uint64_t *ksm_knob(struct ksm_knobs *knobs, size_t index);

/* The state of KSM, beside its knobs. */
struct ksm_sample {
        struct ksm_knobs knobs;
        uint64_t full_scans;                   /* of all mergeable memory, since boot */
        uint64_t shared_pages, sharing_pages, unshared_pages, volatile_pages, zero_pages;
        uint64_t saved_bytes;                  /* (sharing + zero) x page */
        int64_t profit_bytes;                  /* general_profit; where there is none, saved less 64 bytes for each page that is tracked */
        bool profit_estimated;                 /* the kernel has no general_profit */
        uint64_t merge_across_nodes;           /* 0: only within a NUMA node */
        uint64_t use_zero_pages;               /* 0, 1 */
};
/* 0; -ENOENT: this kernel has no KSM; other -errno. */
int ksm_sample_read(int root_fd, struct ksm_sample *ret);

/* Whether the knobs can be written: 0, -EROFS, -EACCES, -ENOENT. */
int ksm_check_writable(int root_fd);

/* Brings the knobs to `want` (unknown members are left alone), writing only what differs from `now`. While the advisor is on,
 * pages_to_scan is set through its bounds (both the same), and the advisor is switched off and on so that they hold at once and
 * not from the next full scan: measured, the kernel takes the lower bound then. run is written last. 0, or the first -errno with
 * the file's name in ret_file (static). */
int ksm_apply(int root_fd, const struct ksm_knobs *now, const struct ksm_knobs *want, const char **ret_file);

/* The kernel thread ksmd, by name and parent (kthreadd) in /proc. -ESRCH: not seen (another PID namespace, no KSM). */
int ksm_find_thread(int proc_fd);
/* Its CPU time: schedstat in nanoseconds where there is one, else stat in clock ticks. Checks that it is still ksmd. -ESRCH. */
int ksm_thread_cpu_read(int proc_fd, int pid, uint64_t *ret_usec);

/* What a process contributed, from /proc/PID/ksm_stat (Linux 6.1) and ksm_merging_pages. */
struct ksm_process {
        uint64_t merged_bytes;                 /* its pages that are shared with others, the copy that is kept counted too */
        uint64_t zero_bytes;                   /* its zero pages that were merged away (use_zero_pages) */
        int64_t profit_bytes;                  /* ksm_process_profit, Linux 6.3; INT64_MIN: unknown */
};
/* -ESRCH, -EACCES, -ENOENT (kernel without it). */
int ksm_process_read(int root_fd, int pid, struct ksm_process *ret);

/* Other programs that set these knobs: systemd units that are active (run/systemd/units, no D-Bus) and processes by name. Returns how many, and
 * names the first in a static string. */
int ksm_find_rivals(int root_fd, int proc_fd, const char **ret_name);
