/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/unit.h"

#include <errno.h>

#include "host-agent/system/cgroup.h"
#include "host-agent/system/host.h"
#include "host-agent/system/undo.h"
#include "protocol/units.h"
#include "tests/unit/tree.h"

#define V1_NONE "9223372036854771712\n"

static struct cgroup_limits limits(const struct tree *tree) {
        struct cgroup_limits limits = { 42, true };

        assert_int_equal(cgroup_limits_read(tree->fd, 7, NULL, &limits), 0);
        return limits;
}

static void put(const struct tree *tree, const char *path, const char *text) {
        assert_true(tree_put(tree, path, text, strlen(text)));
}

/* A recent distribution: v2, and systemd keeps VMs in scopes; libvirt limits the VM in a group below. */
static void test_v2_systemd(void **state) {
#define SCOPE "sys/fs/cgroup/machine.slice/machine-qemu\\x2d1\\x2dweb1.scope"
        static const struct tree_file files[] = {
                { "proc/7/cgroup", "0::/machine.slice/machine-qemu\\x2d1\\x2dweb1.scope/libvirt/emulator\n" },
                { "proc/7/mountinfo", "24 30 0:22 / /proc rw,nosuid - proc proc rw\n"
                                      "35 24 0:30 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n" },
                { "sys/fs/cgroup/machine.slice/memory.max", "8589934592\n" },
                { "sys/fs/cgroup/machine.slice/memory.high", "max\n" },
                { SCOPE "/memory.max", "1073741824\n" },
                { SCOPE "/libvirt/memory.max", "536870912\n" },
                { SCOPE "/libvirt/memory.high", "max\n" },
                { SCOPE "/libvirt/emulator/memory.max", "max\n" },
                { NULL },
        };
        struct tree tree = tree_make(files);

        assert_int_equal(limits(&tree).memory_bytes, 8 * GIB);
        put(&tree, "sys/fs/cgroup/machine.slice/memory.high", "4294967296\n");
        assert_int_equal(limits(&tree).memory_bytes, 4 * GIB);
        put(&tree, "sys/fs/cgroup/machine.slice/memory.high", "max\n");
        put(&tree, "sys/fs/cgroup/machine.slice/memory.max", "max\n");
        assert_int_equal(limits(&tree).memory_bytes, AEROSTAT_UNKNOWN);
        tree_remove(&tree);
}

/* v1 for memory, v2 mounted beside it; no systemd. */
static void test_hybrid(void **state) {
        static const struct tree_file files[] = {
                { "proc/7/cgroup", "9:name=systemd:/\n4:memory:/machine/qemu-1-web 1.libvirt-qemu\n"
                                   "1:cpu,cpuacct:/machine/qemu-1-web 1.libvirt-qemu/emulator\n0::/\n" },
                { "proc/7/mountinfo", "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"
                                      "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n"
                                      "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
                                      "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n" },
                { "sys/fs/cgroup/memory/memory.limit_in_bytes", V1_NONE },
                { "sys/fs/cgroup/memory/machine/memory.limit_in_bytes", "17179869184\n" },
                { "sys/fs/cgroup/memory/machine/qemu-1-web 1.libvirt-qemu/memory.limit_in_bytes", "1073741824\n" },
                { NULL },
        };
        struct tree tree = tree_make(files);

        assert_int_equal(limits(&tree).memory_bytes, 16 * GIB);
        put(&tree, "sys/fs/cgroup/memory/machine/memory.limit_in_bytes", V1_NONE);
        assert_int_equal(limits(&tree).memory_bytes, AEROSTAT_UNKNOWN);
        tree_remove(&tree);
}

