/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The loop: the port, the requests, dead children, the watch's timer. See load.h for the protocol. */

#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "load.h"

#define PORT_NAME "org.aerostat.lab.0"
#define WRITE_PATIENCE_MSEC 1000 /* a host that reads nothing for this long loses the line */

static int port_fd = -1;

uint64_t now_usec(void) {
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t) ts.tv_sec * 1000000 + (uint64_t) ts.tv_nsec / 1000;
}

static void fail(const char *what) {
        fprintf(stderr, "lab-load: %s: %s\n", what, strerror(errno));
        exit(1); /* PID 1: the guest panics and says so on its console */
}

const char *request_get(const struct request *request, const char *key) {
        size_t n = strlen(key);

        for (size_t i = 0; i < request->n_args; i++)
                if (strncmp(request->args[i], key, n) == 0 && request->args[i][n] == '=')
                        return request->args[i] + n + 1;
        return NULL;
}

uint64_t request_get_u64(const struct request *request, const char *key, uint64_t otherwise) {
        const char *s = request_get(request, key);
        char *end;
        uint64_t value;

        if (!s)
                return otherwise;
        value = strtoull(s, &end, 10);
        return *s >= '0' && *s <= '9' && *end == 0 ? value : UINT64_MAX;
}

static void write_line(const char *line, size_t size) {
        while (size > 0) {
                ssize_t n = write(port_fd, line, size);

                if (n > 0) {
                        line += n;
                        size -= (size_t) n;
                        continue;
                }
                struct pollfd p = { .fd = port_fd, .events = POLLOUT };
                if (errno != EAGAIN || poll(&p, 1, WRITE_PATIENCE_MSEC) <= 0 || p.revents & POLLHUP)
                        return;
        }
}

/* Puts `head`, the time, the formatted members and the closing brace together. */
static void send_line(const char *head, const char *format, va_list ap) {
        char line[LINE_SIZE];
        int n;

        n = snprintf(line, sizeof line, "{%s,\"time_usec\":%" PRIu64, head, now_usec());
        n += vsnprintf(line + n, sizeof line - (size_t) n, format, ap);
        if ((size_t) n > sizeof line - 3)
                n = sizeof line - 3;
        line[n++] = '}';
        line[n++] = '\n';
        write_line(line, (size_t) n);
}

void answer(const struct request *request, const char *format, ...) {
        char head[64];
        va_list ap;

        snprintf(head, sizeof head, "\"id\":%" PRIu64 ",\"ok\":true", request->id);
        va_start(ap, format);
        send_line(head, format, ap);
        va_end(ap);
}

static void send_refusal(const char *head, const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        send_line(head, format, ap);
        va_end(ap);
}

void refuse(const struct request *request, const char *sentence) {
        char head[64];

        snprintf(head, sizeof head, "\"id\":%" PRIu64 ",\"ok\":false", request->id);
        send_refusal(head, ",\"error\":\"%s\"", sentence);
}

void send_event(const char *name, const char *format, ...) {
        char head[64];
        va_list ap;

        snprintf(head, sizeof head, "\"event\":\"%s\"", name);
        va_start(ap, format);
        send_line(head, format, ap);
        va_end(ap);
}

static void handle_request(char *line) {
        struct request request = { 0 };
        char *word, *save = NULL;

        word = strtok_r(line, " ", &save);
        request.id = word ? strtoull(word, NULL, 10) : 0;
        request.verb = strtok_r(NULL, " ", &save);
        while (request.n_args < ARGS_MAX && (word = strtok_r(NULL, " ", &save)))
                request.args[request.n_args++] = word;

        if (!request.verb)
                refuse(&request, "no verb");
        else if (strcmp(request.verb, "ping") == 0)
                answer(&request, "%s", "");
        else if (strcmp(request.verb, "hold") == 0)
                work_start(&request, false);
        else if (strcmp(request.verb, "cache") == 0)
                work_start(&request, true);
        else if (strcmp(request.verb, "free") == 0)
                work_free(&request);
        else if (strcmp(request.verb, "work") == 0)
                work_show(&request);
        else if (strcmp(request.verb, "guest") == 0)
                guest_show(&request);
        else if (strcmp(request.verb, "watch") == 0)
                watch_set(&request);
        else if (strcmp(request.verb, "agent") == 0)
                agent_request(&request);
        else if (strcmp(request.verb, "balloon") == 0)
                balloon_request(&request);
        else if (strcmp(request.verb, "junk") == 0)
                junk_request(&request);
        else if (strcmp(request.verb, "reboot") == 0) {
                answer(&request, "%s", "");
                reboot(RB_AUTOBOOT);
        } else
                refuse(&request, "unknown verb");
}

