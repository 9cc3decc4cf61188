/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/manager/decisions.h"

#include "protocol/units.h"

#define JOIN_USEC USEC_PER_MINUTE

static bool continues(const struct decision *last, const struct decision *step) {
        if (last->reason != step->reason || last->dry_run != step->dry_run)
                return false;
        if (step->dry_run && last->before_bytes == step->before_bytes && last->after_bytes == step->after_bytes)
                return true;
        return step->last_usec - last->last_usec <= JOIN_USEC && last->before_bytes != AEROSTAT_UNKNOWN &&
               (last->after_bytes < last->before_bytes) == (step->after_bytes < last->after_bytes);
}

void decisions_add(struct decisions *decisions, const struct decision *step) {
        struct decision *last = decisions->n > 0 ? &decisions->ring[(decisions->n - 1) % DECISIONS_MAX] : NULL;

        if (last && continues(last, step)) {
                last->last_usec = step->last_usec;
                last->after_bytes = step->after_bytes;
                last->demand_bytes = step->demand_bytes;
                last->steps++;
                return;
        }
        last = &decisions->ring[decisions->n++ % DECISIONS_MAX];
        *last = *step;
        last->first_usec = step->last_usec;
        last->steps = 1;
}

size_t decisions_count(const struct decisions *decisions) {
        return MIN(decisions->n, (size_t) DECISIONS_MAX);
}

const struct decision *decisions_get(const struct decisions *decisions, size_t index) {
        return &decisions->ring[(decisions->n - 1 - index) % DECISIONS_MAX];
}
