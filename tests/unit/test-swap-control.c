/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/unit.h"

#include <fcntl.h>

#include "host-agent/system/host.h"
#include "tests/unit/swap-run.h"

#define MACHINE "sys/fs/cgroup/machine/"

static const struct tree_file v2_files[] = {
        { "proc/sys/kernel/random/boot_id", "x\n" },
        { "proc/10/cgroup", "0::/machine/qemu-1-a.libvirt-qemu/emulator\n" },
        { "proc/10/mountinfo", V2 },
        { "proc/11/cgroup", "0::/machine/qemu-2-b.libvirt-qemu/emulator\n" },
        { "proc/11/mountinfo", V2 },
        { MACHINE "memory.swap.max", "max\n" },
        { MACHINE "memory.swap.current", "0\n" },
        { MACHINE "qemu-1-a.libvirt-qemu/memory.swap.max", "max\n" },
        { MACHINE "qemu-2-b.libvirt-qemu/memory.swap.max", "52428800\n" }, /* the operator's own: 50 MiB */
        { NULL, NULL },
};

static const struct tree_file v1_files[] = {
        { "proc/sys/kernel/random/boot_id", "x\n" },
        { "proc/10/cgroup", "4:memory:/machine/qemu-1-a.libvirt-qemu\n" },
        { "proc/10/mountinfo", V1 },
        { "sys/fs/cgroup/memory/machine/qemu-1-a.libvirt-qemu/memory.swappiness", "60\n" },
        { NULL, NULL },
};

static void test_v2_files(void **state) {
        struct swap_vm vms[] = { { 10, 1, 1000, 0, 0 }, { 11, 1, 2000, 0, 0 } };
        struct tree t = tree_make(v2_files);
        struct swap_control *control;
        struct swap_input in = input();
        const struct swap_view *view;
        sd_event *event = NULL;
        struct undo *undo;

        assert_true(sd_event_new(&event) >= 0);
        assert_int_equal(undo_new(&undo, t.fd, NULL), 0);
        assert_int_equal(swap_control_new(&control, event, t.fd, undo), 0);
        view = swap_control_view(control);
        swap_control_tick(control, &in, false, false, vms, 2); /* dry-run */
        assert_has(&t, MACHINE "memory.swap.max", "max");
        swap_control_tick(control, &in, true, false, vms, 2);
        assert_int_equal(view->method, SWAP_BY_FILE);
        assert_int_equal(view->limit_bytes, 300 * MIB);
        assert_has(&t, MACHINE "memory.swap.max", "314572800");
        assert_has(&t, MACHINE "qemu-1-a.libvirt-qemu/memory.swap.max", "max");

        swap_control_tick(control, &in, true, true, vms, 2); /* shares, by weight */
        assert_has(&t, MACHINE "qemu-1-a.libvirt-qemu/memory.swap.max", "104857600");
        assert_has(&t, MACHINE "qemu-2-b.libvirt-qemu/memory.swap.max", "52428800"); /* less than its share already */
        swap_control_tick(control, &in, true, false, vms, 2); /* not any more */
        assert_has(&t, MACHINE "qemu-1-a.libvirt-qemu/memory.swap.max", "max");
        assert_has(&t, MACHINE "qemu-2-b.libvirt-qemu/memory.swap.max", "52428800");

        in.enforce = false; /* paused */
        swap_control_tick(control, &in, true, false, vms, 2);
        assert_int_equal(view->method, SWAP_NOT_LIMITED);
        assert_has(&t, MACHINE "memory.swap.max", "max");
        in.enforce = true;
        swap_control_tick(control, &in, true, false, vms, 1); /* one VM has ended */
        assert_has(&t, MACHINE "memory.swap.max", "314572800");
        swap_control_free(control);
        assert_has(&t, MACHINE "memory.swap.max", "max");
        undo_free(undo);
        sd_event_unref(event);
        tree_remove(&t);
}

