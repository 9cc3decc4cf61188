/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/policy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host-agent/policy/shadow.h"
#include "host-agent/state/report_file.h"
#include "host-agent/state/state_file.h"

#define NOW_SEC UINT64_C(1700000000)

static const uint8_t uuid_a[16] = { 1 }, uuid_b[16] = { 2 };

static void add_host(struct report *r, uint64_t now_sec, bool dry_run, bool unsafe) {
        struct policy_plan plan = { .envelope_bytes = 8 * GIB, .committed_bytes = 10 * GIB, .unsafe = unsafe,
                                    .host_state = unsafe ? POLICY_HARD : POLICY_NORMAL };
        struct policy_plan would = { .committed_bytes = 6 * GIB };

        report_add_host(r, &(const struct report_sample) {
                .now_sec = now_sec, .elapsed_usec = USEC_PER_SEC, .plan = &plan, .would = dry_run ? &would : NULL, .demand_bytes = 5 * GIB,
                .swap_used_bytes = 100 * MIB, .moves = 2, .moved_bytes = 3 * MIB, .would_moves = 1, .would_moved_bytes = MIB,
        });
}

static void test_host_by_the_hour(void **state) {
        struct report r = { 0 };
        struct report_sum s;

        report_sum_host(&r, NOW_SEC, 3600, &s);
        assert_true(s.watched_msec == 0 && s.envelope_bytes == AEROSTAT_UNKNOWN);
        for (unsigned i = 0; i < 60; i++)
                add_host(&r, NOW_SEC, true, i < 20);
        add_host(&r, NOW_SEC - 5 * 3600, false, false);
        add_host(&r, NOW_SEC - 20 * 86400, false, true); /* two weeks are kept */
        report_sum_host(&r, NOW_SEC, 1, &s);
        assert_int_equal(s.watched_msec, 60000);
        assert_int_equal(s.dry_run_msec, 60000);
        assert_int_equal(s.unsafe_msec, 20000);
        assert_int_equal(s.hard_msec, 20000);
        assert_int_equal(s.would_unsafe_msec, 0);
        assert_true(s.envelope_bytes == 8 * GIB && s.committed_bytes == 10 * GIB && s.would_committed_bytes == 6 * GIB);
        assert_int_equal(s.committed_ppm, 1250000);
        assert_int_equal(s.would_moves, 60);
        assert_true(s.moved_bytes == 180 * MIB && s.swap_bytes == 100 * MIB);
        report_sum_host(&r, NOW_SEC, UINT64_MAX, &s);
        assert_int_equal(s.watched_msec, 61000);
        assert_int_equal(s.dry_run_msec, 60000);
        /* A day later it is a day old; three weeks later it is gone, and its place taken. */
        report_sum_host(&r, NOW_SEC + 86400, 3600, &s);
        assert_int_equal(s.watched_msec, 0);
        add_host(&r, NOW_SEC + REPORT_HOURS * 3600, false, false);
        report_sum_host(&r, NOW_SEC + REPORT_HOURS * 3600, UINT64_MAX, &s);
        assert_int_equal(s.watched_msec, 1000);
        report_done(&r);
}

static void add_vm(struct report_vm *record, uint64_t now_sec, uint64_t need, uint64_t demand, unsigned hours) {
        struct policy_vm vm = {
                .input = { .max_bytes = 8 * GIB, .floor_bytes = GIB, .report_usec = 1 }, .plan = { .need_bytes = need, .demand_bytes = demand },
        };

        for (unsigned i = 0; i < hours * 360; i++)
                report_add_vm(record, now_sec, 10 * USEC_PER_SEC, &vm, &(const struct report_burst) { 0 });
}

