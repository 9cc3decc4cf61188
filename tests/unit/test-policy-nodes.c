/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/policy.h"

#define NODE_SIZE (8 * GIB)
#define OTHERS (512 * MIB)             /* on each node, by processes of the host */

/* Two nodes of 8 GiB instead of one of 16. The reserve is 1 GiB: half of it on each, which leaves VMs 7 GiB there. */
static void nodes_init(struct fixture *f) {
        fixture_init(f);
        f->host.n_nodes = 2;
        for (size_t i = 0; i < 2; i++)
                f->host.nodes[i] = (struct policy_node) { .total_bytes = NODE_SIZE, .available_bytes = NODE_SIZE - OTHERS };
}

static void hold(struct fixture *f, size_t node, uint64_t bytes) {
        f->host.nodes[node].available_bytes = u64_sub(f->host.nodes[node].available_bytes, bytes);
}

/* A guest bound to one node, or to none (-1): then half of it is on each. */
static struct policy_vm *add(struct fixture *f, int node, uint64_t max, uint64_t actual, uint64_t need) {
        struct policy_vm *vm = fixture_add(f, max, actual, need);

        if (node >= 0)
                vm->input.node_mask = UINT64_C(1) << node;
        for (int i = 0; i < 2; i++)
                hold(f, (size_t) i, node < 0 ? actual / 2 : node == i ? actual : 0);
        return vm;
}

/* 100 ms a step; what guests give back comes back to their node. */
static void run(struct fixture *f, unsigned steps) {
        while (steps-- > 0) {
                f->now_usec += 100 * USEC_PER_MSEC;
                fixture_decide(f);
                for (size_t i = 0; i < f->n; i++) {
                        uint64_t before = f->vms[i].input.rss_bytes, mask = f->vms[i].input.node_mask & 3;

                        fixture_obey(f, &f->vms[i]);
                        for (size_t k = 0; k < 2; k++) {
                                uint64_t part = mask == 1u << k ? 1 : mask == 0 || mask == 3 ? 2 : 0, *available = &f->host.nodes[k].available_bytes;

                                if (part > 0)
                                        *available = u64_sub(*available + before / part, f->vms[i].input.rss_bytes / part);
                        }
                }
        }
}

static void test_nobody_is_bound(void **state) {
        static const uint64_t masks[] = { 0, 3 /* all of them */, 7 /* and one that is not there */, 4 /* that one only */ };

        for (size_t i = 0; i < ARRAY_SIZE(masks); i++) {
                struct fixture f;

                nodes_init(&f);
                add(&f, 0, 4 * GIB, 4 * GIB, GIB)->input.node_mask = masks[i];
                fixture_decide(&f);
                assert_int_equal(f.plan.n_nodesets, 0);
                assert_true(f.plan.fits);
                assert_int_equal(f.vms[0].plan.nodeset, 0);
        }
}

/* On a host with one node a binding to it changes nothing: the plan is the same to the byte. */
static void test_one_node(void **state) {
        struct fixture bound, plain;

        for (uint64_t n = 0; n < 2; n++) {
                fixture_init(&bound);
                fixture_init(&plain);
                bound.host.n_nodes = plain.host.n_nodes = n;
                bound.host.nodes[0] = plain.host.nodes[0] = (struct policy_node) { 16 * GIB, 15 * GIB };
                for (unsigned i = 0; i < 3; i++) {
                        fixture_add(&bound, 8 * GIB, 5 * GIB, 4 * GIB)->input.node_mask = 1;
                        fixture_add(&plain, 8 * GIB, 5 * GIB, 4 * GIB);
                }
                fixture_decide(&bound);
                fixture_decide(&plain);
                assert_memory_equal(&bound.plan, &plain.plan, sizeof(bound.plan));
                for (unsigned i = 0; i < 3; i++)
                        assert_memory_equal(&bound.vms[i].plan, &plain.vms[i].plan, sizeof(bound.vms[i].plan));
        }
}

