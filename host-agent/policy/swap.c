/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/policy/swap.h"

#include "protocol/units.h"

#define DANGER_PPM 160000                      /* of the reserve: below it a limit that is reached is lifted */
#define DANGER_MIN (16 * MIB)                  /* what the smallest host still calls available when the kernel kills */
#define CLEAR_TIMES 3                          /* above three times that for CLEAR_USEC: it comes back */
#define CLEAR_USEC (30 * USEC_PER_SEC)
#define LIFT_USEC (200 * USEC_PER_MSEC)        /* a step up so often ... */
#define RETURN_USEC (5 * USEC_PER_SEC)         /* ... and down every 5 s */
#define FORESIGHT_USEC (500 * USEC_PER_MSEC)
#define MARGIN_PPM 5000                        /* of the limit: as good as at it */
#define NEAR_PPM 800000                        /* of the limit: time to look often */
#define LIFT_PPM 50000                         /* of all swap */
#define LIFT_MIN (64 * MIB)

#define WINDOW_USEC (10 * USEC_PER_SEC)
#define THRASH_PER_SEC 200                     /* pages, both ways */
#define THRASH_WINDOWS 6                       /* a minute */

#define SWAPPINESS_FROM_PPM 800000             /* of the limit */

const char *swap_method_to_string(enum swap_method method) {
        static const char *const names[] = {
                [SWAP_NOT_LIMITED] = "none", [SWAP_BY_FILE] = "cgroup_v2", [SWAP_BY_SYSTEMD] = "systemd",
                [SWAP_BY_SWAPPINESS] = "cgroup_v1_swappiness",
        };
        return names[method];
}

static uint64_t share(uint64_t bytes, uint64_t ppm) {
        return u64_mul_div(bytes, ppm, PPM_ONE);
}

static uint64_t known(uint64_t value) {
        return value == AEROSTAT_UNKNOWN ? 0 : value;
}

uint64_t swap_on_disk(uint64_t vms_bytes, uint64_t disk_used_bytes, uint64_t zram_used_bytes) {
        uint64_t vms = known(vms_bytes), disk = known(disk_used_bytes), zram = known(zram_used_bytes);

        return zram == 0 ? vms : MIN(u64_mul_div(vms, disk, u64_add(disk, zram)), disk);
}

static uint64_t allowance(const struct swap_input *in) {
        uint64_t ceiling = share(known(in->total_bytes), MIN(in->ceiling_ppm, PPM_ONE));
        uint64_t others = u64_sub(known(in->used_bytes), swap_on_disk(in->vms_bytes, in->used_bytes, in->zram_used_bytes));

        return u64_sub(u64_sub(ceiling, others), known(in->zswap_bytes));
}

static uint64_t danger(const struct swap_input *in) {
        return MAX(share(known(in->reserve_bytes), DANGER_PPM), DANGER_MIN);
}

/* As the kernel keeps it: zram and disks together. */
static uint64_t limit_with(const struct swap_input *in, uint64_t allowed, uint64_t lift) {
        return MIN(u64_add(MIN(u64_add(allowed, lift), known(in->total_bytes)), known(in->zram_bytes)), AEROSTAT_UNKNOWN - 1);
}

static bool is_near(uint64_t used, uint64_t limit) {
        return used >= share(limit, NEAR_PPM);
}

static uint64_t room_below(uint64_t limit, uint64_t used) {
        return u64_sub(limit - share(limit, MARGIN_PPM), used);
}

/* What VMs can still swap, and whether they, or one of them, are near what they may. */
static uint64_t swap_room(const struct swap_input *in, uint64_t allowed, uint64_t lift, bool *ret_near) {
        uint64_t limit = limit_with(in, allowed, lift), used = known(in->vms_bytes), room = 0, weights = 0;

        *ret_near = is_near(used, limit);
        if (!in->vms)
                return room_below(limit, used);
        for (size_t i = 0; i < in->n_vms; i++)
                weights = u64_add(weights, in->vms[i].weight);
        for (size_t i = 0; i < in->n_vms; i++) {
                const struct swap_vm *vm = &in->vms[i];
                uint64_t most = swap_share(limit, lift, vm->weight, weights, in->n_vms);

                *ret_near |= is_near(known(vm->swap_bytes), most);
                room = u64_add(room, MIN(room_below(most, known(vm->swap_bytes)), vm->resident_bytes));
        }
        return MIN(room, room_below(limit, used));
}

bool swap_is_urgent(const struct swap_input *in) {
        bool near;

        (void) swap_room(in, allowance(in), 0, &near);
        return in->enforce && in->available_bytes < MAX(known(in->reserve_bytes), CLEAR_TIMES * DANGER_MIN) && near;
}

