/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/unit.h"

#include <sys/statvfs.h>

#include "host-agent/system/save_space.h"
#include "protocol/base.h"
#include "tests/unit/tree.h"

#define HEADER "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
#define FOLDER "var/lib/libvirt/qemu/save/"

static bool with_swap(const char *swaps) {
        const struct tree_file files[] = { { "proc/swaps", swaps }, { FOLDER "web1.save", "" }, { "swap file.img", "" }, { "dev/sda2", "" },
                                           { NULL, NULL } };
        struct tree tree = tree_make(files);
        struct save_space space;
        int r = save_space_read(tree.fd, &space);

        tree_remove(&tree);
        assert_int_equal(r, 0);
        return space.with_swap;
}

static void test_swap_file_beside_it(void **state) {
        assert_false(with_swap(HEADER));
        assert_false(with_swap(HEADER "/dev/sda2                               partition\t8388604\t\t0\t\t-2\n"));
        assert_true(with_swap(HEADER "/dev/sda2                               partition\t8388604\t\t0\t\t-2\n"
                              "/swap\\040file.img                        file\t\t8388604\t\t0\t\t-3\n"));
        assert_false(with_swap(HEADER "/elsewhere/swap.img                     file\t\t8388604\t\t0\t\t-2\n"));
        assert_false(with_swap(HEADER "junk"));
        assert_false(with_swap(""));
}

static void test_space(void **state) {
        const struct tree_file files[] = { { FOLDER "web1.save", "" }, { NULL, NULL } };
        struct tree tree = tree_make(files);
        struct save_space space;
        struct statvfs fs;

        assert_int_equal(statvfs(tree.path, &fs), 0);
        assert_int_equal(save_space_read(tree.fd, &space), 0);
        assert_true(space.free_bytes > 0 && space.free_bytes <= (uint64_t) fs.f_blocks * fs.f_frsize);
        tree_remove(&tree);
}

static void test_no_folder(void **state) {
        const struct tree_file files[] = { { "proc/swaps", HEADER }, { NULL, NULL } };
        struct tree tree = tree_make(files);
        struct save_space space = { .free_bytes = 7 };

        assert_int_equal(save_space_read(tree.fd, &space), -ENOENT);
        assert_int_equal(space.free_bytes, 7);
        tree_remove(&tree);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_swap_file_beside_it),
                cmocka_unit_test(test_space),
                cmocka_unit_test(test_no_folder),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
