/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/virt/channel_session.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* In the order in which they are said. */
enum {
        WANT_HELLO = 1 << 0,
        WANT_INTERVAL = 1 << 1,
        WANT_PING = 1 << 2,
        WANT_ERROR = 1 << 3,
};

#define INTERVAL_MIN_MSEC 100u
#define INTERVAL_MAX_MSEC 3600000u

void channel_session_begin(struct channel_session *session, uint64_t id, uint64_t now_usec) {
        assert(id != 0);
        session->id = id;
        session->ready = false;
        session->sequence = session->heard_sequence = 0;
        session->heard_usec = session->guest_usec = 0;
        session->agent = (struct channel_agent) { 0 };
        session->wanted = 0;
        session->pinged = false;
        session->n_hellos = 0;
        session->hello_due_usec = session->hello_usec == 0 ? now_usec : MAX(now_usec, session->hello_usec + HELLO_SPACING_USEC);
}

static void hello_soon(struct channel_session *session, uint64_t now_usec) {
        session->hello_due_usec = MIN(session->hello_due_usec, MAX(now_usec, session->hello_usec + HELLO_SPACING_USEC));
}

static enum channel_session_event violation(struct channel_session *session, const char *text) {
        session->violation = text;
        return CHANNEL_SESSION_VIOLATION;
}

static void answer_error(struct channel_session *session, const struct frame *frame, enum message_error_code code, const char *text) {
        session->error = (struct message_error) { .code = code, .sequence = frame->sequence };
        snprintf(session->error.text, sizeof(session->error.text), "%s", text);
        session->wanted |= WANT_ERROR;
}

static void heard(struct channel_session *session, const struct frame *frame, uint64_t now_usec) {
        session->heard_sequence = frame->sequence;
        session->heard_usec = now_usec;
        session->guest_usec = frame->time_usec;
        session->pinged = false;
}

static enum channel_session_event receive_ack(struct channel_session *session, const struct frame *frame, const struct message_hello_ack *ack,
                                              uint64_t now_usec) {
        bool same = session->ready && memcmp(session->agent.boot_id, frame->boot_id, sizeof(frame->boot_id)) == 0 &&
                    frame->sequence > session->heard_sequence;

        if (ack->version != FRAME_VERSION)
                return violation(session, "the agent chose a protocol version that it was not offered");
        if (!same && session->ready && now_usec < session->ready_usec + HELLO_SPACING_USEC)
                return violation(session, "the agent begins the session again and again");
        heard(session, frame, now_usec);
        if (same) /* each of our hellos is answered */
                return CHANNEL_SESSION_NOTHING;
        session->ready = true;
        session->ready_usec = now_usec;
        memcpy(session->agent.boot_id, frame->boot_id, sizeof(session->agent.boot_id));
        session->agent.ack = *ack;
        session->wanted &= ~(unsigned) WANT_HELLO;
        if (session->has_interval)
                session->wanted |= WANT_INTERVAL;
        return CHANNEL_SESSION_READY;
}

static enum channel_session_event receive_error(struct channel_session *session, const struct message_error *error) {
        switch (error->code) {
        case MESSAGE_ERROR_EXPIRED: /* we have the guest's clock or boot wrong; a handshake gives both */
                return session->ready ? CHANNEL_SESSION_ENDED : CHANNEL_SESSION_NOTHING;
        case MESSAGE_ERROR_VERSION:
                return violation(session, "the agent speaks no version of the protocol that this host does");
        case MESSAGE_ERROR_BAD_MESSAGE:
                return violation(session, "the agent does not understand this host's messages");
        default: /* an older agent that does not know a type: it does without */
                return CHANNEL_SESSION_NOTHING;
        }
}

enum channel_session_event channel_session_receive(struct channel_session *session, const struct frame *frame, uint64_t now_usec,
                                                   struct message *ret_message) {
        bool ours = frame->session_id == session->id;
        int r;

        /* An agent that has just opened its port: whatever was before it has ended. */
        if (frame->type == MESSAGE_GOODBYE && frame->session_id == 0) {
                if (session->ready)
                        return CHANNEL_SESSION_ENDED;
                hello_soon(session, now_usec);
                return CHANNEL_SESSION_NOTHING;
        }
        if (!ours || (frame->type != MESSAGE_HELLO_ACK && session->ready && frame->sequence <= session->heard_sequence)) {
                session->stale_frames++;
                return CHANNEL_SESSION_NOTHING;
        }
        r = message_decode(frame, ret_message);
        if (r == -EOPNOTSUPP) {
                answer_error(session, frame, MESSAGE_ERROR_UNKNOWN_TYPE, "unknown message type");
                return CHANNEL_SESSION_NOTHING;
        }
        if (r < 0) {
                if (frame->type != MESSAGE_ERROR)
                        answer_error(session, frame, MESSAGE_ERROR_BAD_MESSAGE, "malformed message");
                return violation(session, "the agent sent a malformed message");
        }
        if (frame->type == MESSAGE_HELLO_ACK)
                return receive_ack(session, frame, &ret_message->hello_ack, now_usec);
        if (!session->ready) {
                if (frame->type == MESSAGE_ERROR)
                        return receive_error(session, &ret_message->error);
                session->stale_frames++; /* its ack was lost: the next hello brings another */
                return CHANNEL_SESSION_NOTHING;
        }
        if (memcmp(frame->boot_id, session->agent.boot_id, sizeof(frame->boot_id)) != 0) {
                session->stale_frames++;
                return CHANNEL_SESSION_ENDED;
        }
        heard(session, frame, now_usec);
        switch (frame->type) {
        case MESSAGE_REPORT:
                return CHANNEL_SESSION_REPORT;
        case MESSAGE_PONG:
                return CHANNEL_SESSION_NOTHING;
        case MESSAGE_ERROR:
                return receive_error(session, &ret_message->error);
        case MESSAGE_GOODBYE:
                return CHANNEL_SESSION_ENDED;
        default:
                return violation(session, "the agent sent a message that only hosts send");
        }
}

