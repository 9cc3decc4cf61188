/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The swap ceiling on real control groups, with small processes in place of QEMU: PID 1 of a guest that test_swap_groups.py boots.
 * Runs aerostatd's own swap control on the guest's kernel.
 *
 *   swap-ceiling [v1] PHASE...      PHASE: MEMORY%,SWAP%,on|off|kill: percent of memory and swap that is taken by three "VMs"
 *                                   together, and whether the control runs; kill: as a process that gets SIGKILL at random moments,
 *                                   and is started again a moment later
 * For each phase a JSON line on the console: the peak of swap, the kernel's own count of the group, the limit, and who is still alive.
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

#include "host-agent/memory/swap_control.h"
#include "host-agent/system/host.h"
#include "protocol/clock.h"
#include "protocol/parse.h"
#include "protocol/procfs.h"
#include "protocol/units.h"
#include "tests/lab/guest/pid1.h"

#define VMS 3
#define CEILING_PPM 300000
#define PHASE_USEC (60 * USEC_PER_SEC)
#define RAMP_BYTES_PER_SEC (6 * MIB)           /* of each: 5 % of all memory a second together, as 1 GiB/s on a host of 16 GiB */

struct phase {
        uint64_t memory_ppm, swap_ppm;
        bool on, kill;
};

struct seen {
        uint64_t used_peak, group_peak, group_peak_kept; /* bytes; kept: while the ceiling was not lifted */
        uint64_t vms_peak;             /* what is in swap only: swap in use counts slots of pages that are back in memory, too */
        uint64_t limit, lift_peak, swappiness_least;
        uint64_t above_limit;          /* by how much the group ever was above the limit that was in force */
        unsigned alive, kills;
        const char *method;
        char note[SWAP_NOTE_MAX];
};

static bool v1;

/* libvirt's names without systemd. */
static void group_path(unsigned i, const char *file, char buf[static 128]) {
        snprintf(buf, 128, "/sys/fs/cgroup%s/machine/qemu-%u-vm%u.libvirt-qemu/%s", v1 ? "/memory" : "", i + 1, i, file);
}

