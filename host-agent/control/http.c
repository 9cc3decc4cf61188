/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/control/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <microhttpd.h>

#include "host-agent/control/connection.h"
#include "host-agent/control/http_socket.h"
#include "host-agent/control/pages.h"
#include "host-agent/log.h"
#include "protocol/units.h"

#define CONNECTIONS_MAX 64u
#define CONNECTION_MEMORY (16u * 1024u)        /* of a request; replies are shared */
#define TIMEOUT_SEC 10u
#define HOST_MAX 256

struct http {
        struct http_socket socket;
        struct MHD_Daemon *daemon;
        sd_event_source *io, *timer;
        struct manager *manager;
        struct pages *pages;
        char hostname[HOST_MAX];
};

static bool list_has(const char *names, const char *name) {
        size_t length = strlen(name), n;

        for (; *names; names += n) {
                names += strspn(names, " \t");
                n = strcspn(names, " \t");
                if (n > 0 && n == length && strncasecmp(names, name, n) == 0)
                        return true;
        }
        return false;
}

bool http_host_is_ours(const char *host, const char *hostname, const char *names) {
        char name[HOST_MAX];
        unsigned char address[sizeof(struct in6_addr)];
        size_t n;

        if (!host || *host == 0)
                return false;
        if (*host == '[') {
                const char *end = strchr(host, ']');

                n = end ? (size_t) (end - host - 1) : sizeof(name);
                host++;
        } else
                n = strcspn(host, ":");
        if (n >= sizeof(name))
                return false;
        memcpy(name, host, n);
        name[n] = 0;
        return inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1 || strcasecmp(name, "localhost") == 0 ||
               (*hostname && strcasecmp(name, hostname) == 0) || list_has(names, name);
}

static bool is_ours(const struct http *http, struct MHD_Connection *connection) {
        struct host_view host;

        manager_view_host(http->manager, &host);
        return http_host_is_ours(MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Host"), http->hostname, host.settings->metrics_names);
}

static enum MHD_Result refuse(struct MHD_Connection *connection, unsigned status, const char *sentence) {
        struct MHD_Response *response = pages_text(sentence);
        enum MHD_Result r;

        if (!response)
                return MHD_NO;
        if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
                (void) MHD_add_response_header(response, "Allow", "GET, HEAD");
        r = MHD_queue_response(connection, status, response);
        MHD_destroy_response(response);
        return r;
}

static enum MHD_Result on_request(void *userdata, struct MHD_Connection *connection, const char *path, const char *method, const char *version,
                                  const char *upload, size_t *upload_size, void **state) {
        struct http *http = userdata;
        struct MHD_Response *response;
        enum MHD_Result answered;
        bool kept;
        int r;

        if (!*state) { /* the first call has the headers only; answering it would close the connection */
                *state = http;
                return MHD_YES;
        }
        if (*upload_size > 0) { /* a body that nobody asked for */
                *upload_size = 0;
                return MHD_YES;
        }
        if (!http->socket.is_unix && !is_ours(http, connection))
                return refuse(connection, MHD_HTTP_MISDIRECTED_REQUEST,
                              "Ask by IP address, as localhost, by this host's own name, or by one that [metrics] names has.\n");
        if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
                return refuse(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "This server only shows: GET and HEAD.\n");
        r = pages_get(http->pages, path, MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "vm"), &response, &kept);
        if (r == -ENOENT)
                return refuse(connection, MHD_HTTP_NOT_FOUND, "There is nothing here. See / and /metrics.\n");
        if (r == -ESRCH)
                return refuse(connection, MHD_HTTP_NOT_FOUND, "No running VM has this name or UUID.\n");
        if (r < 0)
                return refuse(connection, MHD_HTTP_SERVICE_UNAVAILABLE, "There is no memory to answer.\n");
        answered = MHD_queue_response(connection, MHD_HTTP_OK, response);
        if (!kept)
                MHD_destroy_response(response);
        return answered;
}

