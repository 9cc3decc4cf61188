/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A swap of compressed memory (zram) for a guest that has no swap: a guest that is squeezed then slows down where it would else kill. Only where
 * nothing swaps yet; taken away at the end. Setting it up starts modprobe and mkswap, so it is done before the agent locks itself into memory and
 * begins to report.
 */

#include <stdbool.h>
#include <stdint.h>

struct zram {
        bool active;                   /* it swaps, and is ours to remove */
        unsigned index;                /* of /dev/zram<index> */
        uint64_t size_bytes;           /* of what can be swapped, uncompressed */
};

/* root: where proc, sys and dev are. 0: ret is active, made now or taken over from an agent before, which was killed or left it;
 * 1: this guest has swap, nothing was done; -errno: it cannot be had, and a sentence has been logged. */
int zram_setup(const char *root, uint64_t size_bytes, struct zram *ret);

/* Stops swapping there and removes the device. Where what is swapped there does not fit (zram_fits()), or that is not known, the device stays as it
 * is, for the next agent to take over, and a sentence says so. */
void zram_remove(const char *root, struct zram *zram);

/* What /proc/swaps says: 0 there is no swap; 1 there is; 2 there is, and the first of zram is zram<*ret_index>. */
int zram_parse_swaps(const char *text, unsigned *ret_index);

/* Whether what is in zram<index>, by /proc/swaps (text; KiB -> bytes), fits elsewhere: into available_bytes (/proc/meminfo: MemAvailable) less 32 MiB,
 * and what is free in swap that is not zram. *ret_used_bytes: what is in it (0: it does not swap; AEROSTAT_UNKNOWN: no number that fits, which does not
 * fit either); *ret_room_bytes: room for it. */
bool zram_fits(const char *text, unsigned index, uint64_t available_bytes, uint64_t *ret_used_bytes, uint64_t *ret_room_bytes);
