/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Memory over time, of the host or of one VM: the last 5 minutes in steps of 2 s and the last day in minutes, in rings of fixed size (32 KiB each, so
 * 32 MiB with 1,000 VMs after a day). No allocation when a decision is made. Pure; zero-initialised by the owner.
 */

#include <stddef.h>
#include <stdint.h>

#define HISTORY_SERIES 4
#define HISTORY_FINE 150                       /* points of 2 s */
#define HISTORY_COARSE 1440                    /* points of a minute: the highest value of each */
#define HISTORY_FINE_SEC 2
#define HISTORY_COARSE_SEC 60

struct history_point {
        uint32_t at_sec;                       /* monotonic */
        uint32_t mib[HISTORY_SERIES];          /* UINT32_MAX: not known */
};

struct history {
        struct history_point fine[HISTORY_FINE], coarse[HISTORY_COARSE];
        size_t n_fine, n_coarse;               /* ever begun; the newest is at (n - 1) % size */
};

/* Takes a sample, of any rate; bytes may be AEROSTAT_UNKNOWN. */
void history_add(struct history *history, uint64_t now_usec, const uint64_t bytes[static HISTORY_SERIES]);

/* Which points cover that much time before now: 2 s or 60 s apart. */
uint64_t history_step_sec(uint64_t since_usec);

/* Calls give for each point of the last since_usec, the oldest first. */
void history_walk(const struct history *history, uint64_t now_usec, uint64_t since_usec,
                  void (*give)(const struct history_point *point, void *userdata), void *userdata);
