/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guest-agent/agent.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>

#include "guest-agent/pace.h"
#include "guest-agent/sample.h"
#include "guest-agent/session.h"
#include "protocol/frame.h"
#include "protocol/procfs.h"
#include "protocol/units.h"

#define RETRY_MIN_USEC USEC_PER_SEC          /* after EBUSY and the like; doubles */
#define RETRY_MAX_USEC (30 * USEC_PER_SEC)

/* A host writes a frame in one go. What is still incomplete after this time is the stump of a frame that was cut; the bytes that
 * come now belong to another one. */
#define PARTIAL_USEC USEC_PER_SEC

/* Bytes read before others get their turn: a host that never stops writing may not stop our timer. */
#define READS_PER_WAKEUP 64

enum source { SOURCE_PORT, SOURCE_MONITOR, SOURCE_TIMER, SOURCE_PSI, SOURCE_QUIT };

struct agent {
        struct config config;
        struct port *port;
        int epoll_fd, timer_fd, psi_fd;
        struct sampler sampler;
        struct session session;
        struct pace pace;
        struct frame_decoder decoder;
        uint64_t partial_usec;          /* since when the decoder holds an incomplete frame; 0: it does not */
        bool host;                      /* someone has the other end open */
        bool writable_wanted;           /* the port is polled for EPOLLOUT */
        uint64_t look_usec;             /* when to look at memory next; 0: never */
        uint64_t retry_usec;            /* when to try to open the port next; 0: never */
        uint64_t retry_interval_usec;
        uint64_t armed_usec;            /* what the timer is set to; 0: off */
        bool sample_failed;             /* said so already */
        struct agent_stats stats;
};

static uint64_t now_usec(void) {
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts); /* cannot fail */
        return (uint64_t) ts.tv_sec * USEC_PER_SEC + (uint64_t) ts.tv_nsec / 1000;
}

