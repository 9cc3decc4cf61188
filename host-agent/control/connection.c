/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/control/connection.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define INPUT_MIN 1024u
#define SEND_MAX (256u * 1024u) /* at one wake-up */

size_t connection_unread(const struct connection *c) {
        return c->out_fill - c->out_pos;
}

static const char *message_end(const struct connection *c) {
        return c->in_fill > 0 ? memchr(c->in, 0, c->in_fill) : NULL;
}

static void set_output(struct connection *c, char *out, size_t size, size_t fill) {
        c->server->out_total_bytes += size - c->out_size;
        free(c->out);
        c->out = out;
        c->out_size = size;
        c->out_fill = fill;
        c->out_pos = 0;
}

/* Ends a connection, but leaves it to its own event, or else the next tick, to free it: who is up the stack may be about to use it, or be called back
 * by it. */
static void give_up(struct connection *c) {
        c->broken = true;
        c->deadline_usec = 0;
        set_output(c, NULL, 0, 0);
        (void) shutdown(c->fd, SHUT_RDWR); /* which is an event, for the client too */
}

static void drop_input(struct connection *c, size_t size) {
        c->in_fill -= size;
        if (c->in_fill == 0) {
                free(TAKE_PTR(c->in));
                c->in_size = 0;
        } else
                memmove(c->in, c->in + size, c->in_fill);
}

/* Sends what the socket takes at once. */
static void flush(struct connection *c) {
        ssize_t n;

        n = send(c->fd, c->out + c->out_pos, MIN(connection_unread(c), SEND_MAX), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0) {
                c->broken = errno != EAGAIN && errno != EINTR;
                return;
        }
        c->out_pos += (size_t) n;
        if (connection_unread(c) == 0)
                set_output(c, NULL, 0, 0);
}

/* Reads once, into a buffer that doubles up to the size of the longest call. */
static void fill(struct connection *c) {
        size_t limit = c->server->service.limits.message_bytes;
        ssize_t n;

        if (c->in_fill == c->in_size) {
                size_t size = MIN(MAX(c->in_size * 2, INPUT_MIN), limit);
                char *bigger = realloc(c->in, size);

                if (!bigger) {
                        c->broken = true;
                        return;
                }
                c->in = bigger;
                c->in_size = size;
        }
        n = recv(c->fd, c->in + c->in_fill, c->in_size - c->in_fill, MSG_DONTWAIT);
        if (n < 0) {
                c->broken = errno != EAGAIN && errno != EINTR;
                return;
        }
        c->eof = n == 0;
        c->in_fill += (size_t) n;
        if (c->in_fill == limit && !message_end(c))
                connection_fail(c, "the call is too long");
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        struct connection *c = userdata;

        if (c->broken || !(events & (EPOLLOUT | EPOLLIN)))
                c->broken = true; /* EPOLLHUP or EPOLLERR, and we wait for nothing that it may have said before */
        else if (events & EPOLLOUT)
                flush(c);
        else
                fill(c);
        connection_update(c);
        return 0;
}

static uint64_t patience_usec(const struct connection *c) {
        const struct varlink_limits *limits = &c->server->service.limits;

        switch (c->phase) {
        case CONNECTION_IDLE:
                return limits->idle_usec;
        case CONNECTION_PARTIAL:
                return limits->message_usec;
        case CONNECTION_UNREAD:
                return limits->reply_usec;
        case CONNECTION_QUEUED:
        case CONNECTION_HELD:
                break;
        }
        return UINT64_MAX;
}

static void enter(struct connection *c, enum connection_phase phase) {
        uint64_t now = 0;

        if (c->phase == CONNECTION_QUEUED)
                TAILQ_REMOVE(&c->server->ready, c, ready);
        c->phase = phase;
        if (phase == CONNECTION_QUEUED) {
                TAILQ_INSERT_TAIL(&c->server->ready, c, ready);
                (void) sd_event_source_set_enabled(c->server->work, SD_EVENT_ONESHOT);
        }
        TAILQ_REMOVE(&c->server->connections, c, all);
        TAILQ_INSERT_TAIL(&c->server->connections, c, all);
        (void) sd_event_now(c->server->event, CLOCK_MONOTONIC, &now);
        c->deadline_usec = u64_add(now, patience_usec(c));
}

static enum connection_phase next_phase(const struct connection *c) {
        if (connection_unread(c) > 0)
                return CONNECTION_UNREAD;
        if (c->call)
                return CONNECTION_HELD;
        if (message_end(c))
                return CONNECTION_QUEUED;
        return c->in_fill > 0 ? CONNECTION_PARTIAL : CONNECTION_IDLE;
}

