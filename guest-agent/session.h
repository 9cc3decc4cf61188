/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The guest's side of the protocol: frames in, frames out, no I/O and no clock. PROTOCOL.md, "The guest's state machine", is this
 * file in words.
 *
 * The channel keeps what a host wrote long ago, cuts frames and joins sessions (finding frames again is frame.h's work; this is
 * about what to believe). So nothing is obeyed before a hello, a hello is answered only when the input is drained (the newest one
 * counts), requests of another session are ignored, and those that are too late or meant for another boot are refused.
 */

#include <stdbool.h>
#include <stdint.h>

#include "guest-agent/queue.h"
#include "protocol/frame.h"
#include "protocol/message.h"

struct session {
        /* Who we are; filled in once by the owner. */
        uint8_t boot_id[16];
        struct message_hello_ack identity;

        uint64_t id;             /* 0: no session */
        uint64_t sequence;       /* of the last frame sent in it */
        struct message_set_interval interval; /* what the host wants; interval_msec 0: nothing yet */

        bool hello;              /* a hello waits to be answered by session_drained() */
        uint64_t hello_id;

        struct queue queue;      /* what we have to say */

        /* Counters since the start, for the log. */
        uint64_t ignored;        /* frames of other sessions, and of types that only guests send */
        uint64_t refused;        /* answered with an error */
};

/* What happened, for the owner. */
enum session_event {
        SESSION_NOTHING = 0,
        SESSION_BEGUN,           /* the hello is answered: make a REPORT_REQUESTED and start sampling */
        SESSION_CHANGED,         /* `interval` was set: pace by it from now on */
        SESSION_ENDED,           /* the host said goodbye: stop sampling */
};

/* The port was opened and a host is there: forgets any session and says so (a goodbye of session 0), so that a host which
 * believes in one (our predecessor was killed) begins another at once. */
void session_announce(struct session *session, uint64_t now_usec);

/* No host is there any more: forgets the session and what was to be said. */
void session_reset(struct session *session);

/* A frame came in. */
enum session_event session_receive(struct session *session, const struct frame *frame, uint64_t now_usec);

/* Everything that had come in was received: answers the newest hello, if there was one. */
enum session_event session_drained(struct session *session, uint64_t now_usec);

/* Queues a report that was sampled at now_usec. 0, -ENOTCONN without a session, -EINVAL when it is not valid. */
int session_report(struct session *session, const struct message_report *report, uint64_t now_usec);

/* Queues a goodbye and ends the session; nothing without one. */
void session_goodbye(struct session *session, uint64_t now_usec);
