/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/sim/guest.h"

#include "protocol/units.h"

#define BOOT_USEC (3 * USEC_PER_SEC)           /* until the balloon's driver and the agent are up */
#define BOOT_USE (64 * MIB)
#define MIN_FREE (2 * MIB)                     /* the balloon leaves a guest this much (measured) */
#define DISK_BPS (64 * MIB)                    /* reading files, when others read, too */
#define GUEST_SWAP_BPS (100 * MIB)
#define PAGE 4096

static uint64_t per_step(uint64_t bps, const struct guest_world *w) {
        return u64_mul_div(bps, w->elapsed_usec, USEC_PER_SEC);
}

void guest_init(struct guest *g, const struct guest_spec *spec, uint64_t seed, size_t index) {
        *g = (struct guest) { .spec = spec, .random = seed ^ (index * UINT64_C(0x9e3779b97f4a7c15)), .contain_bytes = AEROSTAT_UNKNOWN };
        random_next(&g->random);
}

void guest_start(struct guest *g, uint64_t now_usec, uint64_t boot_usec, uint64_t report_interval_usec) {
        g->running = true;
        g->vm_paused = false;
        g->started_usec = now_usec;
        g->boot_until_usec = now_usec + boot_usec;
        g->target_bytes = AEROSTAT_UNKNOWN;
        g->held_bytes = g->actual_bytes = g->spec->memory_bytes;
        g->in_use_bytes = g->cache_bytes = g->swapped_bytes = g->cache_known_bytes = g->burst_until_usec = 0;
        g->report = (struct guest_report) { 0 };
        g->pressure_below_bytes = 0;
        g->next_report_usec = g->boot_until_usec + random_below(&g->random, MAX(report_interval_usec, 1));
        g->next_reboot_usec = now_usec + 30 * USEC_PER_SEC + random_below(&g->random, 60 * USEC_PER_SEC);
        g->next_burst_usec = now_usec + random_below(&g->random, 60 * USEC_PER_SEC);
}

void guest_stop(struct guest *g) {
        g->running = false;
        g->touched_bytes = g->host_swap_bytes = g->own_swap_bytes = g->node_swap_bytes = 0;
        g->in_use_bytes = g->cache_bytes = g->unmet_bytes = g->want_bytes = 0;
}

/* QEMU keeps what it has touched, and leaves `actual` stale until the driver is up again. */
void guest_reboot(struct guest *g, uint64_t now_usec, uint64_t report_interval_usec) {
        uint64_t stale = g->actual_bytes;

        guest_start(g, now_usec, BOOT_USEC, report_interval_usec);
        g->actual_bytes = stale;
}

static bool misbehaves(const struct guest *g, const struct guest_world *w, enum behaviour behaviour) {
        return g->spec->behaviour == behaviour && w->now_usec >= w->settle_usec;
}

/* Whether the balloon follows its target in this step. */
static bool obeys(const struct guest *g, const struct guest_world *w) {
        if (w->now_usec < g->boot_until_usec || g->target_bytes == AEROSTAT_UNKNOWN || g->spec->fixed || g->spec->hugepages)
                return false;
        if (misbehaves(g, w, STUCK) || misbehaves(g, w, STICKY))
                return false;
        if (misbehaves(g, w, FLAPPING))
                return w->now_usec / USEC_PER_SEC % 20 == 0;
        if (misbehaves(g, w, DEFLATER))
                return w->now_usec / USEC_PER_SEC % 20 < 10;
        return true;
}

static void inflate(struct guest *g, const struct guest_world *w) {
        uint64_t step = MIN(per_step(g->spec->inflate_bps, w), g->held_bytes - g->target_bytes), room, floor = g->in_use_bytes + MIN_FREE;

        if (g->spec->behaviour == LIMITED)
                floor = MAX(floor, g->spec->limit_bytes);
        room = u64_sub(g->held_bytes, floor);
        if (room < step) { /* its own swap makes room, slowly */
                uint64_t push = MIN(MIN(per_step(GUEST_SWAP_BPS, w), step - room), u64_sub(g->spec->swap_bytes, g->swapped_bytes));

                push = MIN(push, g->in_use_bytes);
                if (g->held_bytes > g->spec->limit_bytes + push) {
                        g->in_use_bytes -= push;
                        g->swapped_bytes += push;
                        room += push;
                }
        }
        g->held_bytes -= MIN(step, room);
}

