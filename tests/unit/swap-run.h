/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A run of swap_control.h on a tree of files. */

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "host-agent/memory/swap_control.h"
#include "protocol/units.h"
#include "tests/unit/tree.h"
#include "tests/unit/unit.h"

#define V2 "30 25 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
#define V1 "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"

static struct tree tree;

static inline struct swap_input input(void) {
        return (struct swap_input) {
                .now_usec = USEC_PER_HOUR, .enforce = true, .total_bytes = 1000 * MIB, .ceiling_ppm = 300000,
                .available_bytes = 2 * GIB, .reserve_bytes = GIB,
        };
}

static inline void assert_has(const struct tree *t, const char *path, const char *text) {
        char buf[128];

        assert_true(procfs_read(t->fd, path, buf, sizeof(buf)) >= 0);
        buf[strcspn(buf, "\n")] = 0; /* the kernel takes it with and without */
        assert_string_equal(buf, text);
}

static struct {
        struct swap_control *control;
        struct swap_input in;
        sd_event *event;
        struct undo *undo;
} run;

static inline void start(void) {
        char folder[128];

        snprintf(folder, sizeof(folder), "%s/state", tree.path);
        assert_true(sd_event_new(&run.event) >= 0);
        assert_int_equal(undo_new(&run.undo, tree.fd, folder), 0);
        assert_int_equal(swap_control_new(&run.control, run.event, tree.fd, run.undo), 0);
        run.in = input();
}

static inline void stop(void) {
        run.control = swap_control_free(run.control);
        run.undo = undo_free(run.undo);
        run.event = sd_event_unref(run.event);
}

/* A second goes by, with VMs 10 and 11 of weights 1000 and 2000. */
static inline void tick(bool per_vm, size_t n_vms) {
        static struct swap_vm vms[] = { { 10, 1, 1000, 0, 0 }, { 11, 1, 2000, 0, 0 } };

        run.in.now_usec += USEC_PER_SEC;
        swap_control_tick(run.control, &run.in, true, per_vm, vms, n_vms);
}

/* Until all calls are answered, however slow the machine is: a new connection to the process in systemd's place takes several of its rounds, and each
 * of them serves every connection that has something to say. */
static inline void settle(sd_event *event) {
        const char *name;
        bool quiet;

        do {
                sd_bus *bus = NULL;

                if (getenv("DBUS_SYSTEM_BUS_ADDRESS") && sd_bus_open_system(&bus) >= 0)
                        (void) sd_bus_get_unique_name(bus, &name);
                sd_bus_flush_close_unref(bus);
                quiet = true;
                while (sd_event_run(event, 0) > 0)
                        quiet = false;
        } while (!quiet);
}

/* A run that is killed after its first second: what it did to files and the bus stays. */
static inline void run_and_kill(bool per_vm, size_t n_vms) {
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0) {
                start();
                tick(per_vm, n_vms);
                settle(run.event);
                raise(SIGKILL);
        }
        assert_int_equal(waitpid(pid, NULL, 0), pid);
}
