/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A varlink server on sd-event (https://varlink.org; `varlinkctl` works against it). It knows nothing about Aerostat: an interface
 * is a description and a table of methods.
 *
 * It lives in the loop of a daemon that acts when memory is short, so a client must not be able to cost it time or memory:
 *   - everything is non-blocking; one read, one write or one call is done at each wake-up, in the order in which connections became
 * ready, and all of it at a lower priority than the daemon's own events;
 *   - while a connection owes us the reading of a reply, nothing more is read from it;
 *   - half a message, an unread reply and an idle connection each have a deadline;
 *   - connections are limited in total and for each user, and so is what we buffer for them all; who comes too many replaces the
 * connection that has been silent for longest among those of the same user, so that 200 stalled clients lock nobody out. Main
 * thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <jansson.h>
#include <systemd/sd-event.h>

#include "protocol/base.h"

struct varlink_server;
struct varlink_call; /* a call that is waiting for its answer; belongs to its connection */

enum varlink_access { VARLINK_NO_ACCESS, VARLINK_READ, VARLINK_WRITE };

/* A method answers with varlink_reply() or varlink_error() before it returns, or calls varlink_hold() and answers later.
 * parameters: an object, borrowed until the method returns. */
struct varlink_method {
        const char *name;              /* without the interface: "Status" */
        bool needs_write;              /* VARLINK_WRITE; otherwise VARLINK_READ is enough */
        void (*answer)(struct varlink_call *call, json_t *parameters, void *userdata);
        bool (*only_looks)(const json_t *parameters); /* of one that needs_write: whether VARLINK_READ is enough for this call; NULL: never */
};

struct varlink_limits {
        size_t message_bytes;          /* of one call, with its NUL */
        size_t output_bytes;           /* unread replies of one connection */
        size_t backlog_bytes;          /* the same, when varlink_continue() refuses more */
        size_t output_total_bytes;     /* buffers of all: who is slowest to read is dropped first */
        unsigned connections;          /* of all users but root, which has its own share on top */
        unsigned connections_per_user;
        uint64_t message_usec;         /* from the first byte of a call to its last */
        uint64_t reply_usec;           /* from the first byte of a reply to its last */
        uint64_t idle_usec;            /* without a call */
};
extern const struct varlink_limits varlink_limits_default;

struct varlink_service {
        const char *vendor, *product, *version, *url;  /* for org.varlink.service.GetInfo */
        const char *interface;         /* "org.aerostat.Host": also the prefix of errors */
        const char *description;       /* the interface in varlink's own language */
        const struct varlink_method *methods;
        size_t n_methods;
        enum varlink_access (*access)(int fd, uid_t uid, void *userdata); /* asked for each call; must not block */
        /* Told of each call that needs VARLINK_WRITE and has it, before it is answered; NULL: nobody is. */
        void (*on_write)(const struct varlink_call *call, const char *method, const json_t *parameters, void *userdata);
        struct varlink_limits limits;
        void *userdata;                /* for access, on_write and the methods */
};

/* listen_fd: listening and non-blocking; taken over on success. *service is copied, what it points to is borrowed for the server's
 * life. 0 or -errno. */
int varlink_server_new(struct varlink_server **ret, sd_event *event, int listen_fd, const struct varlink_service *service);

/* Ends all connections; held calls hear of it first. */
struct varlink_server *varlink_server_free(struct varlink_server *server);

/* The final answer; the call is gone afterwards. parameters: an object whose reference is taken; NULL says that there was no memory
 * to build it, which the caller is told as error OutOfMemory of the interface. */
void varlink_reply(struct varlink_call *call, json_t *parameters);

/* The same as an error. name: without a dot, an error of the interface ("NoSuchVm"); with dots, taken as it is. */
void varlink_error(struct varlink_call *call, const char *name, json_t *parameters);

/* An error whose parameters are one member, "message": a sentence for people. */
void varlink_error_message(struct varlink_call *call, const char *name, const char *format, ...)
                __attribute__((format(printf, 3, 4)));

/* One of several answers to a call with "more"; the last is given with varlink_reply(). Takes the reference. 0; -EINVAL: the caller
 * did not ask for more; -EAGAIN: the client reads too slowly, this answer is dropped; -ENOMEM. No call is freed
 * meanwhile, this one or another: a client that is gone, or has to go, is noticed later. */
int varlink_continue(struct varlink_call *call, json_t *parameters);
bool varlink_wants_more(const struct varlink_call *call);

/* The method will answer later. closed: called when the client goes away first, and the call with it; not called after the final
 * answer. It must not answer other calls. */
void varlink_hold(struct varlink_call *call, void (*closed)(struct varlink_call *call, void *userdata), void *userdata);

/* Who called, by SO_PEERCRED: as it was when the client connected. */
uid_t varlink_caller(const struct varlink_call *call);

/* Parameters of a method, strictly: a list of these, ended by one without a name. */
#define VARLINK_LIST_MAX 1000
enum varlink_type {
        VARLINK_STRING,                /* const char *, borrowed from the parameters; not empty */
        VARLINK_BYTES,                 /* uint64_t, 0 .. 2^63-1 */
        VARLINK_SECONDS,               /* uint64_t in microseconds; more than 0, at most ten years */
        VARLINK_BOOL,                  /* bool */
        VARLINK_COUNT,                 /* uint64_t, 0 .. 2^63-1: a plain number */
        VARLINK_RATIO,                 /* uint64_t in parts per million; 0 .. 1 */
        /* json_t *, an array of at most VARLINK_LIST_MAX values, borrowed from the parameters; the method checks them */
        VARLINK_LIST,
};
struct varlink_parameter {
        const char *name;
        enum varlink_type type;
        bool required;                 /* otherwise absent and null leave *ret as it is */
        void *ret;
};

/* 0; or -EINVAL, and the call has been answered with InvalidParameter and a sentence. */
int varlink_take_parameters(struct varlink_call *call, json_t *parameters, const struct varlink_parameter *list);

DEFINE_CLEANUP(struct varlink_server *, varlink_server_free)