static void test_what_a_node_can_bear(void **state) {
        const struct policy_nodeset *s;
        struct fixture f;

        nodes_init(&f);
        add(&f, 0, 6 * GIB, 4 * GIB, GIB);
        add(&f, -1, 2 * GIB, 2 * GIB, GIB); /* half of it is found on the node */
        fixture_decide(&f);
        assert_int_equal(f.plan.n_nodesets, 1);
        s = &f.plan.nodesets[0];
        assert_int_equal(s->mask, 1);
        assert_int_equal(s->n_vms, 1);
        assert_int_equal(s->total_bytes, 8 * GIB);
        assert_int_equal(s->reserve_bytes, 512 * MIB);
        assert_int_equal(s->other_bytes, 512 * MIB + GIB);
        assert_int_equal(s->capacity_bytes, 6 * GIB);
        assert_int_equal(s->rule_bytes, 6 * GIB);
        assert_int_equal(s->liable_bytes, 4 * GIB);
        assert_int_equal(s->free_bytes, 2 * GIB);
        assert_int_equal(f.vms[0].plan.nodeset, 1);
        assert_int_equal(f.vms[1].plan.nodeset, 0);
        assert_false(f.plan.unsafe);

        /* What others use goes up at once, and comes down by a thirtieth a second. */
        hold(&f, 0, GIB);
        f.now_usec += USEC_PER_SEC;
        fixture_decide(&f);
        assert_int_equal(s->other_bytes, 2560 * MIB);
        f.host.nodes[0].available_bytes += GIB;
        f.now_usec += USEC_PER_SEC;
        fixture_decide(&f);
        assert_near(s->other_bytes, 2560 * MIB - GIB / 30, MIB);
}

/* What swap backs is for all nodes together: each has its part, by size. */
static void test_envelope_of_a_node(void **state) {
        struct fixture f;

        nodes_init(&f);
        f.config.mode = POLICY_SWAP_BACKED;
        f.config.swap_ceiling_ppm = 500000;
        f.host.swap_total_bytes = 8 * GIB;
        add(&f, 0, 4 * GIB, 4 * GIB, GIB);
        fixture_decide(&f);
        assert_int_equal(f.plan.envelope_bytes, 18 * GIB);
        assert_int_equal(f.plan.nodesets[0].capacity_bytes, 7 * GIB);
        assert_int_equal(f.plan.nodesets[0].rule_bytes, 9 * GIB);
}

/* Three guests of 4 GiB on one node and a fourth on the other: the host could bear 14 GiB of their 16, the node 7 of their 12. */
static void test_shares_within_a_node(void **state) {
        uint64_t pool = 14 * GIB / 25 / 2, room = 7 * GIB - MARGIN - pool;
        struct fixture f;

        nodes_init(&f);
        for (unsigned i = 0; i < 3; i++)
                add(&f, 0, 4 * GIB, 2 * GIB, 512 * MIB);
        f.vms[2].input.weight = 2000;
        add(&f, 1, 4 * GIB, 3 * GIB, GIB);
        fixture_decide(&f);
        assert_false(f.plan.fits);
        assert_false(f.plan.nodesets[0].fits);
        assert_int_equal(f.plan.nodesets[0].pool_bytes, pool);
        /* The surplus beyond equal demands goes by weight, and the floors of 256 MiB come first. */
        assert_near(f.vms[0].plan.entitled_bytes, 256 * MIB + (room - 768 * MIB) / 4, MIB);
        assert_near(f.vms[2].plan.entitled_bytes, 256 * MIB + (room - 768 * MIB) / 2, MIB);
        assert_near(f.vms[0].plan.ideal_bytes + f.vms[1].plan.ideal_bytes + f.vms[2].plan.ideal_bytes, room, 4 * MIB);
        assert_true(f.vms[2].plan.ideal_bytes > f.vms[0].plan.ideal_bytes);
        assert_int_equal(f.vms[3].plan.ideal_bytes, 4 * GIB); /* nobody takes anything from it */

        run(&f, 600);
        assert_reason(&f.vms[0], POLICY_REASON_NODE);
        assert_near(f.vms[0].input.actual_bytes + f.vms[1].input.actual_bytes + f.vms[2].input.actual_bytes, room, 4 * MIB);
        assert_int_equal(f.vms[3].input.actual_bytes, 4 * GIB);
        assert_false(f.plan.unsafe);
}

