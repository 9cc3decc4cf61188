/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The web server behind [metrics] listen: Prometheus text at /metrics, the dashboard at /, and the JSON that it shows at /api/. Read-only: GET and
 * HEAD.
 *
 * libmicrohttpd in its external epoll mode: no thread; its one descriptor is a source of the daemon's loop, below the daemon's own events.
 * Connections, their memory and their time are bounded. What an address serves, every local user can read, and any web page could ask a browser for:
 * so the Host header has to be an IP address, localhost, this host's own name or one of [metrics] names (a page that rebinds its own name to
 * 127.0.0.1 is refused). Main thread.
 */

#include <sys/types.h>

#include <systemd/sd-event.h>

#include "host-agent/manager/view.h"

#define HTTP_ERROR_MAX 512

struct http;

/* listen: "127.0.0.1:19788", "[::1]:19788" or "unix:/run/aerostat/metrics.sock". mode, gid: of a unix
 * socket (listen.h). The manager has to outlive it. 0, or -errno and a sentence in error. */
int http_new(struct http **ret, sd_event *event, struct manager *manager, const char *listen, mode_t mode, gid_t gid,
             char error[static HTTP_ERROR_MAX]);

/* Changes mode and group of a unix socket; nothing for an address. 0 or -errno. */
int http_set_access(const struct http *http, mode_t mode, gid_t gid);

struct http *http_free(struct http *http);
DEFINE_CLEANUP(struct http *, http_free)

/* Whether a Host header is one of ours; for tests. hostname: this host's own, or "". names: others, separated by blanks; or "". */
bool http_host_is_ours(const char *host, const char *hostname, const char *names);
