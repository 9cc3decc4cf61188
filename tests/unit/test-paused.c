/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the last resort leaves for whoever comes after a daemon that was killed; libvirt's test driver has the VMs. */

#include "tests/unit/unit.h"

#include <libvirt/libvirt.h>

#include "host-agent/manager/paused.h"
#include "tests/unit/tree.h"

#define URI "test:///default"

static const struct tree_file files[] = { { "proc/sys/kernel/random/boot_id", "11111111-2222-3333-4444-555555555555\n" }, { NULL, NULL } };

static virConnectPtr driver;
static virDomainPtr domain;
static uint8_t uuid[16];
static int run;
static struct tree tree;

static int setup(void **state) {
        tree = tree_make(files);
        driver = virConnectOpen(URI);
        assert_non_null(driver);
        domain = virDomainLookupByName(driver, "test");
        assert_non_null(domain);
        assert_int_equal(virDomainGetUUID(domain, uuid), 0);
        run = (int) virDomainGetID(domain);
        return 0;
}

static int teardown(void **state) {
        (void) virDomainFree(domain);
        (void) virConnectClose(driver);
        tree_remove(&tree);
        return 0;
}

static bool is_paused(void) {
        int now;

        assert_int_equal(virDomainGetState(domain, &now, NULL, 0), 0);
        return now == VIR_DOMAIN_PAUSED;
}

/* As the next run finds it. */
static struct undo *reopen(struct undo *undo) {
        undo_free(undo);
        assert_int_equal(undo_new(&undo, tree.fd, tree.path), 0);
        return undo;
}

static void test_outlives_the_daemon(void **state) {
        struct undo *undo = reopen(NULL);
        int error;

        assert_int_equal(paused_note(undo, uuid, run + 1, URI), 0); /* an earlier run: replaced */
        assert_int_equal(paused_note(undo, uuid, run, URI), 0);
        undo = reopen(undo);
        assert_true(paused_is_noted(undo, uuid, run));
        assert_false(paused_is_noted(undo, uuid, run + 1));
        assert_int_equal(virDomainSuspend(domain), 0);
        assert_int_equal(paused_resume_all(undo, &error), 1);
        assert_int_equal(error, 0);
        assert_false(is_paused());
        assert_false(paused_is_noted(undo, uuid, run));
        assert_int_equal(virDomainSuspend(domain), 0); /* an operator's pause: not noted, not ended */
        assert_int_equal(paused_resume_all(undo, &error), 0);
        assert_true(is_paused());
        assert_int_equal(virDomainResume(domain), 0);
        undo_free(undo);
}

static void test_only_that_run(void **state) {
        struct undo *undo = reopen(NULL);
        int error;

        assert_int_equal(virDomainSuspend(domain), 0);
        assert_int_equal(paused_note(undo, uuid, run + 1, URI), 0);
        assert_int_equal(paused_resume_all(undo, &error), 0);
        assert_int_equal(error, 0);
        assert_true(is_paused());
        assert_false(paused_is_noted(undo, uuid, run + 1)); /* it has ended */
        assert_int_equal(virDomainResume(domain), 0);
        undo_free(undo);
}

static void test_no_libvirt(void **state) {
        struct undo *undo = reopen(NULL);
        int error;

        assert_int_equal(paused_note(undo, uuid, run, "test:///nowhere/at/all"), 0);
        assert_int_equal(paused_resume_all(undo, &error), 0);
        assert_int_not_equal(error, 0);
        undo = reopen(undo);
        assert_true(paused_is_noted(undo, uuid, run)); /* for the next who tries */
        undo_free(undo);
}

static bool is_ours(const uint8_t which[static 16], void *userdata) {
        return memcmp(which, userdata, 16) == 0;
}

static void test_forgets(void **state) {
        struct undo *undo = reopen(NULL);
        uint8_t other[16] = { 7 }, third[16] = { 8 };

        assert_int_equal(undo_note(undo, "unit:machine.slice", "infinity"), 0);
        assert_int_equal(paused_note(undo, other, 3, URI), 0);
        assert_int_equal(paused_note(undo, uuid, run, URI), 0);
        assert_int_equal(paused_note(undo, third, 4, URI), 0);
        paused_forget_unknown(undo, is_ours, uuid);
        assert_false(paused_is_noted(undo, other, 3));
        assert_false(paused_is_noted(undo, third, 4));
        assert_true(paused_is_noted(undo, uuid, run));
        paused_forget(undo, uuid);
        paused_forget(undo, uuid);
        assert_false(paused_is_noted(undo, uuid, run));
        assert_non_null(undo_value(undo, "unit:machine.slice"));
        assert_int_equal(paused_note(undo, uuid, -1, URI), -EINVAL);
        undo_free(undo);
}

static void test_junk(void **state) {
        static const char *const values[] = { "", "1", "x test:///default", " test:///default", "99999999999 test:///default" };
        struct undo *undo = reopen(NULL);
        int error;

        assert_int_equal(undo_note(undo, "paused:nobody", "1 " URI), 0);
        for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
                char name[64] = "paused:00000000-0000-0000-0000-00000000000";

                snprintf(name + strlen(name), 2, "%zu", i);
                assert_int_equal(undo_note(undo, name, values[i]), 0);
        }
        assert_int_equal(paused_resume_all(undo, &error), 0);
        assert_int_equal(error, 0);
        undo_free(undo);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_outlives_the_daemon, setup, teardown),
                cmocka_unit_test_setup_teardown(test_only_that_run, setup, teardown),
                cmocka_unit_test_setup_teardown(test_no_libvirt, setup, teardown),
                cmocka_unit_test_setup_teardown(test_forgets, setup, teardown),
                cmocka_unit_test_setup_teardown(test_junk, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