/* A burst on a full node is met by those that are on it, however much is free elsewhere, and they alone give. */
static void test_burst_on_a_full_node(void **state) {
        struct policy_vm *bursts, *idle, *elsewhere, *anywhere;
        uint64_t before;
        struct fixture f;

        nodes_init(&f);
        bursts = add(&f, 0, 6 * GIB, 2 * GIB, GIB);
        idle = add(&f, 0, 6 * GIB, 3 * GIB, 512 * MIB);
        elsewhere = add(&f, 1, 2 * GIB, 2 * GIB, 512 * MIB);
        anywhere = add(&f, -1, GIB, GIB, 256 * MIB);
        run(&f, 600);
        assert_int_equal(elsewhere->input.actual_bytes, 2 * GIB);
        before = bursts->input.actual_bytes;
        assert_true(f.plan.nodesets[0].free_bytes < 400 * MIB); /* the pool is what is left there */
        assert_true(f.plan.free_bytes > 4 * GIB);

        bursts->input.guest_available_bytes = 64 * MIB;
        bursts->input.guest_pressure = true;
        f.now_usec += 100 * USEC_PER_MSEC;
        bursts->input.report_usec = f.now_usec;
        fixture_decide(&f);
        assert_true(bursts->plan.set && bursts->plan.target_bytes > before); /* from the node's pool, at once */
        assert_true(bursts->plan.target_bytes <= before + f.plan.nodesets[0].free_bytes);
        assert_true(idle->plan.set && idle->plan.target_bytes < idle->input.actual_bytes);
        assert_reason(idle, POLICY_REASON_FUNDS);
        assert_false(elsewhere->plan.set || anywhere->plan.set);
        bursts->input.guest_pressure = false;
        for (unsigned i = 0; i < 100; i++) {
                run(&f, 1);
                assert_true(bursts->input.actual_bytes + idle->input.actual_bytes <= f.plan.nodesets[0].rule_bytes);
        }
        assert_true(bursts->input.actual_bytes >= before * 6 / 5); /* what it uses, with headroom */
        assert_int_equal(elsewhere->input.actual_bytes, 2 * GIB);
        assert_int_equal(anywhere->input.actual_bytes, GIB);
}

/* A process takes 1.5 GiB on one node: the VMs there give it back at balloon speed, and nobody else. */
static void test_deficit_of_a_node(void **state) {
        struct policy_vm *a, *b, *elsewhere;
        struct fixture f;

        nodes_init(&f);
        a = add(&f, 0, 3 * GIB, 3 * GIB, 256 * MIB);
        b = add(&f, 0, 3 * GIB, 3 * GIB, 256 * MIB);
        elsewhere = add(&f, 1, 4 * GIB, 4 * GIB, 256 * MIB);
        run(&f, 1);
        assert_true(f.plan.fits);
        hold(&f, 0, 3 * GIB / 2);
        f.host.available_bytes -= 3 * GIB / 2;
        f.now_usec += 100 * USEC_PER_MSEC;
        fixture_decide(&f);
        assert_int_equal(f.plan.deficit_bytes, 0); /* 14 - 1.5 for the 10 that all have */
        assert_int_equal(f.plan.nodesets[0].deficit_bytes, 512 * MIB); /* 7 - 1.5 for 6 */
        assert_true(f.plan.unsafe);
        assert_true(f.plan.weaknesses & POLICY_WEAK_UNSAFE);
        assert_int_equal(f.plan.guarantee, POLICY_NONE);
        assert_true(a->plan.target_bytes + b->plan.target_bytes <= 5632 * MIB);
        assert_reason(a, POLICY_REASON_FUNDS);
        assert_false(elsewhere->plan.set);
        run(&f, 5);
        assert_int_equal(f.plan.nodesets[0].deficit_bytes, 0);
        assert_false(f.plan.unsafe);
        assert_int_equal(elsewhere->input.actual_bytes, 4 * GIB);
}

