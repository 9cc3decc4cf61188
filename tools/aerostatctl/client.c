/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/aerostatctl/client.h"

#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

#include "protocol/base.h"
#include "protocol/units.h"

#define INTERFACE "org.aerostat.Host."
#define PATIENCE_USEC (10 * USEC_PER_SEC)
#define RETRY_USEC (20 * USEC_PER_MSEC)
#define REPLY_MAX (64 * MIB)

static uint64_t now_usec(void) {
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t) now.tv_sec * USEC_PER_SEC + (uint64_t) now.tv_nsec / 1000;
}

/* Waits until the socket is ready for events, or -ETIMEDOUT. */
static int wait_for(int fd, short events, uint64_t deadline_usec) {
        struct pollfd pollfd = { .fd = fd, .events = events };
        uint64_t left = u64_sub(deadline_usec, now_usec());
        int r = poll(&pollfd, 1, deadline_usec == UINT64_MAX ? -1 : (int) ((left + 999) / 1000));

        if (r < 0 && errno != EINTR)
                return -errno;
        return r == 0 ? -ETIMEDOUT : 0;
}

static int connect_to(const char *path, uint64_t deadline_usec) {
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
                if (now_usec() >= deadline_usec)
                        return -ETIMEDOUT;
                usleep(RETRY_USEC);
        }
        return TAKE_FD(fd);
}

