/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/aerostatctl/wire.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "protocol/base.h"
#include "protocol/clock.h"

#define RETRY_USEC (20 * USEC_PER_MSEC)
#define REPLY_MAX (64 * MIB)

/* Waits until the socket is ready for events, or -ETIMEDOUT. */
static int wait_for(int fd, short events, uint64_t deadline_usec) {
        struct pollfd pollfd = { .fd = fd, .events = events };
        uint64_t left = u64_sub(deadline_usec, clock_monotonic_usec());
        int r = poll(&pollfd, 1, deadline_usec == UINT64_MAX ? -1 : (int) ((left + 999) / 1000));

        if (r < 0 && errno != EINTR)
                return -errno;
        return r == 0 ? -ETIMEDOUT : 0;
}

int wire_connect(const char *path, uint64_t deadline_usec) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_close_ int fd = -1;

        if (strlen(path) >= sizeof(address.sun_path))
                return -ENAMETOOLONG;
        strcpy(address.sun_path, path);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        while (connect(fd, (const struct sockaddr *) &address, sizeof(address)) < 0) {
                if (errno != EAGAIN && errno != EINTR)
                        return -errno;
                /* The daemon's backlog is full; there is nothing to poll for. */
                if (clock_monotonic_usec() >= deadline_usec)
                        return -ETIMEDOUT;
                usleep(RETRY_USEC);
        }
        return TAKE_FD(fd);
}

int wire_send(int fd, const char *bytes, size_t size, uint64_t deadline_usec) {
        while (size > 0) {
                ssize_t n = send(fd, bytes, size, MSG_NOSIGNAL);

                if (n >= 0) {
                        bytes += n;
                        size -= (size_t) n;
                } else if (errno == EAGAIN) {
                        int r = wait_for(fd, POLLOUT, deadline_usec);

                        if (r < 0)
                                return r;
                } else if (errno != EINTR)
                        return -errno;
        }
        return 0;
}

void wire_input_done(struct wire_input *input) {
        free(input->text);
        *input = (struct wire_input) {};
}

static int grow(struct wire_input *input) {
        size_t size = MAX(input->size * 2, (size_t) 64 * 1024);
        char *bigger = size > REPLY_MAX ? NULL : realloc(input->text, size);

        if (!bigger)
                return size > REPLY_MAX ? -EMSGSIZE : -ENOMEM;
        input->text = bigger;
        input->size = size;
        return 0;
}

int wire_receive(int fd, struct wire_input *input, uint64_t deadline_usec, json_t **ret) {
        char *end;

        while (!(end = input->fill > 0 ? memchr(input->text, 0, input->fill) : NULL)) {
                ssize_t n;
                int r = input->fill == input->size ? grow(input) : 0;

                if (r < 0)
                        return r;
                n = recv(fd, input->text + input->fill, input->size - input->fill, 0);
                if (n == 0)
                        return -ECONNRESET;
                if (n > 0)
                        input->fill += (size_t) n;
                else if (errno == EAGAIN) {
                        r = wait_for(fd, POLLIN, deadline_usec);
                        if (r < 0)
                                return r;
                } else if (errno != EINTR)
                        return -errno;
        }
        *ret = json_loads(input->text, JSON_REJECT_DUPLICATES, NULL);
        input->fill -= (size_t) (end + 1 - input->text);
        memmove(input->text, end + 1, input->fill);
        if (json_is_object(*ret))
                return 0;
        json_decref(*ret);
        return -EBADMSG;
}

char *wire_format_call(const char *method, json_t *parameters, bool more) {
        json_t *call = json_pack("{s:s+, s:o, s:b}", "method", WIRE_INTERFACE, method, "parameters", parameters ?: json_object(), "more", more);
        char *text = call ? json_dumps(call, JSON_COMPACT) : NULL;

        json_decref(call);
        return text;
}