static void make_groups(void) {
        char path[128];

        if (v1) {
                (void) mount("tmpfs", "/sys/fs/cgroup", "tmpfs", 0, NULL);
                mkdir("/sys/fs/cgroup/memory", 0755);
                if (mount("cgroup", "/sys/fs/cgroup/memory", "cgroup", 0, "memory") < 0)
                        die("mount cgroup v1");
                mkdir("/sys/fs/cgroup/memory/machine", 0755);
        } else {
                if (mount("cgroup2", "/sys/fs/cgroup", "cgroup2", 0, NULL) < 0)
                        die("mount cgroup2");
                put("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
                mkdir("/sys/fs/cgroup/machine", 0755);
                put("/sys/fs/cgroup/machine/cgroup.subtree_control", "+memory");
        }
        for (unsigned i = 0; i < VMS; i++) {
                group_path(i, "", path);
                mkdir(path, 0755);
        }
}

/* A process that takes `bytes` at a steady pace, then touches them all again and again. */
static pid_t start_vm(unsigned i, uint64_t bytes) {
        pid_t pid = fork();
        char path[128];

        if (pid != 0)
                return pid;
        group_path(i, "cgroup.procs", path);
        put(path, "0");
        put("/proc/self/oom_score_adj", "0");
        {
                unsigned char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

                if (p == MAP_FAILED)
                        _exit(2);
                for (uint64_t at = 0; at < bytes; at += 4096) {
                        p[at] = 1;
                        if (at % MIB == 0)
                                usleep((useconds_t) (USEC_PER_SEC * MIB / RAMP_BYTES_PER_SEC));
                }
                for (;;) /* a hot half, and a rest that is touched now and then */
                        for (unsigned turn = 0; turn < 50; turn++) {
                                for (uint64_t at = 0; at < (turn == 0 ? bytes : bytes / 2); at += 4096)
                                        p[at]++;
                                usleep(100000);
                        }
        }
}

static void look(struct host_sample *s, const struct phase *phase, struct seen *seen) {
        char buf[64];
        uint64_t current = 0, limit;

        if (host_sample_read(AT_FDCWD, s) < 0)
                return;
        seen->used_peak = MAX(seen->used_peak, s->swap_disk_used_bytes);
        if (v1)
                return;
        if (procfs_read(AT_FDCWD, "/sys/fs/cgroup/machine/memory.swap.current", buf, sizeof(buf)) >= 0)
                current = strtoull(buf, NULL, 10);
        if (procfs_read(AT_FDCWD, "/sys/fs/cgroup/machine/memory.swap.max", buf, sizeof(buf)) < 0)
                return;
        limit = strncmp(buf, "max", 3) == 0 ? AEROSTAT_UNKNOWN : strtoull(buf, NULL, 10);
        seen->group_peak = MAX(seen->group_peak, current);
        if (phase->on && seen->lift_peak == 0)
                seen->group_peak_kept = MAX(seen->group_peak_kept, current);
        seen->above_limit = MAX(seen->above_limit, u64_sub(current, limit));
}

static void tick(struct swap_control *control, int root, const struct host_sample *s, const struct phase *phase, const pid_t *pids,
                 struct seen *seen) {
        struct swap_vm vms[VMS];
        const struct swap_view *view;
        uint64_t vm_swap = 0, reserve = policy_auto_reserve(s->meminfo.total_bytes);
        struct swap_input in;

        for (unsigned i = 0; i < VMS; i++) {
                struct process_sample process = { .swap_bytes = 0 };

                (void) process_sample_read(root, pids[i], &process);
                vms[i] = (struct swap_vm) {
                        .pid = pids[i], .start_ticks = process.start_ticks, .weight = 1000, .swap_bytes = process.swap_bytes,
                };
                vm_swap = u64_add(vm_swap, process.swap_bytes == AEROSTAT_UNKNOWN ? 0 : process.swap_bytes);
        }
        seen->vms_peak = MAX(seen->vms_peak, vm_swap);
        in = (struct swap_input) {
                .now_usec = clock_monotonic_usec(), .enforce = phase->on, .vms_bytes = vm_swap, .total_bytes = s->swap_disk_total_bytes,
                .used_bytes = s->swap_disk_used_bytes, .ceiling_ppm = CEILING_PPM, .available_bytes = s->meminfo.available_bytes,
                .reserve_bytes = reserve, .in_pages = s->vmstat.pswpin, .out_pages = s->vmstat.pswpout,
        };
        swap_control_count(control, false, vms, VMS, &in);
        swap_control_tick(control, &in, true, false, vms, VMS);
        view = swap_control_view(control);
        seen->method = swap_method_to_string(view->method);
        seen->lift_peak = MAX(seen->lift_peak, view->plan.lift_bytes);
        seen->swappiness_least = MIN(seen->swappiness_least, view->swappiness);
        seen->limit = view->limit_bytes;
        if (view->note[0])
                memcpy(seen->note, view->note, sizeof(seen->note));
}

/* As the manager does: once a second, every 100 ms where memory is short. */
static void tick_when_due(struct swap_control *control, int root_fd, const struct host_sample *s, const struct phase *phase, const pid_t *pids,
                          struct seen *seen, uint64_t *ticked) {
        if (clock_monotonic_usec() - *ticked < (s->meminfo.available_bytes < 48 * MIB ? USEC_PER_SEC / 10 : USEC_PER_SEC))
                return;
        *ticked = clock_monotonic_usec();
        tick(control, root_fd, s, phase, pids, seen);
}

static void start_control(sd_event *event, int root_fd, const char *state_dir, struct undo **undo, struct swap_control **control) {
        if (undo_new(undo, root_fd, state_dir) < 0 || swap_control_new(control, event, root_fd, *undo) < 0)
                die("setup");
}

/* The control as a process of its own, which ends by SIGKILL only. */
static pid_t fork_control(sd_event *event, int root_fd, const struct phase *phase, const pid_t *pids, struct seen *seen) {
        struct swap_control *control = NULL;
        struct undo *undo = NULL;
        struct host_sample s;
        uint64_t ticked = 0;
        pid_t pid = fork();

        if (pid != 0)
                return pid;
        if (mlockall(MCL_CURRENT | MCL_FUTURE) < 0)
                die("mlockall");
        start_control(event, root_fd, "/state", &undo, &control);
        for (;; usleep(20000))
                if (host_sample_read(AT_FDCWD, &s) >= 0)
                        tick_when_due(control, root_fd, &s, phase, pids, seen, &ticked);
}

static void look_and_kill(sd_event *event, int root_fd, const struct phase *phase, const pid_t *pids, struct seen *seen, uint64_t until_usec) {
        struct swap_control *control = NULL;
        struct undo *undo = NULL;
        struct host_sample s;

        srandom(1);
        while (clock_monotonic_usec() < until_usec) {
                uint64_t kill_usec = clock_monotonic_usec() + (uint64_t) random() % (4 * USEC_PER_SEC);
                pid_t pid = fork_control(event, root_fd, phase, pids, seen);

                for (; clock_monotonic_usec() < kill_usec; usleep(20000))
                        look(&s, phase, seen);
                kill(pid, SIGKILL);
                waitpid(pid, NULL, 0);
                seen->kills++;
                for (kill_usec = clock_monotonic_usec() + (uint64_t) random() % USEC_PER_SEC; clock_monotonic_usec() < kill_usec; usleep(20000))
                        look(&s, phase, seen);
        }
        start_control(event, root_fd, "/state", &undo, &control); /* `aerostatd --undo` does no more than this */
        swap_control_free(control);
        undo_free(undo);
}

static void look_and_tick(sd_event *event, int root_fd, const struct phase *phase, const pid_t *pids, struct seen *seen, uint64_t until_usec) {
        struct swap_control *control = NULL;
        struct undo *undo = NULL;
        struct host_sample s;
        uint64_t ticked = 0;

        start_control(event, root_fd, NULL, &undo, &control);
        for (; clock_monotonic_usec() < until_usec; usleep(20000)) {
                look(&s, phase, seen);
                tick_when_due(control, root_fd, &s, phase, pids, seen, &ticked);
        }
        swap_control_free(control);
        undo_free(undo);
}

static void run_phase(sd_event *event, int root_fd, const struct phase *phase, struct seen *seen) {
        struct host_sample s;
        uint64_t bytes;
        pid_t pids[VMS];

        *seen = (struct seen) { .swappiness_least = AEROSTAT_UNKNOWN, .method = "" };
        if (host_sample_read(AT_FDCWD, &s) < 0)
                die("setup");
        bytes = u64_mul_div(s.meminfo.available_bytes, phase->memory_ppm, PPM_ONE) +
                u64_mul_div(s.swap_disk_total_bytes, phase->swap_ppm, PPM_ONE);
        for (unsigned i = 0; i < VMS; i++)
                pids[i] = start_vm(i, bytes / VMS);
        (phase->kill ? look_and_kill : look_and_tick)(event, root_fd, phase, pids, seen, clock_monotonic_usec() + PHASE_USEC);
        seen->alive = 0;
        for (unsigned i = 0; i < VMS; i++)
                seen->alive += waitpid(pids[i], NULL, WNOHANG) == 0;
        printf("{\"memory\": %.2f, \"swap\": %.2f, \"on\": %s, \"swap_total\": %" PRIu64 ", \"used_peak\": %" PRIu64
               ", \"vms_peak\": %" PRIu64 ", \"group_peak\": %" PRIu64 ", \"group_peak_kept\": %" PRIu64 ", \"above_limit\": %" PRIu64
               ", \"lift_peak\": %" PRIu64 ", \"swappiness_least\": %" PRId64
               ", \"alive\": %u, \"kills\": %u, \"method\": \"%s\", \"note\": \"%s\"}\n",
               (double) phase->memory_ppm / 1e6, (double) phase->swap_ppm / 1e6, phase->on ? "true" : "false", s.swap_disk_total_bytes,
               seen->used_peak, seen->vms_peak, seen->group_peak, seen->group_peak_kept, seen->above_limit, seen->lift_peak,
               (int64_t) seen->swappiness_least, seen->alive, seen->kills, seen->method, seen->note);
        fflush(stdout);
        for (unsigned i = 0; i < VMS; i++) {
                kill(pids[i], SIGKILL);
                waitpid(pids[i], NULL, 0);
        }
        if (!v1) {
                char buf[64];

                if (procfs_read(AT_FDCWD, "/sys/fs/cgroup/machine/memory.swap.max", buf, sizeof(buf)) < 0 || strcmp(buf, "max\n") != 0)
                        printf("{\"error\": \"the limit was not lifted at the end\"}\n");
        }
        usleep(500000);
}

static int parse_phase(const char *text, struct phase *ret) {
        char word[64], *memory, *swap, *on, *save;

        snprintf(word, sizeof(word), "%s", text);
        memory = strtok_r(word, ",", &save), swap = strtok_r(NULL, ",", &save), on = strtok_r(NULL, ",", &save);
        if (!memory || !swap || !on || parse_percent(memory, &ret->memory_ppm) < 0 || parse_percent(swap, &ret->swap_ppm) < 0)
                return -EINVAL;
        ret->kill = strcmp(on, "kill") == 0;
        return parse_bool(ret->kill ? "yes" : on, &ret->on);
}

int main(int argc, char **argv) {
        int root_fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        struct seen *seen = mmap(NULL, sizeof(*seen), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        sd_event *event = NULL;

        mkdir("/state", 0700);
        if (seen == MAP_FAILED || sd_event_default(&event) < 0 || mlockall(MCL_CURRENT | MCL_FUTURE) < 0)
                die("setup");
        v1 = argc > 1 && strcmp(argv[1], "v1") == 0;
        make_groups();
        for (int i = 1 + v1; i < argc; i++) {
                struct phase phase;

                if (parse_phase(argv[i], &phase) < 0)
                        die(argv[i]);
                run_phase(event, root_fd, &phase, seen);
        }
        done();
}
