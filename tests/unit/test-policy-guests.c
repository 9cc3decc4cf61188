/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/policy.h"

/* Demand, and obedience. */

/* Enough competitors that nothing fits and nobody has surplus worth a move. */
static void crowd(struct fixture *f) {
        fixture_init(f);
        for (unsigned i = 0; i < 3; i++)
                fixture_add(f, 8 * GIB, 4 * GIB, 3 * GIB);
}

static void test_demand(void **state) {
        struct fixture f;
        struct policy_vm *vm;

        fixture_init(&f);
        vm = fixture_add(&f, 8 * GIB, 4 * GIB, 2 * GIB);
        fixture_decide(&f);
        assert_int_equal(vm->plan.need_bytes, 2 * GIB);
        assert_near(vm->plan.headroom_bytes, 2 * GIB / 5, 8);
        assert_near(vm->plan.demand_bytes, 2 * GIB + 2 * GIB / 5, 8);
        assert_int_equal(vm->plan.pressure_below_bytes, vm->plan.headroom_bytes / 2);

        vm->input.guest_available_bytes = 4 * GIB - 100 * MIB; /* a small one: headroom at least 64 MiB */
        vm->input.report_usec++;
        f.now_usec++;
        fixture_decide(&f);
        assert_int_equal(vm->plan.demand_bytes, 164 * MIB);
}

/* With autodeflate MemTotal does not shrink with the balloon: MemTotal - MemAvailable would say 6 GiB. */
static void test_demand_with_autodeflate(void **state) {
        struct fixture f;
        struct policy_vm *vm;

        fixture_init(&f);
        vm = fixture_add(&f, 8 * GIB, 4 * GIB, 2 * GIB);
        vm->input.autodeflate = true;
        vm->input.guest_total_bytes = 8 * GIB;
        fixture_decide(&f);
        assert_int_equal(vm->plan.need_bytes, 2 * GIB);
        assert_true(f.plan.weaknesses & POLICY_WEAK_AUTODEFLATE);
        assert_int_equal(f.plan.guarantee, POLICY_CONDITIONAL);
}

/* Need is formed from one moment: the balloon has moved since the report. */
static void test_demand_of_one_moment(void **state) {
        struct fixture f;
        struct policy_vm *vm;

        fixture_init(&f);
        vm = fixture_add(&f, 8 * GIB, 6 * GIB, 2 * GIB);
        vm->input.actual_bytes = vm->input.target_bytes = 3 * GIB;
        fixture_decide(&f);
        assert_int_equal(vm->plan.need_bytes, 2 * GIB);
}

/* A guest that has swapped beyond the ceiling for guests counts as under pressure, and needs room for what is to come back. */
static void test_guest_swap_ceiling(void **state) {
        struct fixture f;
        struct policy_vm *vm;

        fixture_init(&f);
        vm = fixture_add(&f, 8 * GIB, 4 * GIB, 2 * GIB);
        vm->input.guest_swap_excess_bytes = AEROSTAT_UNKNOWN;
        fixture_decide(&f);
        assert_int_equal(vm->plan.need_bytes, 2 * GIB);
        assert_int_equal(vm->state.pressure_until_usec, 0);
        vm->input.guest_swap_excess_bytes = 512 * MIB;
        fixture_decide(&f);
        assert_int_equal(vm->plan.need_bytes, 2 * GIB + 512 * MIB);
        assert_true(vm->state.pressure_until_usec > f.now_usec);
        vm->input.guest_swap_excess_bytes = UINT64_MAX - 1; /* a claim: clamped */
        fixture_decide(&f);
        assert_int_equal(vm->plan.need_bytes, 8 * GIB);
}

/* What the host never backed cannot be in use. */
static void test_claim_is_clamped(void **state) {
        struct fixture f;
        struct policy_vm *vm;

        fixture_init(&f);
        vm = fixture_add(&f, 8 * GIB, 8 * GIB, 8 * GIB);
        vm->input.rss_bytes = GIB;
        fixture_decide(&f);
        assert_near(vm->plan.need_bytes, GIB, 32 * MIB);
}

static void test_guest_at_its_end(void **state) {
        struct fixture f;
        struct policy_vm *vm;

        fixture_init(&f);
        vm = fixture_add(&f, 8 * GIB, GIB, GIB - 2 * MIB);
        fixture_decide(&f);
        assert_near(vm->plan.demand_bytes, 2 * GIB, 8 * MIB);
}

