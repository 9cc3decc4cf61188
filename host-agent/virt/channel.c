/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/virt/channel.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include "host-agent/virt/channel_session.h"
#include "host-agent/virt/virt.h"
#include "protocol/frame.h"
#include "protocol/units.h"

#define BACKOFF_MIN_USEC (200 * USEC_PER_MSEC)
#define BACKOFF_MAX_USEC (10 * USEC_PER_SEC)
#define TIMER_ACCURACY_USEC (50 * USEC_PER_MSEC) /* lets the timers of many channels share a wake-up */
#define VIOLATION_SPACING_USEC (10 * USEC_PER_SEC)

/* Beyond this we stop reading until the second is over, and the guest's own writes block: no flood costs us more than about 100 reads and one
 * pass over 256 KiB a second. 50 of the longest frames are 200 KiB. */
#define BYTES_PER_SEC_MAX (256 * KIB)

/* Junk is expected after a connect (the tail of what was said before), but not in a session. */
#define JUNK_MAX (2 * FRAME_SIZE_MAX)

struct channel {
        sd_event *event;
        const struct channel_ops *ops;
        void *userdata;
        char path[VIRT_PATH_MAX];

        enum channel_state state;
        int fd;                        /* -1: not connected */
        sd_event_source *io, *timer;
        uint64_t connect_due_usec;     /* while not connected */
        uint64_t backoff_usec;

        struct channel_session session;
        struct frame_decoder decoder;
        uint8_t out[CHANNEL_SAY_MAX];  /* one frame, whole: the next is made when this one has been written */
        size_t out_size, out_written;

        uint64_t second_usec;          /* when the quotas began to count */
        uint64_t second_frames, second_bytes;
        bool muted;                    /* not read until the second is over */
        uint64_t session_junk;         /* decoder.skipped_bytes when the session got ready */
        uint64_t violation_usec;       /* the last one that was told; 0: none */
        uint64_t reports, dropped_frames, connects;
};

static uint64_t now_usec(void) {
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t) ts.tv_sec * USEC_PER_SEC + (uint64_t) ts.tv_nsec / 1000;
}

static void set_state(struct channel *channel, enum channel_state state) {
        if (channel->state == state && state != CHANNEL_READY)
                return;
        channel->state = state;
        channel->ops->state(channel->userdata, state, state == CHANNEL_READY ? &channel->session.agent : NULL);
}

static void tell_violation(struct channel *channel, const char *text, uint64_t now) {
        if (!channel->ops->violation || (channel->violation_usec != 0 && now < channel->violation_usec + VIOLATION_SPACING_USEC))
                return;
        channel->violation_usec = now;
        channel->ops->violation(channel->userdata, text);
}

/* The one timer: for whatever is due first. */
static void schedule(struct channel *channel) {
        uint64_t due_usec = channel->fd < 0 ? channel->connect_due_usec : channel_session_due(&channel->session);

        if (channel->muted)
                due_usec = MIN(due_usec, channel->second_usec + USEC_PER_SEC);
        (void) sd_event_source_set_time(channel->timer, due_usec);
        (void) sd_event_source_set_enabled(channel->timer, SD_EVENT_ONESHOT);
}

static void disconnect(struct channel *channel, uint64_t now) {
        channel->io = sd_event_source_disable_unref(channel->io);
        closep(&channel->fd);
        channel->fd = -1;
        channel->muted = false;
        channel->connect_due_usec = now + channel->backoff_usec;
        channel->backoff_usec = MIN(2 * channel->backoff_usec, BACKOFF_MAX_USEC);
        set_state(channel, CHANNEL_DISCONNECTED);
}

/* Writes what there is to say until the socket takes no more: with nobody at the other end it soon does not. */
static int pump(struct channel *channel, uint64_t now) {
        for (;;) {
                ssize_t n;

                if (channel->out_written == channel->out_size) {
                        channel->out_written = 0;
                        if (channel_session_say(&channel->session, now, channel->out, &channel->out_size) == 0) {
                                channel->out_size = 0;
                                (void) sd_event_source_set_io_events(channel->io, EPOLLIN);
                                return 0;
                        }
                }
                n = send(channel->fd, channel->out + channel->out_written, channel->out_size - channel->out_written,
                         MSG_DONTWAIT | MSG_NOSIGNAL);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && errno == EAGAIN) {
                        (void) sd_event_source_set_io_events(channel->io, EPOLLIN | EPOLLOUT);
                        return 0;
                }
                if (n < 0)
                        return -errno;
                channel->out_written += (size_t) n;
        }
}

