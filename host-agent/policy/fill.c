/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/policy/internal.h"

/*
 * Water-filling: find the level L (bytes for each unit of weight) at which sum(min(cap, L x weight)) = amount. The sum is a concave,
 * piecewise linear function of L, so Newton's method from below never overshoots: set L as if nobody were full, take out those that are full at
 * that level, and repeat with what is left. Each round takes out at least one, in practice most; VMs that are out are not looked at again.
 * The level is fixed-point with 32 fractional bits, so that a share costs a multiplication and not a division.
 */
#define LEVEL_SHIFT 32

static uint64_t share_at(unsigned __int128 level, uint64_t weight) {
        return (uint64_t) ((level * weight) >> LEVEL_SHIFT);
}

uint64_t policy_fill(struct policy_work *work, size_t n_vms, uint64_t amount) {
        uint64_t weights = 0, left = amount;
        unsigned __int128 level;
        size_t n_open = 0;

        amount = MIN(amount, POLICY_SIZE_MAX);
        left = amount;
        for (size_t i = 0; i < n_vms; i++) {
                work[i].fill = 0;
                if (!work[i].moves || work[i].out || work[i].cap == 0 || work[i].weight == 0)
                        continue;
                weights += work[i].weight; /* at most 2^20 x 2^32 VMs */
                work[n_open++].open = (uint32_t) i;
        }

        while (n_open > 0) {
                uint64_t taken = 0, weights_taken = 0;
                size_t kept = 0;

                level = ((unsigned __int128) left << LEVEL_SHIFT) / weights;
                for (size_t k = 0; k < n_open; k++) {
                        struct policy_work *w = &work[work[k].open];

                        if (w->cap <= share_at(level, w->weight)) {
                                w->fill = w->cap;
                                taken += w->cap;
                                weights_taken += w->weight;
                        } else
                                work[kept++].open = work[k].open;
                }
                if (kept == n_open) { /* nobody is full: this is the level */
                        for (size_t k = 0; k < n_open; k++) {
                                struct policy_work *w = &work[work[k].open];
                                w->fill = share_at(level, w->weight);
                                taken += w->fill;
                        }
                        return left - taken;
                }
                left -= taken;
                weights -= weights_taken;
                n_open = kept;
        }
        return left;
}

static uint64_t resident_fill(const struct policy_work *work, size_t n_vms) {
        uint64_t sum = 0;

        for (size_t i = 0; i < n_vms; i++)
                if (work[i].resident)
                        sum = u64_add(sum, work[i].fill);
        return sum;
}

/* One bound inside the other: where those that cannot swap would get more than their bound allows, they share just that, and the rest goes to the
 * others. */
void policy_fill_room(struct policy_work *work, size_t n_vms, struct policy_room *room) {
        uint64_t left = policy_fill(work, n_vms, room->all), resident = resident_fill(work, n_vms);

        if (resident > room->resident) {
                for (size_t i = 0; i < n_vms; i++)
                        work[i].out = !work[i].resident;
                policy_fill(work, n_vms, room->resident);
                for (size_t i = 0; i < n_vms; i++) {
                        if (work[i].resident)
                                work[i].cap = work[i].fill;
                        work[i].out = false;
                }
                left = policy_fill(work, n_vms, room->all); /* which is above their level, so that they keep it */
                resident = resident_fill(work, n_vms);
        }
        room->all = left;
        room->resident = u64_sub(room->resident, resident);
}
