/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/unit.h"

#include "host-agent/manager/vm.h"
#include "protocol/clock.h"
#include "protocol/units.h"

#define BOOT_USEC (1000 * USEC_PER_SEC)
#define PERIOD_USEC (2 * USEC_PER_SEC)

static struct settings settings;

static struct vm *new_vm(void) {
        static const uint8_t uuid[16] = { 1 };
        struct vm *vm;

        settings_init(&settings);
        assert_int_equal(vm_new(&vm, NULL, uuid), 0);
        vm->info.max_bytes = 4 * GIB;
        vm->info.has_balloon = true;
        vm_boot(vm, BOOT_USEC);
        return vm;
}

static void take(struct vm *vm, uint64_t updated_sec, uint64_t now_usec) {
        const struct virt_stats stats = { .actual_bytes = 2 * GIB, .available_bytes = GIB, .total_bytes = 2 * GIB, .updated_sec = updated_sec };

        vm_take_stats(vm, &stats, now_usec);
}

static uint64_t age_of(const struct vm *vm, uint64_t now_usec) {
        uint64_t age = 0;
        enum report_source source = vm_source(vm, &settings, now_usec, &age);

        assert_int_equal(source, age == AEROSTAT_UNKNOWN ? SOURCE_NONE : SOURCE_BALLOON_STATS);
        return age;
}

/* Whatever the host's wall clock said when the VM was first seen: statistics count from when they are first updated, and are as old as that. */
static void test_stats_by_any_clock(void **state) {
        const uint64_t wall_sec = clock_realtime_usec() / USEC_PER_SEC, steps[] = { 8 * 3600, UINT64_C(20) * 365 * 86400, 0 };

        for (size_t i = 0; i < 2 * ARRAY_SIZE(steps); i++) {
                uint64_t updated_sec = i % 2 ? wall_sec + steps[i / 2] : wall_sec - steps[i / 2], now_usec = BOOT_USEC;
                struct vm *vm = new_vm();
                struct policy_vm_input in;

                take(vm, 0, now_usec += PERIOD_USEC); /* a QEMU that has just been started */
                assert_false(vm->balloon_confirmed);
                assert_true(age_of(vm, now_usec) == AEROSTAT_UNKNOWN);
                for (unsigned k = 0; k < 3; k++) {
                        take(vm, updated_sec += 2, now_usec += PERIOD_USEC);
                        assert_true(vm->balloon_confirmed);
                        assert_true(age_of(vm, now_usec) <= PERIOD_USEC);
                        vm_input(vm, &settings, now_usec + PERIOD_USEC, &in);
                        assert_int_equal(in.report_usec, now_usec - age_of(vm, now_usec)); /* one report, whenever it is looked at */
                        assert_true(in.guest_available_bytes == GIB);
                }
                /* The guest falls silent. */
                for (unsigned k = 0; k < 10; k++)
                        take(vm, updated_sec, now_usec += PERIOD_USEC);
                assert_in_range(age_of(vm, now_usec), 10 * PERIOD_USEC, 11 * PERIOD_USEC);
                vm_free(vm);
        }
}

/* The wall clock is stepped while the VM runs. */
static void test_a_step(void **state) {
        const uint64_t wall_sec = clock_realtime_usec() / USEC_PER_SEC;
        struct vm *vm = new_vm();
        uint64_t now_usec = BOOT_USEC;

        take(vm, wall_sec + 8 * 3600, now_usec += PERIOD_USEC);
        take(vm, wall_sec + 8 * 3600 + 2, now_usec += PERIOD_USEC);
        assert_true(vm->balloon_confirmed && age_of(vm, now_usec) == 0);
        take(vm, wall_sec + 8 * 3600 + 2, now_usec += PERIOD_USEC);
        assert_int_equal(age_of(vm, now_usec), PERIOD_USEC);
        take(vm, wall_sec, now_usec += PERIOD_USEC);
        assert_true(age_of(vm, now_usec) <= PERIOD_USEC);
        vm_free(vm);
}

/* Statistics of before this boot, or of before this daemon, however new, are no word of a driver that is up. */
static void test_stats_of_before(void **state) {
        const uint64_t wall_sec = clock_realtime_usec() / USEC_PER_SEC;
        struct vm *vm = new_vm();
        uint64_t now_usec = BOOT_USEC + USEC_PER_MSEC;

        take(vm, wall_sec - 1, now_usec);
        take(vm, wall_sec, now_usec += 100 * USEC_PER_MSEC); /* the reading before had been on its way when the boot was seen */
        take(vm, AEROSTAT_UNKNOWN, now_usec += PERIOD_USEC);
        for (unsigned k = 0; k < 10; k++)
                take(vm, wall_sec, now_usec += PERIOD_USEC);
        assert_false(vm->balloon_confirmed);
        assert_true(age_of(vm, now_usec) == AEROSTAT_UNKNOWN);
        take(vm, wall_sec + 1, now_usec += PERIOD_USEC);
        assert_true(vm->balloon_confirmed && age_of(vm, now_usec) <= PERIOD_USEC);

        vm_boot(vm, now_usec);
        assert_false(vm->balloon_confirmed);
        take(vm, wall_sec + 1, now_usec += PERIOD_USEC);
        take(vm, wall_sec + 1, now_usec += PERIOD_USEC);
        assert_false(vm->balloon_confirmed);
        assert_true(age_of(vm, now_usec) == AEROSTAT_UNKNOWN);
        vm_free(vm);
}

/* With a period of minutes an update may be as old as that when it is read: within what is possible the wall clock is believed. */
static void test_seldom_read(void **state) {
        const uint64_t wall_sec = clock_realtime_usec() / USEC_PER_SEC;
        struct vm *vm = new_vm();
        uint64_t now_usec = BOOT_USEC + USEC_PER_MINUTE;

        take(vm, wall_sec - 600, now_usec);
        take(vm, wall_sec - 40, now_usec += 5 * USEC_PER_MINUTE);
        assert_in_range(age_of(vm, now_usec), 40 * USEC_PER_SEC, 50 * USEC_PER_SEC);
        vm_free(vm);
}

/* A QEMU grows most just after it was measured for the first time. */
static void test_young_qemu(void **state) {
        struct vm *vm = new_vm();
        struct policy_vm_input in;

        vm->overhead_bytes = 60 * MIB;
        vm_input(vm, &settings, BOOT_USEC, &in);
        assert_int_equal(in.overhead_bytes, 60 * MIB); /* it was running before us */
        vm_is_young(vm, BOOT_USEC);
        vm_input(vm, &settings, BOOT_USEC + USEC_PER_MINUTE - 1, &in);
        assert_int_equal(in.overhead_bytes, POLICY_OVERHEAD_DEFAULT);
        vm->overhead_bytes = 200 * MIB;
        vm_input(vm, &settings, BOOT_USEC + USEC_PER_SEC, &in);
        assert_int_equal(in.overhead_bytes, 200 * MIB);
        vm->overhead_bytes = 60 * MIB;
        vm_input(vm, &settings, BOOT_USEC + USEC_PER_MINUTE, &in);
        assert_int_equal(in.overhead_bytes, 60 * MIB);
        vm_free(vm);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_stats_by_any_clock),
                cmocka_unit_test(test_a_step),
                cmocka_unit_test(test_stats_of_before),
                cmocka_unit_test(test_seldom_read),
                cmocka_unit_test(test_young_qemu),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
