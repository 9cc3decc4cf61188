/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The swap ceiling through systemd, with a process in systemd's place. */

#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <systemd/sd-bus.h>

#include "host-agent/memory/swap_keeper.h"
#include "host-agent/memory/swap_systemd.h"
#include "tests/unit/swap-run.h"

/* ---- systemd's side of the wire: a process behind a bus address of its own, which does to a tree of files what systemd does to cgroups ---- */

#define SYSTEMD "org.freedesktop.systemd1"

static struct heard {
        char unit[128], property[64], path[256], interface[64];
        uint64_t value;
        bool runtime;
        int sets, gets;
        enum { DO_IT, REFUSE, UNKNOWN_UNIT, BE_SILENT } answer; /* set by the test */
        uint64_t configured;                   /* MemorySwapMax of every unit */
} *heard;                                      /* shared by both processes */

static int answer_set(sd_bus_message *m) {
        const char *unit, *property;
        char path[256], text[32] = "max";
        uint64_t value;
        int runtime;

        if (sd_bus_message_read(m, "sb", &unit, &runtime) <= 0 || sd_bus_message_enter_container(m, 'a', "(sv)") <= 0 ||
            sd_bus_message_read(m, "(sv)", &property, "t", &value) <= 0)
                return -EBADMSG;
        snprintf(heard->unit, sizeof(heard->unit), "%s", unit);
        snprintf(heard->property, sizeof(heard->property), "%s", property);
        heard->value = value;
        heard->runtime = runtime;
        heard->sets++;
        if (heard->answer == REFUSE)
                return sd_bus_reply_method_errorf(m, SD_BUS_ERROR_ACCESS_DENIED, "no");
        if (heard->answer == UNKNOWN_UNIT)
                return sd_bus_reply_method_errorf(m, SYSTEMD ".NoSuchUnit", "no such unit");
        if (heard->answer == BE_SILENT)
                return 1;
        snprintf(path, sizeof(path), "sys/fs/cgroup/machine.slice%s%s/memory.swap.max", strcmp(unit, "machine.slice") == 0 ? "" : "/",
                 strcmp(unit, "machine.slice") == 0 ? "" : unit);
        if (value != UINT64_MAX)
                snprintf(text, sizeof(text), "%llu", (unsigned long long) value);
        if (tree.fd >= 0 && faccessat(tree.fd, path, F_OK, 0) >= 0)
                (void) tree_put(&tree, path, text, strlen(text));
        return sd_bus_reply_method_return(m, "");
}

static int answer_get(sd_bus_message *m) {
        const char *interface, *property;

        if (sd_bus_message_read(m, "ss", &interface, &property) <= 0)
                return -EBADMSG;
        snprintf(heard->path, sizeof(heard->path), "%s", sd_bus_message_get_path(m));
        snprintf(heard->interface, sizeof(heard->interface), "%s", interface);
        heard->gets++;
        if (heard->answer == REFUSE)
                return sd_bus_reply_method_errorf(m, SD_BUS_ERROR_ACCESS_DENIED, "no");
        return sd_bus_reply_method_return(m, "v", "t", heard->configured);
}

static int on_call(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        if (sd_bus_message_is_method_call(m, "org.freedesktop.DBus", "Hello"))
                return sd_bus_reply_method_return(m, "s", ":1.1");
        if (sd_bus_message_is_method_call(m, SYSTEMD ".Manager", "SetUnitProperties"))
                return answer_set(m);
        if (sd_bus_message_is_method_call(m, "org.freedesktop.DBus.Properties", "Get"))
                return answer_get(m);
        return 0;
}

static int on_connection(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        int peer = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        sd_id128_t id = { .bytes = { 1 } };
        sd_bus *bus = NULL;

        if (peer < 0 || sd_bus_new(&bus) < 0 || sd_bus_set_fd(bus, peer, peer) < 0 || sd_bus_set_server(bus, 1, id) < 0 ||
            sd_bus_add_filter(bus, NULL, on_call, NULL) < 0 || sd_bus_start(bus) < 0 ||
            sd_bus_attach_event(bus, sd_event_source_get_event(source), 0) < 0)
                _exit(1);
        return 0;
}

static pid_t systemd_pid;
static char bus_path[sizeof(((struct sockaddr_un *) NULL)->sun_path)];

static void start_systemd(void) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        sd_event *event = NULL;
        char env[160];

        snprintf(bus_path, sizeof(bus_path), "%s/bus", tree.path);
        memcpy(address.sun_path, bus_path, sizeof(bus_path));
        snprintf(env, sizeof(env), "unix:path=%s", bus_path);
        setenv("DBUS_SYSTEM_BUS_ADDRESS", env, 1);
        *heard = (struct heard) { .configured = UINT64_MAX };
        assert_true(fd >= 0 && bind(fd, (struct sockaddr *) &address, sizeof(address)) >= 0 && listen(fd, 8) >= 0);
        systemd_pid = fork();
        assert_true(systemd_pid >= 0);
        if (systemd_pid == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                if (sd_event_new(&event) < 0 || sd_event_add_io(event, NULL, fd, EPOLLIN, on_connection, NULL) < 0)
                        _exit(1);
                (void) sd_event_loop(event);
                _exit(1);
        }
        close(fd);
}

