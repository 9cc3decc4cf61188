/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What sampling costs, on the real /proc: 1,000 VMs sampled each second are 1,000 process samples. */

#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "host-agent/system/host.h"
#include "protocol/units.h"

#define RUN_USEC (USEC_PER_SEC / 2)

static uint64_t now_nsec(void) {
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t) ts.tv_sec * 1000000000 + (uint64_t) ts.tv_nsec;
}

static int sample_process(int root_fd) {
        struct process_sample sample;

        return process_sample_read(root_fd, getpid(), &sample);
}

static int sample_overhead(int root_fd) {
        uint64_t bytes;

        return process_overhead_read(root_fd, getpid(), GIB, &bytes);
}

static int sample_host(int root_fd) {
        struct host_sample sample;

        return host_sample_read(root_fd, &sample);
}

static int sample_config(int root_fd) {
        struct host_config_sample sample;

        return host_config_read(root_fd, &sample);
}

static int sample_limits(int root_fd) {
        struct cgroup_limits limits;
        int r = cgroup_limits_read(root_fd, getpid(), NULL, &limits);

        return r == -ENODATA ? 0 : r; /* no memory control groups here */
}

int main(void) {
        static const struct {
                const char *name;
                int (*run)(int root_fd);
        } benchmarks[] = {
                { "process_sample_read", sample_process }, { "process_overhead_read", sample_overhead }, { "host_sample_read", sample_host },
                { "host_config_read", sample_config }, { "cgroup_limits_read", sample_limits },
        };
        int root_fd = procfs_open_root("/");

        for (size_t i = 0; i < ARRAY_SIZE(benchmarks); i++) {
                uint64_t start = now_nsec(), n = 0, nsec;

                do {
                        if (benchmarks[i].run(root_fd) < 0) {
                                fprintf(stderr, "%s failed\n", benchmarks[i].name);
                                return 1;
                        }
                        n++;
                        nsec = now_nsec() - start;
                } while (nsec < RUN_USEC * 1000);
                printf("%-26s %8llu ns each, %7llu a second\n", benchmarks[i].name, (unsigned long long) (nsec / n),
                       (unsigned long long) (n * 1000000000 / nsec));
        }
        close(root_fd);
        return 0;
}
