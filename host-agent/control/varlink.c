/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/control/varlink.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "host-agent/control/connection.h"
#include "host-agent/control/peer.h"
#include "host-agent/control/put.h"
#include "protocol/units.h"

#define STANDARD "org.varlink.service"

const struct varlink_limits varlink_limits_default = {
        .message_bytes = 64 * KIB,
        .output_bytes = 16 * MIB,              /* `List` of 1,000 VMs takes about 1 MiB */
        .backlog_bytes = 512 * KIB,            /* one decision may move 1,000 VMs; an event takes about 400 bytes */
        .output_total_bytes = 64 * MIB,
        .connections = 192,
        .connections_per_user = 64,
        .message_usec = 10 * USEC_PER_SEC,
        .reply_usec = 30 * USEC_PER_SEC,
        .idle_usec = 5 * USEC_PER_MINUTE,
};

static const char standard_description[] =
        "# What every varlink service offers\n"
        "interface " STANDARD "\n\n"
        "method GetInfo() -> (vendor: string, product: string, version: string, url: string, interfaces: []string)\n\n"
        "method GetInterfaceDescription(interface: string) -> (description: string)\n\n"
        "error InterfaceNotFound (interface: string)\n"
        "error MethodNotFound (method: string)\n"
        "error MethodNotImplemented (method: string)\n"
        "error InvalidParameter (parameter: string)\n";

static struct varlink_service *service_of(const struct varlink_call *call) {
        return &call->connection->server->service;
}

bool varlink_wants_more(const struct varlink_call *call) {
        return call->message.more;
}

uid_t varlink_caller(const struct varlink_call *call) {
        return call->connection->uid;
}

void varlink_hold(struct varlink_call *call, void (*closed)(struct varlink_call *call, void *userdata), void *userdata) {
        call->held = true;
        call->closed = closed;
        call->closed_userdata = userdata;
}

/* Sends one reply. 0 or -errno; takes the reference. */
static int send_reply(struct varlink_call *call, const char *error, json_t *parameters, bool continues) {
        size_t size;
        char *bytes;

        if (call->message.oneway) {
                json_decref(parameters);
                return 0;
        }
        bytes = varlink_reply_format(error, parameters, continues, &size);
        json_decref(parameters);
        return bytes ? connection_send(call->connection, bytes, size) : -ENOMEM;
}

/* The final answer, and the end of the call. */
static void finish(struct varlink_call *call, const char *error, json_t *parameters) {
        struct connection *c = call->connection;
        char name[VARLINK_METHOD_NAME_MAX + 1];
        bool held = call->held;
        int r;

        r = parameters ? send_reply(call, error, parameters, false) : -ENOMEM;
        if (r == -ENOMEM || r == -ENOBUFS) {
                /* This request fails, not the daemon. */
                snprintf(name, sizeof(name), "%s.OutOfMemory", service_of(call)->interface);
                r = send_reply(call, name, json_object(), false);
        }
        if (r < 0)
                c->broken = true;
        c->call = NULL;
        varlink_message_done(&call->message);
        free(call);
        if (held) /* otherwise serve() goes on with the connection */
                connection_update(c);
}

void varlink_reply(struct varlink_call *call, json_t *parameters) {
        finish(call, NULL, parameters);
}

void varlink_error(struct varlink_call *call, const char *name, json_t *parameters) {
        char full[VARLINK_METHOD_NAME_MAX + 1];

        if (!strchr(name, '.')) {
                snprintf(full, sizeof(full), "%s.%s", service_of(call)->interface, name);
                name = full;
        }
        finish(call, name, parameters);
}

void varlink_error_message(struct varlink_call *call, const char *name, const char *format, ...) {
        struct put put = put_new();
        char sentence[1024];
        va_list ap;

        va_start(ap, format);
        (void) vsnprintf(sentence, sizeof(sentence), format, ap);
        va_end(ap);
        put_text(&put, "message", sentence); /* which may quote what is not UTF-8, or cut a character in two */
        varlink_error(call, name, put_end(&put));
}

int varlink_continue(struct varlink_call *call, json_t *parameters) {
        int r;

        if (!parameters)
                return -ENOMEM;
        if (!call->message.more) {
                json_decref(parameters);
                return -EINVAL;
        }
        if (connection_unread(call->connection) > service_of(call)->limits.backlog_bytes) {
                json_decref(parameters);
                return -EAGAIN;
        }
        r = send_reply(call, NULL, parameters, true);
        if (r == -ENOMEM || r == -ENOBUFS)
                return r == -ENOBUFS ? -EAGAIN : r;
        /* A client that has gone is noticed by its own event: freeing the call here would surprise whoever holds it. */
        if (call->held && !call->connection->broken)
                connection_update(call->connection);
        return 0;
}

