/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the files about KSM say, apart from reading them; beside parsers.h. Private to this folder, its tests and its fuzzer. No
 * allocation, no I/O; any thread. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host-agent/system/ksm.h"

/* "-123\n"; -EBADMSG, -ERANGE. */
int ksm_parse_signed(const char *text, int64_t *ret);

/* "none [scan-time]\n" -> 1, "[none] scan-time\n" -> 0, other modes: unknown. */
uint64_t ksm_parse_advisor(const char *text);

/* /proc/PID/ksm_stat into the fields that it has; the others stay. */
void ksm_parse_process(const char *text, uint64_t page_size, struct ksm_process *process);

/* Whether /proc/PID/stat is of ksmd, a child of kthreadd (pid 2), and its CPU time in clock ticks (utime + stime). */
bool ksm_parse_thread(const char *text, uint64_t *ret_ticks);

/* The first number of /proc/PID/schedstat: nanoseconds on the CPU; unknown when malformed. */
uint64_t ksm_parse_schedstat(const char *text);
