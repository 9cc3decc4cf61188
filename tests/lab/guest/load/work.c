/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Workloads. Each runs in a process of its own and counts into memory shared with the generator.
 *
 * Work is open loop: pass k over the memory is due at start + k / rate, whether or not the one before is done; its latency is
 * completion minus due time, so that a stall of a second shows as a second, not as one slow pass.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "load.h"

#define WORKS_MAX 16
#define PAGE_SIZE 4096u
#define CHUNK_SIZE (256u * 1024) /* filled between two looks at the clock: 2.5 ms at 100 MiB/s */

/* Latency histogram: 8 buckets for each power of two, so that a percentile is right within 13 %. */
#define HISTOGRAM_SUB 8
#define HISTOGRAM_SIZE (40 * HISTOGRAM_SUB)

/* Written by the workload, read by the generator; one writer for each field, torn reads do not matter here. */
struct counters {
        uint64_t filled_bytes, filled_usec; /* how much the first fill got to, and when it was complete (0: not yet) */
        uint64_t passes, late_usec, worst_usec;
        uint64_t started_usec;              /* when passes began to be due */
        uint64_t read_bytes;                /* cache: what came from the disk */
        uint32_t histogram[HISTOGRAM_SIZE];
        uint32_t window;                    /* the window that the histogram is of; see work_show() */
        uint32_t window_wanted;
};

struct work {
        char name[NAME_SIZE];
        bool cache, random, read_only;
        uint64_t bytes, ramp, rate_hz, for_sec;
        pid_t pid;                          /* 0: slot unused, -1: ended and not yet freed */
        int status;                         /* as wait() gave it, once pid is -1 */
        struct counters *counters;
};

static struct work works[WORKS_MAX];
static const char *disk_path;

void work_init(const char *disk) {
        struct counters *counters = mmap(NULL, WORKS_MAX * sizeof(struct counters), PROT_READ | PROT_WRITE,
                                         MAP_SHARED | MAP_ANONYMOUS, -1, 0);

        if (counters == MAP_FAILED)
                exit(1);
        for (size_t i = 0; i < WORKS_MAX; i++)
                works[i].counters = counters + i;
        disk_path = disk;
}

static size_t histogram_bucket(uint64_t usec) {
        unsigned power;
        size_t bucket;

        if (usec < HISTOGRAM_SUB)
                return usec;
        power = 63 - (unsigned) __builtin_clzll(usec);
        bucket = (power - 2) * HISTOGRAM_SUB + ((usec >> (power - 3)) & (HISTOGRAM_SUB - 1));
        return bucket < HISTOGRAM_SIZE ? bucket : HISTOGRAM_SIZE - 1;
}

/* The upper end of a bucket. */
static uint64_t histogram_value(size_t bucket) {
        unsigned power;

        if (bucket < HISTOGRAM_SUB)
                return bucket;
        power = (unsigned) (bucket / HISTOGRAM_SUB) + 2;
        return ((uint64_t) HISTOGRAM_SUB + bucket % HISTOGRAM_SUB + 1) << (power - 3);
}

static uint64_t histogram_percentile(const struct counters *counters, unsigned percent) {
        uint64_t total = 0, seen = 0;

        for (size_t i = 0; i < HISTOGRAM_SIZE; i++)
                total += counters->histogram[i];
        for (size_t i = 0; i < HISTOGRAM_SIZE; i++) {
                seen += counters->histogram[i];
                if (total > 0 && seen * 100 >= total * percent)
                        return histogram_value(i);
        }
        return 0;
}

static void sleep_until(uint64_t usec) {
        const struct timespec ts = { .tv_sec = (time_t) (usec / 1000000), .tv_nsec = (long) (usec % 1000000) * 1000 };

        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == EINTR)
                ;
}

/* One word makes a page what it should be: the same in every guest (equal: its place decides), or the same nowhere (random). More would
 * cost an emulated CPU its burst. */
