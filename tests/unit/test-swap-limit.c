/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/unit.h"

#include <fcntl.h>

#include "host-agent/system/swap_limit.h"
#include "protocol/units.h"
#include "tests/unit/tree.h"

#define V2 "30 25 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
#define V1 "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
#define SCOPE "machine-qemu\\x2d1\\x2dweb1.scope"

static const struct tree_file files[] = {
        { "run/systemd/system/x", "" },
        { "proc/10/cgroup", "0::/machine.slice/" SCOPE "/libvirt/emulator\n" },
        { "proc/10/mountinfo", V2 },
        { "proc/11/cgroup", "0::/machine.slice/machine-prod.slice/" SCOPE "/libvirt/emulator\n" },
        { "proc/11/mountinfo", V2 },
        { "proc/12/cgroup", "0::/user.slice/user-1000.slice/" SCOPE "\n" },
        { "proc/12/mountinfo", V2 },
        { "proc/20/cgroup", "4:memory:/machine/qemu-1-web1.libvirt-qemu\n0::/\n" },
        { "proc/20/mountinfo", V1 },
        { "proc/21/cgroup", "0::/\n" },
        { "proc/21/mountinfo", V2 },
        { "proc/22/cgroup", "0::/system.slice/libvirtd.service\n" },
        { "proc/22/mountinfo", V2 },
        { "sys/fs/cgroup/machine.slice/memory.swap.max", "max\n" },
        { "sys/fs/cgroup/machine.slice/memory.swap.current", "8192\n" },
        { "sys/fs/cgroup/memory/machine/qemu-1-web1.libvirt-qemu/memory.swappiness", "60\n" },
        { NULL, NULL },
};

static void test_v2_systemd(void **state) {
        struct tree t = tree_make(files);
        struct swap_group vm, above;
        uint64_t bytes;
        char file[SWAP_GROUP_FILE_MAX];

        assert_int_equal(swap_group_find(t.fd, 10, &vm, &above), 0);
        assert_true(above.v2);
        assert_string_equal(above.path, "sys/fs/cgroup/machine.slice");
        assert_string_equal(above.unit, "machine.slice");
        assert_string_equal(vm.path, "sys/fs/cgroup/machine.slice/" SCOPE);
        assert_string_equal(vm.unit, SCOPE);
        assert_string_equal(swap_group_file(&above, file), "sys/fs/cgroup/machine.slice/memory.swap.max");
        assert_int_equal(swap_group_read_limit(t.fd, &above, &bytes), 0);
        assert_true(bytes == AEROSTAT_UNKNOWN);
        assert_int_equal(swap_group_write_limit(t.fd, &above, 300 * MIB), 0);
        assert_int_equal(swap_group_read_limit(t.fd, &above, &bytes), 0);
        assert_int_equal(bytes, 300 * MIB);
        assert_int_equal(swap_group_write_limit(t.fd, &above, AEROSTAT_UNKNOWN), 0);
        assert_int_equal(swap_group_read_limit(t.fd, &above, &bytes), 0);
        assert_true(bytes == AEROSTAT_UNKNOWN);
        assert_int_equal(swap_group_read_used(t.fd, &above, &bytes), 0);
        assert_int_equal(bytes, 8192);
        assert_int_equal(swap_group_read_limit(t.fd, &vm, &bytes), -ENOENT); /* the controller is not on there */
        assert_int_equal(swap_group_write_limit(t.fd, &vm, 1), -ENOENT);
        tree_remove(&t);
}

static void test_join(void **state) {
        struct tree t = tree_make(files);
        struct swap_group vm, a, b, c;

        assert_int_equal(swap_group_find(t.fd, 10, &vm, &a), 0);
        assert_int_equal(swap_group_find(t.fd, 11, &vm, &b), 0);
        assert_string_equal(b.unit, "machine-prod.slice");
        assert_int_equal(swap_group_join(&b, &a), 0);
        assert_string_equal(b.path, "sys/fs/cgroup/machine.slice");
        assert_string_equal(b.unit, "machine.slice");
        assert_int_equal(swap_group_join(&b, &a), 0); /* the same again */
        assert_int_equal(swap_group_find(t.fd, 12, &vm, &c), 0);
        assert_int_equal(swap_group_join(&a, &c), -ENOENT); /* nothing but the root is above both */
        assert_string_equal(a.path, "sys/fs/cgroup/machine.slice");
        tree_remove(&t);
}

static void test_v1(void **state) {
        struct tree t = tree_make(files);
        struct swap_group vm, above;
        uint64_t value;

        assert_int_equal(swap_group_find(t.fd, 20, &vm, &above), 0);
        assert_false(vm.v2);
        assert_string_equal(vm.unit, "");
        assert_string_equal(above.path, "sys/fs/cgroup/memory/machine");
        assert_int_equal(swap_group_read_swappiness(t.fd, &vm, &value), 0);
        assert_int_equal(value, 60);
        assert_int_equal(swap_group_write_swappiness(t.fd, &vm, 0), 0);
        assert_int_equal(swap_group_read_swappiness(t.fd, &vm, &value), 0);
        assert_int_equal(value, 0);
        assert_int_equal(swap_group_read_swappiness(t.fd, &above, &value), -ENOENT);
        tree_remove(&t);
}

static void test_nothing_there(void **state) {
        struct tree t = tree_make(files);
        struct swap_group vm = { .path = "untouched" }, above;

        assert_int_equal(swap_group_find(t.fd, 99, &vm, &above), -ESRCH);
        assert_string_equal(vm.path, "untouched");
        assert_int_equal(swap_group_find(t.fd, 21, &vm, &above), -ENODATA); /* in the root itself */
        assert_int_equal(swap_group_find(t.fd, 22, &vm, &above), -ENODATA); /* a limit there would be libvirtd's and every service's */
        assert_string_equal(vm.path, "untouched");
        assert_true(swap_group_has_systemd(t.fd));
        tree_remove(&t);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_v2_systemd),
                cmocka_unit_test(test_join),
                cmocka_unit_test(test_v1),
                cmocka_unit_test(test_nothing_there),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
