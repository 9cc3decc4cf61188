/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The loop around KSM, second by second, on trees of files in place of /sys and /proc: kernel 6.1, and one with the advisor. */

#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include <systemd/sd-event.h>

#include "host-agent/memory/ksm_control.h"
#include "protocol/units.h"
#include "tests/unit/tree.h"

#define KSM "sys/kernel/mm/ksm/"

static const struct tree_file linux_6_1[] = {
        { "proc/sys/kernel/random/boot_id", "x\n" },
        { "proc/37/stat", "37 (ksmd) S 2 0 0 0 -1 2129984 0 0 0 0 0 17 0 0 25 5 1 0 33 0 0\n" },
        { "proc/37/comm", "ksmd\n" },
        { "state/x", "" },
        { KSM "run", "0\n" },
        { KSM "pages_to_scan", "100\n" },
        { KSM "sleep_millisecs", "40\n" },
        { KSM "full_scans", "4\n" },
        { KSM "pages_shared", "10\n" },
        { KSM "pages_sharing", "25600\n" }, /* 100 MiB */
        { KSM "pages_unshared", "5\n" },
        { KSM "pages_volatile", "1\n" },
        { KSM "merge_across_nodes", "1\n" },
        { KSM "use_zero_pages", "0\n" },
        { NULL, NULL },
};

static struct tree tree;
static struct ksm_control *control;
static const struct ksm_view *view;
static struct ksm_tick tick;
static struct undo *undo;
static sd_event *event;
static char error_text[KSM_ERROR_MAX];

static void put(const char *file, const char *text) {
        assert_true(tree_put(&tree, file, text, strlen(text)));
}

static void assert_has(const char *file, const char *text) {
        char buf[64];

        assert_true(procfs_read(tree.fd, file, buf, sizeof(buf)) >= 0);
        buf[strcspn(buf, "\n")] = 0;
        assert_string_equal(buf, text);
}

static void start(enum ksm_mode mode) {
        const struct ksm_config config = { .mode = mode, .cpu_normal_ppm = 50000, .cpu_critical_ppm = 600000 };
        char folder[128];

        snprintf(folder, sizeof(folder), "%s/state", tree.path);
        assert_true(sd_event_new(&event) >= 0);
        assert_int_equal(undo_new(&undo, tree.fd, folder), 0);
        assert_int_equal(ksm_control_new(&control, event, tree.fd, NULL, undo), 0);
        view = ksm_control_view(control);
        ksm_control_configure(control, &config);
        tick = (struct ksm_tick) {
                .now_usec = USEC_PER_HOUR, .act = true, .memory_bytes = 16 * GIB, .available_bytes = 4 * GIB, .reserve_bytes = GIB,
                .short_of_memory = true, .cow_pages = 0, .n_mergeable = 2, .n_starts = 1,
        };
}

static void second(void) {
        tick.now_usec += USEC_PER_SEC;
        ksm_control_tick(control, &tick);
}

static void stop(void) {
        control = ksm_control_free(control);
        undo = undo_free(undo);
        event = sd_event_unref(event);
}

/* sd-event waits for children by SIGCHLD. */
static int block_signals(void **state) {
        sigset_t set;

        sigemptyset(&set);
        sigaddset(&set, SIGCHLD);
        return sigprocmask(SIG_BLOCK, &set, NULL);
}

static void test_life(void **state) {
        tree = tree_make(linux_6_1);
        start(KSM_MODE_AUTO);
        second();
        assert_has(KSM "run", "1");
        assert_has(KSM "sleep_millisecs", "20");
        assert_has(KSM "pages_to_scan", "263"); /* 5 % of a CPU at 4 us for a page */
        assert_string_equal(undo_value(undo, KSM "run"), "0");
        assert_string_equal(view->note, "");
        assert_int_equal(ksm_control_set_mode(control, KSM_MODE_OFF, error_text), 0);
        second();
        assert_has(KSM "run", "0");
        assert_true(view->manual_mode);
        assert_int_equal(ksm_control_set_mode(control, KSM_MODE_ON, error_text), 0);
        second();
        assert_has(KSM "run", "1");
        tick.act = false; /* paused */
        assert_int_equal(ksm_control_set_mode(control, KSM_MODE_OFF, error_text), 0);
        second();
        assert_has(KSM "run", "1");
        tick.act = true;
        assert_int_equal(ksm_control_set_mode(control, KSM_MODE_LEAVE, error_text), 0);
        second();
        assert_has(KSM "run", "0");
        assert_has(KSM "pages_to_scan", "100");
        assert_has(KSM "sleep_millisecs", "40");
        stop();
        assert_int_equal(faccessat(tree.fd, "state/undo", F_OK, 0), -1);
        tree_remove(&tree);
}

