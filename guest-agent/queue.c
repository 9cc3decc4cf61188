/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guest-agent/queue.h"

#include <assert.h>

static struct queue_slot *slot_at(struct queue *queue, size_t index) {
        return &queue->slots[(queue->first + index) % QUEUE_SLOTS];
}

void queue_clear(struct queue *queue, bool keep_begun) {
        size_t keep = keep_begun && queue->written > 0 ? 1 : 0;

        queue->dropped += queue->used - keep;
        queue->used = keep;
        if (keep == 0)
                queue->written = 0;
}

/* Takes the oldest report out that has not begun to be written; false when there is none. */
static bool drop_oldest_report(struct queue *queue) {
        for (size_t i = queue->written > 0 ? 1 : 0; i < queue->used; i++) {
                if (!slot_at(queue, i)->report)
                        continue;
                for (size_t j = i; j + 1 < queue->used; j++)
                        *slot_at(queue, j) = *slot_at(queue, j + 1);
                queue->used--;
                return true;
        }
        return false;
}

uint8_t *queue_reserve(struct queue *queue) {
        if (queue->used == QUEUE_SLOTS) {
                queue->dropped++;
                if (!drop_oldest_report(queue))
                        return NULL;
        }
        return slot_at(queue, queue->used)->data;
}

void queue_commit(struct queue *queue, size_t size, bool report) {
        struct queue_slot *slot = slot_at(queue, queue->used);

        assert(queue->used < QUEUE_SLOTS && size <= QUEUE_FRAME_MAX);
        slot->size = size;
        slot->report = report;
        queue->used++;
}

const uint8_t *queue_peek(const struct queue *queue, size_t *ret_size) {
        const struct queue_slot *slot = &queue->slots[queue->first];

        if (queue->used == 0) {
                *ret_size = 0;
                return NULL;
        }
        *ret_size = slot->size - queue->written;
        return slot->data + queue->written;
}

void queue_consume(struct queue *queue, size_t size) {
        assert(queue->used > 0);
        queue->written += size;
        assert(queue->written <= queue->slots[queue->first].size);
        if (queue->written < queue->slots[queue->first].size)
                return;
        queue->first = (queue->first + 1) % QUEUE_SLOTS;
        queue->used--;
        queue->written = 0;
}
