/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* How the manager carries out the last resort, between a policy that says when and a libvirt that answers late, or never: both are invented here. */

#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>

#include "host-agent/log.h"
#include "host-agent/manager/internal.h"
#include "host-agent/manager/paused.h"
#include "host-agent/system/save_space.h"
#include "protocol/units.h"
#include "tests/unit/tree.h"

#define URI "test:///default"

static const struct tree_file files[] = { { "proc/sys/kernel/random/boot_id", "11111111-2222-3333-4444-555555555555\n" }, { NULL, NULL } };

static struct tree tree;
static struct manager *m;
static struct vm vms[2];                       /* sorted: the first is to go first */
static unsigned asked_to_pause, asked_to_resume, asked_to_save;
static bool virt_hears;
static uint64_t clock_usec;

/* What is above and below it. */

void manager_tell(struct manager *manager, int level, const struct vm *vm, const char *format, ...) {
}

void manager_emit(struct manager *manager, const struct manager_event *event) {
}

int virt_request_pause(struct virt *virt, const uint8_t uuid[static 16], bool pause) {
        asked_to_pause += virt_hears && pause;
        asked_to_resume += virt_hears && !pause;
        return virt_hears ? 0 : -ENOTCONN;
}

int virt_request_save(struct virt *virt, const uint8_t uuid[static 16]) {
        asked_to_save += virt_hears;
        return virt_hears ? 0 : -ENOTCONN;
}

int virt_resume_wait(const char *uri, const uint8_t uuid[static 16], int id) {
        return 0;
}

int save_space_read(int root_fd, struct save_space *ret) {
        *ret = (struct save_space) { .free_bytes = UINT64_MAX };
        return 0;
}

/* A host that loses memory, in critical, with a VM that goes first and one that goes next. */
static int setup(void **state) {
        static struct vm *pointers[ARRAY_SIZE(vms)];
        static struct policy_vm policy_vms[ARRAY_SIZE(vms)];
        static struct last_resort_vm last_resort_vms[ARRAY_SIZE(vms)];

        tree = tree_make(files);
        m = calloc(1, sizeof(*m));
        assert_non_null(m);
        assert_int_equal(undo_new(&m->undo, tree.fd, tree.path), 0);
        m->settings.last_resort = SETTINGS_LAST_RESORT_PAUSE;
        m->settings.last_resort_after_usec = 3 * USEC_PER_SEC;
        m->settings.last_resort_max_duration_usec = USEC_PER_HOUR;
        snprintf(m->settings.uri, sizeof(m->settings.uri), URI);
        m->ready = m->connected = true;
        m->plan.host_state = POLICY_CRITICAL;
        m->plan.available_bytes = 8 * GIB;
        m->plan.reserve_bytes = GIB;
        for (size_t i = 0; i < ARRAY_SIZE(vms); i++) {
                vms[i] = (struct vm) { .manager = m, .uuid = { (uint8_t) (i + 1) }, .id = (int) i + 1, .managed = true, .priority = i };
                pointers[i] = &vms[i];
                policy_vms[i] = (struct policy_vm) { .plan.committed_bytes = 4 * GIB };
        }
        m->vms = pointers;
        m->policy_vms = policy_vms;
        m->last_resort_vms = last_resort_vms;
        m->n_vms = ARRAY_SIZE(vms);
        asked_to_pause = asked_to_resume = asked_to_save = 0;
        virt_hears = true;
        clock_usec = USEC_PER_HOUR;
        return 0;
}

static int teardown(void **state) {
        undo_free(m->undo);
        free(m);
        tree_remove(&tree);
        return 0;
}

static void run(unsigned seconds) {
        for (unsigned i = 0; i < seconds; i++) {
                clock_usec += USEC_PER_SEC;
                m->plan.available_bytes -= 10 * MIB;
                m->decided_usec = clock_usec;
                manager_last_resort_tick(m, clock_usec);
        }
}

/* Libvirt says how a VM is; also when that is as before. */
static void described(struct vm *vm, enum virt_state is) {
        enum virt_state before = vm->state;

        vm->state = is;
        manager_last_resort_state(m, vm, before);
}

static void disconnected(struct vm *vm) {
        m->connected = virt_hears = false;
        manager_last_resort_answer(m, vm, -ENOTCONN, "the connection was lost");
}

