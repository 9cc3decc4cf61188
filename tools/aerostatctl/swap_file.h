/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Swap files, made and removed by this program itself, as root: it may take minutes, can be interrupted, and a daemon that makes files at paths that
 * its clients name would be a way to root for the group that may use it. Prints what it did, or --json; returns an exit code, having said why.
 */

#include "tools/aerostatctl/ctl.h"

/* Makes a file of that size, formats it (mkswap) and swaps on it. path: absolute. Refuses what exists, what has no room, what is no disk. */
int swap_file_add(const struct context *context, const char *path, uint64_t bytes);

/* Stops swapping on it and, where `swap add` made it (by its label), removes the file. Refuses where what is in it would not fit into memory above
 * the reserve. reserve_bytes: unknown: the daemon does not say. */
int swap_file_remove(const struct context *context, const char *path, uint64_t reserve_bytes);