static void test_sizes_of_vms(void **state) {
        struct report r = { 0 };
        struct report_vm *a = report_vm_of(&r, uuid_a, "a", NOW_SEC), *b;
        struct report_vm_sum s;

        a->runs = true;
        b = report_vm_of(&r, uuid_b, "b", NOW_SEC);
        b->runs = true;
        assert_ptr_equal(report_vm_of(&r, uuid_a, "renamed", NOW_SEC), a);
        assert_string_equal(a->name, "renamed");
        report_sum_vm(a, NOW_SEC, 86400, &s);
        assert_true(s.size == REPORT_SIZE_UNKNOWN && s.max_bytes == AEROSTAT_UNKNOWN);
        add_vm(a, NOW_SEC, GIB, GIB + 200 * MIB, 2);
        report_sum_vm(a, NOW_SEC, 86400, &s);
        assert_int_equal(s.size, REPORT_SIZE_TOO_LARGE);
        assert_true(s.suggested_bytes == GIB + 512 * MIB); /* 1224 MiB and a quarter: 1530, to whole 256 */
        add_vm(a, NOW_SEC - 86400, GIB, 5 * GIB, 1); /* one peak the day before is enough to keep it */
        report_sum_vm(a, NOW_SEC, 86400, &s);
        assert_int_equal(s.size, REPORT_SIZE_FINE);
        add_vm(b, NOW_SEC, 2 * GIB, 3 * GIB, 8);
        add_vm(b, NOW_SEC, 7 * GIB, 8 * GIB, 1);
        report_sum_vm(b, NOW_SEC, 86400, &s);
        assert_int_equal(s.size, REPORT_SIZE_TOO_SMALL);
        assert_true(s.suggested_bytes == 12 * GIB && s.near_max_msec == 3600000);
        report_done(&r);
}

/* Places are given away only where nobody runs and nothing is left to tell. */
static void test_places(void **state) {
        struct report r = { 0 };
        struct report_vm *a = report_vm_of(&r, uuid_a, "a\nb", NOW_SEC), *again;

        assert_string_equal(a->name, "-");
        a->runs = true;
        assert_true(report_vm_of(&r, uuid_b, "b", NOW_SEC) != a);
        add_vm(a, NOW_SEC, GIB, GIB, 1);
        a->runs = false;
        again = report_vm_of(&r, (const uint8_t[16]) { 3 }, "c", NOW_SEC + 86400); /* b's: it was never watched */
        assert_true(again != a && r.n_vms == 2);
        again->runs = true;
        assert_ptr_equal(report_vm_of(&r, (const uint8_t[16]) { 4 }, "d", NOW_SEC + 20 * 86400), a);
        assert_int_equal(a->days[NOW_SEC / 86400 % REPORT_DAYS].day, 0);
        report_done(&r);
}

static struct policy_vm wanting(uint64_t actual, uint64_t available, uint64_t demand, uint64_t target) {
        return (struct policy_vm) {
                .input = { .max_bytes = 4 * GIB, .actual_bytes = actual, .report_usec = 1, .guest_available_bytes = available },
                .plan = { .class = POLICY_MANAGED, .demand_bytes = demand, .target_bytes = target, .pressure_below_bytes = 100 * MIB },
        };
}

static void test_bursts(void **state) {
        struct report_burst b = { 0 };
        uint64_t late = 0, now = USEC_PER_SEC;
        struct policy_vm calm = wanting(GIB, 500 * MIB, 2 * GIB, GIB), granted = wanting(GIB, 10 * MIB, 2 * GIB, 2 * GIB);
        struct policy_vm waits = wanting(GIB, 10 * MIB, 2 * GIB, GIB + 100 * MIB), has = wanting(2 * GIB, 10 * MIB, 2 * GIB, 2 * GIB);

        assert_int_equal(report_watch_burst(&b, &calm, now, &late), BURST_NONE);
        assert_true(b.since_usec == 0);
        /* granted with the decision on its report; its balloon follows */
        assert_int_equal(report_watch_burst(&b, &granted, now, &late), BURST_NONE);
        assert_int_equal(report_watch_burst(&b, &has, now + 300 * USEC_PER_MSEC, &late), BURST_AT_ONCE);
        assert_int_equal(report_watch_burst(&b, &has, now + USEC_PER_SEC, &late), BURST_NONE);
        /* has to wait for others */
        now += 10 * USEC_PER_SEC;
        assert_int_equal(report_watch_burst(&b, &waits, now, &late), BURST_NONE);
        assert_true(b.waits);
        assert_int_equal(report_watch_burst(&b, &granted, now + 2 * USEC_PER_SEC, &late), BURST_NONE);
        assert_int_equal(report_watch_burst(&b, &has, now + 3 * USEC_PER_SEC, &late), BURST_LATE);
        assert_int_equal(late, 3 * USEC_PER_SEC);
        /* for ever: told once */
        assert_int_equal(report_watch_burst(&b, &waits, now, &late), BURST_NONE);
        assert_int_equal(report_watch_burst(&b, &waits, now + 59 * USEC_PER_SEC, &late), BURST_NONE);
        assert_int_equal(report_watch_burst(&b, &waits, now + 60 * USEC_PER_SEC, &late), BURST_UNMET);
        assert_int_equal(report_watch_burst(&b, &waits, now + 61 * USEC_PER_SEC, &late), BURST_NONE);
        assert_int_equal(report_watch_burst(&b, &has, now + 70 * USEC_PER_SEC, &late), BURST_NONE);
        assert_true(b.since_usec == 0);
        /* what cannot be moved does not burst */
        waits.plan.class = POLICY_FIXED;
        assert_int_equal(report_watch_burst(&b, &waits, now, &late), BURST_NONE);
        assert_true(b.since_usec == 0);
}

