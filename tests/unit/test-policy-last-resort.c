/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/unit.h"

#include "host-agent/policy/last_resort.h"
#include "protocol/units.h"

static struct last_resort_config config;
static struct last_resort_state state;
static struct last_resort_input in;
static struct last_resort_vm vms[4];

static int setup(void **unused) {
        config = (struct last_resort_config) { LAST_RESORT_SAVE, 30 * USEC_PER_SEC, 10 * USEC_PER_MINUTE };
        state = (struct last_resort_state) { 0 };
        in = (struct last_resort_input) { .now_usec = USEC_PER_HOUR, .host_state = POLICY_CRITICAL, .room_bytes = 8 * GIB, .reserve_bytes = GIB };
        vms[0] = (struct last_resort_vm) { .priority = 100, .committed_bytes = 4 * GIB, .can = true };
        vms[1] = (struct last_resort_vm) { .priority = 50, .committed_bytes = GIB, .can = true };
        vms[2] = (struct last_resort_vm) { .priority = 50, .committed_bytes = 2 * GIB, .can = true };
        vms[3] = (struct last_resort_vm) { .priority = 0, .committed_bytes = 2 * GIB };
        return 0;
}

/* Calls it once a second with memory that goes by lost_bytes each; the second in which a VM was taken, or -1. */
static int run(unsigned seconds, uint64_t lost_bytes, size_t *ret_index) {
        for (unsigned i = 0; i < seconds; i++) {
                bool take = last_resort_take(&config, &state, &in, vms, ARRAY_SIZE(vms), ret_index);

                in.now_usec += USEC_PER_SEC;
                in.room_bytes = u64_sub(in.room_bytes, lost_bytes);
                if (take)
                        return (int) i;
        }
        return -1;
}

static void test_off(void **unused) {
        size_t index;

        config.action = LAST_RESORT_NONE;
        assert_int_equal(run(3600, 10 * MIB, &index), -1);
}

static void test_lowest_priority_one_at_a_time(void **unused) {
        size_t index;

        assert_int_equal(run(100, 0, &index), 30);
        assert_int_equal(index, 2); /* of two equal ones the larger; the lowest of all is not ours to take */
        vms[2].tried = vms[2].busy = true;
        assert_int_equal(run(100, 0, &index), -1); /* it is still being saved */
        vms[2].busy = vms[2].can = false;
        assert_int_equal(run(100, 0, &index), 29); /* what was done gets its time to help */
        assert_int_equal(index, 1);
        vms[1].tried = true;
        assert_int_equal(run(100, 0, &index), 29);
        assert_int_equal(index, 0);
        vms[0].tried = true;
        assert_int_equal(run(100, 0, &index), -1);
}

static void test_only_critical_without_a_break(void **unused) {
        size_t index;

        assert_int_equal(run(30, 0, &index), -1);
        in.host_state = POLICY_HARD;
        assert_int_equal(run(1, 0, &index), -1);
        in.host_state = POLICY_CRITICAL;
        assert_int_equal(run(100, 0, &index), 30);
}

static void test_failed(void **unused) {
        size_t index;

        assert_int_equal(run(100, 0, &index), 30);
        vms[index].tried = true;
        last_resort_failed(&config, &state);
        assert_int_equal(run(100, 0, &index), 0); /* the next at once */
        assert_int_equal(index, 1);
}

/* It hangs, or its disk does: the next one's turn. A save that goes on has the time that a slow disk needs. */
static void test_late(void **unused) {
        struct last_resort_vm vm = { .committed_bytes = 4 * GIB, .busy = true, .taken_usec = in.now_usec };

        in.now_usec += 15 * USEC_PER_SEC - 1;
        assert_false(last_resort_is_late(&in, &vm));
        in.now_usec++;
        assert_true(last_resort_is_late(&in, &vm));
        vm.stopped = true;
        in.now_usec = vm.taken_usec + (60 + 4096 / 32) * USEC_PER_SEC - 1;
        assert_false(last_resort_is_late(&in, &vm));
        in.now_usec++;
        assert_true(last_resort_is_late(&in, &vm));
        vm.committed_bytes = UINT64_MAX;
        assert_false(last_resort_is_late(&in, &vm));
        vm.busy = vm.stopped = false;
        assert_false(last_resort_is_late(&in, &vm));
}