static int send_all(int fd, const char *bytes, size_t size, uint64_t deadline_usec) {
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

/* What has been read of a connection and not been used yet. */
struct input {
        char *text;
        size_t size, fill;
};

static void input_done(struct input *input) {
        free(input->text);
}

static int grow(struct input *input) {
        size_t size = MAX(input->size * 2, (size_t) 64 * 1024);
        char *bigger = size > REPLY_MAX ? NULL : realloc(input->text, size);

        if (!bigger)
                return size > REPLY_MAX ? -EMSGSIZE : -ENOMEM;
        input->text = bigger;
        input->size = size;
        return 0;
}

/* Reads one message, up to its NUL. deadline_usec: UINT64_MAX waits for ever. */
static int receive(int fd, struct input *input, uint64_t deadline_usec, json_t **ret) {
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

/* Connects and sends a call. The connection, or -errno. */
static int begin(const char *path, const char *call, uint64_t deadline_usec) {
        _cleanup_close_ int fd = connect_to(path, deadline_usec);
        int r;

        if (fd < 0)
                return fd;
        r = send_all(fd, call, strlen(call) + 1, deadline_usec);
        /* A daemon that refuses us may have closed before it read everything; what it said is still there to be read. */
        if (r < 0 && r != -EPIPE)
                return r;
        return TAKE_FD(fd);
}

static int exchange(const char *path, uint64_t wait_usec, const char *call, json_t **ret) {
        _cleanup_(input_done) struct input input = { 0 };
        uint64_t deadline = u64_add(now_usec() + PATIENCE_USEC, wait_usec);
        _cleanup_close_ int fd = begin(path, call, deadline);

        return fd < 0 ? fd : receive(fd, &input, deadline, ret);
}

/* The group that may use the socket, for advice; NULL when it cannot be told. */
static const char *group_of(const char *path) {
        struct group *group;
        struct stat st;

        if (stat(path, &st) < 0 || !(st.st_mode & 0060) || st.st_gid == 0)
                return NULL;
        group = getgrgid(st.st_gid);
        return group ? group->gr_name : NULL;
}

static int explain_failure(const char *path, int r) {
        const char *group;
        struct stat st;

        switch (-r) {
        case ENOENT:
                return complain(CTL_UNREACHABLE, "aerostatd is not running: there is no socket %s\n"
                                "Start it with `systemctl start aerostatd`, or name its socket with --socket.", path);
        case ENAMETOOLONG:
                return complain(CTL_UNREACHABLE, "the path of the socket has %zu bytes, and no socket's may have more than %zu: %s", strlen(path),
                                sizeof(((struct sockaddr_un *) 0)->sun_path) - 1, path);
        case ECONNREFUSED:
                if (stat(path, &st) >= 0 && !S_ISSOCK(st.st_mode))
                        return complain(CTL_UNREACHABLE, "%s is no socket\nThe daemon's is /run/aerostat/control.varlink unless it was started with another.", path);
                return complain(CTL_UNREACHABLE, "aerostatd is not running: nobody answers on %s\n"
                                "Start it with `systemctl start aerostatd`; `journalctl -u aerostatd` tells why it ended.", path);
        case EACCES:
        case EPERM:
                group = group_of(path);
                return complain(CTL_UNREACHABLE,
                                "you may not use %s\nBe root, or a member of group \"%s\": `usermod -aG %s USER` and log in again.",
                                path, group ?: "aerostat", group ?: "aerostat");
        case ETIMEDOUT:
                return complain(CTL_UNREACHABLE,
                                "aerostatd does not answer on %s within 10 seconds\nSee `systemctl status aerostatd`.", path);
        case ECONNRESET:
                return complain(CTL_UNREACHABLE, "aerostatd closed the connection without an answer\n"
                                "See `journalctl -u aerostatd`: did it restart, or does it have too many clients?");
        case EBADMSG:
        case EMSGSIZE:
                return complain(CTL_UNREACHABLE, "what answers on %s is not aerostatd", path);
        default:
                return complain(CTL_UNREACHABLE, "cannot reach aerostatd on %s: %s", path, strerror(-r));
        }
}

/* Says what an error reply means. */
static int explain_error(const char *method, const char *error, json_t *parameters) {
        const char *message = json_string_value(json_object_get(parameters, "message"));
        const char *parameter = json_string_value(json_object_get(parameters, "parameter"));

        if (strcmp(error, INTERFACE "PermissionDenied") == 0)
                return complain(CTL_FAILED, "%s\nBe root, or a member of the group that [control] group in aerostatd.conf names.",
                                message ?: "permission denied");
        if (strcmp(error, "org.varlink.service.MethodNotFound") == 0 || strcmp(error, "org.varlink.service.InterfaceNotFound") == 0)
                return complain(CTL_FAILED, "this aerostatd does not know %s: is it of another version? See `aerostatctl version`.",
                                method);
        if (strcmp(error, INTERFACE "OutOfMemory") == 0)
                return complain(CTL_FAILED, "aerostatd had no memory to answer; try again");
        if (message && parameter)
                return complain(CTL_FAILED, "%s: %s", parameter, message);
        return complain(CTL_FAILED, "%s", message ?: error);
}

/* What a reply says: CTL_DONE and *ret, borrowed; or an exit code, and stderr has the reason. */
static int take_reply(const struct context *context, const char *method, json_t *reply, json_t **ret) {
        const char *error = json_string_value(json_object_get(reply, "error"));

        *ret = json_object_get(reply, "parameters");
        if (error)
                return explain_error(method, error, *ret);
        return json_is_object(*ret) ? CTL_DONE : explain_failure(context->socket, -EBADMSG);
}

/* The call as it is sent; the caller frees it. Takes the reference. NULL: a text of ours is not UTF-8. */
static char *format_call(const char *method, json_t *parameters, bool more) {
        json_t *call = json_pack("{s:s+, s:o, s:b}", "method", INTERFACE, method, "parameters", parameters ?: json_object(), "more", more);
        char *text = call ? json_dumps(call, JSON_COMPACT) : NULL;

        json_decref(call);
        return text;
}

int client_follow(const struct context *context, const char *method, json_t *parameters, client_handler_t handler, void *userdata) {
        _cleanup_(input_done) struct input input = { 0 };
        _cleanup_free_ char *text = format_call(method, parameters, true);
        _cleanup_close_ int fd = text ? begin(context->socket, text, now_usec() + PATIENCE_USEC) : -ENOMEM;
        int r;

        if (fd < 0)
                return explain_failure(context->socket, fd);
        for (;;) {
                json_t *reply = NULL, *result;
                bool more;

                r = receive(fd, &input, UINT64_MAX, &reply);
                if (r < 0)
                        return explain_failure(context->socket, r);
                r = take_reply(context, method, reply, &result);
                more = r == CTL_DONE && handler(result, userdata) >= 0 && json_is_true(json_object_get(reply, "continues"));
                json_decref(reply);
                if (!more)
                        return r;
        }
}

int client_call(const struct context *context, const char *method, json_t *parameters, json_t **ret) {
        _cleanup_free_ char *text = format_call(method, parameters, false);
        json_t *reply = NULL, *result;
        int r;

        if (!text) /* the only text of ours that can fail is a name that is not UTF-8 */
                return complain(CTL_USAGE, "names have to be valid UTF-8");
        r = exchange(context->socket, context->wait_usec, text, &reply);
        if (r < 0)
                return explain_failure(context->socket, r);
        r = take_reply(context, method, reply, &result);
        if (r == CTL_DONE)
                *ret = json_incref(result);
        json_decref(reply);
        return r;
}

bool client_ask(const struct context *context, const char *method, json_t **ret) {
        _cleanup_free_ char *text = NULL;
        json_t *reply = NULL, *result;

        if (asprintf(&text, "{\"method\": \"" INTERFACE "%s\", \"parameters\": {}}", method) < 0) {
                text = NULL;
                return false;
        }
        if (exchange(context->socket, context->wait_usec, text, &reply) < 0)
                return false;
        result = json_object_get(reply, "error") ? NULL : json_incref(json_object_get(reply, "parameters"));
        json_decref(reply);
        *ret = result;
        return result != NULL;
}

int client_call_or_print(const struct context *context, const char *method, json_t *parameters, json_t **ret) {
        json_t *reply = NULL;
        int r;

        r = client_call(context, method, parameters, &reply);
        *ret = NULL;
        if (r != CTL_DONE || !context->json) {
                *ret = reply;
                return r;
        }
        (void) json_dumpf(reply, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9)); /* main() looks whether stdout took it */
        putchar('\n');
        json_decref(reply);
        return CTL_DONE;
}