void connection_update(struct connection *c) {
        enum connection_phase phase = next_phase(c);
        bool waits_for_input = phase == CONNECTION_IDLE || phase == CONNECTION_PARTIAL;
        uint32_t events = 0;
        int r;

        if (c->broken || (waits_for_input && (c->eof || c->failed))) {
                connection_free(c);
                return;
        }
        if (phase != c->phase)
                enter(c, phase);
        if (phase == CONNECTION_UNREAD)
                events = EPOLLOUT;
        else if (!c->eof && !message_end(c)) /* in phase HELD too: that is how we hear that the client has gone */
                events = EPOLLIN;
        /* A client that sent its call and went is still served; but epoll would report its EPOLLHUP all the while. */
        r = sd_event_source_set_enabled(c->io, phase == CONNECTION_QUEUED ? SD_EVENT_OFF : SD_EVENT_ON);
        if (r >= 0)
                r = sd_event_source_set_io_events(c->io, events);
        if (r < 0)
                give_up(c);
}

int connection_new(struct varlink_server *server, int fd, uid_t uid) {
        struct connection *c = calloc(1, sizeof(*c));
        int r;

        if (!c)
                return -ENOMEM;
        *c = (struct connection) { .server = server, .fd = fd, .uid = uid };
        r = sd_event_add_io(server->event, &c->io, fd, EPOLLIN, on_io, c);
        if (r >= 0)
                r = sd_event_source_set_priority(c->io, CONNECTION_PRIORITY);
        if (r < 0) {
                sd_event_source_disable_unref(c->io);
                free(c);
                return r;
        }
        TAILQ_INSERT_TAIL(&server->connections, c, all);
        enter(c, CONNECTION_IDLE);
        return 0;
}

void connection_free(struct connection *c) {
        struct varlink_call *call = TAKE_PTR(c->call);

        if (call) {
                if (call->closed)
                        call->closed(call, call->closed_userdata);
                varlink_message_done(&call->message);
                free(call);
        }
        if (c->phase == CONNECTION_QUEUED)
                TAILQ_REMOVE(&c->server->ready, c, ready);
        TAILQ_REMOVE(&c->server->connections, c, all);
        set_output(c, NULL, 0, 0);
        sd_event_source_disable_unref(c->io);
        close(c->fd);
        free(c->in);
        free(c);
}

int connection_take_message(struct connection *c, struct varlink_message *ret, const char **ret_error) {
        size_t size = (size_t) (message_end(c) - c->in);
        int r;

        enter(c, CONNECTION_HELD); /* off the ready list: if there is another call behind this one, it goes to the end */
        r = varlink_message_parse(c->in, size, ret, ret_error);
        drop_input(c, size + 1);
        return r;
}

/* Makes room under the limit for all by dropping those that have kept a reply unread for longest. */
static void make_room(struct connection *c, size_t size) {
        struct varlink_server *server = c->server;
        struct connection *i = TAILQ_FIRST(&server->connections);

        for (; i && server->out_total_bytes + size > server->service.limits.output_total_bytes; i = TAILQ_NEXT(i, all))
                if (i != c && connection_unread(i) > 0)
                        give_up(i);
}

/* Into a buffer that doubles: to copy all that a client has not read with each event would cost the most when there is most to do. */
static int append(struct connection *c, const char *bytes, size_t size) {
        if (c->out_size - c->out_fill < size) {
                size_t old = connection_unread(c), bigger_size = 2 * old + size;
                char *bigger;

                make_room(c, bigger_size);
                bigger = malloc(bigger_size);
                if (!bigger)
                        return -ENOMEM;
                memcpy(bigger, c->out + c->out_pos, old);
                set_output(c, bigger, bigger_size, old);
        }
        memcpy(c->out + c->out_fill, bytes, size);
        c->out_fill += size;
        return 0;
}

int connection_send(struct connection *c, char *bytes, size_t size) {
        int r = 0;

        if (c->broken || connection_unread(c) + size > c->server->service.limits.output_bytes) {
                free(bytes);
                return c->broken ? -EPIPE : -ENOBUFS;
        }
        if (connection_unread(c) == 0) {
                make_room(c, size);
                set_output(c, bytes, size, size);
        } else {
                r = append(c, bytes, size);
                free(bytes);
        }
        if (r >= 0)
                flush(c);
        return r;
}

void connection_fail(struct connection *c, const char *sentence) {
        char name[VARLINK_METHOD_NAME_MAX + 1];
        json_t *parameters = json_pack("{s:s}", "message", sentence);
        size_t size;
        char *reply;

        snprintf(name, sizeof(name), "%s.InvalidMessage", c->server->service.interface);
        reply = varlink_reply_format(name, parameters, false, &size);
        json_decref(parameters);
        c->failed = true;
        if (!reply || connection_send(c, reply, size) < 0)
                c->broken = true;
        drop_input(c, c->in_fill);
}
