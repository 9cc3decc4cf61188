/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A varlink server with methods of its own, for tests. It and its clients share one thread: a client writes, the loop runs until it has been
 * answered, the client reads. */

#include "tests/unit/unit.h"

#include "host-agent/control/follow.h"
#include "host-agent/control/listen.h"
#include "host-agent/control/varlink.h"

struct fixture {
        char folder[32], path[64];
        struct listener listener;
        sd_event *event;
        struct varlink_server *server;
        enum varlink_access access;
        struct varlink_call *held;
        struct follower_list followers; /* calls of Watch */
        unsigned closed;               /* how often a held call was closed by its client */
        unsigned served;               /* calls of Echo, Change and Look */
        unsigned turns;                /* of the loop that did something while get_reply() waited */
        char asked[128];               /* of the last call that needed the right to write, "UID METHOD NUMBER-OF-PARAMETERS" */
};

/* Of a cmocka test: with the limits of the daemon. setup_with(): with others. */
int setup(void **state);
void setup_with(struct fixture *f, const struct varlink_limits *limits);
int teardown(void **state);

uint64_t now_usec(void);

/* Runs the loop until nothing has happened for a while; or for so long. */
void settle(struct fixture *f);
void run_for(struct fixture *f, uint64_t usec);

/* Connects; the caller closes. */
int client(struct fixture *f);

/* Sends with the NUL. The server has to take it as it comes. */
void put_call(struct fixture *f, int fd, const char *text);

/* The next reply, or NULL when the connection ends first. The loop runs meanwhile. */
json_t *get_reply(struct fixture *f, int fd);
json_t *ask(struct fixture *f, int fd, const char *text);

#define ECHO(text) "{\"method\":\"org.test.Fake.Echo\",\"parameters\":{\"text\":\"" text "\"}}"

void assert_echo(json_t *reply, const char *text);

/* member: what its member of that name has to contain; NULL: anything. */
void assert_error(json_t *reply, const char *error, const char *member, const char *contains);