static void stop_systemd(void) {
        assert_int_equal(kill(systemd_pid, SIGKILL), 0);
        assert_int_equal(waitpid(systemd_pid, NULL, 0), systemd_pid);
        unlink(bus_path);
}

static void on_done(int result, uint64_t value, void *userdata) {
        *(int *) userdata = result;
}

static void wait_for_result(sd_event *event, int *result) {
        while (*result == 1)
                assert_true(sd_event_run(event, 5 * USEC_PER_SEC) > 0);
}

static void test_calls(void **state) {
        static const struct tree_file none[] = { { NULL, NULL } };
        sd_bus_slot *slot = NULL;
        sd_event *event = NULL;
        sd_bus *bus = NULL;
        int result = 1;

        tree = tree_make(none);
        start_systemd();
        assert_true(sd_event_new(&event) >= 0 && sd_bus_open_system(&bus) >= 0 && sd_bus_attach_event(bus, event, 0) >= 0);
        assert_int_equal(swap_systemd_set(bus, "machine.slice", "MemorySwapMax", 300 * MIB, on_done, &result, &slot), 0);
        wait_for_result(event, &result);
        assert_int_equal(result, 0);
        assert_string_equal(heard->unit, "machine.slice");
        assert_string_equal(heard->property, "MemorySwapMax");
        assert_int_equal(heard->value, 300 * MIB);
        assert_true(heard->runtime);
        slot = sd_bus_slot_unref(slot);

        heard->configured = 70 * MIB;
        result = 1;
        assert_int_equal(swap_systemd_get(bus, "machine-a.slice", on_done, &result, &slot), 0);
        wait_for_result(event, &result);
        assert_int_equal(result, 0);
        assert_string_equal(heard->path, "/org/freedesktop/systemd1/unit/machine_2da_2eslice");
        assert_string_equal(heard->interface, SYSTEMD ".Slice");
        slot = sd_bus_slot_unref(slot);

        heard->answer = UNKNOWN_UNIT;
        result = 1;
        assert_int_equal(swap_systemd_set(bus, "gone.scope", "MemorySwapMax", AEROSTAT_UNKNOWN, on_done, &result, &slot), 0);
        wait_for_result(event, &result);
        assert_int_equal(result, -ENOENT);
        assert_true(heard->value == UINT64_MAX); /* systemd's infinity */
        slot = sd_bus_slot_unref(slot);
        assert_int_equal(swap_systemd_set_wait(bus, "gone.scope", "MemorySwapMax", AEROSTAT_UNKNOWN), -ENOENT);
        heard->answer = REFUSE;
        assert_int_equal(swap_systemd_set_wait(bus, "machine.slice", "MemorySwapMax", 1), -EACCES);
        heard->answer = DO_IT;
        assert_int_equal(swap_systemd_set_wait(bus, "machine.slice", "MemorySwapMax", 1), 0);

        result = 1;
        assert_int_equal(swap_systemd_set(bus, "machine.slice", "MemorySwapMax", MIB, on_done, &result, &slot), 0);
        slot = sd_bus_slot_unref(slot); /* given up: nobody is called */
        settle(event);
        assert_int_equal(result, 1);
        sd_bus_flush_close_unref(bus);
        sd_event_unref(event);
        stop_systemd();
        tree_remove(&tree);
}

/* ---- the control with systemd ---- */

#define SLICE "sys/fs/cgroup/machine.slice/"
#define SCOPE_A "machine-qemu\\x2d1\\x2da.scope"
#define SCOPE_B "machine-qemu\\x2d2\\x2db.scope"

static const struct tree_file systemd_files[] = {
        { "run/systemd/system/x", "" },
        { "state/x", "" },
        { "proc/sys/kernel/random/boot_id", "x\n" },
        { "proc/10/cgroup", "0::/machine.slice/" SCOPE_A "/libvirt/emulator\n" },
        { "proc/10/mountinfo", V2 },
        { "proc/11/cgroup", "0::/machine.slice/" SCOPE_B "/libvirt/emulator\n" },
        { "proc/11/mountinfo", V2 },
        { "sys/fs/cgroup/cgroup.controllers", "memory\n" },
        { SLICE "memory.swap.max", "max\n" },
        { SLICE "memory.swap.current", "0\n" },
        { SLICE SCOPE_A "/memory.swap.max", "max\n" },
        { SLICE SCOPE_B "/memory.swap.max", "max\n" },
        { NULL, NULL },
};