static void report(struct fixture *f, struct policy_vm *vm, uint64_t refault, uint64_t psi_usec) {
        f->now_usec += 2 * USEC_PER_SEC;
        for (size_t i = 0; i < f->n; i++)
                f->vms[i].input.report_usec = f->now_usec;
        vm->input.guest_refault_bytes += refault;
        vm->input.guest_psi_some_total_usec += psi_usec;
        fixture_decide(f);
}

static void test_hot_cache_is_learnt(void **state) {
        struct fixture f;
        struct policy_vm *vm;

        crowd(&f);
        vm = fixture_add(&f, 8 * GIB, GIB, 500 * MIB);
        vm->input.guest_cache_bytes = 200 * MIB;
        report(&f, vm, 0, 0);
        report(&f, vm, 0, 0);
        assert_int_equal(vm->plan.hot_bytes, 0); /* cache is cold until it is missed */
        report(&f, vm, 100 * MIB, 0);
        assert_int_equal(vm->plan.hot_bytes, 300 * MIB); /* what there is, and what was missed */
        report(&f, vm, 100 * MIB, 0);
        assert_int_equal(vm->plan.hot_bytes, 300 * MIB); /* it was not given any: that says nothing new */
        vm->input.guest_cache_bytes = 300 * MIB;
        report(&f, vm, 100 * MIB, 10000); /* stalled at the target of 0.5 %: counts twice */
        assert_int_equal(vm->plan.hot_bytes, 500 * MIB);
}

static void test_hot_cache_is_probed(void **state) {
        struct fixture f;
        struct policy_vm *vm;
        uint64_t first;

        crowd(&f);
        vm = fixture_add(&f, 8 * GIB, GIB, 500 * MIB);
        report(&f, vm, 0, 0);
        report(&f, vm, 100 * MIB, 0);
        first = vm->plan.hot_bytes;
        assert_true(first >= 100 * MIB);
        for (unsigned i = 0; i < 35; i++) /* 70 s: one probe */
                report(&f, vm, 0, 0);
        assert_near(vm->plan.hot_bytes, first - first / 10, MIB);
        report(&f, vm, 50 * MIB, 0); /* it hurt: more than was taken, and the next probe waits twice as long */
        assert_int_equal(vm->state.probe_interval_usec, 2 * USEC_PER_MINUTE);
        first = vm->plan.hot_bytes;
        for (unsigned i = 0; i < 45; i++)
                report(&f, vm, 0, 0);
        assert_int_equal(vm->plan.hot_bytes, first);
        f.host.psi_some_ppm = 120000; /* a hard host probes four times as often: every 30 s now */
        for (unsigned i = 0; i < 16; i++)
                report(&f, vm, 0, 0);
        assert_near(vm->plan.hot_bytes, first - first / 10, MIB);
}

static void test_staleness(void **state) {
        struct fixture f;
        struct policy_vm *vm;

        crowd(&f);
        vm = fixture_add(&f, 8 * GIB, 2 * GIB, GIB / 2);
        vm->input.rss_bytes = GIB;
        fixture_run_without(&f, 1, NULL);
        uint64_t last = vm->input.report_usec;
        for (unsigned i = 0; i < 75; i++) { /* seconds */
                f.now_usec += USEC_PER_SEC;
                for (size_t k = 0; k < 3; k++)
                        f.vms[k].input.report_usec = f.now_usec;
                fixture_decide(&f);
                if (f.now_usec - last <= 10 * USEC_PER_SEC)
                        assert_int_equal(vm->plan.class, POLICY_MANAGED);
                else if (f.now_usec - last < 70 * USEC_PER_SEC) {
                        assert_reason(vm, POLICY_REASON_UNKNOWN_HELD);
                        assert_false(vm->plan.set);
                } else {
                        assert_int_equal(vm->plan.class, POLICY_UNKNOWN);
                        assert_true(vm->plan.reason != POLICY_REASON_UNKNOWN_HELD);
                        assert_true(vm->plan.demand_bytes < 2 * GIB); /* by evidence */
                }
        }
}

/* A guest that holds 6 GiB, was asked for 2 GiB, and does nothing. */
static struct policy_vm *stubborn(struct fixture *f, uint64_t need) {
        struct policy_vm *vm;

        crowd(f);
        vm = fixture_add(f, 8 * GIB, 6 * GIB, need);
        vm->input.target_bytes = 2 * GIB;
        return vm;
}