static void fill_memory(struct work *work, uint64_t *memory, uint64_t from, uint64_t to) {
        static uint64_t seed;

        if (seed == 0) {
                struct timespec ts;

                clock_gettime(CLOCK_REALTIME, &ts);
                seed = ((uint64_t) ts.tv_nsec << 32) ^ (uint64_t) ts.tv_sec ^ (uint64_t) getpid();
        }
        for (uint64_t page = from / PAGE_SIZE; page < to / PAGE_SIZE; page++) {
                seed ^= seed << 13; /* xorshift64 */
                seed ^= seed >> 7;
                seed ^= seed << 17;
                memory[page * (PAGE_SIZE / 8)] = work->random ? seed : page + 1;
        }
}

/* Writing back the value that is there keeps equal pages equal, and still breaks a merged page. */
static void touch_memory(struct work *work, volatile uint64_t *memory) {
        for (uint64_t page = 0; page < work->bytes / PAGE_SIZE; page++) {
                volatile uint64_t *word = memory + page * (PAGE_SIZE / 8);
                uint64_t value = *word;

                if (!work->read_only)
                        *word = value;
        }
}

static void read_disk(int fd, uint64_t from, uint64_t to) {
        static char buf[CHUNK_SIZE];

        while (from < to) {
                size_t size = to - from < sizeof buf ? (size_t) (to - from) : sizeof buf;
                ssize_t n = pread(fd, buf, size, (off_t) from);

                if (n <= 0)
                        _exit(3); /* past the end of the disk: the test asked for too much */
                from += (uint64_t) n;
        }
}

/* /proc/self/io: read_bytes, what this process has made the disk deliver. */
static uint64_t disk_bytes_read(void) {
        char buf[512] = "";
        int fd = open("/proc/self/io", O_RDONLY | O_CLOEXEC);
        const char *field;

        if (fd < 0)
                return 0;
        if (read(fd, buf, sizeof buf - 1) < 0)
                buf[0] = 0;
        close(fd);
        field = strstr(buf, "\nread_bytes: ");
        return field ? strtoull(field + strlen("\nread_bytes: "), NULL, 10) : 0;
}

static void count_pass(struct counters *counters, uint64_t due_usec) {
        uint64_t latency = now_usec() - due_usec;

        if (counters->window != counters->window_wanted) {
                memset(counters->histogram, 0, sizeof counters->histogram);
                counters->worst_usec = 0;
                counters->window = counters->window_wanted;
        }
        counters->passes++;
        counters->late_usec += latency;
        if (latency > counters->worst_usec)
                counters->worst_usec = latency;
        counters->histogram[histogram_bucket(latency)]++;
}