/* In a container: the mount point stands for the container's group; the same hierarchy is mounted twice, and a blank is in its path. */
static void test_container(void **state) {
        static const struct tree_file files[] = {
                { "proc/7/cgroup", "3:cpu:/docker/0a1b\n2:memory,hugetlb:/docker/0a1b/machine/qemu-1-web1.libvirt-qemu\n" },
                { "proc/7/mountinfo",
                  "1 0 0:1 /docker/0a1 /wrong rw - cgroup cgroup rw,memory\n"
                  "2 0 0:1 /docker/0a1b/machine /inner rw master:1 - cgroup cgroup rw,memory\n"
                  "3 0 0:1 /docker/0a1b /my\\040groups ro master:1 propagate_from:2 - cgroup cgroup rw,hugetlb,memory\n"
                  "4 0 0:1 /docker/0a1b /again rw - cgroup cgroup rw,memory\n" },
                { "my groups/memory.limit_in_bytes", "2147483648\n" },
                { "my groups/machine/memory.limit_in_bytes", "4294967296\n" },
                { "my groups/machine/qemu-1-web1.libvirt-qemu/memory.limit_in_bytes", "1048576\n" },
                { NULL },
        };
        struct tree tree = tree_make(files);

        assert_int_equal(limits(&tree).memory_bytes, 2 * GIB);
        put(&tree, "my groups/memory.memsw.limit_in_bytes", "2147483648\n");
        assert_true(limits(&tree).no_swap); /* the container's own */
        tree_remove(&tree);
}

/* memory.swap.max = 0 on any group from the process's own up, whatever the others say. */
static void test_v2_no_swap(void **state) {
        static const char *const groups[] = { SCOPE "/libvirt/emulator", SCOPE "/libvirt", SCOPE, "sys/fs/cgroup/machine.slice" };
        static const struct tree_file files[] = {
                { "proc/7/cgroup", "0::/machine.slice/machine-qemu\\x2d1\\x2dweb1.scope/libvirt/emulator\n" },
                { "proc/7/mountinfo", "35 24 0:30 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n" },
                { "proc/sys/kernel/random/boot_id", "x\n" },
                { NULL },
        };
        struct tree tree = tree_make(files);
        struct cgroup_limits limits_now;
        struct undo *undo;
        char path[256];

        assert_false(limits(&tree).no_swap); /* a kernel that does not account swap has no such file */
        for (size_t i = 0; i < ARRAY_SIZE(groups); i++) {
                snprintf(path, sizeof(path), "%s/memory.swap.max", groups[i]);
                put(&tree, path, "4096\n");
                assert_false(limits(&tree).no_swap);
                put(&tree, path, "0\n");
                assert_true(limits(&tree).no_swap);

                /* Ours, set where there was no limit; and where there was none to be had before. */
                put(&tree, path, "max\n");
                assert_int_equal(undo_new(&undo, tree.fd, NULL), 0);
                assert_int_equal(undo_note_file(undo, path), 0);
                put(&tree, path, "0\n");
                assert_int_equal(cgroup_limits_read(tree.fd, 7, undo, &limits_now), 0);
                assert_false(limits_now.no_swap);
                undo_forget(undo, "");
                assert_int_equal(undo_note_file(undo, path), 0);
                assert_int_equal(cgroup_limits_read(tree.fd, 7, undo, &limits_now), 0);
                assert_true(limits_now.no_swap);
                undo_free(undo);
                put(&tree, path, "max\n");
        }
        put(&tree, "sys/fs/cgroup/memory.swap.max", "max\n");
        assert_false(limits(&tree).no_swap);
        tree_remove(&tree);
}

/* Memory and swap together limited to memory alone, on the same group; swappiness is no limit. */
static void test_v1_no_swap(void **state) {
#define MACHINE "sys/fs/cgroup/memory/machine/"
#define QEMU MACHINE "qemu-1-web1.libvirt-qemu/"
        static const struct tree_file files[] = {
                { "proc/7/cgroup", "4:memory:/machine/qemu-1-web1.libvirt-qemu\n" },
                { "proc/7/mountinfo", "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n" },
                { MACHINE "memory.limit_in_bytes", V1_NONE },
                { MACHINE "memory.memsw.limit_in_bytes", V1_NONE },
                { QEMU "memory.limit_in_bytes", V1_NONE },
                { QEMU "memory.memsw.limit_in_bytes", V1_NONE },
                { QEMU "memory.swappiness", "0\n" },
                { NULL },
        };
        struct tree tree = tree_make(files);

        assert_false(limits(&tree).no_swap);
        put(&tree, QEMU "memory.limit_in_bytes", "1073741824\n");
        assert_false(limits(&tree).no_swap);
        put(&tree, QEMU "memory.memsw.limit_in_bytes", "1073745920\n"); /* a page of swap */
        assert_false(limits(&tree).no_swap);
        put(&tree, QEMU "memory.memsw.limit_in_bytes", "1073741824\n");
        assert_true(limits(&tree).no_swap);
        put(&tree, QEMU "memory.memsw.limit_in_bytes", V1_NONE);
        put(&tree, MACHINE "memory.memsw.limit_in_bytes", "1073741824\n"); /* of all VMs: less memory can mean more swap */
        assert_false(limits(&tree).no_swap);
        put(&tree, MACHINE "memory.limit_in_bytes", "1073741824\n");
        assert_true(limits(&tree).no_swap);
        tree_remove(&tree);
}

