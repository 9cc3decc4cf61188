/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "protocol/units.h"
#include "tests/property/case.h"
#include "tools/sim/random.h"

/*
 * Cases that look like life, with a share of nonsense: guests boot, obey, do not obey, fall silent, are paused, lie; hosts lose memory and gain
 * reservations. In one case of sixteen any number may be anything.
 */

struct generator {
        uint64_t random;
        bool hostile;
};

static uint64_t below(struct generator *g, uint64_t n) {
        return random_below(&g->random, n);
}

/* True once in n. */
static bool once(struct generator *g, uint64_t n) {
        return below(g, n) == 0;
}

/* 0 .. most, often at one of the ends. */
static uint64_t up_to(struct generator *g, uint64_t most) {
        switch (below(g, 8)) {
        case 0:
                return 0;
        case 1:
                return most;
        case 2:
                return most / (1 + below(g, 64));
        default:
                return most == 0 ? 0 : below(g, most);
        }
}

static uint64_t anything(struct generator *g) {
        static const uint64_t odd[] = { 0, 1, MIB, GIB, TIB, POLICY_SIZE_MAX - 1, POLICY_SIZE_MAX, POLICY_SIZE_MAX + 1, UINT64_C(1) << 63,
                                        UINT64_MAX - 1, UINT64_MAX };

        return once(g, 3) ? odd[below(g, ARRAY_SIZE(odd))] : random_next(&g->random) >> below(g, 64);
}

static void make_config(struct generator *g, struct policy_config *c) {
        policy_config_init(c);
        c->mode = once(g, 3) ? (enum policy_mode) below(g, 3) : POLICY_GUARANTEED;
        if (once(g, 4))
                c->reserve_bytes = up_to(g, 8 * GIB);
        if (once(g, 8))
                c->memory_bytes = up_to(g, 64 * GIB);
        if (once(g, 4))
                c->headroom_ppm = up_to(g, PPM_ONE);
        if (once(g, 4))
                c->growth_pool_ppm = up_to(g, PPM_ONE / 2);
        if (once(g, 4))
                c->max_shrink_ppm = up_to(g, PPM_ONE);
        if (once(g, 4))
                c->swap_ceiling_ppm = up_to(g, PPM_ONE);
        if (once(g, 4))
                c->ksm_credit_ppm = up_to(g, PPM_ONE);
}

static void make_vm(struct generator *g, const struct policy_host *host, uint64_t now_usec, struct policy_vm_input *in) {
        uint64_t max = once(g, 10) ? up_to(g, 64 * GIB) : MAX(up_to(g, MAX(host->total_bytes, 8) / 2), MIB), actual = up_to(g, max);

        *in = (struct policy_vm_input) {
                .max_bytes = max, .floor_bytes = up_to(g, once(g, 8) ? 2 * max : max / 3),
                .weight = once(g, 8) ? up_to(g, POLICY_WEIGHT_MAX) : 1000 * (1 + below(g, 4)),
                .pin_bytes = once(g, 12) ? up_to(g, max) : AEROSTAT_UNKNOWN,
                .managed = !once(g, 12), .fixed = once(g, 12), .hugepages = once(g, 24), .held = once(g, 12), .unresponsive = once(g, 24),
                .autodeflate = once(g, 4), .cannot_swap = once(g, 6),
                .started_usec = now_usec - up_to(g, 300 * USEC_PER_SEC), .balloon_confirmed = !once(g, 8),
                .actual_bytes = once(g, 24) ? AEROSTAT_UNKNOWN : actual,
                .target_bytes = once(g, 4) ? AEROSTAT_UNKNOWN : once(g, 2) ? actual : up_to(g, max),
                .rss_bytes = once(g, 16) ? AEROSTAT_UNKNOWN : up_to(g, once(g, 10) ? max : actual), .swap_bytes = once(g, 4) ? up_to(g, max / 4) : 0,
                .overhead_bytes = once(g, 8) ? AEROSTAT_UNKNOWN : up_to(g, 256 * MIB), .run_usec = once(g, 4) ? below(g, 1000000) : AEROSTAT_UNKNOWN,
                .report_usec = once(g, 10) ? 0 : now_usec - (once(g, 6) ? up_to(g, 200 * USEC_PER_SEC) : below(g, 2 * USEC_PER_SEC)),
                .report_actual_bytes = once(g, 3) ? AEROSTAT_UNKNOWN : actual, .guest_total_bytes = actual, .guest_available_bytes = up_to(g, actual),
                .guest_free_bytes = up_to(g, actual), .guest_cache_bytes = once(g, 8) ? AEROSTAT_UNKNOWN : up_to(g, actual),
                .guest_psi_some_total_usec = once(g, 4) ? AEROSTAT_UNKNOWN : 0, .guest_refault_bytes = once(g, 4) ? AEROSTAT_UNKNOWN : 0,
                .guest_swap_in_bytes = 0, .guest_swap_excess_bytes = once(g, 8) ? up_to(g, max) : 0,
                .guest_oom_kills = once(g, 4) ? AEROSTAT_UNKNOWN : 0, .guest_pressure = once(g, 8),
        };
        if (host->n_nodes > 0 && !once(g, 3))
                in->node_mask = once(g, 3) ? 1 + below(g, 7) : UINT64_C(1) << below(g, CASE_NODES);
}

