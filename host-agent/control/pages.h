/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the web server shows: files of the dashboard, built in, and what is made of the manager's views. */

#include <microhttpd.h>

#include "host-agent/manager/view.h"

struct pages;

int pages_new(struct pages **ret, struct manager *manager); /* 0 or -ENOMEM */
struct pages *pages_free(struct pages *pages);

/* The reply to a path; vm: the query's argument, or NULL. A reply is shared by all who ask within a moment, so that asking in a loop costs the daemon
 * little: *ret_kept says that `pages` holds on to it; otherwise it is the caller's. 0; -ENOENT: no such page; -ESRCH: no such VM; -ENOMEM. */
int pages_get(struct pages *pages, const char *path, const char *vm, struct MHD_Response **ret, bool *ret_kept);

/* A reply with the headers that all of ours have. body: copied. NULL: no memory. */
struct MHD_Response *pages_text(const char *text);