/*
 * What VMs will take in FORESIGHT_USEC if they go on as since the last decision, of swap and memory together: reclaim only moves between the two, in
 * jumps. A shorter time than that says too little alone: the lesser of two counts.
 */
static uint64_t to_come(const struct swap_input *in, struct swap_state *s) {
        uint64_t elapsed = s->decided_usec == 0 ? 0 : u64_sub(in->now_usec, s->decided_usec), before = s->coming_bytes;
        uint64_t taken = u64_sub(u64_add(known(in->vms_bytes), s->seen_available_bytes), u64_add(s->seen_vms_bytes, in->available_bytes));

        s->coming_bytes = elapsed == 0 || s->seen_available_bytes == AEROSTAT_UNKNOWN ? 0 : u64_mul_div(taken, FORESIGHT_USEC, elapsed);
        return elapsed >= FORESIGHT_USEC ? s->coming_bytes : MIN(before, s->coming_bytes);
}

/*
 * Whether the limit is about to cost a VM its life: VMs are near it, and what is left of it and of memory is gone, or will be in half a second.
 * Linux swaps only when memory is nearly gone, so available memory alone says nothing: it is near nothing whenever the host swaps at all.
 */
static bool is_deadly(const struct swap_input *in, uint64_t coming, uint64_t allowed, uint64_t lift) {
        bool near;
        uint64_t room = u64_add(swap_room(in, allowed, lift, &near), in->available_bytes);

        return near && u64_sub(room, coming) < danger(in);
}

/* Survival: how far the limit has to be lifted. */
static void lift(const struct swap_input *in, struct swap_state *s, uint64_t allowed) {
        uint64_t swap = known(in->total_bytes), step = MAX(share(swap, LIFT_PPM), LIFT_MIN);
        uint64_t most = in->vms ? swap : u64_sub(swap, allowed); /* a share is all of swap only when nothing is shared out any more */
        uint64_t since = u64_sub(in->now_usec, s->lift_usec), coming = to_come(in, s);

        if (is_deadly(in, coming, allowed, s->lift_bytes)) {
                s->clear_usec = 0;
                if (s->lift_bytes == 0 || since >= LIFT_USEC) {
                        s->lift_bytes = u64_add(s->lift_bytes, step);
                        s->lift_usec = in->now_usec;
                }
        } else if (in->available_bytes < u64_mul(CLEAR_TIMES, danger(in)))
                s->clear_usec = 0;
        else {
                if (s->clear_usec == 0)
                        s->clear_usec = MAX(in->now_usec, 1);
                if (s->lift_bytes > 0 && u64_sub(in->now_usec, s->clear_usec) >= CLEAR_USEC && since >= RETURN_USEC) {
                        s->lift_bytes = u64_sub(s->lift_bytes, step);
                        s->lift_usec = in->now_usec;
                }
        }
        s->lift_bytes = MIN(s->lift_bytes, most);
}

static void watch_thrashing(const struct swap_input *in, struct swap_state *s) {
        uint64_t elapsed = u64_sub(in->now_usec, s->window_usec);
        bool counted = in->in_pages != AEROSTAT_UNKNOWN && in->out_pages != AEROSTAT_UNKNOWN, first = s->decided_usec == 0;

        if (!first && elapsed < WINDOW_USEC)
                return;
        s->in_per_sec = s->out_per_sec = AEROSTAT_UNKNOWN;
        if (!first && counted && s->window_in != AEROSTAT_UNKNOWN && s->window_out != AEROSTAT_UNKNOWN) {
                s->in_per_sec = u64_mul_div(u64_sub(in->in_pages, s->window_in), USEC_PER_SEC, elapsed);
                s->out_per_sec = u64_mul_div(u64_sub(in->out_pages, s->window_out), USEC_PER_SEC, elapsed);
        }
        s->window_usec = in->now_usec;
        s->window_in = counted ? in->in_pages : AEROSTAT_UNKNOWN;
        s->window_out = counted ? in->out_pages : AEROSTAT_UNKNOWN;
        if (s->in_per_sec == AEROSTAT_UNKNOWN || MIN(s->in_per_sec, s->out_per_sec) <= THRASH_PER_SEC / 2) {
                s->busy_windows = 0;
                s->thrashing = false;
        } else if (MIN(s->in_per_sec, s->out_per_sec) > THRASH_PER_SEC) {
                s->busy_windows = MIN(s->busy_windows + 1, THRASH_WINDOWS);
                s->thrashing |= s->busy_windows >= THRASH_WINDOWS;
        } else
                s->busy_windows = 0; /* between: what is on stays on */
}