static void test_how_many(void **state) {
        /* 10 GiB to give; floors 2; at the peak 4 are needed, and a pool of 1: by demand 5 of 1 GiB. The last starts at 4 GiB, with the others at
         * their floors. */
        assert_int_equal(report_how_many(10 * GIB, GIB, 2 * GIB, 4 * GIB, 4 * GIB, 512 * MIB, GIB), 5);
        assert_int_equal(report_how_many(10 * GIB, GIB, 2 * GIB, 4 * GIB, 4 * GIB, 4 * GIB, GIB), 1);  /* floors bind */
        assert_int_equal(report_how_many(10 * GIB, GIB, 2 * GIB, 4 * GIB, 9 * GIB, 512 * MIB, GIB), 0); /* cannot start */
        assert_int_equal(report_how_many(10 * GIB, GIB, 2 * GIB, 10 * GIB, 4 * GIB, 512 * MIB, GIB), 0);
        assert_int_equal(report_how_many(0, 0, 0, 0, UINT64_MAX, UINT64_MAX, UINT64_MAX), 0);
        assert_true(report_how_many(UINT64_MAX, 0, 0, 0, 0, 0, 0) > 0);
}

static void fill(struct report *r) {
        struct report_vm *vm;

        for (unsigned i = 0; i < 400; i++)
                add_host(r, NOW_SEC + i * 3600, i % 2, i % 3 == 0);
        vm = report_vm_of(r, uuid_a, "a b", NOW_SEC);
        add_vm(vm, NOW_SEC + 399 * 3600 - 86400, GIB, 2 * GIB, 1);
        add_vm(vm, NOW_SEC + 399 * 3600, GIB, 3 * GIB, 1);
        report_add_burst(r, vm, NOW_SEC + 399 * 3600, BURST_LATE, 5 * USEC_PER_SEC);
        vm->runs = true;
        report_vm_of(r, uuid_b, "b", NOW_SEC);
}

static void test_survives_a_restart(void **state) {
        char folder[] = "/tmp/aerostat-test-XXXXXX", path[64];
        struct report r = { 0 }, back;
        _cleanup_free_ char *text = NULL, *again = NULL;
        struct report_sum before, after;
        unsigned line;

        fill(&r);
        assert_non_null(mkdtemp(folder));
        assert_int_equal(report_load(folder, &back, &line), -ENOENT);
        assert_int_equal(report_format(&r, &text), 0);
        assert_int_equal(state_save(folder, "report", text), 0);
        assert_int_equal(report_load(folder, &back, &line), 0);
        report_sum_host(&r, NOW_SEC + 399 * 3600, UINT64_MAX, &before);
        report_sum_host(&back, NOW_SEC + 399 * 3600, UINT64_MAX, &after);
        assert_memory_equal(&before, &after, sizeof(before));
        assert_int_equal(before.watched_msec, REPORT_HOURS * 1000);
        assert_int_equal(back.n_vms, 2);
        assert_string_equal(back.vms[0]->name, "a b");
        assert_memory_equal(back.vms[0]->days, r.vms[0]->days, sizeof(back.vms[0]->days));
        assert_false(back.vms[0]->runs);
        assert_int_equal(report_format(&back, &again), 0);
        assert_string_equal(text, again);
        report_done(&back);
        report_done(&r);
        snprintf(path, sizeof(path), "%s/report", folder);
        unlink(path);
        assert_int_equal(rmdir(folder), 0);
}

