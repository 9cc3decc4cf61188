/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What makes overcommit fail on a host, looked for without the daemon: the kernel says it in /proc and /sys, and each QEMU in its command line, which
 * is what a VM really runs with (its XML may have been edited since). The checks read below root_fd ("/" or a fixture tree), change nothing, and add
 * findings.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "protocol/base.h"

enum level { LEVEL_OK, LEVEL_WARN, LEVEL_BAD };

struct finding {
        enum level level;
        const char *check;              /* "swap", "balloon": part of the public interface (--json) */
        char vm[128];                   /* the VM it is about; "": the host */
        char text[320];                 /* what is so, with numbers */
        const char *why;                /* why that matters; NULL where all is well */
        char remedy[512];               /* the command or XML that mends it; "": nothing to do */
};

struct findings {
        struct finding *list;           /* owned */
        size_t n, n_allocated;
};

void findings_free(struct findings *findings);

/* Adds one and returns it, so that a remedy can be added. Running out of memory ends the program with a message: there is nothing to undo. */
struct finding *findings_add(struct findings *findings, enum level level, const char *check, const char *why, const char *format, ...)
        __attribute__((format(printf, 5, 6)));
void finding_remedy(struct finding *finding, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A running QEMU, read from its command line. */
struct doctor_vm {
        int pid;
        char name[128], uuid[40];       /* "" where the command line has none; doctor_vms_read() then makes up a name */
        uint64_t max_bytes, vcpus;      /* unknown where it cannot be told */
        bool has_balloon, autodeflate, free_page_reporting, has_channel;
        bool hugepages, locked, vfio, shared, no_merge, prealloc;
};

/* args: n arguments of a command line, terminated each. False: not a QEMU. Pure. */
bool doctor_vm_parse(const char *const *args, size_t n, struct doctor_vm *ret);

/* All QEMUs below root_fd, ordered by name; the caller frees *ret. 0 or -errno. */
int doctor_vms_read(int root_fd, struct doctor_vm **ret, size_t *ret_n);

/* ceiling_ppm: share of the swap on disks that may be used; warn_ppm: of that, from which it is near. */
void doctor_check_cpu(struct findings *findings, int root_fd, const struct doctor_vm *vms, size_t n_vms); /* kvm, paging, vcpus, numa */
void doctor_check_kernel(struct findings *findings, int root_fd); /* psi, cgroup, overcommit_memory, thp, huge_pages, libvirt */
void doctor_check_swap(struct findings *findings, int root_fd, uint64_t ceiling_ppm, uint64_t warn_ppm);
void doctor_check_ksm(struct findings *findings, int root_fd); /* ksm, tuners */
void doctor_check_vm(struct findings *findings, const struct doctor_vm *vm, uint64_t host_total_bytes /* unknown: not compared */);

/* A number in a small file; unknown when there is none. Y and N count as 1 and 0. */
uint64_t doctor_number(int root_fd, const char *path);