static void get_info(struct varlink_call *call, json_t *parameters, void *userdata) {
        const struct varlink_service *s = service_of(call);

        if (varlink_take_parameters(call, parameters, &(const struct varlink_parameter) {}) < 0)
                return;
        varlink_reply(call, json_pack("{s:s, s:s, s:s, s:s, s:[s, s]}", "vendor", s->vendor, "product", s->product,
                                      "version", s->version, "url", s->url, "interfaces", STANDARD, s->interface));
}

static void get_interface_description(struct varlink_call *call, json_t *parameters, void *userdata) {
        const struct varlink_service *s = service_of(call);
        const char *interface = NULL;
        const struct varlink_parameter list[] = { { "interface", VARLINK_STRING, true, &interface }, {} };

        if (varlink_take_parameters(call, parameters, list) < 0)
                return;
        if (strcmp(interface, STANDARD) == 0)
                varlink_reply(call, json_pack("{s:s}", "description", standard_description));
        else if (strcmp(interface, s->interface) == 0)
                varlink_reply(call, json_pack("{s:s}", "description", s->description));
        else
                varlink_error(call, STANDARD ".InterfaceNotFound", json_pack("{s:s}", "interface", interface));
}

static const struct varlink_method standard_methods[] = {
        { "GetInfo", false, get_info },
        { "GetInterfaceDescription", false, get_interface_description },
};

static const struct varlink_method *find_method(const struct varlink_method *methods, size_t n, const char *name) {
        for (size_t i = 0; i < n; i++)
                if (strcmp(methods[i].name, name) == 0)
                        return &methods[i];
        return NULL;
}

static void answer(struct varlink_call *call, const struct varlink_method *method, enum varlink_access access) {
        const struct varlink_service *s = service_of(call);
        const json_t *parameters = call->message.parameters;
        bool writes = method->needs_write && !(method->only_looks && method->only_looks(parameters));

        if (writes && access != VARLINK_WRITE) {
                varlink_error_message(call, "PermissionDenied", "you may look, but not change anything, nor see the configuration");
                return;
        }
        if (writes && s->on_write)
                s->on_write(call, method->name, parameters, s->userdata);
        method->answer(call, call->message.parameters, s->userdata);
}

static void dispatch(struct varlink_call *call) {
        const struct varlink_service *s = service_of(call);
        const char *name = call->message.method, *dot = strrchr(name, '.');
        size_t prefix = (size_t) (dot - name);
        const struct varlink_method *method = NULL;
        enum varlink_access access;

        access = s->access(call->connection->fd, call->connection->uid, s->userdata);
        if (access == VARLINK_NO_ACCESS) {
                varlink_error_message(call, "PermissionDenied", "you may not read from this daemon");
                return;
        }
        if (prefix == strlen(STANDARD) && strncmp(name, STANDARD, prefix) == 0)
                method = find_method(standard_methods, ARRAY_SIZE(standard_methods), dot + 1);
        else if (prefix == strlen(s->interface) && strncmp(name, s->interface, prefix) == 0)
                method = find_method(s->methods, s->n_methods, dot + 1);
        else {
                char interface[VARLINK_METHOD_NAME_MAX + 1];

                snprintf(interface, sizeof(interface), "%.*s", (int) prefix, name);
                varlink_error(call, STANDARD ".InterfaceNotFound", json_pack("{s:s}", "interface", interface));
                return;
        }
        if (!method)
                varlink_error(call, STANDARD ".MethodNotFound", json_pack("{s:s}", "method", name));
        else
                answer(call, method, access);
}

/* One call of one connection. */
static void serve(struct connection *c) {
        struct varlink_call *call = calloc(1, sizeof(*call));
        const char *error = NULL;
        int r;

        if (!call) {
                connection_free(c);
                return;
        }
        r = connection_take_message(c, &call->message, &error);
        if (r < 0) {
                free(call);
                connection_fail(c, error ?: "out of memory");
        } else {
                call->connection = c;
                c->call = call;
                dispatch(call);
                assert(!c->call || c->call->held);
        }
        connection_update(c);
}

/* Time sources take turns with the connections' I/O; a deferred source that is always pending would go before them. */
static int on_work(sd_event_source *source, uint64_t usec, void *userdata) {
        struct varlink_server *server = userdata;
        struct connection *c = TAILQ_FIRST(&server->ready);

        if (c)
                serve(c);
        if (TAILQ_FIRST(&server->ready))
                (void) sd_event_source_set_enabled(server->work, SD_EVENT_ONESHOT);
        return 0;
}

static int on_tick(sd_event_source *source, uint64_t usec, void *userdata) {
        struct varlink_server *server = userdata;
        struct connection *c, *next;
        uint64_t now = 0;

        (void) sd_event_now(server->event, CLOCK_MONOTONIC, &now);
        for (c = TAILQ_FIRST(&server->connections); c; c = next) {
                next = TAILQ_NEXT(c, all);
                if (c->deadline_usec <= now)
                        connection_free(c);
        }
        (void) sd_event_source_set_enabled(server->accept, SD_EVENT_ON);
        if (TAILQ_FIRST(&server->connections)) {
                (void) sd_event_source_set_time(server->tick, u64_add(now, USEC_PER_SEC));
                (void) sd_event_source_set_enabled(server->tick, SD_EVENT_ONESHOT);
        }
        return 0;
}