/* Reads what is there; a line longer than the buffer is dropped. */
static void read_requests(void) {
        static char buf[LINE_SIZE];
        static size_t used;
        ssize_t n;

        while ((n = read(port_fd, buf + used, sizeof buf - 1 - used)) > 0) {
                char *start = buf, *end;

                used += (size_t) n;
                buf[used] = 0;
                while ((end = strchr(start, '\n'))) {
                        *end = 0;
                        handle_request(start);
                        start = end + 1;
                }
                used -= (size_t) (start - buf);
                memmove(buf, start, used);
                if (used >= sizeof buf - 1)
                        used = 0;
        }
}

static void reap_children(void) {
        pid_t pid;
        int status;

        while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
                if (!work_reaped(pid, status))
                        agent_reaped(pid, status);
}

/* Opens the port by its name; no udevd runs here. */
int open_port(const char *wanted) {
        DIR *dir = opendir("/sys/class/virtio-ports");
        struct dirent *entry;
        int fd = -1;

        while (dir && fd < 0 && (entry = readdir(dir))) {
                char path[300], name[64] = "";
                FILE *f;

                snprintf(path, sizeof path, "/sys/class/virtio-ports/%s/name", entry->d_name);
                f = fopen(path, "re");
                if (!f)
                        continue;
                if (fgets(name, sizeof name, f) && strcspn(name, "\n") == strlen(wanted) && strncmp(name, wanted, strlen(wanted)) == 0) {
                        snprintf(path, sizeof path, "/dev/%s", entry->d_name);
                        fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
                }
                fclose(f);
        }
        if (dir)
                closedir(dir);
        return fd;
}

/* Edge-triggered for the port: level-triggered poll spins while no host is connected. */
static void epoll_add(int epoll_fd, int fd, uint32_t events) {
        struct epoll_event event = { .events = events, .data.fd = fd };

        if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
                fail("epoll_ctl");
}

static int open_signals(void) {
        sigset_t mask;

        sigemptyset(&mask);
        sigaddset(&mask, SIGCHLD);
        sigprocmask(SIG_BLOCK, &mask, NULL);
        return signalfd(-1, &mask, SFD_NONBLOCK | SFD_CLOEXEC);
}

int main(int argc, char **argv) {
        const struct sched_param param = { .sched_priority = 1 };
        int epoll_fd, signal_fd, timer_fd;
        bool host_seen = false;

        port_fd = open_port(PORT_NAME);
        if (port_fd < 0)
                fail("no port " PORT_NAME);
        epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        signal_fd = open_signals();
        timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
        if (epoll_fd < 0 || signal_fd < 0 || timer_fd < 0)
                fail("descriptors");
        epoll_add(epoll_fd, port_fd, EPOLLIN | EPOLLOUT | EPOLLET);
        epoll_add(epoll_fd, signal_fd, EPOLLIN);
        epoll_add(epoll_fd, timer_fd, EPOLLIN);

        work_init(argc > 2 ? argv[2] : "");
        if (mlockall(MCL_CURRENT) < 0 || sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &param) < 0)
                fail("lock or priority");
        if (argc > 1 && strcmp(argv[1], "agent") == 0 && agent_start() < 0)
                fail("start the guest agent");

        for (;;) {
                struct itimerspec timer = { 0 };
                struct epoll_event events[4];
                int n;

                if (watch_active())
                        timer.it_value.tv_nsec = timer.it_interval.tv_nsec = WATCH_PERIOD_USEC * 1000;
                timerfd_settime(timer_fd, 0, &timer, NULL);

                n = epoll_wait(epoll_fd, events, 4, -1);
                for (int i = 0; i < n; i++) {
                        char sink[sizeof(struct signalfd_siginfo)];

                        if (events[i].data.fd == port_fd) {
                                bool host = !(events[i].events & EPOLLHUP);

                                if (host && !host_seen)
                                        send_event("ready", "%s", "");
                                host_seen = host;
                                read_requests();
                        } else if (events[i].data.fd == signal_fd) {
                                while (read(signal_fd, sink, sizeof sink) > 0)
                                        ;
                                reap_children();
                        } else if (read(timer_fd, sink, sizeof sink) > 0)
                                watch_tick();
                }
        }
}
