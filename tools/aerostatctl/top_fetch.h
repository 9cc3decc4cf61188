/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What `top` asks of the daemon, all at once and over one connection that is kept, without ever waiting: the caller polls fd. A connection
 * that breaks is opened again by the next fetch.
 */

#include <stdint.h>

#include "tools/aerostatctl/wire.h"

enum top_reply { TOP_REPLY_STATUS, TOP_REPLY_LIST, TOP_REPLY_EXPLAIN, _TOP_REPLIES };

#define TOP_ERROR_MAX 256

struct top_fetch {
        const char *path;               /* the socket */
        int fd;                         /* -1: not connected */
        struct wire_input input;
        unsigned wanted, have;          /* replies of the fetch under way; equal: there is none */
        uint64_t deadline_usec;         /* of the fetch under way; CLOCK_MONOTONIC */
        json_t *replies[_TOP_REPLIES];  /* their parameters, NULL while there is none; those of Explain may be an error's */
        char error[TOP_ERROR_MAX];      /* why the daemon could not be asked, for people; "": it could */
};

void top_fetch_init(struct top_fetch *fetch, const char *path);
void top_fetch_done(struct top_fetch *fetch);

static inline bool top_fetch_is_under_way(const struct top_fetch *fetch) {
        return fetch->have < fetch->wanted;
}

/* Asks for Status and List, and for Explain of a UUID unless that is NULL. 0; negative: error says why. */
int top_fetch_begin(struct top_fetch *fetch, const char *explain_uuid);

/* To be called when fd is readable or the deadline has passed. 1: all replies are there; 0: not yet; negative: error says why, and the
 * connection is closed. A daemon that closes while nothing is asked of it is no error, but negative, too. */
int top_fetch_read(struct top_fetch *fetch);