void swap_decide(const struct swap_input *in, struct swap_state *s, struct swap_plan *ret) {
        uint64_t ceiling = share(known(in->total_bytes), MIN(in->ceiling_ppm, PPM_ONE)), allowed = allowance(in);

        watch_thrashing(in, s);
        if (in->enforce && !in->soft)
                lift(in, s, allowed);
        else
                s->lift_bytes = s->clear_usec = s->coming_bytes = 0;
        s->decided_usec = MAX(in->now_usec, 1);
        s->seen_available_bytes = in->available_bytes;
        s->seen_vms_bytes = known(in->vms_bytes);
        *ret = (struct swap_plan) {
                .allowance_bytes = allowed,
                .limit_bytes = AEROSTAT_UNKNOWN,
                .brake_bytes = AEROSTAT_UNKNOWN,
                .lift_bytes = s->lift_bytes,
                .ceiling_bytes = ceiling,
                .above_ceiling = known(in->used_bytes) > ceiling,
                .thrashing = s->thrashing,
                .in_per_sec = s->in_per_sec,
                .out_per_sec = s->out_per_sec,
        };
        if (in->enforce) {
                ret->limit_bytes = limit_with(in, allowed, s->lift_bytes);
                ret->brake_bytes = in->last ? 0 : ret->limit_bytes;
        }
}

uint64_t swap_share(uint64_t limit_bytes, uint64_t lift_bytes, uint64_t weight, uint64_t sum_of_weights, uint64_t n_vms) {
        uint64_t lift = MIN(lift_bytes, limit_bytes), shared = limit_bytes - lift;

        if (limit_bytes == AEROSTAT_UNKNOWN)
                return AEROSTAT_UNKNOWN;
        return lift + (sum_of_weights == 0 ? shared / MAX(n_vms, 1) : u64_mul_div(shared, MIN(weight, sum_of_weights), sum_of_weights));
}

uint64_t swap_v1_swappiness(uint64_t used_bytes, uint64_t limit_bytes, uint64_t normal) {
        uint64_t from = share(limit_bytes, SWAPPINESS_FROM_PPM);

        if (limit_bytes == AEROSTAT_UNKNOWN || (used_bytes == AEROSTAT_UNKNOWN && limit_bytes > 0))
                return normal;
        /* Not 0: measured, with 0 Linux 6.1 kills a VM while swap is free. With 1 it still swaps before it kills. */
        if (used_bytes >= limit_bytes)
                return MIN(normal, 1);
        return used_bytes <= from ? normal : MAX(u64_mul_div(normal, limit_bytes - used_bytes, limit_bytes - from), MIN(normal, 1));
}

static uint64_t classic(uint64_t memory) {
        if (memory < 2 * GIB)
                return 2 * memory;
        return memory <= 16 * GIB ? memory + 2 * GIB : 8 * GIB;
}

void swap_size(const struct swap_sizing_input *in, struct swap_sizing *ret) {
        uint64_t capacity = known(in->capacity_bytes), backed = 0, needed;

        switch (in->mode) {
        case POLICY_GUARANTEED: /* merged pages may all be written; only what is promised again has to be backed */
                backed = share(known(in->ksm_saved_bytes), MIN(in->ksm_credit_ppm, PPM_ONE));
                break;
        case POLICY_SWAP_BACKED:
                backed = u64_sub(known(in->vms_bytes), capacity);
                break;
        case POLICY_OPPORTUNISTIC: /* (capacity + allowance) x factor >= maximum of all */
                backed = u64_sub(u64_mul_div(known(in->vms_bytes), PPM_ONE, MAX(in->overcommit_factor_ppm, PPM_ONE)), capacity);
                break;
        }
        needed = backed > 0 ? u64_add(backed, u64_add(known(in->others_bytes), known(in->zswap_bytes))) : 0; /* what allowance() takes off */
        if (needed > 0)
                needed = in->ceiling_ppm == 0 ? AEROSTAT_UNKNOWN : u64_mul_div(needed, PPM_ONE, MIN(in->ceiling_ppm, PPM_ONE));
        *ret = (struct swap_sizing) {
                .needed_bytes = needed,
                .classic_bytes = classic(known(in->memory_bytes)),
                .backed_bytes = backed,
        };
        ret->advised_bytes = needed == AEROSTAT_UNKNOWN ? ret->classic_bytes : MAX(needed, ret->classic_bytes);
        ret->missing_bytes = u64_sub(ret->advised_bytes, known(in->total_bytes));
}
