/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "host-agent/swap_control.h"
#include "host-agent/swap_systemd.h"
#include "protocol/units.h"
#include "tests/unit/tree.h"

/* ---- systemd's side of the wire: a peer over a socket pair that answers SetUnitProperties ---- */

static struct {
        char unit[128], property[64];
        uint64_t value;
        bool runtime;
        int calls, refuse;
} heard;

static int on_call(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const char *unit, *property;
        uint64_t value;
        int runtime;

        if (!sd_bus_message_is_method_call(m, "org.freedesktop.systemd1.Manager", "SetUnitProperties"))
                return 0;
        assert_true(sd_bus_message_read(m, "sb", &unit, &runtime) > 0);
        assert_true(sd_bus_message_enter_container(m, 'a', "(sv)") > 0);
        assert_true(sd_bus_message_read(m, "(sv)", &property, "t", &value) > 0);
        snprintf(heard.unit, sizeof(heard.unit), "%s", unit);
        snprintf(heard.property, sizeof(heard.property), "%s", property);
        heard.value = value;
        heard.runtime = runtime;
        heard.calls++;
        if (heard.refuse)
                return sd_bus_reply_method_errorf(m, "org.freedesktop.systemd1.NoSuchUnit", "no such unit");
        return sd_bus_reply_method_return(m, "");
}

static sd_bus *make_bus(sd_event *event, int fd, bool server) {
        sd_bus *bus = NULL;
        sd_id128_t id = { .bytes = { 1 } };

        assert_true(sd_bus_new(&bus) >= 0);
        assert_true(sd_bus_set_fd(bus, fd, fd) >= 0);
        if (server) {
                assert_true(sd_bus_set_server(bus, 1, id) >= 0);
                assert_true(sd_bus_add_filter(bus, NULL, on_call, NULL) >= 0);
        }
        assert_true(sd_bus_start(bus) >= 0);
        assert_true(sd_bus_attach_event(bus, event, 0) >= 0);
        return bus;
}

static void on_done(int result, void *userdata) {
        *(int *) userdata = result;
}

static void test_systemd(void **state) {
        sd_bus *client, *server;
        sd_bus_slot *slot = NULL;
        sd_event *event = NULL;
        int fds[2], result = 1;

        assert_true(sd_event_new(&event) >= 0);
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
        server = make_bus(event, fds[0], true);
        client = make_bus(event, fds[1], false);
        assert_int_equal(swap_systemd_set(client, "machine.slice", "MemorySwapMax", 300 * MIB, on_done, &result, &slot), 0);
        while (result == 1)
                assert_true(sd_event_run(event, 5 * USEC_PER_SEC) > 0);
        assert_int_equal(result, 0);
        assert_string_equal(heard.unit, "machine.slice");
        assert_string_equal(heard.property, "MemorySwapMax");
        assert_int_equal(heard.value, 300 * MIB);
        assert_true(heard.runtime);
        slot = sd_bus_slot_unref(slot);

        heard.refuse = result = 1;
        assert_int_equal(swap_systemd_set(client, "gone.scope", "MemorySwapMax", AEROSTAT_UNKNOWN, on_done, &result, &slot), 0);
        while (result == 1)
                assert_true(sd_event_run(event, 5 * USEC_PER_SEC) > 0);
        assert_true(result < 0);
        assert_true(heard.value == UINT64_MAX); /* systemd's infinity */
        slot = sd_bus_slot_unref(slot);

        result = 1;
        assert_int_equal(swap_systemd_set(client, "machine.slice", "MemorySwapMax", MIB, on_done, &result, &slot), 0);
        slot = sd_bus_slot_unref(slot); /* given up: nobody is called */
        for (int i = 0; i < 5; i++)
                (void) sd_event_run(event, 10 * USEC_PER_MSEC);
        assert_int_equal(result, 1);
        heard.refuse = 0;
        sd_bus_flush_close_unref(client);
        sd_bus_flush_close_unref(server);
        sd_event_unref(event);
}

/* ---- the control on trees of files: no systemd there ---- */

#define V2 "30 25 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
#define V1 "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
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

static struct swap_input input(void) {
        return (struct swap_input) {
                .now_usec = USEC_PER_HOUR, .enforce = true, .total_bytes = 1000 * MIB, .ceiling_ppm = 300000, .available_bytes = 2 * GIB, .reserve_bytes = GIB,
        };
}

static void assert_has(const struct tree *t, const char *path, const char *text) {
        char buf[128];

        assert_true(procfs_read(t->fd, path, buf, sizeof(buf)) >= 0);
        buf[strcspn(buf, "\n")] = 0; /* the kernel takes it with and without */
        assert_string_equal(buf, text);
}

static void test_v2_files(void **state) {
        const struct swap_vm vms[] = { { 10, 1, 1000, 0 }, { 11, 1, 2000, 0 } };
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

static void test_v1_files(void **state) {
        static const char file[] = "sys/fs/cgroup/memory/machine/qemu-1-a.libvirt-qemu/memory.swappiness";
        struct swap_vm vm = { 10, 1, 1000, 0 };
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
        swap_control_free(control);
        assert_has(&t, file, "60");
        undo_free(undo);
        sd_event_unref(event);
        tree_remove(&t);
}

static void test_no_groups(void **state) {
        const struct swap_vm vms[] = { { 10, 1, 1000, 0 }, { -1, 0, 1000, 0 } };
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

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_systemd),
                cmocka_unit_test(test_v2_files),
                cmocka_unit_test(test_v1_files),
                cmocka_unit_test(test_no_groups),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