/* What is available is spread over the nodes somehow. */
static void spread(struct generator *g, struct policy_host *h) {
        uint64_t left = h->available_bytes, n = MIN(h->n_nodes, CASE_NODES);

        for (size_t i = 0; i < n; i++) {
                h->nodes[i].available_bytes = i + 1 == n ? MIN(left, h->nodes[i].total_bytes) : up_to(g, MIN(left, h->nodes[i].total_bytes));
                left -= h->nodes[i].available_bytes;
        }
}

/* One host in three has two or three nodes, now and then one without memory among them. */
static void make_nodes(struct generator *g, struct policy_host *h) {
        uint64_t left = h->total_bytes;

        if (!once(g, 3))
                return;
        h->n_nodes = 2 + below(g, CASE_NODES - 1);
        for (size_t i = 0; i < h->n_nodes; i++) {
                uint64_t size = h->total_bytes / h->n_nodes + up_to(g, h->total_bytes / 8);

                h->nodes[i].total_bytes = i + 1 == h->n_nodes ? left : once(g, 16) ? 0 : MIN(left, size);
                left -= h->nodes[i].total_bytes;
        }
        spread(g, h);
}

static void make_host(struct generator *g, struct policy_host *h) {
        uint64_t total = once(g, 10) ? up_to(g, 2 * TIB) : (1 + below(g, 64)) * GIB;

        *h = (struct policy_host) {
                .total_bytes = total, .available_bytes = up_to(g, total), .limit_bytes = once(g, 8) ? up_to(g, total) : AEROSTAT_UNKNOWN,
                .swap_total_bytes = once(g, 4) ? 0 : up_to(g, total), .zswap_bytes = once(g, 8) ? up_to(g, total / 4) : 0,
                .arc_reclaimable_bytes = once(g, 8) ? up_to(g, total / 4) : AEROSTAT_UNKNOWN, .ksm_saved_bytes = once(g, 4) ? up_to(g, total / 3) : 0,
                .psi_some_ppm = once(g, 4) ? AEROSTAT_UNKNOWN : 0, .psi_full_ppm = 0, .reserved_bytes = once(g, 6) ? up_to(g, total / 2) : 0,
        };
        h->swap_used_bytes = up_to(g, h->swap_total_bytes);
        h->swap_limit_bytes = once(g, 8) ? up_to(g, h->swap_total_bytes) : AEROSTAT_UNKNOWN;
        make_nodes(g, h);
}