static int watch(struct agent *agent, int fd, enum source source, uint32_t events) {
        struct epoll_event event = { .events = events, .data.u32 = source };

        return epoll_ctl(agent->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

static void change_watch(struct agent *agent, int fd, enum source source, uint32_t events) {
        struct epoll_event event = { .events = events, .data.u32 = source };

        (void) epoll_ctl(agent->epoll_fd, EPOLL_CTL_MOD, fd, &event); /* fails only for a descriptor that was never added */
}

/* Sets the timer to the next thing to do, or off. */
static void arm_timer(struct agent *agent) {
        uint64_t next = agent->look_usec == 0    ? agent->retry_usec
                        : agent->retry_usec == 0 ? agent->look_usec
                                                 : MIN(agent->look_usec, agent->retry_usec);
        struct itimerspec spec = {
                .it_value.tv_sec = (time_t) (next / USEC_PER_SEC),
                .it_value.tv_nsec = (long) (next % USEC_PER_SEC * 1000),
        };

        if (next == agent->armed_usec)
                return;
        if (timerfd_settime(agent->timer_fd, TFD_TIMER_ABSTIME, &spec, NULL) >= 0)
                agent->armed_usec = next;
}

static void poll_psi(struct agent *agent, bool on) {
        struct pollfd stale = { .fd = agent->psi_fd, .events = POLLPRI };

        if (agent->psi_fd < 0)
                return;
        if (on)
                (void) poll(&stale, 1, 0); /* takes an event from before the session away */
        change_watch(agent, agent->psi_fd, SOURCE_PSI, on ? EPOLLPRI : 0);
}

static void drop_psi(struct agent *agent) {
        closep(&agent->psi_fd);
        agent->psi_fd = -1;
        agent->session.identity.features &= ~(uint64_t) MESSAGE_FEATURE_PSI_TRIGGER;
}

/* No session any more: back to costing nothing. */
static void stop_sampling(struct agent *agent) {
        agent->look_usec = 0;
        poll_psi(agent, false);
}

static void forget_host(struct agent *agent) {
        agent->host = false;
        agent->partial_usec = 0;
        frame_decoder_reset(&agent->decoder);
        session_reset(&agent->session);
        stop_sampling(agent);
}

static void host_gone(struct agent *agent) {
        if (agent->session.id != 0)
                log_info("the host has closed the channel");
        forget_host(agent);
}

/* The port itself is gone, or not usable now. The monitor tells when one comes; without it, or after an error, we look again. */
static void port_lost(struct agent *agent, int error) {
        log_info("port %s is gone: %s", port_path(agent->port), strerror(-error));
        forget_host(agent);
        port_close(agent->port); /* epoll forgets it with its last descriptor */
        agent->retry_interval_usec = RETRY_MIN_USEC;
        agent->retry_usec = now_usec() + agent->retry_interval_usec;
}

static void want_writable(struct agent *agent, bool wanted) {
        uint32_t events = EPOLLET | EPOLLIN | (wanted ? (uint32_t) EPOLLOUT : 0);

        if (wanted == agent->writable_wanted)
                return;
        agent->writable_wanted = wanted;
        change_watch(agent, port_fd(agent->port), SOURCE_PORT, events);
}

static void flush(struct agent *agent) {
        const uint8_t *data;
        size_t size;

        if (port_fd(agent->port) < 0)
                return;
        while ((data = queue_peek(&agent->session.queue, &size))) {
                ssize_t n = port_write(agent->port, data, size);
                if (n == -EAGAIN || n == 0)
                        break;
                if (n < 0) {
                        port_lost(agent, (int) n);
                        return;
                }
                queue_consume(&agent->session.queue, (size_t) n);
        }
        want_writable(agent, data != NULL);
}

/* Looks at memory, reports if there is reason to, and sets the time of the next look. */
static void look(struct agent *agent, bool psi) {
        struct pace_decision decision;
        struct message_report report;
        uint64_t total, available, now = now_usec();
        int r;

        r = sampler_look(&agent->sampler, &total, &available);
        if (r >= 0) {
                decision = pace_look(&agent->pace, now, total, available, psi);
                agent->look_usec = decision.next_usec;
                if (decision.reason)
                        r = sampler_report(&agent->sampler, &report);
        }
        if (r < 0) {
                if (!agent->sample_failed)
                        log_warning("cannot read /proc/meminfo: %s", strerror(-r));
                agent->sample_failed = true;
                agent->look_usec = now + PACE_CALM_USEC;
                return;
        }
        agent->sample_failed = false;
        if (!decision.reason)
                return;
        report.reason = decision.reason;
        r = session_report(&agent->session, &report, now);
        if (r < 0)
                log_debug("report dropped: %s", strerror(-r));
        else
                agent->stats.reports++;
        flush(agent);
}

static void apply_interval(struct agent *agent) {
        const struct message_set_interval *interval = &agent->session.interval;

        if (interval->interval_msec == 0)
                return;
        agent->pace.interval_usec = interval->interval_msec * USEC_PER_MSEC;
        agent->pace.threshold_bytes = interval->pressure_available_bytes;
}

static void handle_event(struct agent *agent, enum session_event event) {
        switch (event) {
        case SESSION_BEGUN:
                agent->stats.sessions++;
                log_info("session %016llx with the host", (unsigned long long) agent->session.id);
                pace_reset(&agent->pace);
                apply_interval(agent);
                poll_psi(agent, true);
                look(agent, false);
                break;
        case SESSION_CHANGED:
                log_debug("the host wants a report every %u ms", (unsigned) agent->session.interval.interval_msec);
                apply_interval(agent);
                look(agent, false);
                break;
        case SESSION_ENDED:
                log_info("the host says goodbye");
                stop_sampling(agent);
                break;
        case SESSION_NOTHING:
                break;
        }
}

static void receive(struct agent *agent) {
        struct frame frame;

        while (frame_decoder_next(&agent->decoder, &frame) > 0)
                handle_event(agent, session_receive(&agent->session, &frame, now_usec()));
}

/* Reads all there is. A first-time opener hears what was meant for others; session.c sorts it out. */
static void port_ready(struct agent *agent) {
        bool any = false;

        for (unsigned i = 0; port_fd(agent->port) >= 0; i++) {
                uint64_t now = now_usec();
                uint8_t *buf;
                size_t space;
                ssize_t n;

                if (i == READS_PER_WAKEUP) {
                        /* Setting the events again makes epoll tell us again. */
                        agent->writable_wanted = true;
                        change_watch(agent, port_fd(agent->port), SOURCE_PORT, EPOLLET | EPOLLIN | EPOLLOUT);
                        return;
                }
                if (agent->partial_usec > 0 && now - agent->partial_usec > PARTIAL_USEC) {
                        frame_decoder_reset(&agent->decoder);
                        agent->partial_usec = 0;
                }
                space = frame_decoder_space(&agent->decoder, &buf);
                n = port_read(agent->port, buf, space);
                if (n == 0) {
                        host_gone(agent);
                        return;
                }
                if (n == -EAGAIN) {
                        agent->host = true;
                        break;
                }
                if (n < 0) {
                        port_lost(agent, (int) n);
                        return;
                }
                agent->host = any = true;
                frame_decoder_fill(&agent->decoder, (size_t) n);
                receive(agent);
                if (agent->decoder.fill == agent->decoder.taken)
                        agent->partial_usec = 0;
                else if (agent->partial_usec == 0)
                        agent->partial_usec = now;
        }
        if (any)
                handle_event(agent, session_drained(&agent->session, now_usec()));
        flush(agent);
}

/* Opens the port if it can be had, else says when to try again. */
static void try_open(struct agent *agent) {
        bool have_monitor = port_monitor_fd(agent->port) >= 0;
        int r;

        if (port_fd(agent->port) >= 0)
                return;
        r = port_open(agent->port);
        if (r >= 0) {
                agent->writable_wanted = false;
                r = watch(agent, port_fd(agent->port), SOURCE_PORT, EPOLLET | EPOLLIN);
                if (r < 0)
                        port_close(agent->port);
        }
        if (r >= 0) {
                agent->stats.opens++;
                agent->retry_usec = 0;
                agent->retry_interval_usec = 0;
                log_info("port %s is open", port_path(agent->port));
                port_ready(agent);
                if (agent->host && agent->session.id == 0 && port_fd(agent->port) >= 0) {
                        session_announce(&agent->session, now_usec());
                        flush(agent);
                }
                return;
        }
        if (agent->retry_interval_usec == 0)
                log_info("waiting for port %s: %s", agent->config.port, r == -ENOENT ? "there is none yet" : strerror(-r));
        if (r == -ENOENT && have_monitor) {
                /* It costs nothing to wait for one to be plugged. */
                agent->retry_usec = 0;
                agent->retry_interval_usec = RETRY_MIN_USEC;
                return;
        }
        agent->retry_interval_usec = CLAMP(agent->retry_interval_usec * 2, RETRY_MIN_USEC, RETRY_MAX_USEC);
        agent->retry_usec = now_usec() + agent->retry_interval_usec;
}

static void timer_ready(struct agent *agent) {
        uint64_t expirations, now;

        if (read(agent->timer_fd, &expirations, sizeof(expirations)) < 0)
                return; /* it was set anew in the meantime */
        agent->armed_usec = 0;
        now = now_usec();
        if (agent->look_usec != 0 && now >= agent->look_usec)
                look(agent, false);
        if (agent->retry_usec != 0 && now >= agent->retry_usec) {
                agent->retry_usec = 0;
                try_open(agent);
        }
}

static void psi_ready(struct agent *agent, uint32_t events) {
        if (events & EPOLLERR) {
                log_warning("the PSI trigger is broken; going on by available memory");
                drop_psi(agent);
                return;
        }
        if (agent->session.id != 0 && (events & EPOLLPRI))
                look(agent, true);
}

/* Arms the PSI trigger where the kernel lets us. Without privilege the window has to be a multiple of 2 s. */
static void open_psi(struct agent *agent) {
        const struct config *config = &agent->config;
        const uint64_t unprivileged = 2 * USEC_PER_SEC;
        int r;

        if (config->psi_stall_usec == 0)
                return;
        r = psi_trigger_open(agent->sampler.root_fd, config->psi_stall_usec, config->psi_window_usec);
        if (r == -EINVAL)
                r = psi_trigger_open(agent->sampler.root_fd,
                                     MAX(u64_mul_div(config->psi_stall_usec, unprivileged, config->psi_window_usec), 1), unprivileged);
        if (r >= 0) {
                agent->psi_fd = r;
                r = watch(agent, agent->psi_fd, SOURCE_PSI, 0);
        }
        if (r < 0) {
                log_info("no PSI trigger (%s); going on by available memory", strerror(-r));
                drop_psi(agent);
                return;
        }
        agent->session.identity.features |= MESSAGE_FEATURE_PSI_TRIGGER;
}

static int set_up(struct agent *agent, const char *root, int quit_fd) {
        int r;

        agent->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        if (agent->epoll_fd < 0)
                return -errno;
        agent->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
        if (agent->timer_fd < 0)
                return -errno;
        r = sampler_open(&agent->sampler, root);
        if (r < 0)
                return r;
        r = sampler_identity(&agent->sampler, &agent->session.identity);
        if (r < 0)
                return r;
        sampler_boot_id(&agent->sampler, agent->session.boot_id);
        r = watch(agent, agent->timer_fd, SOURCE_TIMER, EPOLLIN);
        if (r >= 0 && quit_fd >= 0)
                r = watch(agent, quit_fd, SOURCE_QUIT, EPOLLIN);
        if (r >= 0 && port_monitor_fd(agent->port) >= 0)
                r = watch(agent, port_monitor_fd(agent->port), SOURCE_MONITOR, EPOLLIN);
        if (r < 0)
                return r;
        open_psi(agent);
        return 0;
}

int agent_new(const struct config *config, const char *root, struct port *port, int quit_fd, struct agent **ret) {
        struct agent *agent = calloc(1, sizeof(*agent));
        int r;

        if (!agent) {
                port_free(port);
                return -ENOMEM;
        }
        agent->config = *config;
        agent->port = port;
        agent->epoll_fd = agent->timer_fd = agent->psi_fd = -1;
        agent->sampler.root_fd = agent->sampler.meminfo_fd = agent->sampler.vmstat_fd = -1;
        agent->sampler.pressure_fd = agent->sampler.arcstats_fd = -1;
        session_reset(&agent->session);
        pace_reset(&agent->pace);
        r = set_up(agent, root, quit_fd);
        if (r < 0) {
                log_error("cannot start below %s: %s", root, strerror(-r));
                agent_free(agent);
                return r;
        }
        agent->retry_usec = now_usec(); /* the first step opens the port, when the caller has told all about us */
        *ret = agent;
        return 0;
}

struct agent *agent_free(struct agent *agent) {
        if (!agent)
                return NULL;
        if (agent->session.id != 0) {
                session_goodbye(&agent->session, now_usec());
                flush(agent);
        }
        sampler_close(&agent->sampler);
        closep(&agent->psi_fd);
        closep(&agent->timer_fd);
        closep(&agent->epoll_fd);
        port_free(agent->port);
        free(agent);
        return NULL;
}

void agent_set_locked(struct agent *agent) {
        agent->session.identity.features |= MESSAGE_FEATURE_LOCKED;
}

int agent_step(struct agent *agent, int timeout_msec) {
        struct epoll_event events[8];
        bool quit = false;
        int n;

        arm_timer(agent);
        n = epoll_wait(agent->epoll_fd, events, ARRAY_SIZE(events), timeout_msec);
        if (n < 0)
                return errno == EINTR ? 0 : -errno;
        agent->stats.wakeups += n > 0;
        for (int i = 0; i < n; i++)
                switch ((enum source) events[i].data.u32) {
                case SOURCE_PORT:
                        port_ready(agent);
                        break;
                case SOURCE_MONITOR:
                        if (port_monitor_drain(agent->port))
                                try_open(agent);
                        break;
                case SOURCE_TIMER:
                        timer_ready(agent);
                        break;
                case SOURCE_PSI:
                        if (agent->psi_fd >= 0)
                                psi_ready(agent, events[i].events);
                        break;
                case SOURCE_QUIT:
                        quit = true;
                        break;
                }
        return quit;
}

const struct agent_stats *agent_get_stats(const struct agent *agent) {
        return &agent->stats;
}