static void connected(void) {
        m->connected = virt_hears = true;
}

static bool is_noted(const struct vm *vm) {
        return paused_is_noted(m->undo, vm->uuid, vm->id);
}

static void take_first(void) {
        run(4);
        assert_int_equal(vms[0].resort.step, RESORT_TAKING);
        assert_int_equal(vms[1].resort.step, RESORT_NONE);
        assert_true(is_noted(&vms[0]));
}

/* At the next tick it is asked to run, does, and is done with. */
static void is_let_go(void) {
        run(1);
        assert_int_equal(asked_to_resume, 1);
        manager_last_resort_answer(m, &vms[0], 0, "");
        assert_false(is_noted(&vms[0]));
}

/* libvirtd is killed after it has stopped the VM and before it could say so. */
static void test_lost_answer_and_it_is_paused(void **state) {
        take_first();
        disconnected(&vms[0]);
        assert_true(is_noted(&vms[0]));
        assert_int_equal(vms[0].last_resort_usec, 0);
        run(5);
        connected();
        described(&vms[0], VIRT_RUNNING); /* libvirtd has not asked QEMU yet */
        run(2);
        assert_int_equal(vms[1].resort.step, RESORT_TAKING); /* it counts as failed so far */
        described(&vms[0], VIRT_PAUSED);
        assert_int_equal(vms[0].resort.step, RESORT_PAUSED);
        assert_int_equal(vms[0].last_resort_usec, clock_usec);
        assert_int_equal(asked_to_resume, 0);
        m->plan.host_state = POLICY_NORMAL;
        is_let_go();
}

static void test_lost_answer_and_it_runs(void **state) {
        take_first();
        disconnected(&vms[0]);
        run(60);
        assert_true(is_noted(&vms[0])); /* nobody knows how it is */
        connected();
        described(&vms[0], VIRT_RUNNING);
        run(12);
        assert_int_equal(vms[0].resort.step, RESORT_NONE);
        assert_false(is_noted(&vms[0]));
        described(&vms[0], VIRT_PAUSED); /* by its operator */
        m->plan.host_state = POLICY_NORMAL;
        run(10);
        assert_int_equal(vms[0].resort.step, RESORT_NONE);
        assert_int_equal(asked_to_resume, 0);
}

/* The news that it is paused overtakes the loss of the answer, and nothing more is heard. */
static void test_lost_answer_after_the_news(void **state) {
        take_first();
        described(&vms[0], VIRT_PAUSED);
        disconnected(&vms[0]);
        connected();
        run(2);
        assert_int_equal(vms[1].resort.step, RESORT_NONE); /* nothing has failed */
        described(&vms[0], VIRT_PAUSED);
        assert_int_equal(vms[0].resort.step, RESORT_PAUSED);
        assert_true(is_noted(&vms[0]));
        assert_int_equal(manager_last_resort_end(m), 1);
}

/* libvirt gives up waiting for what holds the VM: it may have had it stopped before. */
static void test_timeout(void **state) {
        take_first();
        manager_last_resort_answer(m, &vms[0], -ETIMEDOUT, "Timed out");
        assert_true(is_noted(&vms[0]));
        vms[0].unresponsive = true;
        run(60);
        assert_true(is_noted(&vms[0]));
        described(&vms[0], VIRT_PAUSED);
        assert_int_equal(vms[0].resort.step, RESORT_PAUSED);
}

static void test_refused(void **state) {
        take_first();
        manager_last_resort_answer(m, &vms[0], -EIO, "no");
        assert_int_equal(vms[0].resort.step, RESORT_NONE);
        assert_false(is_noted(&vms[0]));
        described(&vms[0], VIRT_PAUSED);
        assert_int_equal(vms[0].resort.step, RESORT_NONE);
        run(1);
        assert_int_equal(vms[1].resort.step, RESORT_TAKING);
}