static void arm_tick(struct varlink_server *server) {
        int enabled = SD_EVENT_OFF;
        uint64_t now = 0;

        (void) sd_event_source_get_enabled(server->tick, &enabled);
        if (enabled != SD_EVENT_OFF)
                return;
        (void) sd_event_now(server->event, CLOCK_MONOTONIC, &now);
        (void) sd_event_source_set_time(server->tick, u64_add(now, USEC_PER_SEC));
        (void) sd_event_source_set_enabled(server->tick, SD_EVENT_ONESHOT);
}

static unsigned count_connections(const struct varlink_server *server, uid_t uid) {
        const struct connection *c;
        unsigned n = 0;

        TAILQ_FOREACH(c, &server->connections, all)
                n += c->uid == uid;
        return n;
}

/* Closes the connection of this user that has been silent for longest and is not owed an answer; where all are, the one with the most calls still to
 * be served: it floods. Returns whether there was one. */
static bool evict(struct varlink_server *server, uid_t uid) {
        struct connection *c, *worst = NULL;

        TAILQ_FOREACH(c, &server->connections, all) {
                if (c->uid != uid || c->call)
                        continue;
                if (c->phase != CONNECTION_QUEUED) {
                        worst = c;
                        break;
                }
                if (!worst || c->in_fill > worst->in_fill)
                        worst = c;
        }
        if (!worst)
                return false;
        connection_free(worst);
        return true;
}

/* The user, root apart, with the most connections. */
static uid_t greediest(const struct varlink_server *server) {
        const struct connection *c;
        unsigned most = 0;
        uid_t uid = 0;

        TAILQ_FOREACH(c, &server->connections, all) {
                unsigned n = c->uid == 0 ? 0 : count_connections(server, c->uid);

                if (n > most) {
                        most = n;
                        uid = c->uid;
                }
        }
        return uid;
}

/* Whether this user may have one more connection, if need be instead of another. */
static bool admit(struct varlink_server *server, uid_t uid) {
        const struct varlink_limits *limits = &server->service.limits;
        const struct connection *c;
        unsigned n = 0;

        if (count_connections(server, uid) >= limits->connections_per_user)
                return evict(server, uid);
        if (uid == 0)
                return true;
        TAILQ_FOREACH(c, &server->connections, all)
                n += c->uid != 0;
        return n < limits->connections || evict(server, greediest(server));
}

static int on_accept(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        struct varlink_server *server = userdata;
        _cleanup_close_ int client = -1;
        uid_t uid;

        client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (client < 0) {
                /* Out of file descriptors or memory: the event would come again at once and for ever. on_tick() tries again. */
                if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
                        (void) sd_event_source_set_enabled(source, SD_EVENT_OFF);
                arm_tick(server);
                return 0;
        }
        if (peer_uid(client, &uid) < 0 || !admit(server, uid))
                return 0;
        if (connection_new(server, client, uid) >= 0)
                client = -1;
        arm_tick(server);
        return 0;
}

int varlink_server_new(struct varlink_server **ret, sd_event *event, int listen_fd, const struct varlink_service *service) {
        struct varlink_server *server = calloc(1, sizeof(*server));
        int r;

        if (!server)
                return -ENOMEM;
        *server = (struct varlink_server) { .event = sd_event_ref(event), .service = *service, .listen_fd = -1 };
        TAILQ_INIT(&server->connections);
        TAILQ_INIT(&server->ready);
        r = sd_event_add_io(event, &server->accept, listen_fd, EPOLLIN, on_accept, server);
        if (r >= 0)
                r = sd_event_add_time(event, &server->work, CLOCK_MONOTONIC, 0, 1, on_work, server);
        if (r >= 0)
                r = sd_event_add_time(event, &server->tick, CLOCK_MONOTONIC, 0, USEC_PER_SEC / 4, on_tick, server);
        if (r >= 0)
                r = sd_event_source_set_enabled(server->work, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_source_set_enabled(server->tick, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_source_set_priority(server->accept, CONNECTION_PRIORITY);
        if (r >= 0)
                r = sd_event_source_set_priority(server->work, CONNECTION_PRIORITY);
        if (r >= 0)
                r = sd_event_source_set_priority(server->tick, CONNECTION_PRIORITY);
        if (r < 0) {
                varlink_server_free(server);
                return r;
        }
        server->listen_fd = listen_fd;
        *ret = server;
        return 0;
}

struct varlink_server *varlink_server_free(struct varlink_server *server) {
        struct connection *c;

        if (!server)
                return NULL;
        while ((c = TAILQ_FIRST(&server->connections)))
                connection_free(c);
        sd_event_source_disable_unref(server->accept);
        sd_event_source_disable_unref(server->work);
        sd_event_source_disable_unref(server->tick);
        sd_event_unref(server->event);
        closep(&server->listen_fd);
        free(server);
        return NULL;
}