static int begin_session(struct channel *channel, uint64_t now) {
        uint64_t id;

        do
                if (getrandom(&id, sizeof(id), GRND_NONBLOCK) != (ssize_t) sizeof(id))
                        return -EAGAIN; /* no entropy yet: as early as that, later will do */
        while (id == 0);
        frame_decoder_reset(&channel->decoder);
        channel_session_begin(&channel->session, id, now);
        return 0;
}

static int end_session(struct channel *channel, uint64_t now) {
        int r = begin_session(channel, now);

        if (r < 0)
                return r;
        if (channel->out_written == 0) /* what has not begun to be said belongs to the old one */
                channel->out_size = 0;
        set_state(channel, CHANNEL_HELLO);
        return 0;
}

/* One good frame within the quota. Negative: disconnect. */
static int handle_frame(struct channel *channel, const struct frame *frame, uint64_t now) {
        struct message message;

        switch (channel_session_receive(&channel->session, frame, now, &message)) {
        case CHANNEL_SESSION_NOTHING:
                return 0;
        case CHANNEL_SESSION_READY:
                channel->backoff_usec = BACKOFF_MIN_USEC;
                channel->session_junk = channel->decoder.skipped_bytes;
                set_state(channel, CHANNEL_READY);
                return 0;
        case CHANNEL_SESSION_REPORT:
                channel->reports++;
                channel->ops->report(channel->userdata, &message.report, now);
                return 0;
        case CHANNEL_SESSION_ENDED:
                return end_session(channel, now);
        case CHANNEL_SESSION_VIOLATION:
                tell_violation(channel, channel->session.violation, now);
                return 0;
        }
        return 0;
}

static void count_bytes(struct channel *channel, size_t size, uint64_t now) {
        if (now >= channel->second_usec + USEC_PER_SEC) {
                channel->second_usec = now;
                channel->second_frames = channel->second_bytes = 0;
        }
        channel->second_bytes += size;
        if (channel->second_bytes < BYTES_PER_SEC_MAX)
                return;
        /* Not merely without EPOLLIN: EPOLLHUP would wake us all the same. */
        channel->muted = true;
        (void) sd_event_source_set_enabled(channel->io, SD_EVENT_OFF);
        tell_violation(channel, "the agent sends more than 256 KiB a second; it is not read until the second is over", now);
}

/* One read of bounded size. */
static int receive(struct channel *channel, uint64_t now) {
        struct frame frame;
        uint8_t *buf;
        size_t space;
        ssize_t n;
        int r;

        space = frame_decoder_space(&channel->decoder, &buf);
        n = recv(channel->fd, buf, space, MSG_DONTWAIT);
        if (n < 0)
                return errno == EAGAIN || errno == EINTR ? 0 : -errno;
        if (n == 0)
                return -ECONNRESET;
        frame_decoder_fill(&channel->decoder, (size_t) n);
        count_bytes(channel, (size_t) n, now);
        while (frame_decoder_next(&channel->decoder, &frame) > 0) {
                if (++channel->second_frames > CHANNEL_FRAMES_PER_SEC_MAX) {
                        channel->dropped_frames++;
                        tell_violation(channel, "the agent sends more than 50 frames a second; the rest is dropped", now);
                        continue;
                }
                r = handle_frame(channel, &frame, now);
                if (r < 0)
                        return r;
        }
        if (channel->state == CHANNEL_READY && channel->decoder.skipped_bytes - channel->session_junk > JUNK_MAX) {
                channel->session_junk = channel->decoder.skipped_bytes;
                tell_violation(channel, "the agent sends bytes that are no frames", now);
        }
        return 0;
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        struct channel *channel = userdata;
        uint64_t now = now_usec();
        int r = 0;

        if (revents & (EPOLLIN | EPOLLHUP | EPOLLERR))
                r = receive(channel, now);
        if (r >= 0)
                r = pump(channel, now);
        if (r < 0)
                disconnect(channel, now);
        schedule(channel);
        return 0;
}

