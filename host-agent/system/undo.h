/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the daemon has changed on the host beyond VMs (KSM's knobs, swap limits), with the values from before, in STATE_DIR/undo.
 * A value is noted there before it is changed for the first time, so that a daemon that was killed leaves enough behind to put
 * all of it back: the next run takes it over, or `aerostatd --undo` (the unit's ExecStopPost) restores it. A file of an earlier
 * boot means nothing: these settings do not outlive the kernel. Not synced to the disk for that reason, so that noting does not
 * wait. Main thread.
 */

#include <stdbool.h>
#include <stddef.h>

#include "protocol/base.h"

struct undo; /* opaque */

/* Reads what an earlier run of this boot left, if anything. root_fd: borrowed, where paths begin. state_dir: a path, copied;
 * NULL: nothing is kept on disk (--once, tests). 1: the file was not one of ours (a disk that lost power can leave an empty one),
 * and is now called undo.bad; -errno: it cannot be read. */
int undo_new(struct undo **ret, int root_fd, const char *state_dir);
struct undo *undo_free(struct undo *undo);
DEFINE_CLEANUP(struct undo *, undo_free)

/* Notes the value that a file below the root has now (for "a [b] c", b), unless it is noted already. 0; 1: was noted before;
 * -errno, and then the file must not be changed. */
int undo_note_file(struct undo *undo, const char *path);

/* The same for something that is no file: "unit:machine.slice" with what it was. */
int undo_note(struct undo *undo, const char *name, const char *value);

/* The value noted under this path or name; NULL when there is none. Valid until the next call that changes something. */
const char *undo_value(const struct undo *undo, const char *path);

/* The entries, oldest first: index 0 .. until false. */
bool undo_entry(struct undo *undo, size_t index, const char **ret_path, const char **ret_value);

/* Writes the noted values of all files whose path begins so back, in the order in which they were noted, and forgets them. Files
 * that are gone are forgotten silently. Returns how many were restored; entries that could not be are kept, and errno is in
 * ret_error (0: none). */
int undo_restore_files(struct undo *undo, const char *prefix, int *ret_error);

/* Forgets entries that begin so without restoring: somebody else has taken over. */
void undo_forget(struct undo *undo, const char *prefix);
