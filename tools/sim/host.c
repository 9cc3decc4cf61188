/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/sim/host_internal.h"

#include "protocol/units.h"

#define CONTAIN_BPS (200 * MIB)                /* reclaim by a cgroup's limit */
#define STALL_BPS (500 * MIB)                  /* swapping this fast is full stall */
#define PSI_EVENT_PPM 100000
#define PSI_EVENT_EVERY_USEC USEC_PER_SEC

void host_init(struct host *h, const struct scenario *scenario) {
        *h = (struct host) {
                .memory_bytes = scenario->memory_bytes, .swap_total_bytes = scenario->swap_bytes, .zram_bytes = scenario->zram_bytes,
                .others_bytes = scenario->base_use_bytes, .available_bytes = u64_sub(scenario->memory_bytes, scenario->base_use_bytes),
        };
        h->n_nodes = scenario->n_nodes;
        for (size_t i = 0; i < h->n_nodes; i++)
                h->nodes[i] = (struct host_node) { .memory_bytes = scenario->node_bytes[i], .available_bytes = scenario->node_bytes[i] };
}

/* A VM under a limit of its own is pushed out to swap, slowly, and not beyond the ceiling; then it is only slowed down. */
static uint64_t contain(struct guest *g, uint64_t used_bytes, uint64_t ceiling_bytes, const struct guest_world *w) {
        uint64_t size = g->touched_bytes + g->spec->overhead_bytes;
        uint64_t over = u64_sub(size, g->contain_bytes == AEROSTAT_UNKNOWN ? size : g->contain_bytes);

        if (host_guest_swappable(g) == 0)
                return g->own_swap_bytes;
        if (g->own_swap_bytes < over)
                g->own_swap_bytes += MIN(MIN(over - g->own_swap_bytes, u64_mul_div(CONTAIN_BPS, w->elapsed_usec, USEC_PER_SEC)),
                                         u64_sub(ceiling_bytes, used_bytes));
        else
                g->own_swap_bytes -= MIN(g->own_swap_bytes - over, MAX(u64_mul_div(g->own_swap_bytes, w->elapsed_usec, SWAP_IN_USEC), 4096));
        return g->own_swap_bytes;
}

bool host_kill_largest(struct host *h, struct guest *guests, size_t n_guests, int node) {
        struct guest *largest = NULL;

        for (size_t i = 0; i < n_guests; i++)
                if (guests[i].running && (node < 0 || guests[i].spec->node == node) &&
                    (!largest || host_guest_rss(&guests[i]) > host_guest_rss(largest)))
                        largest = &guests[i];
        if (!largest)
                return false;
        h->oom_kills++;
        guest_stop(largest);
        largest->lost = true;
        return true;
}

static uint64_t host_others(const struct host *h) {
        uint64_t others = h->others_bytes;

        for (size_t i = 0; i < h->n_nodes; i++)
                others = u64_add(others, h->nodes[i].use_bytes);
        return others;
}

/* What does not fit into memory and has to be on disk. Returns true where a VM had to be killed: reckon again. */
static bool settle(struct host *h, struct guest *guests, size_t n_guests, uint64_t own, uint64_t *ret_excess) {
        uint64_t usable = host_usable_bytes(h->memory_bytes), need = host_others(h), can = need, excess, zram;

        for (size_t i = 0; i < n_guests; i++)
                if (guests[i].running) {
                        need = u64_add(need, host_guest_takes(&guests[i]));
                        can = u64_add(can, host_guest_swappable(&guests[i]));
                }
        need = u64_sub(need, own);
        excess = u64_sub(need, usable);
        zram = MIN(h->zram_bytes, u64_mul_div(excess, ZRAM_RATIO, ZRAM_RATIO - 1)); /* each page in it still takes a third */
        h->zram_used_bytes = zram;
        excess = u64_sub(excess, zram - zram / ZRAM_RATIO);
        *ret_excess = excess;
        return (u64_add(excess, own) > host_swap_bytes(h) || u64_add(u64_add(excess, zram), own) > can) && host_kill_largest(h, guests, n_guests, -1);
}

