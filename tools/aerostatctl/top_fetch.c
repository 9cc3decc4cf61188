/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/aerostatctl/top_fetch.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "protocol/base.h"
#include "protocol/clock.h"
#include "tools/aerostatctl/field.h"

#define PATIENCE_USEC (10 * USEC_PER_SEC)

static const char *const methods[_TOP_REPLIES] = { "Status", "List", "Explain" };

void top_fetch_init(struct top_fetch *fetch, const char *path) {
        *fetch = (struct top_fetch) { .path = path, .fd = -1 };
}

static void forget(struct top_fetch *fetch) {
        for (size_t i = 0; i < _TOP_REPLIES; i++) {
                json_decref(fetch->replies[i]);
                fetch->replies[i] = NULL;
        }
        fetch->wanted = fetch->have = 0;
}

static void hang_up(struct top_fetch *fetch) {
        closep(&fetch->fd);
        fetch->fd = -1;
        wire_input_done(&fetch->input);
        forget(fetch);
}

void top_fetch_done(struct top_fetch *fetch) {
        hang_up(fetch);
}

static int fail(struct top_fetch *fetch, int r) {
        const char *why = r == -ENOENT || r == -ECONNREFUSED || r == -ECONNRESET || r == -EPIPE ? "aerostatd is not running"
                          : r == -EACCES || r == -EPERM                                          ? "you may not use the socket any more"
                          : r == -ETIMEDOUT || r == -EAGAIN                                      ? "aerostatd does not answer"
                          : r == -EBADMSG || r == -EMSGSIZE                                      ? "what answers is not aerostatd"
                                                                                                 : strerror(-r);

        snprintf(fetch->error, sizeof(fetch->error), "%s", why);
        hang_up(fetch);
        return r;
}

static int call(struct top_fetch *fetch, enum top_reply what, json_t *parameters) {
        _cleanup_free_ char *text = wire_format_call(methods[what], parameters, false);

        return text ? wire_send(fetch->fd, text, strlen(text) + 1, 0) : -ENOMEM;
}

int top_fetch_begin(struct top_fetch *fetch, const char *explain_uuid) {
        int r = 0;

        forget(fetch);
        if (fetch->fd < 0) {
                r = wire_connect(fetch->path, 0);
                if (r < 0)
                        return fail(fetch, r);
                fetch->fd = r;
        }
        r = call(fetch, TOP_REPLY_STATUS, NULL);
        if (r >= 0)
                r = call(fetch, TOP_REPLY_LIST, NULL);
        if (r >= 0 && explain_uuid)
                r = call(fetch, TOP_REPLY_EXPLAIN, json_pack("{s:s}", "vm", explain_uuid));
        if (r < 0)
                return fail(fetch, r);
        fetch->wanted = explain_uuid ? 3 : 2;
        fetch->deadline_usec = clock_monotonic_usec() + PATIENCE_USEC;
        return 0;
}

/* 0, or negative where the daemon refuses: its own words are the error then. That a VM is gone is an explanation, too. */
static int take(struct top_fetch *fetch, json_t *reply) {
        const char *error = field_text(reply, "error");
        json_t *parameters = json_object_get(reply, "parameters");

        if (!json_is_object(parameters))
                return fail(fetch, -EBADMSG);
        if (error && fetch->have != TOP_REPLY_EXPLAIN) {
                const char *message = field_text(parameters, "message");

                fail(fetch, -EPERM);
                snprintf(fetch->error, sizeof(fetch->error), "aerostatd refuses: %s", message ?: error);
                return -EPERM;
        }
        fetch->replies[fetch->have++] = json_incref(parameters);
        return 0;
}

int top_fetch_read(struct top_fetch *fetch) {
        while (top_fetch_is_under_way(fetch)) {
                json_t *reply = NULL;
                int r = wire_receive(fetch->fd, &fetch->input, 0, &reply);

                if (r == -ETIMEDOUT && clock_monotonic_usec() < fetch->deadline_usec)
                        return 0;
                if (r < 0)
                        return fail(fetch, r);
                r = take(fetch, reply);
                json_decref(reply);
                if (r < 0)
                        return r;
                if (!top_fetch_is_under_way(fetch)) {
                        fetch->error[0] = 0;
                        return 1;
                }
        }
        /* Nothing is asked, so nothing but an end can be there to read. */
        hang_up(fetch);
        return -ECONNRESET;
}
