/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guest-agent/session.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int say(struct session *session, const struct message *message, uint64_t session_id, uint64_t now) {
        struct frame frame = { .session_id = session_id, .sequence = session->sequence + 1, .time_usec = now };
        uint8_t *buf = queue_reserve(&session->queue);
        size_t size;
        int r;

        if (!buf)
                return -ENOBUFS;
        memcpy(frame.boot_id, session->boot_id, sizeof(frame.boot_id));
        r = message_encode(&frame, message, buf, QUEUE_FRAME_MAX, &size);
        if (r < 0)
                return r;
        queue_commit(&session->queue, size, message->type == MESSAGE_REPORT);
        session->sequence++;
        return 0;
}

static void refuse(struct session *session, const struct frame *frame, enum message_error_code code, const char *text, uint64_t now) {
        struct message message = { .type = MESSAGE_ERROR, .error = { .code = code, .sequence = frame->sequence } };

        snprintf(message.error.text, sizeof(message.error.text), "%s", text);
        session->refused++;
        (void) say(session, &message, frame->session_id, now); /* with the queue full the answer is dropped, as any answer may be */
}

static void forget(struct session *session, bool host_is_there) {
        session->id = 0;
        session->sequence = 0;
        session->hello = false;
        session->interval = (struct message_set_interval) { .pressure_available_bytes = AEROSTAT_UNKNOWN };
        queue_clear(&session->queue, host_is_there);
}

void session_reset(struct session *session) {
        forget(session, false);
}

void session_announce(struct session *session, uint64_t now_usec) {
        const struct message message = { .type = MESSAGE_GOODBYE };

        forget(session, true);
        (void) say(session, &message, 0, now_usec);
        session->sequence = 0;
}

static bool is_zero(const uint8_t id[static 16]) {
        static const uint8_t zero[16];

        return memcmp(id, zero, sizeof(zero)) == 0;
}

/* Too late, or for another boot. A hello may come from a host that does not know our boot id yet. */
static bool is_expired(const struct session *session, const struct frame *frame, uint64_t now) {
        bool known = frame->type != MESSAGE_HELLO || !is_zero(frame->boot_id);

        if (known && memcmp(frame->boot_id, session->boot_id, sizeof(session->boot_id)) != 0)
                return true;
        return frame->time_usec != 0 && frame->time_usec < now;
}

static void receive_hello(struct session *session, const struct frame *frame, const struct message *message, uint64_t now) {
        if (frame->session_id == 0)
                refuse(session, frame, MESSAGE_ERROR_BAD_MESSAGE, "a hello needs a session id", now);
        else if (message->hello.version_min > FRAME_VERSION)
                refuse(session, frame, MESSAGE_ERROR_VERSION, "this agent speaks version 1 only", now);
        else {
                session->hello = true;
                session->hello_id = frame->session_id;
        }
}

enum session_event session_receive(struct session *session, const struct frame *frame, uint64_t now_usec) {
        bool ours = session->id != 0 && frame->session_id == session->id;
        struct message message;
        int r;

        /* A later hello overtakes the rest of the session before it. */
        if (frame->type != MESSAGE_HELLO && (!ours || (session->hello && session->hello_id != session->id))) {
                session->ignored++;
                return SESSION_NOTHING;
        }
        r = message_decode(frame, &message);
        if (r < 0) {
                if (frame->type == MESSAGE_ERROR)
                        session->ignored++; /* an error is never answered with an error */
                else if (r == -EOPNOTSUPP)
                        refuse(session, frame, MESSAGE_ERROR_UNKNOWN_TYPE, "unknown message type", now_usec);
                else
                        refuse(session, frame, MESSAGE_ERROR_BAD_MESSAGE, "malformed message", now_usec);
                return SESSION_NOTHING;
        }
        if (frame->type != MESSAGE_ERROR && frame->type != MESSAGE_GOODBYE && is_expired(session, frame, now_usec)) {
                refuse(session, frame, MESSAGE_ERROR_EXPIRED, "the request came too late, or was meant for another boot", now_usec);
                return SESSION_NOTHING;
        }
        switch (message.type) {
        case MESSAGE_HELLO:
                receive_hello(session, frame, &message, now_usec);
                return SESSION_NOTHING;
        case MESSAGE_SET_INTERVAL:
                session->interval = message.set_interval;
                return SESSION_CHANGED;
        case MESSAGE_PING:
                message.type = MESSAGE_PONG;
                (void) say(session, &message, session->id, now_usec);
                return SESSION_NOTHING;
        case MESSAGE_GOODBYE:
                forget(session, true);
                return SESSION_ENDED;
        default:
                session->ignored++;
                return SESSION_NOTHING;
        }
}

enum session_event session_drained(struct session *session, uint64_t now_usec) {
        struct message message = { .type = MESSAGE_HELLO_ACK, .hello_ack = session->identity };
        uint64_t id = session->hello_id;

        if (!session->hello)
                return SESSION_NOTHING;
        session->hello = false;
        /* The same hello again: our answer did not reach the host. What it has set since stays. */
        if (id != session->id) {
                forget(session, true);
                session->id = id;
        }
        (void) say(session, &message, session->id, now_usec);
        return SESSION_BEGUN;
}

int session_report(struct session *session, const struct message_report *report, uint64_t now_usec) {
        const struct message message = { .type = MESSAGE_REPORT, .report = *report };

        return session->id == 0 ? -ENOTCONN : say(session, &message, session->id, now_usec);
}

void session_goodbye(struct session *session, uint64_t now_usec) {
        const struct message message = { .type = MESSAGE_GOODBYE };

        if (session->id == 0)
                return;
        (void) say(session, &message, session->id, now_usec);
        session->id = 0;
}
