/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/sim/host_internal.h"

/*
 * A host with several NUMA nodes. Guests that are bound to one have their memory there and nowhere else: what does not fit is swapped, and when
 * swap is full the largest on that node is killed, however much is free on others; so does the kernel with a strict policy. All else goes where
 * there is room.
 */

static uint64_t usable(const struct host_node *node) {
        return u64_sub(host_usable_bytes(node->memory_bytes), node->use_bytes);
}

static bool is_on(const struct guest *g, size_t node) {
        return g->running && g->spec->node == (int) node;
}

/* What the guests on a node have there, less what they have swapped by their own limits. */
static uint64_t needed(const struct guest *guests, size_t n_guests, size_t node) {
        uint64_t need = 0;

        for (size_t i = 0; i < n_guests; i++)
                if (is_on(&guests[i], node))
                        need = u64_add(need, u64_sub(host_guest_takes(&guests[i]), guests[i].own_swap_bytes));
        return need;
}

static uint64_t can_swap(const struct guest *guests, size_t n_guests, size_t node) {
        uint64_t can = 0;

        for (size_t i = 0; i < n_guests; i++)
                if (is_on(&guests[i], node))
                        can = u64_add(can, u64_sub(host_guest_swappable(&guests[i]), guests[i].own_swap_bytes));
        return can;
}

/* By size; what was swapped once comes back slowly. */
static uint64_t push(struct guest *guests, size_t n_guests, size_t node, uint64_t excess, const struct guest_world *w) {
        uint64_t touched = 0, pushed = 0;

        for (size_t i = 0; i < n_guests; i++)
                if (is_on(&guests[i], node))
                        touched += host_guest_swappable(&guests[i]);
        for (size_t i = 0; i < n_guests; i++) {
                struct guest *g = &guests[i];
                uint64_t part;

                if (!is_on(g, node))
                        continue;
                part = u64_mul_div(excess, host_guest_swappable(g), touched);
                if (g->node_swap_bytes > part)
                        g->node_swap_bytes -= MIN(g->node_swap_bytes - part,
                                                  MAX(u64_mul_div(g->node_swap_bytes, w->elapsed_usec, SWAP_IN_USEC), 4096));
                else
                        g->node_swap_bytes = part;
                g->node_swap_bytes = MIN(g->node_swap_bytes, u64_sub(host_guest_swappable(g), g->own_swap_bytes));
                pushed += g->node_swap_bytes;
        }
        return pushed;
}

uint64_t host_nodes_push(struct host *h, struct guest *guests, size_t n_guests, uint64_t own, const struct guest_world *w) {
        uint64_t pushed = 0;

        for (size_t n = 0; n < h->n_nodes; n++) {
                uint64_t excess = u64_sub(needed(guests, n_guests, n), usable(&h->nodes[n]));

                while ((u64_add(u64_add(excess, pushed), own) > host_swap_bytes(h) || excess > can_swap(guests, n_guests, n)) &&
                       host_kill_largest(h, guests, n_guests, (int) n))
                        excess = u64_sub(needed(guests, n_guests, n), usable(&h->nodes[n]));
                pushed += push(guests, n_guests, n, excess, w);
        }
        return pushed;
}

void host_nodes_settle(struct host *h, const struct guest *guests, size_t n_guests) {
        uint64_t room[POLICY_NODES_MAX], rooms = 0, elsewhere;

        elsewhere = h->others_bytes + h->zram_used_bytes / ZRAM_RATIO;
        for (size_t n = 0; n < h->n_nodes; n++)
                room[n] = usable(&h->nodes[n]);
        for (size_t i = 0; i < n_guests; i++) {
                uint64_t has;

                if (!guests[i].running)
                        continue;
                has = u64_sub(host_guest_takes(&guests[i]), guests[i].host_swap_bytes);
                if (guests[i].spec->node < 0)
                        elsewhere += has;
                else
                        room[guests[i].spec->node] = u64_sub(room[guests[i].spec->node], has);
        }
        for (size_t n = 0; n < h->n_nodes; n++)
                rooms += room[n];
        for (size_t n = 0; n < h->n_nodes; n++)
                h->nodes[n].available_bytes = u64_sub(room[n], u64_mul_div(elsewhere, room[n], rooms));
}
