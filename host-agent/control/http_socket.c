/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/control/http_socket.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "protocol/base.h"

#define UNIX_PREFIX "unix:"
#define BACKLOG 16
#define NODE_MAX 64

/* "127.0.0.1:80" or "[::1]:80" in two. */
static int split(const char *where, char node[static NODE_MAX], const char **ret_service) {
        const char *colon = strrchr(where, ':'), *end = colon;

        if (!colon || colon == where || colon[1] == 0)
                return -EINVAL;
        if (*where == '[') {
                if (colon[-1] != ']')
                        return -EINVAL;
                where++;
                end--;
        }
        if ((size_t) (end - where) >= NODE_MAX)
                return -EINVAL;
        memcpy(node, where, (size_t) (end - where));
        node[end - where] = 0;
        *ret_service = colon + 1;
        return 0;
}

static int listen_at(const struct addrinfo *address) {
        _cleanup_close_ int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        const int yes = 1;

        if (fd < 0)
                return -errno;
        /* After a restart, connections of the last run may linger. */
        if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) < 0)
                return -errno;
        if (address->ai_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof(yes)) < 0)
                return -errno;
        if (bind(fd, address->ai_addr, address->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0)
                return -errno;
        return TAKE_FD(fd);
}

static int open_address(const char *where, struct http_socket *ret, char error[static LISTENER_ERROR_MAX]) {
        const struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV };
        struct addrinfo *found = NULL;
        const char *service;
        char node[NODE_MAX];
        int r = split(where, node, &service);

        /* Numbers only: looking a name up may take a server that is not there. */
        if (r < 0 || getaddrinfo(strcmp(node, "localhost") == 0 ? "127.0.0.1" : node, service, &hints, &found) != 0) {
                (void) snprintf(error, LISTENER_ERROR_MAX, "[metrics] listen: \"%.100s\" is not an IP address with a port", where);
                return -EINVAL;
        }
        r = listen_at(found);
        freeaddrinfo(found);
        if (r < 0) {
                (void) snprintf(error, LISTENER_ERROR_MAX, "cannot serve metrics on %.100s: %s", where, strerror(-r));
                return r;
        }
        ret->fd = r;
        return 0;
}

int http_socket_open(const char *where, mode_t mode, gid_t gid, struct http_socket *ret, char error[static LISTENER_ERROR_MAX]) {
        struct http_socket s = { .fd = -1, .listener = { .fd = -1, .lock_fd = -1 } };
        int r;

        s.is_unix = strncmp(where, UNIX_PREFIX, strlen(UNIX_PREFIX)) == 0;
        if (s.is_unix)
                r = listener_open(where + strlen(UNIX_PREFIX), mode, gid, &s.listener, error);
        else
                r = open_address(where, &s, error);
        if (r < 0)
                return r;
        if (s.is_unix)
                s.fd = TAKE_FD(s.listener.fd);
        *ret = s;
        return 0;
}

void http_socket_close(struct http_socket *s) {
        closep(&s->fd);
        s->fd = -1;
        if (s->is_unix && s->listener.lock_fd >= 0)
                listener_close(&s->listener);
}