/* squeezed: by the VMs' own limits, which is slow for them and not for the host. */
static void feel_pressure(struct host *h, uint64_t swapped_out, uint64_t squeezed, const struct guest_world *w) {
        uint64_t most = MAX(u64_mul_div(STALL_BPS, w->elapsed_usec, USEC_PER_SEC), 1);
        uint64_t now_ppm = swapped_out > 0 ? CLAMP(u64_mul_div(swapped_out, PPM_ONE, most), 200000, PPM_ONE) : 0;
        uint64_t tenth = MIN(u64_mul_div(w->elapsed_usec, PPM_ONE, 10 * USEC_PER_SEC), PPM_ONE);

        h->swap_out_bps = u64_mul_div(swapped_out + squeezed, USEC_PER_SEC, MAX(w->elapsed_usec, 1));
        h->psi_some_ppm = h->psi_some_ppm - u64_mul_div(h->psi_some_ppm, tenth, PPM_ONE) + u64_mul_div(now_ppm, tenth, PPM_ONE);
        h->psi_full_ppm = h->psi_some_ppm / 4;
        if (now_ppm >= PSI_EVENT_PPM && (h->psi_event_usec == 0 || w->now_usec - h->psi_event_usec >= PSI_EVENT_EVERY_USEC)) {
                h->psi_event = true;
                h->psi_event_usec = MAX(w->now_usec, 1);
        }
}

/* Who is out: the VMs, by their size. */
static void share_swap(const struct host *h, struct guest *guests, size_t n_guests, uint64_t shared, uint64_t *ret_resident) {
        uint64_t touched = 0;

        for (size_t i = 0; i < n_guests; i++)
                if (guests[i].running)
                        touched += host_guest_swappable(&guests[i]);
        *ret_resident = 0;
        for (size_t i = 0; i < n_guests; i++)
                if (guests[i].running) {
                        guests[i].host_swap_bytes = guests[i].own_swap_bytes + guests[i].node_swap_bytes +
                                                    u64_mul_div(shared, host_guest_swappable(&guests[i]), MAX(touched, 1));
                        *ret_resident += u64_sub(host_guest_takes(&guests[i]), guests[i].host_swap_bytes);
                }
}

void host_step(struct host *h, struct guest *guests, size_t n_guests, uint64_t ceiling_bytes, const struct guest_world *w) {
        uint64_t own_before = h->own_swap_bytes, before = u64_sub(h->swap_used_bytes, own_before), used = h->swap_used_bytes;
        uint64_t shared = u64_sub(before, h->node_swap_bytes);
        uint64_t own = 0, pushed, touched = 0, excess, resident;

        for (size_t i = 0; i < n_guests; i++)
                if (guests[i].running && (guests[i].contain_bytes != AEROSTAT_UNKNOWN || guests[i].own_swap_bytes > 0)) {
                        uint64_t was = guests[i].own_swap_bytes;

                        own += contain(&guests[i], used, ceiling_bytes, w);
                        used += u64_sub(guests[i].own_swap_bytes, was);
                }
        pushed = host_nodes_push(h, guests, n_guests, own, w);
        while (settle(h, guests, n_guests, own + pushed, &excess)) {
                own = pushed = 0;
                for (size_t i = 0; i < n_guests; i++) {
                        own += guests[i].own_swap_bytes;
                        pushed += guests[i].node_swap_bytes;
                }
        }
        for (size_t i = 0; i < n_guests; i++)
                touched += host_guest_swappable(&guests[i]);

        /* Pages come back slowly, and go with the memory of VMs that shrink or end. */
        if (excess > shared)
                shared = excess;
        else
                shared -= MIN(shared - excess, MAX(u64_mul_div(shared, w->elapsed_usec, SWAP_IN_USEC), 4096));
        shared = MIN(MIN(shared, u64_sub(touched, pushed)), u64_sub(host_swap_bytes(h), own + pushed));
        h->swap_used_bytes = shared + own + pushed;
        h->own_swap_bytes = own;
        h->node_swap_bytes = pushed;
        feel_pressure(h, u64_sub(shared + pushed, before), u64_sub(own, own_before), w);

        share_swap(h, guests, n_guests, shared + h->zram_used_bytes, &resident);
        h->available_bytes = u64_sub(host_usable_bytes(h->memory_bytes),
                                     host_others(h) + resident + h->zram_used_bytes / ZRAM_RATIO);
        host_nodes_settle(h, guests, n_guests);
}