int channel_session_set_interval(struct channel_session *session, const struct message_set_interval *interval) {
        if (interval->interval_msec < INTERVAL_MIN_MSEC || interval->interval_msec > INTERVAL_MAX_MSEC ||
            (interval->pressure_available_bytes > INT64_MAX && interval->pressure_available_bytes != AEROSTAT_UNKNOWN))
                return -EINVAL;
        if (session->has_interval && session->interval.interval_msec == interval->interval_msec &&
            session->interval.pressure_available_bytes == interval->pressure_available_bytes)
                return 0;
        session->has_interval = true;
        session->interval = *interval;
        if (!session->ready)
                return 0;
        session->wanted |= WANT_INTERVAL;
        return 1;
}

static uint64_t silent_since(const struct channel_session *session) {
        uint64_t interval_msec = session->has_interval ? session->interval.interval_msec : DEFAULT_INTERVAL_MSEC;

        return session->heard_usec + SILENT_INTERVALS * interval_msec * USEC_PER_MSEC;
}

uint64_t channel_session_due(const struct channel_session *session) {
        if (!session->ready)
                return session->hello_due_usec;
        return session->pinged ? silent_since(session) + PING_GRACE_USEC : silent_since(session);
}

enum channel_session_event channel_session_tick(struct channel_session *session, uint64_t now_usec) {
        if (now_usec < channel_session_due(session))
                return CHANNEL_SESSION_NOTHING;
        if (!session->ready) {
                session->wanted |= WANT_HELLO;
                session->hello_due_usec = now_usec + (++session->n_hellos < HELLO_EAGER ? HELLO_INTERVAL_USEC : HELLO_SLOW_USEC);
                return CHANNEL_SESSION_NOTHING;
        }
        if (session->pinged)
                return CHANNEL_SESSION_ENDED;
        session->pinged = true;
        session->wanted |= WANT_PING;
        return CHANNEL_SESSION_NOTHING;
}

/* 1; 0 for a message that cannot be encoded, which would be our own bug. */
static int encode(struct channel_session *session, const struct message *message, uint64_t expires_usec, uint8_t *buf, size_t *ret_size) {
        struct frame frame = { .version = FRAME_VERSION, .session_id = session->id, .sequence = session->sequence + 1,
                               .time_usec = expires_usec };

        memcpy(frame.boot_id, session->agent.boot_id, sizeof(frame.boot_id));
        if (message_encode(&frame, message, buf, CHANNEL_SAY_MAX, ret_size) < 0)
                return 0;
        session->sequence++;
        return 1;
}

int channel_session_say(struct channel_session *session, uint64_t now_usec, uint8_t *buf, size_t *ret_size) {
        /* The guest's clock went on as ours did; 0, which means no expiry, only for a hello. */
        uint64_t expires_usec = MAX(u64_add(u64_add(session->guest_usec, u64_sub(now_usec, session->heard_usec)), REQUEST_TTL_USEC), 1);
        struct message message = { 0 };
        unsigned want = session->wanted & -session->wanted;

        session->wanted &= ~want;
        switch (want) {
        case WANT_HELLO:
                message.type = MESSAGE_HELLO;
                message.hello = (struct message_hello) { .version_min = FRAME_VERSION, .version_max = FRAME_VERSION };
                snprintf(message.hello.host_version, sizeof(message.hello.host_version), "%s", PACKAGE_VERSION);
                session->hello_usec = now_usec;
                expires_usec = 0;
                break;
        case WANT_INTERVAL:
                message.type = MESSAGE_SET_INTERVAL;
                message.set_interval = session->interval;
                break;
        case WANT_PING:
                message.type = MESSAGE_PING;
                message.ping.token = session->sequence + 1;
                break;
        case WANT_ERROR:
                message.type = MESSAGE_ERROR;
                message.error = session->error;
                break;
        default:
                return 0;
        }
        return encode(session, &message, expires_usec, buf, ret_size);
}

int channel_session_goodbye(struct channel_session *session, uint8_t *buf, size_t *ret_size) {
        const struct message message = { .type = MESSAGE_GOODBYE };

        return session->ready ? encode(session, &message, 0, buf, ret_size) : 0;
}