/* ksmd's cost above the budget: fewer pages; below: more. Restored at the end. */
static void test_budget(void **state) {
        char text[160];
        uint64_t rate[3] = { 0 }; /* pages a second */

        tree = tree_make(linux_6_1);
        start(KSM_MODE_ON);
        second();
        for (unsigned i = 0, ticks = 0; i < 96; i++) {
                /* 12 % of a CPU for 20 s, then 1 %: what was taken beyond the budget is made up for first */
                snprintf(text, sizeof(text), "37 (ksmd) S 2 0 0 0 -1 2129984 0 0 0 0 0 %u 0 0 25 5 1 0 33 0 0\n", ticks += i < 20 ? 12 : 1);
                put("proc/37/stat", text);
                second();
                if (i == 0 || i == 19 || i == 95) {
                        assert_true(procfs_read(tree.fd, KSM "pages_to_scan", text, sizeof(text)) > 0);
                        rate[i == 0 ? 0 : i == 19 ? 1 : 2] = strtoull(text, NULL, 10) * 1000 / view->plan.sleep_msec;
                }
        }
        assert_in_range(rate[1], 1, rate[0] / 2);
        assert_in_range(rate[2], 2 * rate[1], 100 * rate[0]);
        stop();
        assert_has(KSM "pages_to_scan", "100");
        tree_remove(&tree);
}

static void put_advisor(void) {
        put(KSM "advisor_mode", "none [scan-time]\n"); /* as the kernel shows what is written */
}

static void test_advisor(void **state) {
        tree = tree_make(linux_6_1);
        put_advisor();
        put(KSM "advisor_max_cpu", "70\n");
        put(KSM "advisor_min_pages_to_scan", "500\n");
        put(KSM "advisor_max_pages_to_scan", "30000\n");
        put(KSM "advisor_target_scan_time", "200\n");
        put(KSM "general_profit", "-4096\n");
        put(KSM "pages_to_scan", "500\n");
        start(KSM_MODE_ON);
        second();
        put_advisor();
        assert_has(KSM "run", "1");
        assert_has(KSM "advisor_max_cpu", "5");
        assert_has(KSM "advisor_min_pages_to_scan", "263");
        assert_has(KSM "advisor_max_pages_to_scan", "263");
        assert_has(KSM "pages_to_scan", "500"); /* refuses writes meanwhile */
        assert_int_equal(view->sample.profit_bytes, -4096);
        put(KSM "pages_to_scan", "263\n"); /* the kernel's doing: nobody's change */
        second();
        assert_false(view->standing_back);
        stop();
        assert_has(KSM "advisor_max_cpu", "70");
        assert_has(KSM "advisor_min_pages_to_scan", "500");
        assert_has(KSM "advisor_max_pages_to_scan", "30000");
        assert_has(KSM "advisor_mode", "scan-time");
        assert_has(KSM "run", "0");
        tree_remove(&tree);
}

static void test_others(void **state) {
        tree = tree_make(linux_6_1);
        start(KSM_MODE_ON);
        second();
        put(KSM "sleep_millisecs", "77\n");
        second();
        assert_true(view->standing_back);
        assert_non_null(strstr(view->note, "sleep_millisecs of KSM to 77"));
        second();
        assert_has(KSM "sleep_millisecs", "77");
        assert_int_equal(ksm_control_set_mode(control, KSM_MODE_ON, error_text), 0);
        second();
        assert_false(view->standing_back);
        assert_has(KSM "sleep_millisecs", "20");

        put("proc/812/comm", "ksmtuned\n");
        tick.now_usec += USEC_PER_MINUTE;
        second();
        assert_true(view->standing_back);
        assert_non_null(strstr(view->note, "ksmtuned is at work"));
        assert_int_equal(ksm_control_set_mode(control, KSM_MODE_ON, error_text), -EBUSY);
        assert_non_null(strstr(error_text, "ksmtuned"));
        assert_int_equal(ksm_control_unmerge(control, error_text), -EBUSY);
        put(KSM "sleep_millisecs", "10\n");
        stop();
        assert_has(KSM "sleep_millisecs", "10"); /* the rival's, not ours from before */
        tree_remove(&tree);
}

static void end_rival(void) {
        assert_int_equal(unlinkat(tree.fd, "proc/812/comm", 0), 0);
        assert_int_equal(unlinkat(tree.fd, "proc/812", AT_REMOVEDIR), 0);
}

