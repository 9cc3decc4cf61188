/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#include "host-agent/system/undo.h"
#include "tests/unit/tree.h"

static const struct tree_file files[] = {
        { "proc/sys/kernel/random/boot_id", "11111111-2222-3333-4444-555555555555\n" },
        { "sys/a", "100\n" },
        { "sys/mode", "none [scan-time]\n" },
        { "cg/x y/memory.swap.max", "max\n" },
        { "state/empty", "" },
        { NULL, NULL },
};

static char state_dir[128];

static void assert_has(const struct tree *t, const char *path, const char *text) {
        char buf[128];

        assert_true(procfs_read(t->fd, path, buf, sizeof(buf)) >= 0);
        assert_string_equal(buf, text);
}

static void put(const struct tree *t, const char *path, const char *text) {
        assert_true(tree_put(t, path, text, strlen(text)));
}

/* A run that is killed, and the next one that puts things back. */
static void test_killed_and_taken_over(void **state) {
        struct tree t = tree_make(files);
        struct undo *undo;
        int error;

        snprintf(state_dir, sizeof(state_dir), "%s/state", t.path);
        assert_int_equal(undo_new(&undo, t.fd, state_dir), 0);
        assert_int_equal(undo_note_file(undo, "sys/a"), 0);
        assert_int_equal(undo_note_file(undo, "sys/mode"), 0);
        assert_int_equal(undo_note_file(undo, "cg/x y/memory.swap.max"), 0);
        assert_int_equal(undo_note_file(undo, "sys/none"), -ENOENT);
        assert_int_equal(undo_note(undo, "unit:machine.slice", "infinity"), 0);
        put(&t, "sys/a", "7\n");
        put(&t, "sys/mode", "[none] scan-time\n");
        undo_free(undo); /* no restoring: as SIGKILL leaves it */

        assert_int_equal(undo_new(&undo, t.fd, state_dir), 0);
        assert_string_equal(undo_value(undo, "sys/a"), "100");
        assert_string_equal(undo_value(undo, "unit:machine.slice"), "infinity");
        assert_int_equal(undo_note_file(undo, "sys/a"), 1); /* the value from before counts, not the one of the run that died */
        assert_int_equal(undo_restore_files(undo, "sys/", &error), 2);
        assert_int_equal(error, 0);
        assert_has(&t, "sys/a", "100");
        assert_has(&t, "sys/mode", "scan-time");
        assert_null(undo_value(undo, "sys/a"));
        assert_non_null(undo_value(undo, "cg/x y/memory.swap.max"));

        assert_int_equal(unlinkat(t.fd, "cg/x y/memory.swap.max", 0), 0); /* the VM has ended */
        assert_int_equal(undo_restore_files(undo, "cg/", &error), 0);
        assert_int_equal(error, 0);
        undo_forget(undo, "unit:");
        undo_free(undo);
        assert_int_equal(faccessat(t.fd, "state/undo", F_OK, 0), -1); /* nothing left to do, no file */
        tree_remove(&t);
}

static void test_another_boot(void **state) {
        struct tree t = tree_make(files);
        struct undo *undo;

        snprintf(state_dir, sizeof(state_dir), "%s/state", t.path);
        put(&t, "state/undo", "aerostat-undo 1 99999999-2222-3333-4444-555555555555\nsys/a\t5\n");
        assert_int_equal(undo_new(&undo, t.fd, state_dir), 0);
        assert_null(undo_value(undo, "sys/a"));
        undo_free(undo);
        tree_remove(&t);
}

static void test_bad_files(void **state) {
        static const char *const bad[] = {
                "", "x", "aerostat-undo 2 11111111-2222-3333-4444-555555555555\n", "aerostat-undo 1 11111111-2222-3333-4444-555555555555\nno tab\n",
                "aerostat-undo 1 11111111-2222-3333-4444-555555555555\n\t5\n",
                "aerostat-undo 1 11111111-2222-3333-4444-555555555555\nsys/a\t5\nno tab\n",
        };
        struct tree t = tree_make(files);
        const char *path, *value;
        struct undo *undo = NULL;

        snprintf(state_dir, sizeof(state_dir), "%s/state", t.path);
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                put(&t, "state/undo", bad[i]);
                assert_int_equal(undo_new(&undo, t.fd, state_dir), 1);
                assert_has(&t, "state/undo.bad", bad[i]);
                assert_false(undo_entry(undo, 0, &path, &value)); /* nothing of it, not even lines before the bad one */
                assert_int_equal(undo_note_file(undo, "sys/a"), 0);
                undo_free(undo);
                assert_int_equal(undo_new(&undo, t.fd, state_dir), 0);
                assert_non_null(undo_value(undo, "sys/a"));
                undo_forget(undo, "");
                undo_free(undo);
        }
        tree_remove(&t);
}