static void move_balloon(struct guest *g, const struct guest_world *w) {
        uint64_t max = g->spec->memory_bytes;

        if (misbehaves(g, w, FAKER)) { /* its balloon says what it was told; its memory is all there */
                g->held_bytes = max;
                if (obeys(g, w))
                        g->actual_bytes = g->actual_bytes > g->target_bytes
                                                  ? g->actual_bytes - MIN(per_step(g->spec->inflate_bps, w), g->actual_bytes - g->target_bytes)
                                                  : MIN(g->actual_bytes + per_step(g->spec->deflate_bps, w), g->target_bytes);
                return;
        }
        if (obeys(g, w)) {
                if (g->held_bytes > g->target_bytes)
                        inflate(g, w);
                else
                        g->held_bytes = MIN(g->held_bytes + per_step(g->spec->deflate_bps, w), MIN(g->target_bytes, max));
        } else if (misbehaves(g, w, DEFLATER))
                g->held_bytes = MIN(g->held_bytes + per_step(g->spec->deflate_bps, w), max);
        else if (misbehaves(g, w, STICKY) && g->target_bytes != AEROSTAT_UNKNOWN &&
                 w->now_usec / (10 * USEC_PER_SEC) != (w->now_usec - w->elapsed_usec) / (10 * USEC_PER_SEC))
                g->held_bytes = g->held_bytes > g->target_bytes + PAGE ? g->held_bytes - PAGE : g->held_bytes;
        if (w->now_usec >= g->boot_until_usec)
                g->actual_bytes = g->held_bytes;
}

static uint64_t wanted(struct guest *g, const struct guest_world *w) {
        uint64_t want = series_at(g->spec->demand, w->now_usec, &g->demand_cursor), max = g->spec->memory_bytes;

        if (w->now_usec < g->boot_until_usec)
                return MIN(want, BOOT_USE);
        if (misbehaves(g, w, FAKER) || (misbehaves(g, w, DEFLATER) && !obeys(g, w)))
                return max;
        if (misbehaves(g, w, BURSTY)) {
                if (w->now_usec >= g->next_burst_usec) {
                        g->burst_until_usec = w->now_usec + 5 * USEC_PER_SEC + random_below(&g->random, 15 * USEC_PER_SEC);
                        g->next_burst_usec = g->burst_until_usec + 10 * USEC_PER_SEC + random_below(&g->random, 50 * USEC_PER_SEC);
                }
                if (w->now_usec < g->burst_until_usec)
                        return MAX(want, u64_sub(g->held_bytes, MIN_FREE));
        }
        return MIN(want, max);
}