static void test_floors_of_a_node(void **state) {
        struct fixture f;

        nodes_init(&f);
        for (unsigned i = 0; i < 2; i++)
                add(&f, 0, 5 * GIB, 5 * GIB, GIB)->input.floor_bytes = 4 * GIB;
        fixture_decide(&f);
        assert_true(f.plan.floors_fit); /* on the host */
        assert_false(f.plan.nodesets[0].floors_fit);
        assert_int_equal(f.plan.nodesets[0].floors_bytes, 8 * GIB);
        assert_true(f.plan.weaknesses & POLICY_WEAK_FLOORS);
        assert_int_equal(f.vms[0].plan.ideal_bytes, 4 * GIB);
}

/* Four nodes, two to a socket: bound to a socket, and to one of its nodes. */
static void test_sockets(void **state) {
        struct fixture f;

        fixture_init(&f);
        f.host.n_nodes = 4;
        for (size_t i = 0; i < 4; i++)
                f.host.nodes[i] = (struct policy_node) { .total_bytes = 4 * GIB, .available_bytes = 3840 * MIB };
        f.host.available_bytes = 15 * GIB;
        fixture_add(&f, 4 * GIB, 2 * GIB, GIB)->input.node_mask = 3;
        fixture_add(&f, 4 * GIB, 2 * GIB, GIB)->input.node_mask = 1;
        fixture_add(&f, 4 * GIB, GIB, 512 * MIB)->input.node_mask = 12;
        f.host.nodes[0].available_bytes -= 2 * GIB;
        f.host.nodes[1].available_bytes -= 2 * GIB;
        f.host.nodes[3].available_bytes -= GIB;
        fixture_decide(&f);
        assert_int_equal(f.plan.n_nodesets, 3);
        assert_int_equal(f.plan.nodesets[0].mask, 3);
        assert_int_equal(f.plan.nodesets[0].n_vms, 2); /* the VM on node 0 cannot leave the socket either */
        assert_int_equal(f.plan.nodesets[0].liable_bytes, 4 * GIB);
        assert_int_equal(f.plan.nodesets[0].capacity_bytes, 7 * GIB);
        assert_int_equal(f.plan.nodesets[1].n_vms, 1);
        assert_int_equal(f.plan.nodesets[1].capacity_bytes, 3584 * MIB); /* 4096 - 256 of others - 256 of reserve */
        assert_true(f.plan.nodesets[2].fits);
        assert_int_equal(f.vms[2].plan.ideal_bytes, 4 * GIB);
        /* Node 0 holds its VM to 3.5 GiB; the socket both to 7. */
        assert_true(f.vms[1].plan.ideal_bytes < 3584 * MIB);
        assert_true(f.vms[0].plan.ideal_bytes + f.vms[1].plan.ideal_bytes < 7 * GIB);
        assert_true(f.vms[0].plan.ideal_bytes > 3 * GIB);
}

/* Nodes 0-1 and 1-2 overlap: the first counts, the other VM is found. */
static void test_sets_that_cross(void **state) {
        struct fixture f;

        fixture_init(&f);
        f.host.n_nodes = 3;
        for (size_t i = 0; i < 3; i++)
                f.host.nodes[i] = (struct policy_node) { .total_bytes = 5 * GIB, .available_bytes = 5 * GIB };
        fixture_add(&f, 4 * GIB, 2 * GIB, GIB)->input.node_mask = 3;
        fixture_add(&f, 4 * GIB, 2 * GIB, GIB)->input.node_mask = 6;
        fixture_add(&f, 4 * GIB, 2 * GIB, GIB)->input.node_mask = 4;
        fixture_decide(&f);
        assert_int_equal(f.plan.n_nodesets, 2);
        assert_int_equal(f.plan.nodesets[0].mask, 3);
        assert_int_equal(f.plan.nodesets[0].n_vms, 1);
        assert_int_equal(f.plan.nodesets[1].mask, 4);
        assert_int_equal(f.vms[1].plan.nodeset, 0);
}