/* A ceiling of 0, kept for all or shared out, makes no VM one that may not swap: that is whom somebody else has denied it. */
static void test_own_limit_of_zero(void **state) {
        struct cgroup_limits limits;

        tree = tree_make(v2_files);
        assert_true(tree_put(&tree, MACHINE "qemu-2-b.libvirt-qemu/memory.swap.max", "0\n", 2));
        assert_true(tree_put(&tree, "state/x", "", 0));
        start();
        run.in.ceiling_ppm = 0;
        for (int per_vm = 0; per_vm < 2; per_vm++) {
                tick(per_vm, 2);
                assert_has(&tree, per_vm ? MACHINE "qemu-1-a.libvirt-qemu/memory.swap.max" : MACHINE "memory.swap.max", "0");
                assert_int_equal(cgroup_limits_read(tree.fd, 10, run.undo, &limits), 0);
                assert_false(limits.no_swap);
                assert_int_equal(cgroup_limits_read(tree.fd, 11, run.undo, &limits), 0);
                assert_true(limits.no_swap);
        }
        stop();
        tree_remove(&tree);
}

/* Somebody's own limit of the group of all VMs: the one that is in force is shown. */
static void test_own_limit_of_all(void **state) {
        tree = tree_make(v2_files);
        assert_true(tree_put(&tree, MACHINE "memory.swap.max", "104857600\n", 10) && tree_put(&tree, "state/x", "", 0));
        start();
        tick(false, 2);
        assert_has(&tree, MACHINE "memory.swap.max", "104857600");
        assert_int_equal(swap_control_view(run.control)->limit_bytes, 100 * MIB);
        assert_int_equal(swap_control_view(run.control)->plan.limit_bytes, 300 * MIB);
        run.in.ceiling_ppm = 50000;
        tick(false, 2);
        assert_int_equal(swap_control_view(run.control)->limit_bytes, 50 * MIB);
        stop();
        assert_has(&tree, MACHINE "memory.swap.max", "104857600");
        tree_remove(&tree);
}

static void test_v1_files(void **state) {
        static const char file[] = "sys/fs/cgroup/memory/machine/qemu-1-a.libvirt-qemu/memory.swappiness";
        struct swap_vm vm = { 10, 1, 1000, 0, 0 };
        struct tree t = tree_make(v1_files);
        struct swap_control *control;
        struct swap_input in = input();
        sd_event *event = NULL;
        struct undo *undo;

        assert_true(sd_event_new(&event) >= 0);
        assert_int_equal(undo_new(&undo, t.fd, NULL), 0);
        assert_int_equal(swap_control_new(&control, event, t.fd, undo), 0);
        swap_control_tick(control, &in, true, false, &vm, 1);
        assert_has(&t, file, "60");
        assert_int_equal(swap_control_view(control)->method, SWAP_BY_SWAPPINESS);
        assert_true(swap_control_view(control)->note[0] != 0); /* says that it is no limit */
        vm.swap_bytes = in.vms_bytes = in.used_bytes = 270 * MIB;
        swap_control_tick(control, &in, true, false, &vm, 1);
        assert_has(&t, file, "30");
        vm.swap_bytes = in.vms_bytes = in.used_bytes = 310 * MIB;
        swap_control_tick(control, &in, true, false, &vm, 1);
        assert_has(&t, file, "1");
        vm.swap_bytes = in.vms_bytes = in.used_bytes = 0;
        swap_control_tick(control, &in, true, false, &vm, 1);
        assert_has(&t, file, "60");
        in.last = true; /* guaranteed: file cache goes first, with shares, too */
        swap_control_tick(control, &in, true, false, &vm, 1);
        assert_has(&t, file, "1");
        assert_int_equal(swap_control_view(control)->limit_bytes, 300 * MIB);
        swap_control_tick(control, &in, true, true, &vm, 1);
        assert_has(&t, file, "1");
        in.enforce = false; /* pause */
        swap_control_tick(control, &in, true, false, &vm, 1);
        assert_has(&t, file, "60");
        swap_control_free(control);
        assert_has(&t, file, "60");
        undo_free(undo);
        sd_event_unref(event);
        tree_remove(&t);
}

