/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Memory over time (history.h), over a restart of the daemon: FOLDER/history, written when the daemon ends and read when it starts. After a crash it
 * has what was at the last orderly end. Numbers are little-endian:
 *
 *      "aerostat-history 1\n"   boot id of the host (16 bytes)
 *      for each, by UUID in ascending order:   UUID (16 bytes; zero: the host)   points of 2 s (u16)   points of a minute (u16)
 *              for each point, the oldest first:   at_sec (u32)   MiB of each series (u32)
 *
 * The reader takes all of it or nothing. Times are monotonic: a file of another boot means nothing. Main thread.
 */

#include <stdio.h>

#include "host-agent/state/history.h"
#include "protocol/base.h"

#define HISTORY_FILE_SIZE_MAX (128u * 1024u * 1024u)   /* 32 KiB for each VM: of 4,000 */

/* One of those that are written; borrowed. */
struct history_entry {
        const uint8_t *uuid;                   /* 16 bytes */
        const struct history *history;
};

/* What was read. Zero-initialised: nothing. */
struct history_kept {
        uint8_t *bytes;                        /* owned; the whole file */
        size_t size;
};

void history_kept_done(struct history_kept *kept); /* frees it and makes it empty */

/* Whether bytes are such a file, of this boot, with nothing later than now_sec in it. 0; -EBADMSG; -ESTALE: of another boot. */
int history_file_check(const uint8_t *bytes, size_t size, const uint8_t boot_id[static 16], uint32_t now_sec);

/* Reads FOLDER/history. 0; -ENOENT; as history_file_check(); other errno. ret: overwritten on success. */
int history_file_load(const char *folder, const uint8_t boot_id[static 16], uint32_t now_sec, struct history_kept *ret);

/* What is kept for this UUID to *ret, of zeros; false, and *ret untouched, where there is nothing. */
bool history_kept_find(const struct history_kept *kept, const uint8_t uuid[static 16], struct history *ret);

/* Writes a file as above. entries: is sorted. 0 or -EIO. */
int history_file_write(FILE *f, const uint8_t boot_id[static 16], struct history_entry *entries, size_t n);

/* Replaces FOLDER/history. It is not synced: what a power failure takes is of another boot afterwards. 0 or -errno. */
int history_file_save(const char *folder, const uint8_t boot_id[static 16], struct history_entry *entries, size_t n);