static void test_pause_only_while_memory_goes(void **unused) {
        size_t index;

        config.action = LAST_RESORT_PAUSE;
        assert_int_equal(run(100, 0, &index), -1);
        assert_int_equal(run(100, MIB, &index), -1); /* 2 MiB in a window: less than a 256th of the reserve */
        assert_true(run(100, 3 * MIB, &index) >= 0);
        assert_int_equal(index, 2);
        vms[2].tried = true;
        assert_int_equal(run(25, 3 * MIB, &index), -1);
        assert_int_equal(run(100, 0, &index), -1); /* it helped */
}

static void test_lets_go(void **unused) {
        struct last_resort_vm vm = { .paused = true, .taken_usec = in.now_usec };

        config.action = LAST_RESORT_PAUSE;
        assert_false(last_resort_lets_go(&config, &in, &vm));
        in.host_state = POLICY_TIGHT;
        assert_false(last_resort_lets_go(&config, &in, &vm));
        in.host_state = POLICY_NORMAL;
        assert_true(last_resort_lets_go(&config, &in, &vm));
        in.host_state = POLICY_CRITICAL;
        in.now_usec += config.max_duration_usec - 1;
        assert_false(last_resort_lets_go(&config, &in, &vm));
        in.now_usec++;
        assert_true(last_resort_lets_go(&config, &in, &vm));
        vm.taken_usec = in.now_usec;
        assert_false(last_resort_lets_go(&config, &in, &vm));
        config.action = LAST_RESORT_NONE; /* a new configuration */
        assert_true(last_resort_lets_go(&config, &in, &vm));
        vm.paused = false; /* an operator's pause */
        assert_false(last_resort_lets_go(&config, &in, &vm));
}

/* A budget that VMs have overrun: nothing is available, and what they take on top is seen all the same. */
static void test_growth_beyond_a_budget(void **unused) {
        size_t index;
        int taken = -1;

        config.action = LAST_RESORT_PAUSE;
        in.room_bytes = 0;
        assert_int_equal(run(100, 0, &index), -1);
        for (int i = 0; i < 10 && taken < 0; i++) {
                in.over_bytes += 10 * MIB;
                taken = run(1, 0, &index);
        }
        assert_int_equal(taken, 0);
}

static void test_once_in_a_crisis(void **unused) {
        assert_false(last_resort_crisis_is_over(&config, &in));
        in.host_state = POLICY_TIGHT;
        assert_false(last_resort_crisis_is_over(&config, &in));
        config.action = LAST_RESORT_NONE; /* `aerostatctl pause` */
        assert_true(last_resort_crisis_is_over(&config, &in));
        config.action = LAST_RESORT_SAVE;
        in.host_state = POLICY_NORMAL;
        assert_true(last_resort_crisis_is_over(&config, &in));
}

static void test_any_numbers(void **unused) {
        size_t index;

        config = (struct last_resort_config) { LAST_RESORT_PAUSE, UINT64_MAX, UINT64_MAX };
        in = (struct last_resort_input) { 0, POLICY_CRITICAL, UINT64_MAX, 0, UINT64_MAX };
        assert_false(last_resort_take(&config, &state, &in, vms, ARRAY_SIZE(vms), &index));
        last_resort_failed(&config, &state);
        in.now_usec = UINT64_MAX;
        in.room_bytes = 0;
        assert_false(last_resort_take(&config, &state, &in, vms, ARRAY_SIZE(vms), &index));
        config.after_usec = 0;
        assert_true(last_resort_take(&config, &state, &in, vms, ARRAY_SIZE(vms), &index));
        assert_false(last_resort_take(&config, &state, &in, NULL, 0, &index));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup(test_off, setup),
                cmocka_unit_test_setup(test_lowest_priority_one_at_a_time, setup),
                cmocka_unit_test_setup(test_only_critical_without_a_break, setup),
                cmocka_unit_test_setup(test_failed, setup),
                cmocka_unit_test_setup(test_late, setup),
                cmocka_unit_test_setup(test_pause_only_while_memory_goes, setup),
                cmocka_unit_test_setup(test_lets_go, setup),
                cmocka_unit_test_setup(test_growth_beyond_a_budget, setup),
                cmocka_unit_test_setup(test_once_in_a_crisis, setup),
                cmocka_unit_test_setup(test_any_numbers, setup),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
