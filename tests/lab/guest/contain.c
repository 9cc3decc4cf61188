/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Containment on real control groups, with a small process in place of QEMU: PID 1 of a guest that test_contain.py boots. Runs aerostatd's own
 * containment on the guest's kernel (v2, with PSI and a disk to swap on).
 *
 * The "VM" takes 200 MiB and touches them all the time; it is held to 100 MiB, killed as it were and lifted by the notes, held again, obeys (gives
 * 120 MiB back), and is let go. One JSON line for each step.
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <systemd/sd-event.h>

#include "host-agent/memory/contain.h"
#include "host-agent/system/host.h"
#include "protocol/clock.h"
#include "protocol/procfs.h"
#include "protocol/units.h"
#include "tests/lab/guest/pid1.h"

#define GROUP "/sys/fs/cgroup/machine/qemu-1-vm.libvirt-qemu/"
#define TAKES (200 * MIB)
#define TARGET (100 * MIB)
#define KEEPS (80 * MIB)

static uint64_t read_number(const char *path) {
        char buf[64] = "";

        if (procfs_read(AT_FDCWD, path, buf, sizeof(buf)) < 0)
                die(path);
        return strncmp(buf, "max", 3) == 0 ? AEROSTAT_UNKNOWN : strtoull(buf, NULL, 10);
}

static volatile sig_atomic_t obeys;

static void on_signal(int sig) {
        obeys = 1;
}

static pid_t start_vm(void) {
        pid_t pid = fork();
        unsigned char *p;
        size_t bytes = TAKES;

        if (pid != 0)
                return pid;
        signal(SIGUSR1, on_signal);
        put(GROUP "cgroup.procs", "0");
        p = mmap(NULL, TAKES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        for (;;) {
                if (obeys && bytes > KEEPS) {
                        bytes = KEEPS;
                        (void) madvise(p + KEEPS, TAKES - KEEPS, MADV_DONTNEED); /* what a balloon does */
                }
                for (size_t at = 0; at < bytes; at += 4096)
                        p[at]++;
                usleep(20000);
        }
}

/* Ticks once a second for so long; then one line. */
static void watch(struct contain *contain, const char *step, pid_t pid, uint64_t bytes, unsigned seconds) {
        struct contain_vm vm = { .pid = pid, .bytes = bytes };
        struct contain_pressure ours;
        struct process_sample process;
        struct host_sample host;
        uint64_t slowest = 0;

        if (process_sample_read(AT_FDCWD, pid, &process) < 0)
                die("the process is gone");
        vm.start_ticks = process.start_ticks;
        for (unsigned i = 0; i < seconds; i++) {
                uint64_t start = clock_monotonic_usec();

                contain_tick(contain, start, &vm, 1);
                slowest = MAX(slowest, clock_monotonic_usec() - start);
                usleep(1000000);
        }
        contain_measure(contain, &ours);
        if (host_sample_read(AT_FDCWD, &host) < 0 || process_sample_read(AT_FDCWD, pid, &process) < 0)
                die("sample");
        printf("{\"step\": \"%s\", \"held\": %" PRId64 ", \"high\": %" PRId64 ", \"current\": %" PRIu64 ", \"swapped\": %" PRIu64
               ", \"rss\": %" PRIu64 ", \"host_some\": %.4f, \"our_some\": %.4f, \"our_stall_usec\": %" PRIu64 ", \"host_stall_usec\": %" PRIu64
               ", \"slowest_tick_usec\": %" PRIu64 ", \"why_not\": \"%s\"}\n",
               step, (int64_t) vm.held_bytes, (int64_t) read_number(GROUP "memory.high"), read_number(GROUP "memory.current"), process.swap_bytes,
               process.rss_bytes, (double) host.pressure.some_avg10_ppm / 1e6, (double) ours.some_ppm / 1e6, ours.some_total_usec,
               host.pressure.some_total_usec, slowest, vm.why_not ?: "");
        fflush(stdout);
}

static struct contain *start_control(sd_event *event, int root, struct undo **undo) {
        struct contain *contain;

        if (undo_new(undo, root, "/run") < 0 || contain_new(&contain, event, root, *undo) < 0)
                die("setup");
        return contain;
}

int main(void) {
        int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct contain *contain, *dead;
        struct undo *undo, *dead_undo;
        sd_event *event = NULL;
        pid_t pid;

        if (sd_event_default(&event) < 0 || mlockall(MCL_CURRENT | MCL_FUTURE) < 0)
                die("setup");
        if (mount("cgroup2", "/sys/fs/cgroup", "cgroup2", 0, NULL) < 0)
                die("mount cgroup2");
        mkdir("/run", 0755);
        put("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
        mkdir("/sys/fs/cgroup/machine", 0755);
        put("/sys/fs/cgroup/machine/cgroup.subtree_control", "+memory");
        mkdir(GROUP, 0755);
        pid = start_vm();
        usleep(3000000);
        dead = start_control(event, root, &dead_undo);
        watch(dead, "free", pid, AEROSTAT_UNKNOWN, 5);
        watch(dead, "held", pid, TARGET, 25);
        contain = start_control(event, root, &undo); /* the one before was killed */
        watch(contain, "next run", pid, AEROSTAT_UNKNOWN, 1);
        watch(contain, "held again", pid, TARGET, 20);
        kill(pid, SIGUSR1);
        watch(contain, "obeys", pid, TARGET, 15); /* it hears of it when it is let through */
        watch(contain, "let go", pid, AEROSTAT_UNKNOWN, 3);
        watch(contain, "held at the end", pid, TARGET, 2);
        contain_free(contain);
        printf("{\"step\": \"end\", \"high\": %" PRId64 ", \"alive\": %s, \"notes\": %s}\n", (int64_t) read_number(GROUP "memory.high"),
               waitpid(pid, NULL, WNOHANG) == 0 ? "true" : "false", access("/run/undo", F_OK) == 0 ? "true" : "false");
        (void) dead;
        done();
}