static void test_cannot_be_kept(void **state) {
        struct tree t = tree_make(files);
        struct undo *undo;

        assert_int_equal(undo_new(&undo, t.fd, "/nonexistent/folder"), 0);
        assert_int_equal(undo_note_file(undo, "sys/a"), -ENOENT); /* and so it must not be changed */
        assert_null(undo_value(undo, "sys/a"));
        undo_free(undo);
        assert_int_equal(undo_new(&undo, t.fd, NULL), 0);
        assert_int_equal(undo_note_file(undo, "sys/a"), 0);
        assert_int_equal(undo_note(undo, "bad\nname", "x"), -EINVAL);
        undo_free(undo);
        tree_remove(&t);
}

static void test_restoring_fails(void **state) {
        struct tree t = tree_make(files);
        struct undo *undo;
        int error;

        assert_int_equal(undo_new(&undo, t.fd, NULL), 0);
        assert_int_equal(undo_note_file(undo, "sys/a"), 0);
        assert_int_equal(unlinkat(t.fd, "sys/a", 0), 0);
        assert_int_equal(mkdirat(t.fd, "sys/a", 0700), 0);
        assert_int_equal(undo_restore_files(undo, "sys/", &error), 0);
        assert_int_equal(error, EISDIR);
        assert_non_null(undo_value(undo, "sys/a")); /* kept for the next try */
        undo_free(undo);
        tree_remove(&t);
}

/* A run that notes, changes and restores again and again, killed at 40 moments: what is undone afterwards is what there was at first, each time. */
static void test_killed_at_any_moment(void **state) {
        static const char *const paths[] = { "sys/a", "sys/mode", "cg/x y/memory.swap.max" }, *const values[] = { "100", "scan-time", "max" };
        struct tree t = tree_make(files);
        struct undo *undo;
        unsigned found = 0;
        int error;

        snprintf(state_dir, sizeof(state_dir), "%s/state", t.path);
        srandom(1);
        for (unsigned turn = 0; turn < 40; turn++) {
                pid_t pid = fork();

                assert_true(pid >= 0);
                for (; pid == 0; undo_free(undo)) {
                        if (undo_new(&undo, t.fd, state_dir) != 0)
                                _exit(1);
                        for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
                                if (undo_note_file(undo, paths[i]) < 0 || !tree_put(&t, paths[i], "7\n", 2))
                                        _exit(1);
                        if (undo_restore_files(undo, "", &error) != ARRAY_SIZE(paths) || error != 0)
                                _exit(1);
                }
                usleep((useconds_t) random() % 3000);
                assert_int_equal(waitpid(pid, NULL, WNOHANG), 0); /* nothing went wrong in it */
                kill(pid, SIGKILL);
                assert_int_equal(waitpid(pid, NULL, 0), pid);
                assert_int_equal(undo_new(&undo, t.fd, state_dir), 0);
                found += undo_value(undo, paths[0]) != NULL;
                undo_restore_files(undo, "", &error);
                assert_int_equal(error, 0);
                undo_free(undo);
                for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
                        char text[64];

                        assert_true(procfs_read(t.fd, paths[i], text, sizeof(text)) >= 0);
                        text[strcspn(text, "\n")] = 0;
                        if (strchr(text, '['))
                                assert_string_equal(text, "none [scan-time]");
                        else
                                assert_string_equal(text, values[i]);
                }
        }
        print_message("killed with something to undo: %u times of 40\n", found);
        tree_remove(&t);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_killed_and_taken_over),
                cmocka_unit_test(test_another_boot),
                cmocka_unit_test(test_bad_files),
                cmocka_unit_test(test_cannot_be_kept),
                cmocka_unit_test(test_restoring_fails),
                cmocka_unit_test(test_killed_at_any_moment),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
