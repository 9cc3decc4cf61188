/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/control/runner.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/queue.h>
#include <sys/wait.h>

#include "host-agent/log.h"
#include "protocol/parse.h"
#include "protocol/units.h"

#define ARGUMENTS_MAX 32
#define KEY_MAX 320 /* the longest name of a VM, and what stands before it */
#define BLANKS " \t"

const struct runner_limits runner_limits_default = {
        .running = 4, .queued = 1024, .tries = 6,
        .timeout_usec = 30 * USEC_PER_SEC, .retry_usec = 5 * USEC_PER_SEC, .retry_max_usec = 10 * USEC_PER_MINUTE,
};

struct job {
        TAILQ_ENTRY(job) jobs;         /* of runner->jobs, the oldest first */
        struct runner *runner;
        char key[KEY_MAX];
        char *command, *text;
        unsigned tries;
        uint64_t due_usec;             /* while it waits: not before */
        pid_t pid;                     /* 0: it waits */
        sd_event_source *child, *timeout;
        bool timed_out;
};
TAILQ_HEAD(job_list, job);

struct runner {
        sd_event *event;
        const char *name;
        runner_done_t done;
        void *userdata;
        sd_event_source *timer;        /* when the next job that waits is due */
        struct runner_limits limits;
        struct job_list jobs;
        unsigned n_jobs, n_running;
        struct runner_counters counters;
};

static uint64_t now_usec(const struct runner *runner) {
        uint64_t now = 0;

        (void) sd_event_now(runner->event, CLOCK_MONOTONIC, &now);
        return now;
}

static void job_free(struct job *job) {
        struct runner *runner = job->runner;

        if (job->pid > 0) {
                (void) kill(-job->pid, SIGKILL);
                runner->n_running--;
        }
        TAILQ_REMOVE(&runner->jobs, job, jobs);
        runner->n_jobs--;
        sd_event_source_disable_unref(job->child);
        sd_event_source_disable_unref(job->timeout);
        free(job->command);
        free(job->text);
        free(job);
}

/* It is delivered or given up. */
static void job_done(struct job *job) {
        struct runner *runner = job->runner;

        job_free(job);
        if (runner->done)
                runner->done(runner->userdata);
}

static bool key_runs(const struct runner *runner, const char *key) {
        const struct job *job;

        TAILQ_FOREACH(job, &runner->jobs, jobs)
                if (job->pid > 0 && strcmp(job->key, key) == 0)
                        return true;
        return false;
}

/* Wakes up when the next job may start; one that waits for another to end is looked at when that does. */
static void arm(struct runner *runner) {
        uint64_t due = UINT64_MAX;
        struct job *job;

        if (runner->n_running >= runner->limits.running)
                return;
        TAILQ_FOREACH(job, &runner->jobs, jobs)
                if (job->pid == 0 && job->due_usec < due && !key_runs(runner, job->key))
                        due = job->due_usec;
        if (due == UINT64_MAX)
                return;
        (void) sd_event_source_set_time(runner->timer, due);
        (void) sd_event_source_set_enabled(runner->timer, SD_EVENT_ONESHOT);
}

/* Splits in place. Returns the number of arguments, or -EINVAL. */
static int split(char *command, char *argv[static ARGUMENTS_MAX + 1]) {
        int n = 0;

        for (char *word = strtok_r(command, BLANKS, &command); word; word = strtok_r(NULL, BLANKS, &command)) {
                if (n == ARGUMENTS_MAX)
                        return -EINVAL;
                argv[n++] = word;
        }
        argv[n] = NULL;
        return n > 0 && argv[0][0] == '/' ? n : -EINVAL;
}

/* In the child: async-signal-safe calls only, for the daemon has threads. */
static _Noreturn void become(char *const argv[], int input_fd, int null_fd) {
        static char *const environment[] = { (char *) "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", NULL };
        sigset_t none;
        int fd;

        (void) setpgid(0, 0);
        sigemptyset(&none);
        (void) sigprocmask(SIG_SETMASK, &none, NULL);
        for (int s = 1; s < NSIG; s++)
                (void) signal(s, SIG_DFL);
        /* The daemon is spared by the OOM killer as far as that goes; what it runs is not. */
        fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
        if (fd >= 0 && write(fd, "0", 1) < 0)
                _exit(126);
        if (dup2(input_fd, STDIN_FILENO) < 0 || dup2(null_fd, STDOUT_FILENO) < 0 || chdir("/") < 0)
                _exit(126);
        (void) close_range(STDERR_FILENO + 1, ~0u, 0);
        (void) execve(argv[0], argv, environment);
        _exit(127);
}

