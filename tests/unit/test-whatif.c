/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/policy.h"

#include <stdlib.h>
#include <string.h>

#include "host-agent/manager/whatif.h"
#include "tools/sim/random.h"

static const struct balloon_speed no_speed;

static void ask(const struct fixture *f, const struct whatif_question *request, struct whatif_answer *ret) {
        const struct whatif_live live = { &f->config, &f->host, &f->state, f->vms, f->n, f->now_usec };
        struct fixture before = *f;

        assert_int_equal(whatif_answer(&live, &no_speed, request, ret), 0);
        assert_memory_equal(f, &before, sizeof(before)); /* the live state is only read */
}

/* Three guests of 6 GiB on a host of 16 GiB, with 14 GiB for them, that have come to rest. */
static void fixture_full(struct fixture *f) {
        fixture_init(f);
        for (size_t i = 0; i < 3; i++)
                fixture_add(f, 6 * GIB, 4 * GIB, i == 0 ? 2 * GIB : GIB);
        fixture_run(f, 1200);
        assert_false(f->plan.fits);
}

static void test_nothing_asked_nothing_moves(void **state) {
        struct fixture f;
        struct whatif_answer what;

        fixture_full(&f);
        ask(&f, &(struct whatif_question) { .swap_total_bytes = AEROSTAT_UNKNOWN }, &what);
        for (size_t i = 0; i < f.n; i++) {
                assert_true(what.models[i].now_bytes == f.vms[i].input.actual_bytes);
                assert_true(what.models[i].then_bytes == f.vms[i].input.actual_bytes);
        }
        assert_true(what.result.settled_usec == 0 && what.result.safe_usec == 0);
        assert_true(what.result.missing_bytes == 0);
        assert_true(what.result.worst_before.needed_bytes == f.plan.liable_bytes);
        assert_memory_equal(&what.result.worst_before, &what.result.worst_after, sizeof(what.result.worst_after));
        assert_false(what.result.worst_after.oom_possible || what.result.worst_after.above_ceiling);
        assert_true(what.result.worst_after.swap_used_bytes == 0);
        whatif_answer_done(&what);
}

/* What is foreseen is what comes, when guests do what they are foreseen to do. */
static void test_start_is_as_foreseen(void **state) {
        const uint64_t size = 4 * GIB;
        struct fixture f;
        struct whatif_answer what;
        unsigned steps = 0;

        fixture_full(&f);
        ask(&f, &(struct whatif_question) { .start_bytes = size, .n_starts = 1, .swap_total_bytes = AEROSTAT_UNKNOWN }, &what);
        assert_true(what.request.start_bytes == size + POLICY_OVERHEAD_DEFAULT);
        assert_true(what.result.missing_bytes == 0);
        assert_true(what.result.least_bytes == 3 * 256 * MIB);
        assert_true(what.result.rule_bytes == f.plan.rule_bytes);
        assert_true(what.result.safe_usec > 0 && what.result.safe_usec < 10 * USEC_PER_SEC);
        assert_true(what.result.worst_after.needed_bytes >= what.result.after.liable_bytes + size);

        f.host.reserved_bytes = size + POLICY_OVERHEAD_DEFAULT; /* and now really */
        fixture_run(&f, 1);
        while (f.plan.deficit_bytes > 0 && steps++ < 1000)
                fixture_run(&f, 1);
        fixture_run(&f, 600);
        assert_int_equal(f.plan.deficit_bytes, 0);
        for (size_t i = 0; i < f.n; i++)
                assert_near(what.models[i].then_bytes, f.vms[i].input.actual_bytes, 64 * MIB);
        whatif_answer_done(&what);
}

static void test_start_that_cannot_fit(void **state) {
        struct fixture f;
        struct whatif_answer what;

        fixture_full(&f);
        f.host.reserved_bytes = GIB;
        fixture_run(&f, 300);
        ask(&f, &(struct whatif_question) { .start_bytes = 20 * GIB, .n_starts = 1, .swap_total_bytes = AEROSTAT_UNKNOWN }, &what);
        assert_true(what.result.least_bytes == GIB + 3 * 256 * MIB);
        assert_true(what.result.missing_bytes == 20 * GIB + POLICY_OVERHEAD_DEFAULT + what.result.least_bytes - f.plan.rule_bytes);
        assert_true(what.result.safe_usec == AEROSTAT_UNKNOWN);
        assert_true(what.result.worst_after.oom_possible && what.result.worst_after.above_ceiling);
        whatif_answer_done(&what);
}

