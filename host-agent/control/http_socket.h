/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The socket that the web server listens on: an address, or a path with the access of the control socket. */

#include <stdbool.h>

#include "host-agent/control/listen.h"

struct http_socket {
        int fd;                 /* listening, non-blocking, close-on-exec; the caller may take it (then sets -1) */
        bool is_unix;
        struct listener listener; /* of a unix socket */
};

/* where: "127.0.0.1:19788", "[::1]:19788", "localhost:19788" or "unix:PATH"; mode, gid: of a path (see listen.h). 0, or -errno and a sentence in
 * error. */
int http_socket_open(const char *where, mode_t mode, gid_t gid, struct http_socket *ret, char error[static LISTENER_ERROR_MAX]);
void http_socket_close(struct http_socket *socket);