static void test_stuck_then_uncooperative_then_forgiven(void **state) {
        struct fixture f;
        struct policy_vm *vm = stubborn(&f, GIB);

        fixture_run_without(&f, 40, vm);
        assert_int_equal(vm->plan.class, POLICY_MANAGED);
        fixture_run_without(&f, 70, vm);
        assert_reason(vm, POLICY_REASON_STUCK);
        fixture_run_without(&f, 150, vm);
        assert_int_equal(vm->plan.class, POLICY_UNCOOPERATIVE);
        assert_true(f.plan.weaknesses & POLICY_WEAK_UNCOOPERATIVE);
        assert_int_equal(vm->plan.committed_bytes, 6 * GIB); /* what it holds counts */
        vm->input.actual_bytes = vm->input.report_actual_bytes = vm->input.target_bytes;
        vm->input.guest_available_bytes = vm->input.actual_bytes - GIB;
        fixture_run(&f, 100);
        assert_int_equal(vm->plan.class, POLICY_UNCOOPERATIVE); /* 10 s of obedience are not enough */
        fixture_run(&f, 250);
        assert_int_equal(vm->plan.class, POLICY_MANAGED);
}

/* One page now and then is no progress; neither is obeying 1 s in 20. */
static void test_crumbs_are_no_progress(void **state) {
        struct fixture f;
        struct policy_vm *vm = stubborn(&f, GIB);

        for (unsigned i = 0; i < 30; i++) {
                fixture_run_without(&f, 10, vm);
                vm->input.actual_bytes -= 4096;
        }
        assert_int_equal(vm->plan.class, POLICY_UNCOOPERATIVE);
}

/* Takes memory back on its own for 10 s, uses it, gives it back for 10 s: alternating is not obedience, and what it took is no floor. */
static void test_taking_back(void **state) {
        struct fixture f;
        struct policy_vm *vm;

        crowd(&f);
        vm = fixture_add(&f, 8 * GIB, 2 * GIB, GIB);
        vm->input.weight = 1;
        fixture_run(&f, 50);
        for (unsigned cycle = 0; cycle < 5; cycle++) {
                vm->input.actual_bytes = vm->input.report_actual_bytes = 8 * GIB;
                vm->input.guest_available_bytes = 2 * MIB;
                fixture_run_without(&f, 100, vm);
                assert_true(vm->plan.floor_bytes < GIB);
                vm->input.guest_available_bytes = 7 * GIB;
                fixture_run(&f, 100);
        }
        assert_int_equal(vm->plan.class, POLICY_UNCOOPERATIVE);
}

/* One that took memory back counts at what it could take, at once, through whatever it does next, and until it has kept to its balloon for a minute;
 * two the next time. What it took is not made good by its target following it. */
static void test_taker_counts_at_max(void **state) {
        struct fixture f;
        struct policy_vm *vm;
        uint64_t target;

        crowd(&f);
        vm = fixture_add(&f, 8 * GIB, 2 * GIB, GIB);
        fixture_run(&f, 50);
        target = vm->input.target_bytes;
        assert_int_equal(vm->plan.committed_bytes, target);
        vm->input.actual_bytes = vm->input.report_actual_bytes = target + GIB + MIB;
        vm->input.guest_available_bytes = 0;
        fixture_run_without(&f, 1, vm);
        assert_int_equal(vm->plan.committed_bytes, 8 * GIB);
        assert_int_equal(vm->plan.class, POLICY_UNCOOPERATIVE);
        assert_reason(vm, POLICY_REASON_TAKES);
        assert_true(vm->plan.contain);
        assert_false(vm->plan.gap);
        assert_int_equal(vm->input.target_bytes, target);

        vm->input.actual_bytes = vm->input.report_actual_bytes = target; /* back at once: not believed */
        vm->input.guest_available_bytes = GIB;
        fixture_run(&f, 595);
        assert_int_equal(vm->plan.committed_bytes, 8 * GIB);
        assert_false(vm->plan.contain);
        assert_int_equal(f.plan.deficit_bytes, 0); /* others have made room for what it could take */
        fixture_run(&f, 10);
        assert_reason(vm, POLICY_REASON_DEMAND);
        fixture_run(&f, 300);

        target = vm->input.target_bytes;
        vm->input.actual_bytes = vm->input.report_actual_bytes = target + 2 * GIB;
        fixture_run_without(&f, 1, vm);
        vm->input.actual_bytes = vm->input.report_actual_bytes = target;
        fixture_run(&f, 1195);
        assert_reason(vm, POLICY_REASON_TAKES);
        fixture_run(&f, 10);
        assert_reason(vm, POLICY_REASON_DEMAND);
}