/* On paper it fits, but the guests use what they would have to give. */
static void test_guests_do_not_give_what_they_use(void **state) {
        struct fixture f;
        struct whatif_answer what;

        fixture_full(&f);
        ask(&f, &(struct whatif_question) { .start_bytes = 6 * GIB, .n_starts = 1, .burst_all = true, .swap_total_bytes = AEROSTAT_UNKNOWN }, &what);
        assert_true(what.result.missing_bytes == 0);
        assert_true(what.result.safe_usec == AEROSTAT_UNKNOWN);
        for (size_t i = 0; i < f.n; i++)
                assert_true(what.models[i].then_bytes >= what.models[i].now_bytes);
        whatif_answer_done(&what);
}

static void test_burst_is_as_foreseen(void **state) {
        struct fixture f;
        struct whatif_answer what;
        struct policy_vm_input *in = &f.vms[1].input;
        size_t burster = 1;

        fixture_full(&f);
        ask(&f, &(struct whatif_question) { .bursts = &burster, .n_bursts = 1, .swap_total_bytes = AEROSTAT_UNKNOWN }, &what);
        assert_true(what.models[1].bursts && !what.models[0].bursts);
        assert_true(what.models[1].then_bytes > what.models[1].now_bytes);
        for (unsigned step = 0; step < 900; step++) {
                f.now_usec += 100 * USEC_PER_MSEC;
                fixture_decide(&f);
                for (size_t i = 0; i < f.n; i++)
                        fixture_obey(&f, &f.vms[i]);
                in->guest_available_bytes = in->guest_free_bytes = 0; /* all of it, at once */
                in->guest_pressure = true;
        }
        for (size_t i = 0; i < f.n; i++)
                assert_near(what.models[i].then_bytes, f.vms[i].input.actual_bytes, 64 * MIB);
        whatif_answer_done(&what);
}

static void test_worst_case_in_numbers(void **state) {
        struct fixture f;
        struct whatif_answer what;

        fixture_init(&f);
        fixture_add(&f, 8 * GIB, 8 * GIB, 2 * GIB)->input.rss_bytes = 2 * GIB; /* has touched little of it */
        f.host.available_bytes = 13 * GIB;                                      /* others: 1 GiB */
        f.host.swap_total_bytes = 10 * GIB;
        f.host.swap_used_bytes = GIB;
        fixture_decide(&f);
        ask(&f, &(struct whatif_question) { .host_use_bytes = 9 * GIB, .swap_total_bytes = AEROSTAT_UNKNOWN }, &what);
        assert_true(what.result.worst_before.memory_bytes == 15 * GIB);
        assert_true(what.result.worst_before.needed_bytes == 8 * GIB);
        assert_true(what.result.worst_before.swap_used_bytes == GIB && !what.result.worst_before.above_ceiling);
        assert_true(what.result.worst_after.memory_bytes == 6 * GIB);
        assert_true(what.models[0].then_bytes < 6 * GIB); /* the policy squeezed it */
        assert_true(what.result.worst_after.needed_bytes == what.models[0].then_bytes);
        assert_false(what.result.worst_after.oom_possible);
        whatif_answer_done(&what);

        /* What cannot be squeezed: 2 GiB of it would be in swap, beside the 1 GiB of others: 30 %. */
        f.vms[0].input.fixed = true;
        fixture_decide(&f);
        ask(&f, &(struct whatif_question) { .host_use_bytes = 9 * GIB, .swap_total_bytes = AEROSTAT_UNKNOWN }, &what);
        assert_true(what.result.worst_after.swap_used_bytes == 3 * GIB);
        assert_false(what.result.worst_after.above_ceiling || what.result.worst_after.oom_possible);
        whatif_answer_done(&what);
        ask(&f, &(struct whatif_question) { .host_use_bytes = 9 * GIB, .swap_total_bytes = 2 * GIB }, &what);
        assert_true(what.result.worst_after.above_ceiling && what.result.worst_after.oom_possible);
        whatif_answer_done(&what);
        f.host.swap_limit_bytes = GIB; /* there is swap, and VMs may not have it */
        ask(&f, &(struct whatif_question) { .host_use_bytes = 9 * GIB, .swap_total_bytes = AEROSTAT_UNKNOWN }, &what);
        assert_true(what.result.worst_after.oom_possible);
        whatif_answer_done(&what);
        f.host.swap_limit_bytes = AEROSTAT_UNKNOWN;

        /* What is locked has to fit memory, whatever swap there is. */
        f.vms[0].input.cannot_swap = true;
        ask(&f, &(struct whatif_question) { .host_use_bytes = 9 * GIB, .swap_total_bytes = 100 * GIB }, &what);
        assert_true(what.result.worst_after.oom_possible && !what.result.worst_after.above_ceiling);
        whatif_answer_done(&what);
}