static void second(bool per_vm, size_t n_vms) {
        tick(per_vm, n_vms);
        settle(run.event);
}

static void test_systemd_life(void **state) {
        tree = tree_make(systemd_files);
        start_systemd();
        start();
        second(false, 0); /* before the first VM */
        assert_int_equal(swap_control_view(run.control)->method, SWAP_BY_SYSTEMD);
        assert_string_equal(swap_control_view(run.control)->group, "machine.slice");
        assert_has(&tree, SLICE "memory.swap.max", "314572800");
        assert_string_equal(undo_value(run.undo, "unit:machine.slice"), "infinity");
        assert_int_equal(heard->sets, 1);
        second(false, 1);
        second(false, 2);
        assert_int_equal(heard->sets, 1); /* nothing to say */

        second(true, 2); /* shares, by weight */
        assert_has(&tree, SLICE SCOPE_A "/memory.swap.max", "104857600");
        assert_has(&tree, SLICE SCOPE_B "/memory.swap.max", "209715200");
        assert_int_equal(heard->sets, 3);
        second(true, 1); /* a VM has ended: nothing of it is kept */
        assert_null(undo_value(run.undo, "unit:" SCOPE_B));
        assert_null(undo_value(run.undo, SLICE SCOPE_B "/memory.swap.max"));
        second(false, 1); /* no shares any more */
        assert_has(&tree, SLICE SCOPE_A "/memory.swap.max", "max");

        run.in.enforce = false; /* paused */
        second(false, 1);
        assert_has(&tree, SLICE "memory.swap.max", "max");
        run.in.enforce = true;
        second(false, 1);
        assert_has(&tree, SLICE "memory.swap.max", "314572800");
        stop();
        assert_has(&tree, SLICE "memory.swap.max", "max");
        assert_string_equal(heard->unit, SCOPE_A); /* the last that was noted */
        assert_true(heard->value == UINT64_MAX);
        assert_int_equal(faccessat(tree.fd, "state/undo", F_OK, 0), -1);
        stop_systemd();
        tree_remove(&tree);
}

/* VMs that an earlier run left in swap, and that are not known yet: their swap is not others'. */
static void test_systemd_starts_with_vms_in_swap(void **state) {
        tree = tree_make(systemd_files);
        assert_true(tree_put(&tree, SLICE "memory.swap.current", "188743680\n", 10));
        start_systemd();
        start();
        run.in.used_bytes = 200 * MIB; /* 180 MiB are the VMs' */
        second(false, 0);
        assert_has(&tree, SLICE "memory.swap.max", "293601280");
        second(false, 2);
        assert_has(&tree, SLICE "memory.swap.max", "293601280");
        assert_int_equal(heard->sets, 1);
        stop();
        stop_systemd();
        tree_remove(&tree);
}

/* An operator's own limit in the unit, before its group is there: kept where it is less, and restored. */
static void test_systemd_own_limit(void **state) {
        tree = tree_make(systemd_files);
        assert_int_equal(unlinkat(tree.fd, SLICE "memory.swap.max", 0), 0);
        start_systemd();
        heard->configured = 100 * MIB;
        start();
        second(false, 0);
        assert_int_equal(heard->gets, 1);
        assert_int_equal(heard->sets, 0);
        second(false, 0);
        assert_int_equal(heard->sets, 1);
        assert_int_equal(heard->value, 100 * MIB);
        assert_int_equal(swap_control_view(run.control)->limit_bytes, 100 * MIB); /* what is in force */
        assert_int_equal(swap_control_view(run.control)->admin_limit_bytes, 100 * MIB);
        assert_string_equal(undo_value(run.undo, "unit:machine.slice"), "104857600");
        run.in.ceiling_ppm = 50000; /* 50 MiB: less than the operator's */
        second(false, 0);
        assert_int_equal(heard->value, 50 * MIB);
        assert_int_equal(swap_control_view(run.control)->admin_limit_bytes, 100 * MIB);
        stop();
        assert_int_equal(heard->value, 100 * MIB);
        stop_systemd();
        tree_remove(&tree);
}