/* Asked for after mode leave: refused with the reason while the rival is there, and done as soon as it is gone. */
static void test_others_while_left(void **state) {
        tree = tree_make(linux_6_1);
        start(KSM_MODE_ON);
        second();
        put("proc/812/comm", "ksmtuned\n");
        tick.now_usec += USEC_PER_MINUTE;
        second();
        assert_true(view->standing_back);
        assert_int_equal(ksm_control_set_mode(control, KSM_MODE_LEAVE, error_text), 0);
        second();
        assert_string_equal(view->note, "");
        assert_int_equal(ksm_control_set_mode(control, KSM_MODE_AUTO, error_text), -EBUSY);
        assert_non_null(strstr(error_text, "ksmtuned is at work"));
        assert_int_equal(view->config.mode, KSM_MODE_LEAVE);
        end_rival();
        assert_int_equal(ksm_control_set_mode(control, KSM_MODE_AUTO, error_text), 0);
        second();
        assert_false(view->standing_back);
        assert_string_equal(view->note, "");
        stop();
        tree_remove(&tree);
}

/* What a rival sets is its doing, not an operator's: when it has gone, KSM is ours again, as the note promises. */
static void test_others_set_knobs(void **state) {
        tree = tree_make(linux_6_1);
        start(KSM_MODE_ON);
        second();
        put("proc/812/comm", "ksmtuned\n");
        put(KSM "sleep_millisecs", "10\n");
        second();
        assert_true(view->standing_back);
        assert_non_null(strstr(view->note, "ksmtuned is at work"));
        second();
        assert_has(KSM "sleep_millisecs", "10");
        end_rival();
        tick.now_usec += USEC_PER_MINUTE;
        second();
        assert_false(view->standing_back);
        assert_string_equal(view->note, "");
        assert_has(KSM "sleep_millisecs", "20");
        stop();
        assert_has(KSM "sleep_millisecs", "10"); /* as the rival left it */
        tree_remove(&tree);
}

static void test_absent(void **state) {
        tree = tree_make((const struct tree_file[]) { { "proc/1/comm", "init\n" }, { "state/x", "" }, { NULL, NULL } });
        start(KSM_MODE_AUTO);
        second();
        assert_false(view->present);
        assert_non_null(strstr(view->note, "no KSM"));
        assert_int_equal(ksm_control_set_mode(control, KSM_MODE_ON, error_text), -ENOENT);
        assert_non_null(strstr(error_text, "no KSM"));
        assert_int_equal(ksm_control_unmerge(control, error_text), -ENOENT);
        stop();
        tree_remove(&tree);
}

/* A knob that cannot be written: what was set before it is restored, and it is said. */
static void test_refused(void **state) {
        tree = tree_make(linux_6_1);
        start(KSM_MODE_ON);
        assert_int_equal(unlinkat(tree.fd, KSM "pages_to_scan", 0), 0);
        assert_int_equal(mkdirat(tree.fd, KSM "pages_to_scan", 0700), 0);
        second();
        assert_true(view->standing_back);
        assert_non_null(strstr(view->note, "KSM cannot be set"));
        assert_has(KSM "run", "0");
        assert_int_equal(unlinkat(tree.fd, KSM "pages_to_scan", AT_REMOVEDIR), 0);
        put(KSM "pages_to_scan", "100\n");
        second(); /* it is tried again */
        assert_false(view->standing_back);
        assert_has(KSM "run", "1");
        stop();
        assert_has(KSM "sleep_millisecs", "40");
        tree_remove(&tree);
}

static void test_state_folder_is_full(void **state) {
        tree = tree_make(linux_6_1);
        start(KSM_MODE_ON);
        assert_int_equal(unlinkat(tree.fd, "state/x", 0), 0);
        assert_int_equal(unlinkat(tree.fd, "state", AT_REMOVEDIR), 0);
        second();
        assert_true(view->standing_back); /* what cannot be noted must not be changed */
        assert_has(KSM "run", "0");
        assert_has(KSM "sleep_millisecs", "40");
        stop();
        tree_remove(&tree);
}

static void test_killed(void **state) {
        pid_t pid;

        tree = tree_make(linux_6_1);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                start(KSM_MODE_ON);
                second();
                raise(SIGKILL);
        }
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        assert_has(KSM "run", "1");
        start(KSM_MODE_ON);
        second();
        assert_string_equal(undo_value(undo, KSM "run"), "0"); /* not what the run before had set */
        stop();
        assert_has(KSM "run", "0");
        assert_has(KSM "sleep_millisecs", "40");
        tree_remove(&tree);
}

