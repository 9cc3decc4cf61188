/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Inside the varlink server: one client's connection, its buffers and deadlines. varlink.c decides who is served and what is
 * answered; this moves bytes.
 */

#include <sys/queue.h>

#include "host-agent/control/message.h"
#include "host-agent/control/varlink.h"

/* What a connection is waiting for; each has a deadline of its own. */
enum connection_phase {
        CONNECTION_IDLE,        /* for the first byte of a call */
        CONNECTION_PARTIAL,     /* for the rest of a call */
        CONNECTION_QUEUED,      /* for its turn: a whole call is here */
        CONNECTION_HELD,        /* for us: a method will answer later */
        CONNECTION_UNREAD,      /* for the client to read its reply */
};

struct varlink_call {
        struct connection *connection;
        struct varlink_message message;
        bool held;
        void (*closed)(struct varlink_call *call, void *userdata);
        void *closed_userdata;
};

struct connection {
        struct varlink_server *server;
        TAILQ_ENTRY(connection) all;           /* of server->connections: silent for longest first */
        TAILQ_ENTRY(connection) ready;         /* of server->ready, in phase QUEUED */
        sd_event_source *io;
        int fd;
        uid_t uid;
        enum connection_phase phase;
        uint64_t deadline_usec;                /* CLOCK_MONOTONIC; closed then, unless the phase changes before */
        char *in;                              /* in[0 .. in_fill): not served yet; NULL while empty */
        size_t in_size, in_fill;
        bool eof;                              /* the client will send nothing more; it may still read */
        bool failed;                           /* it broke the protocol: closed once it has read why */
        bool broken;                           /* nothing can be sent any more: closed at the next update */
        char *out;                             /* out[out_pos .. out_fill): replies not sent yet; NULL while empty */
        size_t out_size, out_pos, out_fill;
        struct varlink_call *call;             /* being answered or held; NULL: none */
};
TAILQ_HEAD(connection_list, connection);

struct varlink_server {
        sd_event *event;
        struct varlink_service service;
        int listen_fd;
        sd_event_source *accept;
        sd_event_source *work;                 /* serves the head of the ready list */
        sd_event_source *tick;                 /* deadlines; runs only while there are connections */
        struct connection_list connections, ready;
        size_t out_total_bytes;                /* out_size of all connections */
};

/* Below every source of the daemon's own, which has SD_EVENT_PRIORITY_NORMAL or better. */
#define CONNECTION_PRIORITY (SD_EVENT_PRIORITY_NORMAL + 50)

/* Takes the fd on success. 0 or -errno. */
int connection_new(struct varlink_server *server, int fd, uid_t uid);
void connection_free(struct connection *connection);

/* Takes the first whole call out of the input: 0 and *ret, or as varlink_message_parse(). Only in phase QUEUED. */
int connection_take_message(struct connection *connection, struct varlink_message *ret, const char **ret_error);

/* Bytes of replies that the client's socket has not taken yet. */
size_t connection_unread(const struct connection *connection);

/* Queues a reply and starts to send it; takes `bytes`. 0; -ENOBUFS: over the connection's limit, -ENOMEM, -EPIPE: it was not
 * queued. It frees no connection: others that are given up to make room for this reply are freed by the event loop. */
int connection_send(struct connection *connection, char *bytes, size_t size);

/* Answers that the client broke the protocol; nothing more is read from it. */
void connection_fail(struct connection *connection, const char *sentence);

/* To be called after anything has changed: settles the phase and what to wait for; frees the connection when there is nothing left
 * to do, which is never so while a call is held and the connection is not broken. */
void connection_update(struct connection *connection);