static void test_no_groups(void **state) {
        struct swap_vm vms[] = { { 10, 1, 1000, 0, 0 }, { -1, 0, 1000, 0, 0 } };
        static const struct tree_file files[] = { { "proc/10/cgroup", "0::/\n" }, { "proc/10/mountinfo", V2 }, { NULL, NULL } };
        struct tree t = tree_make(files);
        struct swap_control *control;
        struct swap_input in = input();
        sd_event *event = NULL;
        struct undo *undo;

        assert_true(sd_event_new(&event) >= 0);
        assert_int_equal(undo_new(&undo, t.fd, NULL), 0);
        assert_int_equal(swap_control_new(&control, event, t.fd, undo), 0);
        swap_control_tick(control, &in, true, false, vms, 2);
        assert_int_equal(swap_control_view(control)->method, SWAP_NOT_LIMITED);
        assert_true(swap_control_view(control)->note[0] != 0);
        swap_control_free(control);
        undo_free(undo);
        sd_event_unref(event);
        tree_remove(&t);
}

/* ---- groups that change under us ---- */

static void test_another_group_above(void **state) {
        static struct swap_vm vms[] = { { 10, 1, 1000, 0, 0 }, { 12, 1, 1000, 0, 0 } };

        tree = tree_make(v2_files);
        assert_true(tree_put(&tree, "proc/12/cgroup", "0::/prod/qemu-3-c.libvirt-qemu\n", 31));
        assert_true(tree_put(&tree, "proc/12/mountinfo", V2, strlen(V2)));
        assert_true(tree_put(&tree, "sys/fs/cgroup/prod/qemu-3-c.libvirt-qemu/memory.swap.max", "max\n", 4) && tree_put(&tree, "state/x", "", 0));
        start();
        swap_control_tick(run.control, &run.in, true, false, vms, 1);
        assert_has(&tree, MACHINE "memory.swap.max", "314572800");
        swap_control_tick(run.control, &run.in, true, false, vms, 2); /* nothing but the root is above both: shares */
        assert_has(&tree, MACHINE "memory.swap.max", "max"); /* a limit that nobody keeps current would strangle whoever is there */
        assert_has(&tree, MACHINE "qemu-1-a.libvirt-qemu/memory.swap.max", "157286400");
        assert_has(&tree, "sys/fs/cgroup/prod/qemu-3-c.libvirt-qemu/memory.swap.max", "157286400");
        swap_control_tick(run.control, &run.in, false, false, vms, 2); /* dry-run from now on: nothing may stay that nobody keeps */
        assert_has(&tree, MACHINE "qemu-1-a.libvirt-qemu/memory.swap.max", "max");
        assert_int_equal(faccessat(tree.fd, "state/undo", F_OK, 0), -1);
        swap_control_tick(run.control, &run.in, true, false, vms, 1);
        assert_has(&tree, MACHINE "memory.swap.max", "314572800");
        stop();
        run_and_kill(false, 1);
        assert_has(&tree, MACHINE "memory.swap.max", "314572800");
        start();
        swap_control_tick(run.control, &run.in, true, false, vms, 2); /* taken over where another group was above */
        assert_has(&tree, MACHINE "memory.swap.max", "max");
        assert_has(&tree, MACHINE "qemu-1-a.libvirt-qemu/memory.swap.max", "157286400");
        stop();
        tree_remove(&tree);
}

