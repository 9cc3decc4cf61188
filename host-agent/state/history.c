/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/state/history.h"

#include "protocol/base.h"
#include "protocol/units.h"

static uint32_t to_mib(uint64_t bytes) {
        return bytes == AEROSTAT_UNKNOWN ? UINT32_MAX : (uint32_t) MIN(bytes / MIB, (uint64_t) UINT32_MAX - 1);
}

/* Into the point of this step of time, or a new one. Highest values are kept: a peak is what somebody will look for. */
static void add(struct history_point *ring, size_t size, size_t *n, uint32_t step_sec, uint32_t now_sec, const uint64_t *bytes) {
        struct history_point *point = &ring[(*n + size - 1) % size];

        if (*n == 0 || point->at_sec / step_sec != now_sec / step_sec) {
                point = &ring[(*n)++ % size];
                point->at_sec = now_sec;
                for (size_t i = 0; i < HISTORY_SERIES; i++)
                        point->mib[i] = to_mib(bytes[i]);
                return;
        }
        for (size_t i = 0; i < HISTORY_SERIES; i++) {
                uint32_t mib = to_mib(bytes[i]);

                if (point->mib[i] == UINT32_MAX || (mib != UINT32_MAX && mib > point->mib[i]))
                        point->mib[i] = mib;
        }
}

void history_add(struct history *h, uint64_t now_usec, const uint64_t bytes[static HISTORY_SERIES]) {
        uint32_t now_sec = (uint32_t) (now_usec / USEC_PER_SEC);

        add(h->fine, HISTORY_FINE, &h->n_fine, HISTORY_FINE_SEC, now_sec, bytes);
        add(h->coarse, HISTORY_COARSE, &h->n_coarse, HISTORY_COARSE_SEC, now_sec, bytes);
}

uint64_t history_step_sec(uint64_t since_usec) {
        return since_usec <= HISTORY_FINE * HISTORY_FINE_SEC * USEC_PER_SEC ? HISTORY_FINE_SEC : HISTORY_COARSE_SEC;
}

void history_walk(const struct history *h, uint64_t now_usec, uint64_t since_usec, void (*give)(const struct history_point *, void *),
                  void *userdata) {
        bool fine = history_step_sec(since_usec) == HISTORY_FINE_SEC;
        const struct history_point *ring = fine ? h->fine : h->coarse;
        size_t size = fine ? HISTORY_FINE : HISTORY_COARSE, n = fine ? h->n_fine : h->n_coarse;
        uint64_t first_sec = u64_sub(now_usec, since_usec) / USEC_PER_SEC;

        for (size_t i = n > size ? n - size : 0; i < n; i++)
                if (ring[i % size].at_sec >= first_sec)
                        give(&ring[i % size], userdata);
}
