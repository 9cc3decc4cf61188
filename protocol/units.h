/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Units. Sizes are powers of 1024, as everywhere in Aerostat; times are microseconds. */

#include <stdint.h>

#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define TIB (1024 * GIB)

#define USEC_PER_MSEC UINT64_C(1000)
#define USEC_PER_SEC (1000 * USEC_PER_MSEC)
#define USEC_PER_MINUTE (60 * USEC_PER_SEC)
#define USEC_PER_HOUR (60 * USEC_PER_MINUTE)
#define USEC_PER_DAY (24 * USEC_PER_HOUR)

/* Shares (of memory, of time) are integers in parts per million wherever the policy computes, so that results are
 * the same on every machine; they become fractions only in JSON. */
#define PPM_ONE UINT64_C(1000000)