/* A reload into dry-run gives back what was set; nothing else is set, nor taken apart. */
static void test_dry_run(void **state) {
        tree = tree_make(linux_6_1);
        start(KSM_MODE_ON);
        second();
        assert_has(KSM "run", "1");
        tick.act = false;
        tick.dry_run = true;
        second();
        assert_has(KSM "run", "0");
        assert_has(KSM "sleep_millisecs", "40");
        assert_int_equal(view->plan.run, true); /* what it would do */
        assert_int_equal(ksm_control_unmerge(control, error_text), -EPERM);
        assert_has(KSM "run", "0");
        put("proc/812/comm", "ksmtuned\n");
        tick.now_usec += USEC_PER_MINUTE;
        second();
        assert_non_null(strstr(view->note, "ksmtuned is at work")); /* looking goes on */
        stop();
        tree_remove(&tree);
}

static void test_unmerge(void **state) {
        tree = tree_make(linux_6_1);
        start(KSM_MODE_ON);
        second();
        tick.available_bytes = GIB + 99 * MIB; /* 100 MiB come back, and the reserve is 1 GiB */
        second();
        assert_int_equal(ksm_control_unmerge(control, error_text), -ENOSPC);
        assert_non_null(strstr(error_text, "brings back 100 MiB"));
        assert_has(KSM "run", "1");
        tick.available_bytes = GIB + 100 * MIB;
        second();
        assert_int_equal(ksm_control_unmerge(control, error_text), 0);
        assert_true(view->unmerging);
        assert_int_equal(ksm_control_unmerge(control, error_text), -EALREADY);
        while (view->unmerging)
                assert_true(sd_event_run(event, 5 * USEC_PER_SEC) > 0);
        assert_has(KSM "run", "2");
        assert_int_equal(view->config.mode, KSM_MODE_OFF);
        stop();
        assert_has(KSM "run", "0");
        tree_remove(&tree);
}

/* A pipe in the place of `run`: the child waits in its write as it does in the kernel, until the pipe that this returns is read. */
static int start_slow_unmerging(void) {
        int fd;

        assert_int_equal(unlinkat(tree.fd, KSM "run", 0), 0);
        assert_int_equal(mkfifoat(tree.fd, KSM "run", 0600), 0);
        fd = openat(tree.fd, KSM "run", O_RDWR | O_NONBLOCK | O_CLOEXEC);
        assert_true(fd >= 0);
        while (write(fd, "1\n", 2) > 0) /* full */
                ;
        assert_int_equal(ksm_control_unmerge(control, error_text), 0);
        assert_int_equal(unlinkat(tree.fd, KSM "run", 0), 0);
        put(KSM "run", "2\n");
        return fd;
}

/* The end of the daemon does not wait with the child. */
static void test_end_while_unmerging(void **state) {
        _cleanup_close_ int fd = -1;

        tree = tree_make(linux_6_1);
        start(KSM_MODE_ON);
        second();
        fd = start_slow_unmerging();
        stop();
        assert_has(KSM "run", "0");
        assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no child is left */
        tree_remove(&tree);
}

/* Nor does mode leave: writing `run` would wait for the kernel's lock. What was before is restored when the child is done. */
static void test_leave_while_unmerging(void **state) {
        _cleanup_close_ int fd = -1;
        char buf[4096];

        tree = tree_make(linux_6_1);
        start(KSM_MODE_ON);
        second();
        fd = start_slow_unmerging();
        assert_int_equal(ksm_control_set_mode(control, KSM_MODE_LEAVE, error_text), 0);
        second();
        assert_has(KSM "run", "2");
        assert_has(KSM "sleep_millisecs", "20");
        while (view->unmerging) {
                while (read(fd, buf, sizeof(buf)) > 0)
                        ;
                assert_true(sd_event_run(event, 5 * USEC_PER_SEC) > 0);
        }
        second();
        assert_has(KSM "run", "0");
        assert_has(KSM "sleep_millisecs", "40");
        stop();
        tree_remove(&tree);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_life),
                cmocka_unit_test(test_budget),
                cmocka_unit_test(test_advisor),
                cmocka_unit_test(test_others),
                cmocka_unit_test(test_others_while_left),
                cmocka_unit_test(test_others_set_knobs),
                cmocka_unit_test(test_absent),
                cmocka_unit_test(test_refused),
                cmocka_unit_test(test_state_folder_is_full),
                cmocka_unit_test(test_killed),
                cmocka_unit_test(test_dry_run),
                cmocka_unit_test(test_unmerge),
                cmocka_unit_test(test_end_while_unmerging),
                cmocka_unit_test(test_leave_while_unmerging),
        };

        return cmocka_run_group_tests(tests, block_signals, NULL);
}