/* A machine whose RTC was years ahead, or behind, until NTP corrected it: its row costs nothing that is true, at no restart. */
static void test_wrong_clock(void **state) {
        const uint64_t ahead_sec = NOW_SEC + UINT64_C(75) * 365 * 86400 + 100 * 3600, behind_sec = 200 * 86400;
        struct report r = { 0 }, back = { 0 };
        struct report_vm *a = report_vm_of(&r, uuid_a, "a", NOW_SEC);
        _cleanup_free_ char *text = NULL;
        struct report_vm_sum vm;
        struct report_sum host;
        unsigned line;

        for (unsigned i = 0; i < 3; i++) {
                const uint64_t clock[] = { behind_sec, ahead_sec, NOW_SEC };

                add_host(&r, clock[i], false, false);
                add_vm(a, clock[i], GIB, 2 * GIB, 1);
        }
        add_host(&r, NOW_SEC + 3600, false, false);
        assert_int_equal(report_format(&r, &text), 0);
        assert_int_equal(report_parse(text, &back, &line), 0);
        report_sum_host(&back, NOW_SEC + 3600, UINT64_MAX, &host);
        assert_int_equal(host.watched_msec, 2000);
        report_sum_vm(back.vms[0], NOW_SEC, UINT64_MAX, &vm);
        assert_int_equal(vm.watched_msec, 3600000);
        /* Nor does its day keep the place of a VM that is gone. */
        assert_ptr_equal(report_vm_of(&back, uuid_b, "b", NOW_SEC + 20 * 86400), back.vms[0]);
        assert_int_equal(back.n_vms, 1);
        report_done(&back);
        report_done(&r);
}

static void refused(const char *text, unsigned expected_line) {
        struct report r;
        unsigned line = 0;

        assert_int_equal(report_parse(text, &r, &line), -EBADMSG);
        assert_int_equal(line, expected_line);
}

#define HOUR(n) "hour " n " 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21\n"
#define DAY(n) "day " n " 1 2 3 4 5 6 7 8 9\n"
#define VM_A "vm 01000000-0000-0000-0000-000000000000 a\n"

static void test_what_is_no_report(void **state) {
        struct report r;
        unsigned line;

        assert_int_equal(report_parse("aerostat-report 1\n" HOUR("7") HOUR("9") VM_A DAY("3") DAY("4"), &r, &line), 0);
        assert_int_equal(r.hours[9].late_max_msec, 21);
        report_done(&r);
        refused("", 1);
        refused("aerostat-report 2\n", 1);
        refused("aerostat-report 1", 1);
        refused("aerostat-report 1\n" HOUR("9") HOUR("9"), 3);
        refused("aerostat-report 1\n" HOUR("0"), 2);
        refused("aerostat-report 1\n" HOUR("4294967296"), 2);
        refused("aerostat-report 1\n" HOUR("-1"), 2);
        refused("aerostat-report 1\n" HOUR("1 1"), 2);
        refused("aerostat-report 1\nhour 1 2\n", 2);
        refused("aerostat-report 1\n" DAY("3"), 2);
        refused("aerostat-report 1\n" VM_A DAY("3") DAY("3"), 4);
        refused("aerostat-report 1\n" VM_A VM_A, 3);
        refused("aerostat-report 1\n" VM_A HOUR("1"), 3);
        refused("aerostat-report 1\nvm 01000000-0000-0000-0000-000000000000\n", 2);
        refused("aerostat-report 1\nvm x a\n", 2);
        refused("aerostat-report 1\n\n", 2);
}