/* A process at the top has nothing above it. */
static void test_top(void **state) {
        static const struct tree_file files[] = {
                { "proc/7/cgroup", "0::/\n" },
                { "proc/7/mountinfo", "35 24 0:30 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n" },
                { "sys/fs/cgroup/cgroup.controllers", "memory\n" },
                { NULL },
        };
        struct tree tree = tree_make(files);

        assert_int_equal(limits(&tree).memory_bytes, AEROSTAT_UNKNOWN);
        tree_remove(&tree);
}

static void test_cannot_be_told(void **state) {
        static const struct tree_file files[] = {
                { "proc/1/status", "" },
                { "proc/2/cgroup", "3:cpu:/a\n" },
                { "proc/2/mountinfo", "" },
                { "proc/3/cgroup", "3:memory:/a\n" },
                { "proc/3/mountinfo", "1 0 0:1 /elsewhere /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n" },
                { "proc/4/cgroup", "junk\n::\n3:memory\n0:memoryx:/a\n0::a\n" },
                { "proc/4/mountinfo", "junk\n - \n - cgroup2 x rw\n1 2 3 - cgroup2 x rw\n" },
                { "proc/5/cgroup", "0::/a/b\n" },
                { "proc/5/mountinfo", "1 2 3 - cgroup2 x rw\n - \n1 2 3 / relative - cgroup2 x rw\n1 2 3 / /groups rw - cgroup2\n" },
                { NULL },
        };
        struct tree tree = tree_make(files);
        struct cgroup_limits limits = { 42, true };

        assert_int_equal(cgroup_limits_read(tree.fd, 1, NULL, &limits), -ESRCH);
        for (int pid = 2; pid <= 5; pid++)
                assert_int_equal(cgroup_limits_read(tree.fd, pid, NULL, &limits), -ENODATA);
        assert_int_equal(limits.memory_bytes, 42);
        assert_true(limits.no_swap);
        tree_remove(&tree);
}

static void test_parent(void **state) {
        static const struct {
                const char *path, *parent;
        } cases[] = {
                { "/", "" },
                { "/machine/qemu-1-web1.libvirt-qemu", "/machine" },
                { "/machine/qemu-1-web1.libvirt-qemu/vcpu0", "/machine" },
                { "/machine.slice/machine-qemu\\x2d1\\x2dweb1.scope/libvirt/emulator", "/machine.slice" },
                { "/user.slice/user-1000.slice/session.scope", "/user.slice/user-1000.slice" },
                { "/lab/.libvirt-qemu", "/lab" },
                { "/machine-qemu.scope/x", "/machine-qemu.scope" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
                assert_int_equal(cgroup_parent_length(cases[i].path), strlen(cases[i].parent));
        assert_int_equal(cgroup_parse_limit("max\n"), AEROSTAT_UNKNOWN);
        assert_int_equal(cgroup_parse_limit(V1_NONE), AEROSTAT_UNKNOWN);
        assert_int_equal(cgroup_parse_limit("0\n"), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_v2_systemd), cmocka_unit_test(test_hybrid), cmocka_unit_test(test_container),
                cmocka_unit_test(test_v2_no_swap), cmocka_unit_test(test_v1_no_swap),
                cmocka_unit_test(test_top), cmocka_unit_test(test_cannot_be_told), cmocka_unit_test(test_parent),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
