/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Lowers memory.high in a thread of its own, one at a time, because the kernel may take seconds for it (system/group_high.h). Functions are for the
 * main thread. */

#include <stdbool.h>
#include <stdint.h>

struct contain_writer;

int contain_writer_new(struct contain_writer **ret); /* -ENOMEM, -EAGAIN */
struct contain_writer *contain_writer_free(struct contain_writer *writer); /* waits until what is under way is done */

/* Whether a write is under way; with it, nothing else may be written to the same file. */
bool contain_writer_is_busy(struct contain_writer *writer);

/* Takes the descriptor; not while it is busy. */
void contain_writer_put(struct contain_writer *writer, int fd, uint64_t bytes);
