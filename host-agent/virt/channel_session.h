/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The host's side of one conversation with a guest's agent: what to believe, what to say and when. Pure: frames, times and random numbers come
 * in, events and frames come out; channel.c does the I/O. All times are the host's CLOCK_MONOTONIC in microseconds.
 *
 *   begin -> hello, again every second (every 5 s after the tenth) until a hello-ack of our session -> ready
 *   ready -> silence for three report intervals: ping; for PING_GRACE_USEC more, a goodbye, or a frame of another boot: ended
 *   ended -> the owner begins anew with another random id
 *
 * Bytes that we write while nobody has the port open in the guest wait there for the next opener (180 KB, measured), so an agent may well
 * answer an old hello, even one that another boot of the guest was meant by: an ack counts by its session id alone, and starts the
 * guest's sequence anew. Requests carry the boot that they are meant for and an expiry in the guest's own time.
 */

#include "host-agent/virt/channel.h"
#include "protocol/units.h"

#define HELLO_INTERVAL_USEC (1 * USEC_PER_SEC)
#define HELLO_SLOW_USEC (5 * USEC_PER_SEC)
#define HELLO_EAGER 10u                           /* hellos at the first interval; 1,000 VMs without agents should not cost 1,000 wake-ups a second */
#define HELLO_SPACING_USEC (200 * USEC_PER_MSEC)  /* never sooner, whatever the guest does */
#define REQUEST_TTL_USEC (5 * USEC_PER_SEC)
#define SILENT_INTERVALS 3u
#define PING_GRACE_USEC (5 * USEC_PER_SEC)
#define DEFAULT_INTERVAL_MSEC 2000u               /* what to expect of an agent that was told nothing */

enum channel_session_event {
        CHANNEL_SESSION_NOTHING,
        CHANNEL_SESSION_READY,         /* session->agent says who it is */
        CHANNEL_SESSION_REPORT,        /* the message is a report */
        CHANNEL_SESSION_ENDED,         /* begin anew */
        CHANNEL_SESSION_VIOLATION,     /* session->violation says what */
};

struct channel_session {
        uint64_t id;
        bool ready;
        uint64_t ready_usec;           /* since when */
        uint64_t sequence;             /* of the last frame that we sent in it */
        uint64_t heard_sequence;       /* of the newest frame that we took */
        uint64_t heard_usec;           /* when */
        uint64_t guest_usec;           /* what the guest's clock said then */
        struct channel_agent agent;    /* while ready */
        const char *violation;         /* static */

        bool has_interval;
        struct message_set_interval interval;

        unsigned wanted;               /* bits, see channel_session.c */
        bool pinged;
        uint64_t hello_due_usec, hello_usec; /* the next and the last one; these two outlive the session */
        unsigned n_hellos;
        struct message_error error;    /* to be said */
        uint64_t stale_frames;         /* of other sessions or boots, or not newer */
};

/* id: random, not 0. */
void channel_session_begin(struct channel_session *session, uint64_t id, uint64_t now_usec);

enum channel_session_event channel_session_receive(struct channel_session *session, const struct frame *frame, uint64_t now_usec,
                                                   struct message *ret_message);

/* 1: it is to be said to the agent; 0: nothing has changed, or nobody is there yet; -EINVAL: out of range. */
int channel_session_set_interval(struct channel_session *session, const struct message_set_interval *interval);

/* When channel_session_tick() has something to do. */
uint64_t channel_session_due(const struct channel_session *session);
enum channel_session_event channel_session_tick(struct channel_session *session, uint64_t now_usec);

/* Encodes what is most urgent to say: 1, or 0 when there is nothing. buf holds at least CHANNEL_SAY_MAX bytes. */
#define CHANNEL_SAY_MAX 512u
int channel_session_say(struct channel_session *session, uint64_t now_usec, uint8_t *buf, size_t *ret_size);

/* Encodes a goodbye: 1, or 0 when there is no session to end. */
int channel_session_goodbye(struct channel_session *session, uint8_t *buf, size_t *ret_size);