static void use_memory(struct guest *g, const struct guest_world *w) {
        uint64_t cache = series_at(g->spec->cache, w->now_usec, &g->cache_cursor), room, missing, refault = 0, stall_ppm;
        uint64_t most = g->held_bytes;

        if (g->contain_bytes != AEROSTAT_UNKNOWN) /* its cgroup's limit slows it down to nothing */
                most = MIN(most, MAX(u64_sub(g->contain_bytes, g->spec->overhead_bytes), g->in_use_bytes));

        g->want_bytes = wanted(g, w);
        if (g->spec->autodeflate && g->want_bytes > g->held_bytes && w->now_usec >= g->boot_until_usec) {
                g->held_bytes = MIN(g->held_bytes + per_step(g->spec->deflate_bps, w), MIN(g->want_bytes + MIN_FREE, g->spec->memory_bytes));
                g->actual_bytes = g->held_bytes;
                most = g->held_bytes;
        }
        if (g->want_bytes < g->in_use_bytes + g->swapped_bytes) { /* freed: what is in swap goes first, then what is in memory */
                uint64_t less = g->in_use_bytes + g->swapped_bytes - g->want_bytes, swapped = MIN(less, g->swapped_bytes);

                g->swapped_bytes -= swapped;
                g->in_use_bytes -= less - swapped;
        }
        if (g->in_use_bytes < g->want_bytes) {
                uint64_t back, grow = MIN(g->want_bytes - g->in_use_bytes, u64_sub(most, g->in_use_bytes + MIN_FREE)), lacks;

                back = MIN(g->swapped_bytes, MIN(grow, per_step(GUEST_SWAP_BPS, w)));
                grow = MIN(grow, back + u64_sub(g->want_bytes - g->in_use_bytes, g->swapped_bytes));
                g->in_use_bytes += grow;
                g->swapped_bytes -= back;
                g->swap_in_bytes += back;
                lacks = g->want_bytes - g->in_use_bytes - g->swapped_bytes; /* never held: what its swap takes, at the swap's speed */
                g->swapped_bytes += MIN(MIN(lacks, per_step(GUEST_SWAP_BPS, w)), u64_sub(g->spec->swap_bytes, g->swapped_bytes));
                if (g->swapped_bytes > 0) /* what is out is wanted: it comes and goes */
                        g->swap_in_bytes += MIN(g->swapped_bytes, per_step(GUEST_SWAP_BPS / 5, w));
        }
        g->unmet_bytes = g->want_bytes - g->in_use_bytes;

        room = u64_sub(most, g->in_use_bytes + MIN_FREE);
        g->cache_bytes = MIN(MIN(g->cache_bytes + per_step(DISK_BPS, w), cache), room);
        g->cache_known_bytes = MIN(MAX(g->cache_known_bytes, g->cache_bytes), cache);
        missing = g->cache_known_bytes - g->cache_bytes;
        if (g->spec->reread_usec > 0)
                refault = MIN(u64_mul_div(missing, w->elapsed_usec, g->spec->reread_usec), per_step(DISK_BPS, w));
        g->refault_bytes += refault;
        g->touched_bytes = MAX(MIN(g->touched_bytes, g->held_bytes), g->in_use_bytes + g->cache_bytes);

        /* Waiting: for memory that is not there, and for files that have to be read again. */
        stall_ppm = g->want_bytes > 0 ? MIN(u64_mul_div(g->unmet_bytes, 5 * PPM_ONE, g->want_bytes), PPM_ONE) : 0;
        stall_ppm = MIN(stall_ppm + u64_mul_div(refault, PPM_ONE, MAX(per_step(DISK_BPS, w), 1)), PPM_ONE);
        g->psi_some_usec += u64_mul_div(w->elapsed_usec, stall_ppm, PPM_ONE);
}

void guest_step(struct guest *g, const struct guest_world *w) {
        if (!g->running || g->vm_paused)
                return;
        if (misbehaves(g, w, REBOOTER) && w->now_usec >= g->next_reboot_usec)
                guest_reboot(g, w->now_usec, w->report_interval_usec);
        move_balloon(g, w);
        use_memory(g, w);
        g->run_usec += w->elapsed_usec / 10;
}

static void send(struct guest *g, const struct guest_world *w, bool pressure) {
        uint64_t available = guest_available(g), free = u64_sub(available, g->cache_bytes);

        if (misbehaves(g, w, LIAR))
                available = free = 0;
        if (misbehaves(g, w, BOASTER) || misbehaves(g, w, FAKER))
                available = free = g->actual_bytes;
        g->report = (struct guest_report) {
                .usec = w->now_usec,
                .actual_bytes = g->actual_bytes,
                .total_bytes = g->spec->autodeflate ? g->spec->memory_bytes : g->actual_bytes,
                .available_bytes = available,
                .free_bytes = free,
                .cache_bytes = g->cache_bytes,
                .swap_used_bytes = g->swapped_bytes,
                .psi_some_usec = g->psi_some_usec,
                .refault_bytes = g->refault_bytes,
                .swap_in_bytes = g->swap_in_bytes,
                .pressure = pressure,
        };
        g->next_report_usec = w->now_usec + (g->spec->agent ? w->report_interval_usec : w->stats_period_usec);
}

bool guest_tell(struct guest *g, const struct guest_world *w) {
        bool first = g->report.usec == 0, low, pressure;

        if (!g->running || g->vm_paused || w->now_usec < g->boot_until_usec)
                return false;
        if (g->spec->behaviour == SILENT && w->now_usec >= g->spec->silent_usec)
                return false;
        low = guest_available(g) < g->pressure_below_bytes || misbehaves(g, w, LIAR);
        /* At once when it begins; while it lasts, as often as the agent looks near exhaustion. */
        pressure = g->spec->agent && !first && low && w->now_usec - g->pressure_sent_usec >= 200 * USEC_PER_MSEC &&
                   !misbehaves(g, w, BOASTER) && !misbehaves(g, w, FAKER);
        if (pressure)
                g->pressure_sent_usec = w->now_usec;
        else if (w->now_usec < g->next_report_usec)
                return false;
        send(g, w, pressure);
        return pressure || first;
}