/* The next moment of a VM, given what was decided. */
static void evolve_vm(struct generator *g, uint64_t now_usec, uint64_t elapsed_usec, const struct policy_vm_plan *plan, struct policy_vm_input *in) {
        uint64_t need = u64_sub(in->actual_bytes == AEROSTAT_UNKNOWN ? in->max_bytes : in->actual_bytes, in->guest_available_bytes);

        if (plan->set && !once(g, 16)) /* libvirt may have refused */
                in->target_bytes = plan->target_bytes;
        if (in->target_bytes != AEROSTAT_UNKNOWN && in->balloon_confirmed && once(g, 2))
                in->actual_bytes = once(g, 2) ? in->target_bytes : (in->target_bytes / 2 + MIN(in->actual_bytes, in->max_bytes) / 2);
        if (in->actual_bytes != AEROSTAT_UNKNOWN && once(g, 2) && in->rss_bytes != AEROSTAT_UNKNOWN)
                in->rss_bytes = MIN(in->rss_bytes, u64_add(in->actual_bytes, 64 * MIB));
        if (once(g, 8))
                need = up_to(g, in->max_bytes);
        if (once(g, 2) && in->actual_bytes != AEROSTAT_UNKNOWN) {
                in->report_usec = now_usec - below(g, elapsed_usec + 1);
                in->report_actual_bytes = in->guest_total_bytes = in->actual_bytes;
                in->guest_available_bytes = u64_sub(in->actual_bytes, need);
                in->guest_pressure = once(g, 8);
                if (in->guest_refault_bytes != AEROSTAT_UNKNOWN && once(g, 4))
                        in->guest_refault_bytes += up_to(g, GIB);
                if (in->guest_psi_some_total_usec != AEROSTAT_UNKNOWN && once(g, 4))
                        in->guest_psi_some_total_usec += up_to(g, elapsed_usec);
                if (in->guest_oom_kills != AEROSTAT_UNKNOWN && once(g, 32))
                        in->guest_oom_kills++;
        }
        if (once(g, 64)) { /* a reboot */
                in->started_usec = now_usec;
                in->balloon_confirmed = false;
                in->report_usec = 0;
                in->target_bytes = AEROSTAT_UNKNOWN;
        } else if (!in->balloon_confirmed && once(g, 3))
                in->balloon_confirmed = true;
        if (once(g, 48))
                in->held = !in->held;
        if (once(g, 64))
                in->pin_bytes = once(g, 2) ? AEROSTAT_UNKNOWN : up_to(g, in->max_bytes);
        if (once(g, 64))
                in->floor_bytes = up_to(g, in->max_bytes);
}

static void evolve_host(struct generator *g, struct policy_host *h) {
        if (once(g, 3))
                h->available_bytes = once(g, 3) ? up_to(g, h->total_bytes)
                                                : h->available_bytes - h->available_bytes / 16 + up_to(g, h->total_bytes / 16);
        if (h->n_nodes > 0 && once(g, 3))
                spread(g, h);
        if (once(g, 16))
                h->reserved_bytes = up_to(g, h->total_bytes / 2);
        if (once(g, 16))
                h->swap_total_bytes = up_to(g, h->total_bytes);
        h->psi_event = once(g, 8);
        h->swap_out_bytes_per_sec = once(g, 8) ? up_to(g, GIB) : 0;
}

static void spoil(struct generator *g, struct snapshot *s, size_t n_vms) {
        for (const struct field *f = host_fields; f->name; f++)
                if (once(g, 6))
                        field_set(f, &s->host, anything(g));
        for (size_t i = 0; i < n_vms; i++)
                for (const struct field *f = vm_fields; f->name; f++)
                        if (once(g, 8))
                                field_set(f, &s->vms[i], f->is_bool ? below(g, 2) : anything(g));
}

void case_generate(uint64_t seed, struct test_case *ret) {
        struct generator g = { .random = seed };
        struct policy_vm vms[CASE_VMS] = { 0 };
        struct policy_work work[CASE_VMS];
        struct policy_state state = { 0 };
        struct policy_plan plan;

        random_next(&g.random);
        g.hostile = once(&g, 16);
        case_defaults(ret, once(&g, 32) ? 0 : 1 + below(&g, once(&g, 4) ? CASE_VMS : 5), 1 + below(&g, CASE_STEPS));
        make_config(&g, &ret->config);
        for (size_t s = 0; s < ret->n_steps; s++) {
                struct snapshot *step = &ret->steps[s], *before = s > 0 ? step - 1 : NULL;
                uint64_t elapsed = once(&g, 6) ? up_to(&g, 60 * USEC_PER_SEC) : 100 * USEC_PER_MSEC * (1 + below(&g, 20));

                step->now_usec = before ? before->now_usec + elapsed : 1000 * USEC_PER_SEC;
                if (before) {
                        step->host = before->host;
                        evolve_host(&g, &step->host);
                } else
                        make_host(&g, &step->host);
                for (size_t i = 0; i < ret->n_vms; i++)
                        if (before) {
                                step->vms[i] = before->vms[i];
                                evolve_vm(&g, step->now_usec, elapsed, &vms[i].plan, &step->vms[i]);
                        } else
                                make_vm(&g, &step->host, step->now_usec, &step->vms[i]);
                if (g.hostile)
                        spoil(&g, step, ret->n_vms);
                for (size_t i = 0; i < ret->n_vms; i++)
                        vms[i].input = step->vms[i];
                policy_decide(&ret->config, &step->host, step->now_usec, &state, vms, work, ret->n_vms, &plan);
        }
}
