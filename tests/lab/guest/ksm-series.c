/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Records what a kernel's KSM does under aerostatd's own decisions (policy/ksm.h), with small processes in place of QEMU: on this machine, or as
 * PID 1 of a guest that record_ksm.py boots. Sets KSM's knobs, and does not restore them.
 *
 *   ksm-series CPU%                 the budget for ksmd
 *
 * Three loads, one after the other: pages that are equal in all processes; random ones; equal ones that are written all the time, in mode on, since
 * auto would soon rest. First a JSON line with the kernel's version, then for each second one: what went into the decision
 * (tests/unit/fixtures/ksm-series), and the phase that came of it.
 */

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host-agent/policy/ksm.h"
#include "host-agent/system/host.h"
#include "host-agent/system/ksm.h"
#include "protocol/clock.h"
#include "protocol/procfs.h"
#include "protocol/units.h"
#include "tests/lab/guest/pid1.h"

#define VMS 3
#define BYTES (48 * MIB)                       /* of each */
#define LONGEST_SEC 180
#define WRITTEN_SEC 60

enum load { EQUAL, RANDOM, WRITTEN };
static const char *const names[] = { [EQUAL] = "equal", [RANDOM] = "random", [WRITTEN] = "written" };

static void fill(unsigned char *p, enum load load) {
        for (uint64_t at = 0; at < BYTES; at += 4096)
                if (load == RANDOM) {
                        for (unsigned i = 0; i < 4096; i += 256) /* 256 bytes always come whole */
                                if (getrandom(p + at + i, 256, 0) != 256)
                                        _exit(3);
                } else
                        memcpy(p + at, &at, sizeof(at));
}

static pid_t start_vm(enum load load) {
        pid_t pid = fork();
        unsigned char *p;

        if (pid != 0)
                return pid;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        p = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED || madvise(p, BYTES, MADV_NOHUGEPAGE) < 0 || madvise(p, BYTES, MADV_MERGEABLE) < 0)
                _exit(2);
        fill(p, load);
        for (;;) {
                usleep(100000);
                if (load == WRITTEN) /* with what was there: it merges again */
                        fill(p, load);
        }
}

static void look(int root_fd, struct ksm_input *in, struct ksm_sample *sample) {
        struct host_sample host;
        uint64_t cpu_usec = AEROSTAT_UNKNOWN;
        int proc_fd = openat(root_fd, "proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC), ksmd = ksm_find_thread(proc_fd);

        if (ksm_sample_read(root_fd, sample) < 0 || host_sample_read(root_fd, &host) < 0)
                die("sampling");
        if (ksmd >= 0)
                (void) ksm_thread_cpu_read(proc_fd, ksmd, &cpu_usec);
        close(proc_fd);
        in->now_usec = clock_monotonic_usec();
        in->full_scans = sample->full_scans;
        in->saved_bytes = sample->saved_bytes;
        in->metadata_bytes = (uint64_t) MAX((int64_t) sample->saved_bytes - sample->profit_bytes, 0);
        in->cow_pages = vmstat_ksm_copies(&host.vmstat);
        in->cpu_usec = cpu_usec;
}

static void record(int root_fd, enum load load, const struct ksm_config *config, struct ksm_input *in, struct ksm_state *state) {
        unsigned rested = 0;

        for (unsigned second = 0; second < (load == WRITTEN ? WRITTEN_SEC : LONGEST_SEC) && rested < 5; second++) {
                struct ksm_knobs want;
                struct ksm_sample sample;
                struct ksm_plan plan;
                const char *file;

                look(root_fd, in, &sample);
                ksm_decide(config, in, state, &plan);
                memset(&want, 0xff, sizeof(want));
                want.run = plan.run;
                want.pages_to_scan = plan.pages_to_scan;
                want.sleep_msec = plan.sleep_msec;
                if (ksm_apply(root_fd, &sample.knobs, &want, &file) < 0)
                        die(file);
                printf("{\"load\": \"%s\", \"now_usec\": %" PRIu64 ", \"full_scans\": %" PRIu64 ", \"saved_bytes\": %" PRIu64
                       ", \"metadata_bytes\": %" PRIu64 ", \"cow_pages\": %" PRIu64 ", \"cpu_usec\": %" PRIu64 ", \"phase\": \"%s\"}\n",
                       names[load], in->now_usec, in->full_scans, in->saved_bytes, in->metadata_bytes, in->cow_pages, in->cpu_usec,
                       ksm_phase_to_string(plan.phase));
                fflush(stdout);
                rested += plan.phase == KSM_RESTING;
                sleep(1);
        }
}

int main(int argc, char **argv) {
        int root_fd = procfs_open_root("/");
        struct ksm_config config = { .mode = KSM_MODE_AUTO, .cpu_normal_ppm = argc > 1 ? strtoul(argv[1], NULL, 10) * 10000 : 50000 };
        struct ksm_input in = { .memory_bytes = GIB, .short_of_memory = true, .n_mergeable = VMS };
        struct ksm_state state = { 0 };
        struct utsname kernel;

        if (root_fd < 0 || uname(&kernel) < 0)
                die("/");
        printf("{\"kernel\": \"%s\"}\n", kernel.release);
        fflush(stdout);
        config.cpu_critical_ppm = config.cpu_normal_ppm;
        for (enum load load = EQUAL; load <= WRITTEN; load++) {
                pid_t pids[VMS];

                for (unsigned i = 0; i < VMS; i++) {
                        pids[i] = start_vm(load);
                        if (pids[i] < 0)
                                die("fork");
                }
                in.n_starts += VMS;
                if (load == WRITTEN) {
                        config.mode = KSM_MODE_ON;
                        state = (struct ksm_state) { 0 };
                }
                sleep(5);
                record(root_fd, load, &config, &in, &state);
                for (unsigned i = 0; i < VMS; i++) {
                        (void) kill(pids[i], SIGKILL);
                        (void) waitpid(pids[i], NULL, 0);
                }
        }
        done();
}
