/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * One guest's numbers, from /proc and /sys below a root directory. Files are opened once and read again by pread(): when memory
 * is short, opening may wait for memory. No allocation after sampler_open().
 */

#include <stdbool.h>
#include <stdint.h>

#include "protocol/message.h"

#define SAMPLE_BUFFER_SIZE (16 * 1024) /* /proc/vmstat is 4 to 6 KiB; arcstats about 8 KiB */

struct sampler {
        int root_fd;                  /* owned */
        int meminfo_fd, vmstat_fd, pressure_fd, arcstats_fd; /* owned; -1: the file is not there */
        uint64_t page_size_bytes;
        char buf[SAMPLE_BUFFER_SIZE];
};

/* Opens what there is below root ("/", or a fixture tree). 0, or -errno when root or its proc/meminfo cannot be opened. */
int sampler_open(struct sampler *sampler, const char *root);
void sampler_close(struct sampler *sampler);

/* The short look: total and available only. 0, or -errno. */
int sampler_look(struct sampler *sampler, uint64_t *ret_total_bytes, uint64_t *ret_available_bytes);

/* The whole report; its reason is left to the caller (REPORT_PERIODIC). What cannot be read is unknown. 0, or -errno when memory
 * itself cannot be read. */
int sampler_report(struct sampler *sampler, struct message_report *ret);

/* The boot id of the running kernel: proc/sys/kernel/random/boot_id, or random bytes where there is none. */
void sampler_boot_id(struct sampler *sampler, uint8_t ret[static 16]);

/* Who we are, without MESSAGE_FEATURE_PSI_TRIGGER and MESSAGE_FEATURE_LOCKED, which the caller knows. 0, or -errno as
 * sampler_look(). */
int sampler_identity(struct sampler *sampler, struct message_hello_ack *ret);
