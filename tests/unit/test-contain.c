/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Containment on trees of files, without systemd (its side of the wire: test-swap-control.c); on a real kernel: tests/lab/test_contain.py. */

#include "tests/unit/unit.h"

#include <sys/wait.h>

#include <systemd/sd-event.h>

#include "host-agent/memory/contain.h"
#include "protocol/units.h"
#include "tests/unit/tree.h"

#define V2 "30 25 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
#define V1 "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
#define A "sys/fs/cgroup/machine/qemu-1-a.libvirt-qemu/"
#define B "sys/fs/cgroup/machine/qemu-2-b.libvirt-qemu/"
#define NO AEROSTAT_UNKNOWN

static const struct tree_file files[] = {
        { "proc/sys/kernel/random/boot_id", "x\n" },
        { "proc/10/cgroup", "0::/machine/qemu-1-a.libvirt-qemu/emulator\n" },
        { "proc/10/mountinfo", V2 },
        { "proc/11/cgroup", "0::/machine/qemu-2-b.libvirt-qemu/emulator\n" },
        { "proc/11/mountinfo", V2 },
        { "proc/12/cgroup", "4:memory:/machine/qemu-3-c.libvirt-qemu\n0::/machine/qemu-3-c.libvirt-qemu\n" },
        { "proc/12/mountinfo", V1 },
        { A "memory.high", "max\n" },
        { A "memory.current", "1073741824\n" },
        { A "memory.pressure", "some avg10=12.00 avg60=0.00 avg300=0.00 total=5000000\nfull avg10=10.00 avg60=0.00 avg300=0.00 total=4000000\n" },
        { B "memory.high", "536870912\n" }, /* the operator's own */
        { B "memory.current", "1073741824\n" },
        { "sys/fs/cgroup/memory/machine/qemu-3-c.libvirt-qemu/memory.soft_limit_in_bytes", "9223372036854771712\n" },
        { NULL, NULL },
};

static struct {
        struct tree tree;
        sd_event *event;
        struct undo *undo;
        struct contain *contain;
        uint64_t now_usec;
} t;

static void start(void) {
        assert_int_equal(undo_new(&t.undo, t.tree.fd, t.tree.path), 0);
        assert_int_equal(contain_new(&t.contain, t.event, t.tree.fd, t.undo), 0);
}

static int setup(void **state) {
        t.tree = tree_make(files);
        t.now_usec = USEC_PER_HOUR;
        assert_true(sd_event_new(&t.event) >= 0);
        start();
        return 0;
}

static int teardown(void **state) {
        contain_free(t.contain);
        undo_free(t.undo);
        sd_event_unref(t.event);
        tree_remove(&t.tree);
        return 0;
}

static void put(const char *path, const char *text) {
        assert_true(tree_put(&t.tree, path, text, strlen(text)));
}

static void tick(struct contain_vm *vms, size_t n_vms) {
        t.now_usec += USEC_PER_SEC;
        contain_tick(t.contain, t.now_usec, vms, n_vms);
        while (contain_is_writing(t.contain))
                usleep(1000);
}

static bool has(const char *path, const char *text) {
        char buf[128];

        assert_true(procfs_read(t.tree.fd, path, buf, sizeof(buf)) >= 0);
        buf[strcspn(buf, "\n")] = 0;
        return strcmp(buf, text) == 0;
}

static bool is_noted(void) {
        const char *path, *value;

        return undo_entry(t.undo, 0, &path, &value);
}

static void test_held_in_steps_and_let_go(void **state) {
        struct contain_vm vm = { .pid = 10, .start_ticks = 1, .bytes = NO };

        tick(&vm, 1);
        assert_true(has(A "memory.high", "max") && vm.held_bytes == NO);
        vm.bytes = GIB - 50 * MIB + 100; /* whole pages */
        tick(&vm, 1);
        assert_int_equal(vm.held_bytes, GIB - 8 * MIB);
        assert_true(has(A "memory.high", "1065353216") && is_noted() && !vm.why_not);
        for (int i = 0; i < 6; i++)
                tick(&vm, 1);
        assert_int_equal(vm.held_bytes, GIB - 50 * MIB);
        vm.bytes = GIB; /* its target has risen */
        tick(&vm, 1);
        assert_int_equal(vm.held_bytes, GIB);
        vm.bytes = NO;
        tick(&vm, 1);
        assert_true(has(A "memory.high", "max") && vm.held_bytes == NO && !is_noted());
        vm.bytes = GIB; /* and again, while its pressure is still ours */
        tick(&vm, 1);
        assert_true(vm.held_bytes != NO && is_noted());
        tick(NULL, 0); /* it has ended: its group is gone with it */
        assert_false(is_noted());
}