/* A QEMU that hangs when it is to be paused: the next one is due, and what comes of it late is known. */
static void test_hangs(void **state) {
        take_first();
        run(10);
        assert_int_equal(vms[1].resort.step, RESORT_NONE);
        vms[0].unresponsive = true;
        run(6);
        assert_int_equal(vms[1].resort.step, RESORT_TAKING);
        assert_int_equal(asked_to_pause, 2);
        assert_true(is_noted(&vms[0]));
        assert_int_equal(vms[0].last_resort_usec, 0); /* nothing that an alert could tell of */
        manager_last_resort_answer(m, &vms[1], 0, "");
        run(60);
        vms[0].unresponsive = false;
        described(&vms[0], VIRT_PAUSED);
        manager_last_resort_answer(m, &vms[0], 0, "");
        assert_int_equal(vms[0].resort.step, RESORT_PAUSED);
        assert_int_equal(vms[0].last_resort_usec, clock_usec);
        m->plan.host_state = POLICY_NORMAL;
        run(1);
        assert_int_equal(asked_to_resume, 2);
}

/* libvirt gives up in the end: it may be paused yet. */
static void test_hangs_and_its_answer_is_lost(void **state) {
        uint64_t since_usec;

        take_first();
        run(20);
        since_usec = m->last_resort.critical_usec;
        manager_last_resort_answer(m, &vms[0], -ETIMEDOUT, "Timed out");
        assert_int_equal(m->last_resort.critical_usec, since_usec); /* it has counted as a failure once */
        assert_true(is_noted(&vms[0]));
        described(&vms[0], VIRT_PAUSED);
        assert_int_equal(vms[0].resort.step, RESORT_PAUSED);
}

/* What a run of ours that ended or was killed has noted. */
static void found_noted(enum virt_state is) {
        assert_int_equal(paused_note(m->undo, vms[0].uuid, vms[0].id, URI), 0);
        m->plan.host_state = POLICY_NORMAL;
        vms[0].state = is;
        manager_last_resort_found(m, &vms[0]);
}

static void test_found_paused(void **state) {
        found_noted(VIRT_PAUSED);
        is_let_go();
}

/* Its QEMU hung when it was to be paused, and hangs still: it is stopped when it wakes. */
static void test_found_hanging(void **state) {
        found_noted(VIRT_RUNNING);
        vms[0].unresponsive = true;
        run(60);
        assert_true(is_noted(&vms[0]));
        vms[0].unresponsive = false;
        run(5);
        described(&vms[0], VIRT_PAUSED);
        is_let_go();
}

static void test_found_running(void **state) {
        found_noted(VIRT_RUNNING);
        run(12);
        assert_false(is_noted(&vms[0]));
        described(&vms[0], VIRT_PAUSED); /* by its operator */
        run(10);
        assert_int_equal(asked_to_resume, 0);
}

static void save_first(void) {
        m->settings.last_resort = SETTINGS_LAST_RESORT_SAVE;
        run(4);
        assert_int_equal(asked_to_save, 1);
        assert_int_equal(vms[0].resort.step, RESORT_TAKING);
}

static void test_save_hangs(void **state) {
        save_first();
        run(16);
        assert_int_equal(asked_to_save, 2);
        assert_int_equal(vms[0].last_resort_usec, 0);
        vms[0].resort.tried = false; /* it cannot be taken again for as long as it is under way */
        m->n_vms = 1;
        run(60);
        assert_int_equal(asked_to_save, 2);
        manager_last_resort_answer(m, &vms[0], -EIO, "no");
        assert_int_equal(vms[0].resort.step, RESORT_NONE);
}

/* 4 GiB at 32 MiB/s, and a minute. */
static void test_save_takes_its_time(void **state) {
        save_first();
        described(&vms[0], VIRT_PAUSED);
        described(&vms[0], VIRT_MIGRATING);
        run(128 + 60 - 2);
        assert_int_equal(asked_to_save, 1);
        run(3);
        assert_int_equal(asked_to_save, 2);
        assert_int_not_equal(vms[0].last_resort_usec, 0); /* it does not run: the alert tells of it */
}

#define test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                test(test_lost_answer_and_it_is_paused), test(test_lost_answer_and_it_runs), test(test_lost_answer_after_the_news),
                test(test_timeout), test(test_refused), test(test_hangs), test(test_hangs_and_its_answer_is_lost), test(test_found_paused),
                test(test_found_hanging), test(test_found_running), test(test_save_hangs),
                test(test_save_takes_its_time),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