/* A file in memory: the text is there at once, whether or not it is ever read. */
static int text_to_fd(const char *text) {
        _cleanup_close_ int fd = memfd_create("aerostat-alert", MFD_CLOEXEC);
        size_t size = strlen(text);

        if (fd < 0)
                return -errno;
        if (write(fd, text, size) != (ssize_t) size || lseek(fd, 0, SEEK_SET) < 0)
                return -EIO;
        return TAKE_FD(fd);
}

static int on_timeout(sd_event_source *source, uint64_t usec, void *userdata) {
        struct job *job = userdata;

        job->timed_out = true;
        (void) kill(-job->pid, SIGKILL);
        return 0;
}

/* A newer text of the same key came while it ran. */
static bool is_superseded(const struct job *job) {
        for (const struct job *later = TAILQ_NEXT(job, jobs); later; later = TAILQ_NEXT(later, jobs))
                if (strcmp(later->key, job->key) == 0)
                        return true;
        return false;
}

static void fail(struct job *job, const char *why) {
        struct runner *runner = job->runner;
        uint64_t wait = runner->limits.retry_usec;
        char duration[FORMAT_DURATION_MAX];

        runner->counters.failed++;
        if (is_superseded(job)) {
                log_warning("%s %s: %s; not tried again, for what it was to tell has changed", runner->name, job->command, why);
                job_done(job);
                return;
        }
        if (++job->tries >= runner->limits.tries) {
                log_error("%s %s: %s; given up after %u tries", runner->name, job->command, why, job->tries);
                runner->counters.given_up++;
                job_done(job);
                return;
        }
        for (unsigned i = 1; i < job->tries; i++)
                wait = MIN(u64_mul(wait, 4), runner->limits.retry_max_usec);
        log_warning("%s %s: %s; trying again in %s", runner->name, job->command, why, format_duration(wait, duration));
        job->due_usec = u64_add(now_usec(runner), wait);
}

static int on_child(sd_event_source *source, const siginfo_t *si, void *userdata) {
        struct job *job = userdata;
        struct runner *runner = job->runner;
        char why[64];

        job->pid = 0;
        runner->n_running--;
        job->child = sd_event_source_disable_unref(job->child);
        job->timeout = sd_event_source_disable_unref(job->timeout);
        if (si->si_code == CLD_EXITED && si->si_status == 0) {
                runner->counters.delivered++;
                job_done(job);
        } else {
                if (job->timed_out)
                        (void) snprintf(why, sizeof(why), "took too long and was killed");
                else if (si->si_code == CLD_EXITED)
                        (void) snprintf(why, sizeof(why), si->si_status == 127 ? "cannot be run" : "exit code %d", si->si_status);
                else
                        (void) snprintf(why, sizeof(why), "killed by signal %d", si->si_status);
                job->timed_out = false;
                fail(job, why);
        }
        arm(runner);
        return 0;
}

