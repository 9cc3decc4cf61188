/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Frames that wait for the port to take them. Fixed size, no allocation. When it is full the oldest report makes room, since a
 * newer one says all that it said; without a report in it the new frame is dropped. A frame of which a part is out is never taken
 * away: the stream would be cut in its middle.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define QUEUE_SLOTS 8u
#define QUEUE_FRAME_MAX 512u /* the longest that a guest sends is a report of 400 bytes */

struct queue {
        struct queue_slot {
                uint8_t data[QUEUE_FRAME_MAX];
                size_t size;
                bool report;
        } slots[QUEUE_SLOTS];
        size_t first, used;     /* a ring */
        size_t written;         /* bytes of the first frame that are out already */
        uint64_t dropped;       /* frames, since the start */
};

/* Drops everything, as when the other end is gone. With keep_begun a frame that is partly out stays: the other end is there and
 * reads on. */
void queue_clear(struct queue *queue, bool keep_begun);

/* Where to encode the next frame into (QUEUE_FRAME_MAX bytes), or NULL when it has to be dropped. */
uint8_t *queue_reserve(struct queue *queue);

/* Adds the frame that was encoded there. */
void queue_commit(struct queue *queue, size_t size, bool report);

/* The bytes to write next; NULL and 0 when there are none. */
const uint8_t *queue_peek(const struct queue *queue, size_t *ret_size);

/* Says that size of those bytes were written. */
void queue_consume(struct queue *queue, size_t size);
