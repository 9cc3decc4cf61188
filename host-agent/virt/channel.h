/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The host's end of one VM's channel: connects to the unix socket that QEMU listens on, says hello, and hands on
 * what the guest's agent reports. The guest is not trusted: sizes are capped, one read of bounded size per wake-up, at most
 * CHANNEL_FRAMES_PER_SEC_MAX frames a second are understood (the rest is dropped and counted), and only frames of our session and newer than the last
 * are handed on. Reconnects with back-off for as long as it exists. Main thread only.
 */

#include <stdbool.h>
#include <stdint.h>

#include <systemd/sd-event.h>

#include "protocol/base.h"
#include "protocol/message.h"

#define CHANNEL_FRAMES_PER_SEC_MAX 50u

enum channel_state {
        CHANNEL_DISCONNECTED,          /* no socket, refused, or waiting to try again */
        CHANNEL_HELLO,                 /* connected; the agent has not answered (none installed, not started yet, stopped) */
        CHANNEL_READY,                 /* handshake done */
};

struct channel_agent {                 /* from the agent's hello-ack */
        uint8_t boot_id[16];
        struct message_hello_ack ack;
};

/* Called from the event loop, and by channel_restart(); never from inside another request. They may make requests, but not free the channel. */
struct channel_ops {
        /* The state changed. In READY `agent` is set, else NULL. A new boot id in READY means that the guest rebooted. */
        void (*state)(void *userdata, enum channel_state state, const struct channel_agent *agent);
        /* A report arrived; received_usec: CLOCK_MONOTONIC of the host when it was read, in the order in which they were sent. */
        void (*report)(void *userdata, const struct message_report *report, uint64_t received_usec);
        /* The guest broke the protocol (rate-limited: at most one call per 10 s); text is a sentence without its full stop. May be NULL. */
        void (*violation)(void *userdata, const char *text);
};

struct channel_counters {
        uint64_t reports, stale_frames, dropped_frames, skipped_bytes, bad_frames, reconnects;
};

struct channel; /* opaque */

/* Begins to connect. path is copied. ops must outlive the channel. -EINVAL, -ENAMETOOLONG, -ENOMEM. */
int channel_new(struct channel **ret, sd_event *event, const char *path, const struct channel_ops *ops, void *userdata);
struct channel *channel_free(struct channel *channel); /* says goodbye if it can without blocking */
DEFINE_CLEANUP(struct channel *, channel_free)

/* How the agent shall report from now on; kept, and repeated after each handshake and reconnect. Sent only when it changes. See
 * struct message_set_interval. 0, or -EINVAL (interval_msec: 100 .. 3600000; bytes up to INT64_MAX, or unknown). */
int channel_set_interval(struct channel *channel, uint32_t interval_msec, uint64_t pressure_available_bytes);

/* The guest was reset: begins a new session, so that what the boot before has said and nobody has read yet (it waits in the socket) does not
 * count any more. Until the agent of the new boot answers the state is HELLO. */
void channel_restart(struct channel *channel);

void channel_get_counters(const struct channel *channel, struct channel_counters *ret);