/* A manual target is not given beyond what the node can bear. */
static void test_pin_on_a_full_node(void **state) {
        struct fixture f;

        nodes_init(&f);
        add(&f, 0, 8 * GIB, 2 * GIB, GIB)->input.pin_bytes = 8 * GIB;
        add(&f, 0, 4 * GIB, 2 * GIB, GIB);
        for (unsigned i = 0; i < 100; i++) {
                run(&f, 1);
                assert_false(f.plan.unsafe);
        }
        assert_reason(&f.vms[0], POLICY_REASON_PINNED_WAITS);
        assert_true(f.vms[0].input.actual_bytes + f.vms[1].input.actual_bytes <= 7 * GIB);
        assert_true(f.vms[0].input.actual_bytes > 6 * GIB);
}

/* What cannot swap has to fit the node's own memory: swap backs no more than what the others have beyond their floors. */
static void test_what_cannot_swap(void **state) {
        struct policy_vm *stays, *other;
        struct fixture f;

        nodes_init(&f);
        f.config.mode = POLICY_SWAP_BACKED;
        f.config.swap_ceiling_ppm = 500000;
        f.host.swap_total_bytes = 8 * GIB;
        stays = add(&f, 0, 8 * GIB, 4 * GIB, 4 * GIB);
        other = add(&f, 0, 4 * GIB, 3 * GIB, GIB);
        other->input.floor_bytes = 2 * GIB;
        fixture_decide(&f);
        assert_int_equal(f.plan.nodesets[0].rule_bytes, 9 * GIB);
        stays->input.cannot_swap = true;
        fixture_decide(&f);
        assert_int_equal(f.plan.nodesets[0].rule_bytes, 8 * GIB); /* capacity of 7, and 1 of the other's 3 */
        run(&f, 600);
        assert_true(stays->input.actual_bytes + 2 * GIB <= 7 * GIB);
        assert_true(stays->input.actual_bytes > 4 * GIB + 512 * MIB);
        assert_false(f.plan.unsafe);
}

/* What a set's own memory has to hold: what of its VMs cannot swap may have, and the floors of the others. */
static uint64_t must_stay(const struct fixture *f, uint64_t mask) {
        uint64_t sum = 0;

        for (size_t i = 0; i < f->n; i++) {
                const struct policy_vm_input *in = &f->vms[i].input;

                if (in->node_mask == mask)
                        sum += in->cannot_swap ? MAX(in->actual_bytes, in->target_bytes) : in->floor_bytes;
        }
        return sum;
}

/* 100 ms a step. Those that can swap have touched 1 GiB of what they hold, the others all of it; `process` is what else is used on the first node. */
static void run_touched(struct fixture *f, unsigned steps, uint64_t process) {
        for (; steps > 0; steps--) {
                f->now_usec += 100 * USEC_PER_MSEC;
                fixture_decide(f);
                f->host.available_bytes = 0;
                for (size_t k = 0; k < 2; k++) {
                        f->host.nodes[k].available_bytes = NODE_SIZE - OTHERS - (k == 0 ? process : 0);
                        for (size_t i = 0; i < f->n; i++) {
                                struct policy_vm_input *in = &f->vms[i].input;

                                if (in->node_mask != UINT64_C(1) << k)
                                        continue;
                                fixture_obey(f, &f->vms[i]);
                                in->rss_bytes = in->cannot_swap ? in->actual_bytes : GIB;
                                f->host.nodes[k].available_bytes = u64_sub(f->host.nodes[k].available_bytes, in->rss_bytes);
                        }
                }
                f->host.available_bytes = f->host.nodes[0].available_bytes + f->host.nodes[1].available_bytes;
        }
}