static void test_who_does_not_move(void **state) {
        struct fixture f;
        struct whatif_answer what;

        fixture_full(&f);
        f.vms[0].input.held = true;
        f.vms[1].input.unresponsive = true;
        fixture_decide(&f);
        ask(&f, &(struct whatif_question) { .start_bytes = 2 * GIB, .n_starts = 1, .swap_total_bytes = AEROSTAT_UNKNOWN }, &what);
        assert_true(what.models[0].then_bytes == what.models[0].now_bytes);
        assert_true(what.models[1].then_bytes == what.models[1].now_bytes);
        assert_true(what.models[2].then_bytes < what.models[2].now_bytes);
        whatif_answer_done(&what);
}

/* The slower the balloons, the longer it takes; and never longer to find out than allowed. */
static void test_speed_and_bounds(void **state) {
        struct balloon_speed slow = { 0 };
        struct fixture f;
        struct whatif_answer fast, slower;
        struct whatif_live live;
        struct whatif_question request = { .start_bytes = 4 * GIB, .n_starts = 1, .swap_total_bytes = AEROSTAT_UNKNOWN };
        struct policy_vm *many = calloc(5000, sizeof(*many));

        balloon_speed_learn(&slow, GIB, GIB - 8 * MIB, 0, USEC_PER_SEC);      /* noise */
        balloon_speed_learn(&slow, GIB, GIB / 2, GIB / 2, USEC_PER_SEC);      /* may have been there for long */
        balloon_speed_learn(&slow, GIB, GIB / 2, 0, 10 * USEC_PER_SEC);       /* too long ago */
        assert_int_equal(slow.inflate_bps, 0);
        balloon_speed_learn(&slow, GIB, GIB - 20 * MIB, 0, 200 * USEC_PER_MSEC);
        assert_int_equal(slow.inflate_bps, 100 * MIB);
        balloon_speed_learn(&slow, GIB, GIB - 60 * MIB, 0, 200 * USEC_PER_MSEC);
        assert_int_equal(slow.inflate_bps, 150 * MIB);
        balloon_speed_learn(&slow, GIB, GIB + 200 * MIB, 2 * GIB, USEC_PER_SEC);
        assert_int_equal(slow.deflate_bps, 200 * MIB);

        fixture_full(&f);
        ask(&f, &request, &fast);
        assert_false(fast.speed_measured);
        live = (struct whatif_live) { &f.config, &f.host, &f.state, f.vms, f.n, f.now_usec };
        assert_int_equal(whatif_answer(&live, &slow, &request, &slower), 0);
        assert_true(slower.speed_measured);
        assert_true(slower.result.safe_usec > 2 * fast.result.safe_usec && slower.result.safe_usec != AEROSTAT_UNKNOWN);
        whatif_answer_done(&fast);
        whatif_answer_done(&slower);

        for (size_t i = 0; i < 5000; i++)
                many[i] = f.vms[i % f.n];
        request.burst_all = true;
        live.vms = many;
        live.n_vms = 5000;
        assert_int_equal(whatif_answer(&live, &no_speed, &request, &fast), 0);
        assert_true(fast.result.steps * 5000 <= 300000);
        whatif_answer_done(&fast);
        free(many);
}

/* Whatever the live state holds: no overflow, and nobody beyond the maximum. */
static void test_anything(void **state) {
        uint64_t random = 1;

        for (unsigned round = 0; round < 300; round++) {
                struct fixture f;
                struct whatif_answer what;
                size_t burster = 0;
                struct whatif_question request = { .bursts = &burster, .n_bursts = round % 2 };

                fixture_init(&f);
                fixture_add(&f, 6 * GIB, 6 * GIB, 2 * GIB);
                fixture_add(&f, 6 * GIB, 6 * GIB, GIB);
                for (size_t i = 0; i < f.n; i++)
                        for (uint64_t *p = &f.vms[i].input.max_bytes; p < (uint64_t *) &f.vms[i].input.managed; p++)
                                *p = random_next(&random) >> random_below(&random, 64);
                for (size_t i = 0; i < f.n; i++)
                        for (uint64_t *p = &f.vms[i].input.actual_bytes; p < (uint64_t *) &f.vms[i].input.guest_pressure; p++)
                                *p = random_below(&random, 4) == 0 ? AEROSTAT_UNKNOWN : random_next(&random) >> random_below(&random, 64);
                f.host.total_bytes = random_next(&random) >> random_below(&random, 64);
                f.host.available_bytes = random_next(&random) >> random_below(&random, 64);
                f.host.swap_used_bytes = random_next(&random) >> random_below(&random, 64);
                request.start_bytes = random_next(&random);
                request.host_use_bytes = random_next(&random) >> random_below(&random, 64);
                request.swap_total_bytes = random_next(&random) >> random_below(&random, 64);
                ask(&f, &request, &what);
                for (size_t i = 0; i < f.n; i++)
                        assert_true(what.models[i].then_bytes <= MIN(f.vms[i].input.max_bytes, POLICY_SIZE_MAX));
                whatif_answer_done(&what);
        }
}