/* Beside a real host on which nothing is moved, the shadow's comes to what the policy wants, and answers a burst. */
static void test_shadow(void **state) {
        struct shadow_vm memory[FIXTURE_VMS] = { 0 }, *memories[FIXTURE_VMS];
        struct policy_vm would[FIXTURE_VMS];
        struct shadow s = { 0 };
        struct report_burst burst = { 0 };
        enum burst_outcome outcome = BURST_NONE;
        uint64_t late, moved = 0;
        struct fixture f;

        fixture_init(&f);
        for (size_t i = 0; i < 4; i++) {
                fixture_add(&f, 6 * GIB, 6 * GIB, GIB);
                f.vms[i].input.rss_bytes = 3 * GIB; /* it has touched half */
                memories[i] = &memory[i];
        }
        f.host.available_bytes = 3 * GIB;
        for (unsigned step = 0; step < 700; step++) {
                struct fixture before;

                f.now_usec += 100 * USEC_PER_MSEC;
                for (size_t i = 0; i < f.n; i++)
                        f.vms[i].input.report_usec = f.now_usec;
                if (step == 600) { /* one needs 5 GiB of the 6 that it really has */
                        f.vms[0].input.guest_available_bytes = GIB;
                        f.vms[0].input.rss_bytes = 5 * GIB;
                        f.host.available_bytes -= 2 * GIB;
                }
                fixture_decide(&f);
                before = f;
                shadow_step(&s, &f.config, &f.host, f.vms, memories, f.n, f.now_usec, 900 * MIB, 2000 * MIB, would, f.work);
                memset(before.work, 0, sizeof(before.work));
                memset(f.work, 0, sizeof(f.work));
                assert_memory_equal(&before, &f, sizeof(f));
                moved += s.moved_bytes;
                if (step == 599) {
                        assert_true(f.plan.unsafe && !s.plan.unsafe);
                        assert_true(memory[0].actual_bytes < 4 * GIB);
                        assert_true(moved > 8 * GIB && moved < 40 * GIB); /* once, and not at each decision again */
                }
                if (outcome == BURST_NONE)
                        outcome = report_watch_burst(&burst, &would[0], f.now_usec, &late);
        }
        assert_int_equal(outcome, BURST_LATE);
        assert_true(late >= 200 * USEC_PER_MSEC && late <= 5 * USEC_PER_SEC);
        assert_true(memory[0].actual_bytes > 5 * GIB);
        assert_false(s.plan.unsafe);
}

/* VMs of a node that would have shrunk would have left that memory free there: it is not taken for somebody else's use. */
static void test_shadow_on_nodes(void **state) {
        struct shadow_vm memory[FIXTURE_VMS] = { 0 }, *memories[FIXTURE_VMS];
        struct policy_vm would[FIXTURE_VMS];
        struct shadow s = { 0 };
        struct fixture f;

        fixture_init(&f);
        f.host.n_nodes = 2;
        for (size_t i = 0; i < 4; i++) {
                fixture_add(&f, 6 * GIB, 6 * GIB, GIB)->input.node_mask = i < 2 ? 1 : 2;
                f.vms[i].input.rss_bytes = i < 2 ? 7 * GIB / 2 : 2 * GIB;
                memories[i] = &memory[i];
        }
        f.host.available_bytes = 4 * GIB;
        f.host.nodes[0] = (struct policy_node) { 8 * GIB, 512 * MIB };
        f.host.nodes[1] = (struct policy_node) { 8 * GIB, 7 * GIB / 2 };
        for (unsigned step = 0; step < 300; step++) {
                f.now_usec += 100 * USEC_PER_MSEC;
                for (size_t i = 0; i < f.n; i++)
                        f.vms[i].input.report_usec = f.now_usec;
                if (step == 100) { /* a process on each node, for which they would shrink below what they have touched */
                        f.host.nodes[0].available_bytes = 0;
                        f.host.nodes[1].available_bytes -= 3 * GIB;
                        f.host.available_bytes = 512 * MIB;
                        for (size_t i = 0; i < 2; i++)
                                f.vms[i].input.rss_bytes = 9 * GIB / 4, f.vms[i].input.swap_bytes = 5 * GIB / 4;
                }
                fixture_decide(&f);
                shadow_step(&s, &f.config, &f.host, f.vms, memories, f.n, f.now_usec, 900 * MIB, 2000 * MIB, would, f.work);
                for (size_t k = 0; k < 2; k++)
                        assert_near(s.plan.nodesets[k].other_bytes, 512 * MIB + (step < 100 ? 0 : 3 * GIB), MIB);
        }
        assert_true(memory[0].actual_bytes < 9 * GIB / 4 && memory[2].actual_bytes < 9 * GIB / 4);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_host_by_the_hour), cmocka_unit_test(test_sizes_of_vms),      cmocka_unit_test(test_places),
                cmocka_unit_test(test_bursts),           cmocka_unit_test(test_how_many),          cmocka_unit_test(test_survives_a_restart),
                cmocka_unit_test(test_wrong_clock),
                cmocka_unit_test(test_what_is_no_report), cmocka_unit_test(test_shadow), cmocka_unit_test(test_shadow_on_nodes),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