/* When libmicrohttpd wants to be run again although nothing has come. */
static void arm(struct http *http) {
        MHD_UNSIGNED_LONG_LONG msec;

        if (MHD_get_timeout(http->daemon, &msec) != MHD_YES) {
                (void) sd_event_source_set_enabled(http->timer, SD_EVENT_OFF);
                return;
        }
        (void) sd_event_source_set_time_relative(http->timer, u64_mul(msec, USEC_PER_MSEC));
        (void) sd_event_source_set_enabled(http->timer, SD_EVENT_ONESHOT);
}

static unsigned count_connections(struct http *http) {
        const union MHD_DaemonInfo *info = MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);

        return info ? info->num_connections : 0;
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        struct http *http = userdata;

        unsigned before, after = count_connections(http);

        /* At its limit libmicrohttpd stops to listen, and only looks at the start of a run whether it may again. */
        do {
                before = after;
                (void) MHD_run(http->daemon);
                after = count_connections(http);
        } while (after < before);
        arm(http);
        return 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        return on_io(source, -1, 0, userdata);
}

static void on_mhd_log(void *userdata, const char *format, va_list ap) {
        char text[256];

        (void) vsnprintf(text, sizeof(text), format, ap);
        text[strcspn(text, "\n")] = 0;
        log_debug("web server: %s", text);
}

static int start(struct http *http, sd_event *event) {
        const union MHD_DaemonInfo *info;
        int r;

        http->daemon = MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_ERROR_LOG, 0, NULL, NULL, on_request, http,
                                        MHD_OPTION_EXTERNAL_LOGGER, on_mhd_log, NULL,
                                        MHD_OPTION_LISTEN_SOCKET, http->socket.fd,
                                        MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX,
                                        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t) CONNECTION_MEMORY,
                                        MHD_OPTION_CONNECTION_TIMEOUT, TIMEOUT_SEC,
                                        MHD_OPTION_END);
        if (!http->daemon)
                return -EIO;
        http->socket.fd = -1; /* libmicrohttpd's now */
        info = MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD);
        if (!info)
                return -ENOTSUP;
        r = sd_event_add_io(event, &http->io, info->epoll_fd, EPOLLIN, on_io, http);
        if (r >= 0)
                r = sd_event_add_time_relative(event, &http->timer, CLOCK_MONOTONIC, 0, 20 * USEC_PER_MSEC, on_timer, http);
        if (r >= 0)
                r = sd_event_source_set_priority(http->io, CONNECTION_PRIORITY);
        if (r >= 0)
                r = sd_event_source_set_priority(http->timer, CONNECTION_PRIORITY);
        return r;
}

int http_new(struct http **ret, sd_event *event, struct manager *manager, const char *listen, mode_t mode, gid_t gid,
             char error[static HTTP_ERROR_MAX]) {
        _cleanup_(http_freep) struct http *http = calloc(1, sizeof(*http));
        int r;

        if (!http) {
                (void) snprintf(error, HTTP_ERROR_MAX, "out of memory");
                return -ENOMEM;
        }
        http->manager = manager;
        http->socket = (struct http_socket) { .fd = -1, .listener = { .fd = -1, .lock_fd = -1 } };
        (void) gethostname(http->hostname, sizeof(http->hostname) - 1);
        r = http_socket_open(listen, mode, gid, &http->socket, error);
        if (r < 0)
                return r;
        r = pages_new(&http->pages, manager);
        if (r >= 0)
                r = start(http, event);
        if (r < 0) {
                (void) snprintf(error, HTTP_ERROR_MAX, "cannot serve metrics on %s: %s", listen, strerror(-r));
                return r;
        }
        *ret = TAKE_PTR(http);
        return 0;
}

int http_set_access(const struct http *http, mode_t mode, gid_t gid) {
        return http->socket.listener.lock_fd < 0 ? 0 : listener_set_access(&http->socket.listener, mode, gid);
}

struct http *http_free(struct http *http) {
        if (!http)
                return NULL;
        sd_event_source_disable_unref(http->io);
        sd_event_source_disable_unref(http->timer);
        if (http->daemon)
                MHD_stop_daemon(http->daemon);
        pages_free(http->pages);
        http_socket_close(&http->socket);
        free(http);
        return NULL;
}