static int start(struct job *job) {
        struct runner *runner = job->runner;
        _cleanup_close_ int input = text_to_fd(job->text), null = open("/dev/null", O_RDWR | O_CLOEXEC);
        _cleanup_free_ char *words = strdup(job->command);
        char *argv[ARGUMENTS_MAX + 1];
        int r;

        if (input < 0 || null < 0 || !words)
                return input < 0 ? input : null < 0 ? -errno : -ENOMEM;
        r = split(words, argv);
        if (r < 0)
                return r;
        job->pid = fork();
        if (job->pid == 0)
                become(argv, input, null);
        if (job->pid < 0) {
                job->pid = 0;
                return -errno;
        }
        (void) setpgid(job->pid, job->pid); /* both do it: whoever comes first */
        runner->n_running++;
        r = sd_event_add_child(runner->event, &job->child, job->pid, WEXITED, on_child, job);
        if (r >= 0)
                r = sd_event_add_time_relative(runner->event, &job->timeout, CLOCK_MONOTONIC, runner->limits.timeout_usec, 0, on_timeout, job);
        if (r < 0) {
                (void) kill(-job->pid, SIGKILL);
                (void) waitpid(job->pid, NULL, 0); /* it is dead: this does not wait */
                job->child = sd_event_source_disable_unref(job->child);
                job->pid = 0;
                runner->n_running--;
        }
        return r;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        struct runner *runner = userdata;
        uint64_t now = now_usec(runner);
        struct job *job, *next;

        for (job = TAILQ_FIRST(&runner->jobs); job && runner->n_running < runner->limits.running; job = next) {
                int r;

                next = TAILQ_NEXT(job, jobs);
                if (job->pid > 0 || job->due_usec > now || key_runs(runner, job->key))
                        continue;
                r = start(job);
                if (r < 0)
                        fail(job, strerror(-r));
        }
        arm(runner);
        return 0;
}

/* Makes place for one of this key. */
static void make_room(struct runner *runner, const char *key) {
        struct job *job, *next;

        for (job = TAILQ_FIRST(&runner->jobs); job; job = next) {
                next = TAILQ_NEXT(job, jobs);
                if (job->pid == 0 && strcmp(job->key, key) == 0)
                        job_free(job);
        }
        for (job = TAILQ_FIRST(&runner->jobs); job && runner->n_jobs >= runner->limits.queued; job = next) {
                next = TAILQ_NEXT(job, jobs);
                if (job->pid != 0)
                        continue;
                if (runner->counters.dropped++ == 0)
                        log_warning("%s cannot keep up: the oldest texts that wait for it are dropped", runner->name);
                job_free(job);
        }
}

int runner_run(struct runner *runner, const char *command, const char *key, const char *text) {
        _cleanup_free_ char *words = strdup(command);
        char *argv[ARGUMENTS_MAX + 1];
        struct job *job;
        int r;

        if (!words)
                return -ENOMEM;
        r = split(words, argv);
        if (r < 0)
                return r;
        make_room(runner, key);
        job = calloc(1, sizeof(*job));
        if (!job)
                return -ENOMEM;
        *job = (struct job) { .runner = runner, .command = strdup(command), .text = strdup(text), .due_usec = now_usec(runner) };
        (void) snprintf(job->key, sizeof(job->key), "%s", key);
        TAILQ_INSERT_TAIL(&runner->jobs, job, jobs);
        runner->n_jobs++;
        if (!job->command || !job->text) {
                job_free(job);
                return -ENOMEM;
        }
        arm(runner);
        return 0;
}

void runner_undelivered(const struct runner *runner, void (*each)(const char *key, const char *text, void *userdata), void *userdata) {
        const struct job *job;

        TAILQ_FOREACH(job, &runner->jobs, jobs)
                if (!is_superseded(job))
                        each(job->key, job->text, userdata);
}

int runner_new(struct runner **ret, sd_event *event, const char *name, const struct runner_limits *limits, runner_done_t done, void *userdata) {
        struct runner *runner = calloc(1, sizeof(*runner));
        int r;

        if (!runner)
                return -ENOMEM;
        *runner = (struct runner) { .event = sd_event_ref(event), .name = name, .limits = *limits, .done = done, .userdata = userdata };
        TAILQ_INIT(&runner->jobs);
        r = sd_event_add_time(event, &runner->timer, CLOCK_MONOTONIC, 0, USEC_PER_MSEC, on_timer, runner);
        if (r >= 0)
                r = sd_event_source_set_enabled(runner->timer, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_source_set_priority(runner->timer, SD_EVENT_PRIORITY_NORMAL + 20);
        if (r < 0) {
                runner_free(runner);
                return r;
        }
        *ret = runner;
        return 0;
}

struct runner *runner_free(struct runner *runner) {
        struct job *job;

        if (!runner)
                return NULL;
        while ((job = TAILQ_FIRST(&runner->jobs)))
                job_free(job);
        sd_event_source_disable_unref(runner->timer);
        sd_event_unref(runner->event);
        free(runner);
        return NULL;
}

void runner_get_counters(const struct runner *runner, struct runner_counters *ret) {
        *ret = runner->counters;
}