static int try_connect(struct channel *channel, uint64_t now) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_close_ int fd = -1;
        int r;

        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        memcpy(address.sun_path, channel->path, strlen(channel->path) + 1);
        /* A unix socket connects at once or not at all; EAGAIN is a full backlog. */
        if (connect(fd, (const struct sockaddr *) &address, sizeof(address)) < 0)
                return -errno;
        r = begin_session(channel, now);
        if (r < 0)
                return r;
        r = sd_event_add_io(channel->event, &channel->io, fd, EPOLLIN, on_io, channel);
        if (r < 0)
                return r;
        channel->fd = TAKE_FD(fd);
        channel->out_size = channel->out_written = 0;
        channel->connects++;
        set_state(channel, CHANNEL_HELLO);
        return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        struct channel *channel = userdata;
        uint64_t now = now_usec();
        int r = 0;

        if (channel->fd < 0) {
                r = now >= channel->connect_due_usec ? try_connect(channel, now) : 0;
                if (r < 0)
                        disconnect(channel, now);
        }
        if (channel->muted && now >= channel->second_usec + USEC_PER_SEC) {
                channel->muted = false;
                (void) sd_event_source_set_enabled(channel->io, SD_EVENT_ON);
        }
        if (channel->fd >= 0) {
                if (channel_session_tick(&channel->session, now) == CHANNEL_SESSION_ENDED)
                        r = end_session(channel, now);
                if (r >= 0)
                        r = pump(channel, now);
                if (r < 0)
                        disconnect(channel, now);
        }
        schedule(channel);
        return 0;
}

int channel_new(struct channel **ret, sd_event *event, const char *path, const struct channel_ops *ops, void *userdata) {
        _cleanup_(channel_freep) struct channel *channel = NULL;
        int r;

        if (!path[0])
                return -EINVAL;
        if (strlen(path) >= sizeof(channel->path))
                return -ENAMETOOLONG;
        channel = calloc(1, sizeof(*channel));
        if (!channel)
                return -ENOMEM;
        channel->fd = -1;
        channel->event = sd_event_ref(event);
        channel->ops = ops;
        channel->userdata = userdata;
        channel->backoff_usec = BACKOFF_MIN_USEC;
        snprintf(channel->path, sizeof(channel->path), "%s", path);
        /* Due at once, so that the first state is told from the event loop, not from in here. */
        r = sd_event_add_time(event, &channel->timer, CLOCK_MONOTONIC, 0, TIMER_ACCURACY_USEC, on_timer, channel);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(channel);
        return 0;
}

struct channel *channel_free(struct channel *channel) {
        if (!channel)
                return NULL;
        if (channel->fd >= 0 && channel->out_written == channel->out_size &&
            channel_session_goodbye(&channel->session, channel->out, &channel->out_size) > 0)
                (void) send(channel->fd, channel->out, channel->out_size, MSG_DONTWAIT | MSG_NOSIGNAL);
        sd_event_source_disable_unref(channel->io);
        sd_event_source_disable_unref(channel->timer);
        closep(&channel->fd);
        sd_event_unref(channel->event);
        free(channel);
        return NULL;
}

int channel_set_interval(struct channel *channel, uint32_t interval_msec, uint64_t pressure_available_bytes) {
        const struct message_set_interval interval = { .interval_msec = interval_msec,
                                                       .pressure_available_bytes = pressure_available_bytes };
        int r;

        r = channel_session_set_interval(&channel->session, &interval);
        if (r <= 0 || channel->fd < 0)
                return MIN(r, 0);
        /* Said from the timer: a write that fails would tell the state from inside this request. */
        (void) sd_event_source_set_time(channel->timer, 0);
        (void) sd_event_source_set_enabled(channel->timer, SD_EVENT_ONESHOT);
        return 0;
}

void channel_restart(struct channel *channel) {
        uint64_t now = now_usec();

        if (channel->fd < 0) /* a new session is due anyway */
                return;
        if (end_session(channel, now) < 0)
                disconnect(channel, now);
        schedule(channel);
}

void channel_get_counters(const struct channel *channel, struct channel_counters *ret) {
        *ret = (struct channel_counters) {
                .reports = channel->reports,
                .stale_frames = channel->session.stale_frames,
                .dropped_frames = channel->dropped_frames,
                .skipped_bytes = channel->decoder.skipped_bytes,
                .bad_frames = channel->decoder.bad_checksums + channel->decoder.bad_versions,
                .reconnects = u64_sub(channel->connects, 1),
        };
}