/* Survival does not wait for systemd, nor does the end. */
static void test_systemd_is_silent(void **state) {
        int error;

        tree = tree_make(systemd_files);
        start_systemd();
        start();
        second(false, 1);
        assert_has(&tree, SLICE "memory.swap.max", "314572800");
        heard->answer = BE_SILENT;
        assert_true(tree_put(&tree, SLICE "memory.swap.current", "314572800\n", 10));
        run.in.vms_bytes = run.in.used_bytes = 300 * MIB;
        run.in.available_bytes = 1 * MIB;
        second(false, 1);
        assert_true(swap_control_view(run.control)->plan.lift_bytes > 0);
        assert_has(&tree, SLICE "memory.swap.max", "381681664"); /* 64 MiB more */
        assert_true(tree_put(&tree, SLICE "memory.swap.current", "381681664\n", 10));
        run.in.vms_bytes = run.in.used_bytes = 364 * MIB;
        second(false, 1);
        assert_has(&tree, SLICE "memory.swap.max", "448790528"); /* and more, with the first call still unanswered */
        assert_int_equal(heard->sets, 2);
        swap_keeping_lift_all(tree.fd, run.undo, &error); /* waits 2 s */
        assert_int_equal(error, ETIMEDOUT);
        assert_has(&tree, SLICE "memory.swap.max", "max");
        assert_non_null(undo_value(run.undo, "unit:machine.slice")); /* for `aerostatd --undo`, when it answers again */
        heard->answer = DO_IT;
        stop();
        assert_int_equal(faccessat(tree.fd, "state/undo", F_OK, 0), -1);
        stop_systemd();
        tree_remove(&tree);
}

/* systemd refuses, the broker ends and comes back: the file is written meanwhile. */
static void test_systemd_comes_and_goes(void **state) {
        tree = tree_make(systemd_files);
        start_systemd();
        heard->answer = REFUSE;
        start();
        second(false, 1);
        second(false, 1);
        assert_int_equal(swap_control_view(run.control)->method, SWAP_BY_FILE);
        assert_non_null(strstr(swap_control_view(run.control)->note, "systemd does not take"));
        assert_has(&tree, SLICE "memory.swap.max", "314572800");
        heard->answer = DO_IT;
        run.in.now_usec += USEC_PER_MINUTE;
        second(false, 1);
        assert_int_equal(swap_control_view(run.control)->method, SWAP_BY_SYSTEMD);
        assert_int_equal(heard->sets, 2);
        stop_systemd();
        run.in.ceiling_ppm = 200000;
        second(false, 1);
        second(false, 1);
        assert_int_equal(swap_control_view(run.control)->method, SWAP_BY_FILE);
        assert_has(&tree, SLICE "memory.swap.max", "209715200");
        start_systemd();
        run.in.now_usec += USEC_PER_MINUTE;
        second(false, 1);
        assert_int_equal(swap_control_view(run.control)->method, SWAP_BY_SYSTEMD);
        assert_int_equal(heard->value, 200 * MIB);
        stop();
        assert_has(&tree, SLICE "memory.swap.max", "max");
        assert_true(heard->value == UINT64_MAX);
        stop_systemd();
        tree_remove(&tree);
}

/* Somebody sets another limit behind our back: ours is set again, but not in a fight. */
static void test_systemd_is_overruled(void **state) {
        tree = tree_make(systemd_files);
        start_systemd();
        start();
        second(false, 1);
        assert_true(tree_put(&tree, SLICE "memory.swap.max", "max\n", 4));
        second(false, 1);
        second(false, 1);
        assert_int_equal(heard->sets, 1);
        run.in.now_usec += USEC_PER_MINUTE;
        second(false, 1);
        assert_int_equal(heard->sets, 2);
        assert_has(&tree, SLICE "memory.swap.max", "314572800");
        stop();
        stop_systemd();
        tree_remove(&tree);
}

static void test_systemd_killed(void **state) {
        tree = tree_make(systemd_files);
        start_systemd();
        run_and_kill(true, 2);
        assert_has(&tree, SLICE SCOPE_A "/memory.swap.max", "104857600");
        assert_has(&tree, SLICE "memory.swap.max", "314572800");
        start(); /* now without shares: those of the run before would stay for good */
        second(false, 2);
        assert_has(&tree, SLICE "memory.swap.max", "314572800");
        assert_has(&tree, SLICE SCOPE_A "/memory.swap.max", "max");
        assert_has(&tree, SLICE SCOPE_B "/memory.swap.max", "max");
        assert_null(undo_value(run.undo, "unit:" SCOPE_A));
        assert_string_equal(undo_value(run.undo, "unit:machine.slice"), "infinity"); /* not our own limit */
        stop();
        run_and_kill(false, 2);
        start();
        stop(); /* as `aerostatd --undo` */
        assert_has(&tree, SLICE "memory.swap.max", "max");
        stop_systemd();
        tree_remove(&tree);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_calls),
                cmocka_unit_test(test_systemd_life),
                cmocka_unit_test(test_systemd_starts_with_vms_in_swap),
                cmocka_unit_test(test_systemd_own_limit),
                cmocka_unit_test(test_systemd_is_silent),
                cmocka_unit_test(test_systemd_comes_and_goes),
                cmocka_unit_test(test_systemd_is_overruled),
                cmocka_unit_test(test_systemd_killed),
        };

        heard = mmap(NULL, sizeof(*heard), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        return heard == MAP_FAILED ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