/* A little at a time, and it would have been given more if there had been any: taken all the same. */
static void test_taking_is_not_made_good(void **state) {
        struct fixture f;
        struct policy_vm *vm;

        fixture_init(&f);
        fixture_add(&f, 12 * GIB, 9 * GIB, GIB)->input.run_usec = 1; /* could give, but does not get to run */
        vm = fixture_add(&f, 8 * GIB, 5 * GIB, 5 * GIB - MIB);
        fixture_run_without(&f, 1, &f.vms[0]);
        for (unsigned i = 0; i < 5; i++) {
                vm->input.actual_bytes += 240 * MIB;
                vm->input.report_actual_bytes = vm->input.rss_bytes = vm->input.actual_bytes;
                f.now_usec += 100 * USEC_PER_MSEC;
                f.vms[0].input.report_usec = vm->input.report_usec = f.now_usec;
                f.host.available_bytes = u64_sub(f.host.available_bytes, 240 * MIB);
                fixture_decide(&f);
                if (vm->plan.set)
                        vm->input.target_bytes = vm->plan.target_bytes;
        }
        assert_true(vm->input.target_bytes < 5 * GIB + 2 * MIB);
        assert_reason(vm, POLICY_REASON_TAKES);
}

/* With autodeflate the guest takes memory when it runs out: that is what it is for. */
static void test_autodeflate_is_no_taking(void **state) {
        struct fixture f;
        struct policy_vm *vm;

        crowd(&f);
        vm = fixture_add(&f, 8 * GIB, 2 * GIB, GIB);
        vm->input.autodeflate = true;
        fixture_run(&f, 50);
        vm->input.actual_bytes = vm->input.report_actual_bytes = vm->input.target_bytes + 2 * GIB;
        fixture_run_without(&f, 1, vm);
        assert_int_equal(vm->plan.class, POLICY_MANAGED);
        assert_int_equal(vm->plan.committed_bytes, vm->input.actual_bytes);
}

/* Memory that a guest has touched beyond its balloon does not come back with the balloon: others make room for it before anybody is called
 * breaching. */
static void test_evidence_is_covered(void **state) {
        struct fixture f;
        struct policy_vm *vm;

        crowd(&f);
        vm = fixture_add(&f, 8 * GIB, 2 * GIB, GIB);
        fixture_run(&f, 50);
        vm->input.rss_bytes = vm->input.actual_bytes + GIB;
        f.host.available_bytes -= GIB;
        fixture_run_without(&f, 30, vm);
        assert_int_equal(vm->plan.class, POLICY_MANAGED);
        assert_int_equal(f.plan.deficit_bytes, 0);
}

/* It could not run: no verdict. */
static void test_no_cpu_time(void **state) {
        struct fixture f;
        struct policy_vm *vm = stubborn(&f, GIB);

        vm->input.run_usec = 12345;
        fixture_run_without(&f, 400, vm);
        assert_int_equal(vm->plan.class, POLICY_MANAGED);
        assert_int_equal(vm->state.stuck_usec, 0);
}

/* It runs little, because it has nothing to do: that is no excuse. 30 ms in 5 s is what an idle guest of the lab takes; with less the verdict takes
 * longer. */
static void test_idle_is_no_excuse(void **state) {
        static const struct {
                uint64_t run_usec;     /* in 100 ms */
                unsigned steps;
        } cases[] = { { 600, 260 }, { 100, 1000 } };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                struct fixture f;
                struct policy_vm *vm = stubborn(&f, GIB);
                unsigned steps = 0;

                for (vm->input.run_usec = 12345; vm->plan.class != POLICY_UNCOOPERATIVE && steps < cases[i].steps; steps++) {
                        vm->input.run_usec += cases[i].run_usec;
                        fixture_run_without(&f, 1, vm);
                }
                assert_int_equal(vm->plan.class, POLICY_UNCOOPERATIVE);
                assert_true(steps >= 200);
        }
}

/* A guest that has nothing left to give is not stubborn: what was reached is its floor, as long as it needs that much. */
static void test_practical_floor(void **state) {
        struct fixture f;
        struct policy_vm *vm = stubborn(&f, 6 * GIB - 2 * MIB);

        vm->input.weight = 1; /* else it would not be asked to go below what it needs */
        fixture_run_without(&f, 80, vm);
        assert_int_equal(vm->plan.class, POLICY_MANAGED);
        assert_int_equal(vm->plan.floor_bytes, 6 * GIB);
        assert_near(vm->input.target_bytes, 6 * GIB, 16 * MIB); /* at no cost: it holds it */
        vm->input.guest_available_bytes = 5 * GIB;
        fixture_run_without(&f, 5, vm);
        assert_true(vm->plan.floor_bytes < 2 * GIB);
}