/* A VM at its share, and another that has none: both may have more when nothing else is left. */
static void test_shares_are_lifted(void **state) {
        static struct swap_vm vms[] = { { 10, 1, 1000, 0, GIB }, { 11, 1, 0, 0, 0 } };

        tree = tree_make(v2_files);
        assert_true(tree_put(&tree, MACHINE "qemu-1-a.libvirt-qemu/memory.swap.current", "104857600\n", 10) && tree_put(&tree, "state/x", "", 0));
        assert_true(tree_put(&tree, MACHINE "qemu-2-b.libvirt-qemu/memory.swap.max", "max\n", 4));
        start();
        run.in.available_bytes = 0;
        swap_control_tick(run.control, &run.in, true, true, vms, 2);
        assert_has(&tree, MACHINE "qemu-1-a.libvirt-qemu/memory.swap.max", "314572800");
        assert_has(&tree, MACHINE "qemu-2-b.libvirt-qemu/memory.swap.max", "0");
        assert_int_equal(vms[0].swap_bytes, 100 * MIB); /* the kernel's count */
        assert_true(tree_put(&tree, MACHINE "qemu-1-a.libvirt-qemu/memory.swap.current", "314572800\n", 10));
        run.in.now_usec += USEC_PER_SEC;
        swap_control_tick(run.control, &run.in, true, true, vms, 2);
        assert_has(&tree, MACHINE "memory.swap.max", "381681664");
        assert_has(&tree, MACHINE "qemu-1-a.libvirt-qemu/memory.swap.max", "381681664");
        assert_has(&tree, MACHINE "qemu-2-b.libvirt-qemu/memory.swap.max", "67108864");
        stop();
        tree_remove(&tree);
}

static void test_group_vanishes(void **state) {
        static struct swap_vm vms[] = { { 10, 1, 1000, 0, 0 }, { 11, 1, 2000, 0, 0 } };

        tree = tree_make(v2_files);
        assert_true(tree_put(&tree, "state/x", "", 0));
        start();
        swap_control_tick(run.control, &run.in, true, true, vms, 2);
        assert_int_equal(unlinkat(tree.fd, MACHINE "qemu-2-b.libvirt-qemu/memory.swap.max", 0), 0);
        swap_control_tick(run.control, &run.in, true, true, vms, 2); /* libvirt has not told us yet */
        assert_has(&tree, MACHINE "qemu-1-a.libvirt-qemu/memory.swap.max", "104857600");
        assert_non_null(strstr(swap_control_view(run.control)->note, "qemu-2-b"));
        swap_control_tick(run.control, &run.in, true, true, vms, 1);
        assert_string_equal(swap_control_view(run.control)->note, "");
        assert_has(&tree, MACHINE "qemu-1-a.libvirt-qemu/memory.swap.max", "314572800");
        assert_int_equal(unlinkat(tree.fd, MACHINE "memory.swap.max", 0), 0);
        stop();
        assert_has(&tree, MACHINE "qemu-1-a.libvirt-qemu/memory.swap.max", "max");
        tree_remove(&tree);
}

/* Swap that is removed under us: no limit of nothing stays. */
static void test_swap_goes(void **state) {
        static struct swap_vm vms[] = { { 10, 1, 1000, 0, 0 } };

        tree = tree_make(v2_files);
        assert_true(tree_put(&tree, "state/x", "", 0));
        start();
        swap_control_tick(run.control, &run.in, true, false, vms, 1);
        run.in.total_bytes = 100 * MIB;
        swap_control_tick(run.control, &run.in, true, false, vms, 1);
        assert_has(&tree, MACHINE "memory.swap.max", "31457280");
        run.in.total_bytes = 0;
        run.in.enforce = false; /* as the manager says then */
        swap_control_tick(run.control, &run.in, true, false, vms, 1);
        assert_has(&tree, MACHINE "memory.swap.max", "max");
        stop();
        tree_remove(&tree);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_v2_files), cmocka_unit_test(test_own_limit_of_zero), cmocka_unit_test(test_own_limit_of_all),
                cmocka_unit_test(test_v1_files),
                cmocka_unit_test(test_no_groups),
                cmocka_unit_test(test_another_group_above),
                cmocka_unit_test(test_shares_are_lifted),
                cmocka_unit_test(test_group_vanishes),
                cmocka_unit_test(test_swap_goes),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