static void test_somebody_elses_limit_stays(void **state) {
        struct contain_vm vm = { .pid = 11, .start_ticks = 1, .bytes = 900 * MIB };

        tick(&vm, 1);
        assert_true(has(B "memory.high", "536870912"));
        vm.bytes = 256 * MIB;
        for (int i = 0; i < 40; i++)
                tick(&vm, 1);
        assert_true(has(B "memory.high", "268435456"));
        vm.bytes = NO;
        tick(&vm, 1);
        assert_true(has(B "memory.high", "536870912"));
}

static void test_lifted_at_the_end_and_after_a_crash(void **state) {
        struct contain_vm vms[] = { { .pid = 10, .start_ticks = 1, .bytes = GIB }, { .pid = 11, .start_ticks = 1, .bytes = 256 * MIB } };
        int error, status;
        pid_t killed;

        for (int i = 0; i < 4; i++) /* they take turns */
                tick(vms, 2);
        assert_true(!has(A "memory.high", "max") && !has(B "memory.high", "536870912"));
        contain_free(t.contain);
        assert_true(has(A "memory.high", "max") && has(B "memory.high", "536870912") && !is_noted());
        undo_free(t.undo);
        killed = fork();
        if (killed == 0) {
                start();
                for (int i = 0; i < 4; i++)
                        tick(vms, 2);
                _exit(is_noted() ? 0 : 1);
        }
        assert_int_equal(waitpid(killed, &status, 0), killed);
        assert_int_equal(status, 0);
        assert_true(!has(A "memory.high", "max"));
        start();
        assert_true(has(A "memory.high", "max") && has(B "memory.high", "536870912") && !is_noted());
        for (int i = 0; i < 4; i++)
                tick(vms, 2);
        assert_int_equal(undo_note(t.undo, "sys/kernel/mm/ksm/run", "0"), 0);
        assert_int_equal(contain_lift(t.tree.fd, t.undo, &error), 2); /* aerostatd --undo */
        assert_int_equal(error, 0);
        assert_true(has(A "memory.high", "max"));
        assert_non_null(undo_value(t.undo, "sys/kernel/mm/ksm/run")); /* not its business */
}

static void test_why_not(void **state) {
        struct contain_vm vms[] = {
                { .pid = 12, .start_ticks = 1, .bytes = GIB }, { .pid = -1, .bytes = GIB }, { .pid = 99, .bytes = GIB }, { .pid = -1, .bytes = NO },
        };

        tick(vms, 4);
        assert_non_null(strstr(vms[0].why_not, "cgroup v1"));
        assert_true(has("sys/fs/cgroup/memory/machine/qemu-3-c.libvirt-qemu/memory.soft_limit_in_bytes", "9223372036854771712"));
        assert_non_null(vms[1].why_not);
        assert_non_null(strstr(vms[2].why_not, "control group"));
        assert_null(vms[3].why_not);
        for (int i = 0; i < 4; i++)
                assert_true(vms[i].held_bytes == NO);
        unlinkat(t.tree.fd, A "memory.high", 0);
        vms[0] = (struct contain_vm) { .pid = 10, .start_ticks = 1, .bytes = GIB };
        tick(vms, 1);
        assert_non_null(strstr(vms[0].why_not, "memory controller"));
}

/* Stalls in a VM that we hold are not the host's; neither are they at once when it is let go, for avg10 fades. */
static void test_pressure_that_is_ours(void **state) {
        struct contain_vm vm = { .pid = 10, .start_ticks = 1, .bytes = NO };
        struct contain_pressure p;

        contain_measure(t.contain, &p);
        assert_true(p.some_ppm == 0 && p.full_ppm == 0 && p.some_total_usec == 0);
        vm.bytes = GIB;
        tick(&vm, 1);
        contain_measure(t.contain, &p);
        assert_true(p.some_ppm == 120000 && p.full_ppm == 100000 && p.some_total_usec == 0); /* 5 s of stall were before us */
        put(A "memory.pressure", "some avg10=50.00 avg60=0.00 avg300=0.00 total=7500000\nfull avg10=40.00 avg60=0.00 avg300=0.00 total=4000000\n");
        contain_measure(t.contain, &p);
        contain_measure(t.contain, &p);
        assert_true(p.some_ppm == 500000 && p.some_total_usec == 2500000);
        vm.bytes = NO;
        for (int i = 0; i < 20; i++)
                tick(&vm, 1);
        contain_measure(t.contain, &p);
        assert_int_equal(p.some_ppm, 500000);
        for (int i = 0; i < 20; i++)
                tick(&vm, 1);
        contain_measure(t.contain, &p);
        assert_true(p.some_ppm == 0 && p.some_total_usec == 2500000); /* the sum never goes back */
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_held_in_steps_and_let_go, setup, teardown),
                cmocka_unit_test_setup_teardown(test_somebody_elses_limit_stays, setup, teardown),
                cmocka_unit_test_setup_teardown(test_lifted_at_the_end_and_after_a_crash, setup, teardown),
                cmocka_unit_test_setup_teardown(test_why_not, setup, teardown),
                cmocka_unit_test_setup_teardown(test_pressure_that_is_ours, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