/* Two nodes, on each one that cannot swap and wants all it can get, and one that can: the second bound is kept on either, also when a process takes
 * memory of the first, and only the one that cannot swap there gives back for it. */
static void test_second_bound_of_each_node(void **state) {
        static const uint64_t floors[] = { 2 * GIB, GIB };
        uint64_t before;
        struct fixture f;

        nodes_init(&f);
        f.config.mode = POLICY_SWAP_BACKED;
        f.config.swap_ceiling_ppm = 500000;
        f.host.swap_total_bytes = 16 * GIB;
        for (int node = 0; node < 2; node++) {
                add(&f, node, 8 * GIB, 4 * GIB, 3 * GIB)->input.cannot_swap = true;
                add(&f, node, 4 * GIB, 3 * GIB, GIB)->input.floor_bytes = floors[node];
        }
        run_touched(&f, 1, 0);
        for (unsigned i = 0; i < 600; i++) {
                run_touched(&f, 1, 0);
                for (size_t k = 0; k < 2; k++) {
                        assert_int_equal(f.plan.nodesets[k].capacity_bytes, 7 * GIB);
                        assert_true(f.plan.nodesets[k].rule_bytes > 7 * GIB); /* swap backs what the other has beyond its floor */
                        assert_true(must_stay(&f, f.plan.nodesets[k].mask) <= 7 * GIB);
                }
        }
        assert_true(f.vms[0].input.actual_bytes > 4 * GIB + 256 * MIB); /* and not for want of memory: of 5 and 6 GiB */
        assert_true(f.vms[2].input.actual_bytes > 5 * GIB + 256 * MIB);

        before = f.vms[2].input.target_bytes;
        for (unsigned i = 0; i < 20; i++) {
                run_touched(&f, 1, GIB);
                assert_true(f.vms[2].input.target_bytes >= before);
        }
        assert_int_equal(f.plan.nodesets[0].capacity_bytes, 6 * GIB);
        assert_int_equal(f.plan.nodesets[1].capacity_bytes, 7 * GIB);
        assert_true(must_stay(&f, 1) <= 6 * GIB && must_stay(&f, 2) <= 7 * GIB);
        assert_false(f.plan.unsafe);
}

/* What KSM merged is resident once: what looks like free memory by it is not promised again on the node. */
static void test_merged_pages(void **state) {
        struct fixture f;

        nodes_init(&f);
        f.config.ksm_credit_ppm = 0;
        add(&f, 0, 4 * GIB, 4 * GIB, GIB);
        add(&f, 0, 4 * GIB, 3 * GIB, GIB);
        f.host.ksm_saved_bytes = GIB;
        f.host.available_bytes += GIB;
        f.host.nodes[0].available_bytes += GIB;
        fixture_decide(&f);
        assert_int_equal(f.plan.nodesets[0].other_bytes, OTHERS);
        assert_int_equal(f.plan.nodesets[0].capacity_bytes, 7 * GIB);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_nobody_is_bound),      cmocka_unit_test(test_one_node),         cmocka_unit_test(test_what_a_node_can_bear),
                cmocka_unit_test(test_envelope_of_a_node),   cmocka_unit_test(test_shares_within_a_node), cmocka_unit_test(test_burst_on_a_full_node),
                cmocka_unit_test(test_deficit_of_a_node),    cmocka_unit_test(test_floors_of_a_node), cmocka_unit_test(test_sockets),
                cmocka_unit_test(test_sets_that_cross),      cmocka_unit_test(test_pin_on_a_full_node), cmocka_unit_test(test_merged_pages),
                cmocka_unit_test(test_what_cannot_swap), cmocka_unit_test(test_second_bound_of_each_node),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
