/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * VMs that the last resort paused, noted in the undo file (system/undo.h) before they are: so that whoever comes after a daemon that was killed lets
 * them run again, and never a VM that somebody else paused. Main thread.
 */

#include <stdbool.h>
#include <stdint.h>

#include "host-agent/system/undo.h"

/* Notes a run of a VM (libvirt's id of it) and where its libvirt is. 0 or -errno, and then it must not be paused. */
int paused_note(struct undo *undo, const uint8_t uuid[static 16], int run, const char *uri);

/* Whether this run of it is noted. */
bool paused_is_noted(struct undo *undo, const uint8_t uuid[static 16], int run);

void paused_forget(struct undo *undo, const uint8_t uuid[static 16]);

/* Forgets those that `keep` does not know any more. */
void paused_forget_unknown(struct undo *undo, bool (*keep)(const uint8_t uuid[static 16], void *userdata), void *userdata);

/* For `aerostatd --undo`: resumes them all, on its own thread, and forgets them. Their number; those that could not be stay noted, and errno is in
 * ret_error (0: none). */
int paused_resume_all(struct undo *undo, int *ret_error);