_Noreturn static void work_run(struct work *work) {
        struct counters *counters = work->counters;
        uint64_t start = now_usec(), end = work->for_sec ? start + work->for_sec * 1000000 : UINT64_MAX;
        uint64_t *memory = NULL;
        int fd = -1;

        if (work->cache) {
                fd = open(disk_path, O_RDONLY | O_CLOEXEC);
                if (fd < 0)
                        _exit(2);
        } else {
                memory = mmap(NULL, work->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
                if (memory == MAP_FAILED)
                        _exit(2);
        }

        for (uint64_t done = 0; done < work->bytes && now_usec() < end;) {
                uint64_t next = done + CHUNK_SIZE < work->bytes ? done + CHUNK_SIZE : work->bytes;

                if (work->cache)
                        read_disk(fd, done, next);
                else
                        fill_memory(work, memory, done, next);
                counters->filled_bytes = done = next;
                if (work->ramp > 0)
                        sleep_until(start + done * 1000000 / work->ramp);
        }
        counters->filled_usec = now_usec();
        counters->started_usec = counters->filled_usec;

        for (uint64_t k = 1; work->rate_hz > 0; k++) {
                uint64_t due = counters->started_usec + k * 1000000 / work->rate_hz;

                if (due > end)
                        break;
                sleep_until(due);
                if (work->cache) {
                        read_disk(fd, 0, work->bytes);
                        counters->read_bytes = disk_bytes_read();
                } else
                        touch_memory(work, memory);
                count_pass(counters, due);
        }
        if (end == UINT64_MAX)
                for (;;)
                        pause();
        sleep_until(end);
        _exit(0);
}

static struct work *work_find(const char *name) {
        for (size_t i = 0; i < WORKS_MAX; i++)
                if (works[i].pid != 0 && name && strcmp(works[i].name, name) == 0)
                        return works + i;
        return NULL;
}

static struct work *work_unused(void) {
        for (size_t i = 0; i < WORKS_MAX; i++)
                if (works[i].pid == 0)
                        return works + i;
        return NULL;
}

void work_start(const struct request *request, bool cache) {
        const char *name = request_get(request, "name"), *data = request_get(request, "data"), *access = request_get(request, "access");
        struct work *work = work_unused();
        struct counters *counters;
        pid_t pid;

        if (!name || strlen(name) >= NAME_SIZE || strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != strlen(name))
                return refuse(request, "name= is missing, or not of a-z 0-9 -");
        if (work_find(name))
                return refuse(request, "there is a workload of this name; free it first");
        if (!work)
                return refuse(request, "too many workloads");

        counters = work->counters;
        memset(counters, 0, sizeof *counters);
        *work = (struct work) {
                .counters = counters,
                .cache = cache,
                .random = !data || strcmp(data, "equal") != 0,
                .read_only = access && strcmp(access, "read") == 0,
                .bytes = request_get_u64(request, "bytes", 0) / PAGE_SIZE * PAGE_SIZE,
                .ramp = request_get_u64(request, "ramp", 0),
                .rate_hz = request_get_u64(request, "rate_hz", 0),
                .for_sec = request_get_u64(request, "for_sec", 0),
        };
        strcpy(work->name, name);
        if (work->bytes == 0 || work->bytes > (UINT64_C(1) << 40) || work->ramp > (UINT64_C(1) << 40) || work->rate_hz > 1000 ||
            work->for_sec > 86400)
                return refuse(request, "bytes=, ramp=, rate_hz= or for_sec= is missing or out of range");

        pid = fork();
        if (pid == 0) {
                prctl(PR_SET_NAME, work->name);
                work_run(work);
        }
        if (pid < 0)
                return refuse(request, "fork failed");
        work->pid = pid;
        answer(request, "%s", "");
}

void work_free(const struct request *request) {
        struct work *work = work_find(request_get(request, "name"));

        if (!work)
                return refuse(request, "no such workload");
        if (work->pid > 0) {
                kill(work->pid, SIGKILL);
                waitpid(work->pid, NULL, 0);
        }
        work->pid = 0;
        answer(request, "%s", "");
}

bool work_reaped(pid_t pid, int status) {
        for (size_t i = 0; i < WORKS_MAX; i++)
                if (works[i].pid == pid) {
                        works[i].pid = -1;
                        works[i].status = status;
                        send_event("ended", ",\"name\":\"%s\",\"exit\":%d,\"signal\":%d", works[i].name,
                                   WIFEXITED(status) ? WEXITSTATUS(status) : -1, WIFSIGNALED(status) ? WTERMSIG(status) : 0);
                        return true;
                }
        return false;
}

void work_show(const struct request *request) {
        struct work *work = work_find(request_get(request, "name"));
        struct counters *counters;
        uint64_t due = 0;

        if (!work)
                return refuse(request, "no such workload");
        counters = work->counters;
        if (counters->started_usec > 0)
                due = (now_usec() - counters->started_usec) * work->rate_hz / 1000000;
        answer(request,
               ",\"running\":%s,\"signal\":%d,\"filled_bytes\":%" PRIu64 ",\"filled_usec\":%" PRIu64 ",\"passes\":%" PRIu64
               ",\"due\":%" PRIu64 ",\"late_usec\":%" PRIu64 ",\"p50_usec\":%" PRIu64 ",\"p99_usec\":%" PRIu64
               ",\"worst_usec\":%" PRIu64 ",\"disk_read_bytes\":%" PRIu64,
               work->pid > 0 ? "true" : "false", work->pid < 0 && WIFSIGNALED(work->status) ? WTERMSIG(work->status) : 0,
               counters->filled_bytes, counters->filled_usec, counters->passes, due, counters->late_usec,
               histogram_percentile(counters, 50), histogram_percentile(counters, 99), counters->worst_usec, counters->read_bytes);
        if (request_get(request, "reset"))
                counters->window_wanted++;
}