/* One whose kernel holds on to 1 GiB, of which 700 MiB were ever touched, beside two that want all there is. */
static void keep_to_limit(struct fixture *f, struct policy_vm *vm) {
        struct policy_vm_input *in = &vm->input;

        if (vm->plan.set)
                in->target_bytes = vm->plan.target_bytes;
        in->actual_bytes = in->report_actual_bytes = in->guest_total_bytes = MAX(in->target_bytes, GIB);
        in->guest_available_bytes = in->guest_free_bytes = in->actual_bytes - GIB;
        in->rss_bytes = 700 * MIB;
        in->report_usec = f->now_usec;
}

static void test_untouched_memory_is_not_pumped(void **state) {
        struct policy_vm *limited;
        unsigned moves = 0;
        struct fixture f;

        fixture_init(&f);
        for (unsigned i = 0; i < 2; i++)
                fixture_add(&f, 8 * GIB, 6 * GIB, 11 * GIB / 2);
        limited = fixture_add(&f, 4 * GIB, 2 * GIB, GIB);
        f.host.available_bytes += 2 * GIB - 700 * MIB;
        for (unsigned i = 0; i < 1200; i++) {
                f.now_usec += 100 * USEC_PER_MSEC;
                fixture_decide(&f);
                for (size_t k = 0; k < f.n && i >= 600; k++)
                        moves += f.vms[k].plan.set;
                fixture_obey(&f, &f.vms[0]);
                fixture_obey(&f, &f.vms[1]);
                keep_to_limit(&f, limited);
        }
        assert_int_equal(moves, 0);
        assert_true(limited->input.actual_bytes >= GIB && limited->plan.demand_bytes <= 2 * (700 + 32) * MIB);
}

static void test_breach(void **state) {
        struct fixture f;
        struct policy_vm *vm;

        crowd(&f);
        vm = fixture_add(&f, 8 * GIB, 2 * GIB, GIB);
        vm->input.rss_bytes = 5 * GIB;
        fixture_run_without(&f, 90, vm);
        assert_int_equal(vm->plan.committed_bytes, 5 * GIB);
        assert_false(vm->plan.contain);
        fixture_run_without(&f, 30, vm);
        assert_int_equal(vm->plan.class, POLICY_BREACHING);
        assert_true(vm->plan.contain);
        assert_int_equal(vm->plan.committed_bytes, 8 * GIB); /* nothing that it says counts */
        vm->input.held = true; /* migrating: still counted so, and let go by the same evidence */
        fixture_run_without(&f, 1, vm);
        assert_int_equal(vm->plan.committed_bytes, 8 * GIB);
        vm->input.rss_bytes = 2 * GIB;
        fixture_run_without(&f, 1, vm);
        assert_int_equal(vm->plan.committed_bytes, 2 * GIB);
        assert_int_not_equal(vm->plan.class, POLICY_BREACHING);
}

/* A reboot: learnt things go, the record of obedience stays. */
static void test_reboot(void **state) {
        struct fixture f;
        struct policy_vm *vm = stubborn(&f, GIB);

        fixture_run_without(&f, 300, vm);
        assert_true(vm->state.uncooperative);
        vm->state.hot_cache_bytes = GIB;
        vm->input.started_usec = f.now_usec;
        vm->input.balloon_confirmed = false;
        vm->input.report_usec = 0;
        vm->input.target_bytes = AEROSTAT_UNKNOWN;
        fixture_decide(&f);
        assert_int_equal(vm->plan.committed_bytes, 8 * GIB);
        assert_int_equal(vm->state.hot_cache_bytes, 0);
        assert_true(vm->state.uncooperative);
        assert_false(vm->plan.set);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_demand), cmocka_unit_test(test_demand_with_autodeflate), cmocka_unit_test(test_demand_of_one_moment),
                cmocka_unit_test(test_guest_swap_ceiling), cmocka_unit_test(test_claim_is_clamped), cmocka_unit_test(test_guest_at_its_end),
                cmocka_unit_test(test_hot_cache_is_learnt),
                cmocka_unit_test(test_hot_cache_is_probed), cmocka_unit_test(test_staleness),
                cmocka_unit_test(test_stuck_then_uncooperative_then_forgiven),
                cmocka_unit_test(test_crumbs_are_no_progress), cmocka_unit_test(test_taking_back), cmocka_unit_test(test_taker_counts_at_max),
                cmocka_unit_test(test_taking_is_not_made_good), cmocka_unit_test(test_autodeflate_is_no_taking),
                cmocka_unit_test(test_evidence_is_covered), cmocka_unit_test(test_no_cpu_time), cmocka_unit_test(test_idle_is_no_excuse),
                cmocka_unit_test(test_practical_floor), cmocka_unit_test(test_untouched_memory_is_not_pumped),
                cmocka_unit_test(test_breach), cmocka_unit_test(test_reboot),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