/* Two NUMA nodes of 8 GiB. What a burst on the first takes comes from those bound to it, and what they give back is free there again. */
static void test_nodes(void **state) {
        struct whatif_vm *models;
        struct fixture f;
        struct whatif_answer what;
        const size_t burster = 0;

        fixture_init(&f);
        f.host.n_nodes = 2;
        for (size_t i = 0; i < 3; i++)
                fixture_add(&f, 4 * GIB, i < 2 ? 3 * GIB : 4 * GIB, GIB)->input.node_mask = i < 2 ? 1 : 2;
        f.host.nodes[0] = (struct policy_node) { 8 * GIB, 8 * GIB - 512 * MIB - 6 * GIB };
        f.host.nodes[1] = (struct policy_node) { 8 * GIB, 8 * GIB - 512 * MIB - 4 * GIB };
        fixture_decide(&f);
        ask(&f, &(struct whatif_question) { .bursts = &burster, .n_bursts = 1, .swap_total_bytes = AEROSTAT_UNKNOWN }, &what);
        models = what.models;
        assert_true(models[0].then_bytes > 3900 * MIB);
        assert_true(models[1].then_bytes < 3 * GIB);
        assert_true(models[0].then_bytes + models[1].then_bytes <= 7 * GIB);
        assert_true(models[2].then_bytes == 4 * GIB);
        assert_near(what.result.after.nodesets[0].other_bytes, 512 * MIB, 4 * MIB);
        assert_near(what.result.after.nodesets[0].capacity_bytes, 7 * GIB, 4 * MIB);
        whatif_answer_done(&what);
}

/* VMs of a node shrink while it is looked ahead: what they give back is free on that node, and not used there by somebody else. The host process that
 * they shrink for is spread over both nodes, by size. */
static void test_nodes_follow(void **state) {
        struct fixture f;
        struct whatif_answer what;

        fixture_init(&f);
        f.host.n_nodes = 2;
        for (size_t i = 0; i < 4; i++)
                fixture_add(&f, 4 * GIB, i < 2 ? 7 * GIB / 2 : 2 * GIB, GIB)->input.node_mask = i < 2 ? 1 : 2;
        f.host.nodes[0] = (struct policy_node) { 8 * GIB, 8 * GIB - 512 * MIB - 7 * GIB };
        f.host.nodes[1] = (struct policy_node) { 8 * GIB, 8 * GIB - 512 * MIB - 4 * GIB };
        fixture_decide(&f);
        ask(&f, &(struct whatif_question) { .host_use_bytes = 6 * GIB, .swap_total_bytes = AEROSTAT_UNKNOWN }, &what);
        for (size_t i = 0; i < 2; i++)
                assert_true(what.models[i].then_bytes < 5 * GIB / 2 && what.models[i].then_bytes > GIB);
        for (size_t k = 0; k < 2; k++) {
                const struct policy_nodeset *s = &what.result.after.nodesets[k];
                uint64_t held = what.models[2 * k].then_bytes + what.models[2 * k + 1].then_bytes;

                assert_near(s->other_bytes, 512 * MIB + 3 * GIB, 4 * MIB);
                assert_near(s->capacity_bytes, 4 * GIB, 4 * MIB); /* 8 GiB less these and 512 MiB of reserve */
                assert_near(s->available_bytes + s->other_bytes + held, 8 * GIB, 4 * MIB);
                assert_true(s->deficit_bytes == 0);
        }
        assert_true(what.result.safe_usec != AEROSTAT_UNKNOWN && !what.result.after.unsafe);
        whatif_answer_done(&what);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_nothing_asked_nothing_moves),
                cmocka_unit_test(test_start_is_as_foreseen),
                cmocka_unit_test(test_start_that_cannot_fit),
                cmocka_unit_test(test_guests_do_not_give_what_they_use),
                cmocka_unit_test(test_burst_is_as_foreseen),
                cmocka_unit_test(test_worst_case_in_numbers),
                cmocka_unit_test(test_who_does_not_move),
                cmocka_unit_test(test_nodes),
                cmocka_unit_test(test_nodes_follow),
                cmocka_unit_test(test_speed_and_bounds),
                cmocka_unit_test(test_anything),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
