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
        int r = poll(&pollfd, 1, (int) ((left + 999) / 1000));

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

/* Reads up to the NUL. The caller frees *ret. */
static int receive(int fd, uint64_t deadline_usec, char **ret) {
        _cleanup_free_ char *text = NULL;
        size_t size = 0, fill = 0;

        for (;;) {
                ssize_t n;

                if (fill == size) {
                        char *bigger;

                        size = MAX(size * 2, (size_t) 64 * 1024);
                        bigger = size > REPLY_MAX ? NULL : realloc(text, size);
                        if (!bigger)
                                return size > REPLY_MAX ? -EMSGSIZE : -ENOMEM;
                        text = bigger;
                }
                n = recv(fd, text + fill, size - fill, 0);
                if (n == 0)
                        return -ECONNRESET;
                if (n < 0 && errno == EAGAIN) {
                        int r = wait_for(fd, POLLIN, deadline_usec);

                        if (r < 0)
                                return r;
                } else if (n < 0 && errno != EINTR)
                        return -errno;
                if (n <= 0)
                        continue;
                fill += (size_t) n;
                if (text[fill - 1] == 0) { /* one call, one reply: nothing follows it */
                        *ret = TAKE_PTR(text);
                        return 0;
                }
        }
}

static int exchange(const char *path, const char *call, json_t **ret) {
        uint64_t deadline = now_usec() + PATIENCE_USEC;
        _cleanup_free_ char *text = NULL;
        _cleanup_close_ int fd = -1;
        int r;

        fd = connect_to(path, deadline);
        if (fd < 0)
                return fd;
        r = send_all(fd, call, strlen(call) + 1, deadline);
        /* A daemon that refuses us may have closed before it read everything; what it said is still there to be read. */
        if (r < 0 && r != -EPIPE)
                return r;
        r = receive(fd, deadline, &text);
        if (r < 0)
                return r;
        *ret = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
        if (json_is_object(*ret))
                return 0;
        json_decref(*ret);
        return -EBADMSG;
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

        switch (-r) {
        case ENOENT:
                return complain(CTL_UNREACHABLE, "aerostatd is not running: there is no socket %s\n"
                                "Start it with `systemctl start aerostatd`, or name its socket with --socket.", path);
        case ECONNREFUSED:
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

int client_call(const struct context *context, const char *method, json_t *parameters, json_t **ret) {
        json_t *call = json_pack("{s:s+, s:o}", "method", INTERFACE, method, "parameters", parameters ?: json_object());
        _cleanup_free_ char *text = call ? json_dumps(call, JSON_COMPACT) : NULL;
        json_t *reply = NULL, *result;
        const char *error;
        int r;

        json_decref(call);
        if (!text) /* the only text of ours that can fail is a name that is not UTF-8 */
                return complain(CTL_USAGE, "names have to be valid UTF-8");
        r = exchange(context->socket, text, &reply);
        if (r < 0)
                return explain_failure(context->socket, r);
        error = json_string_value(json_object_get(reply, "error"));
        result = json_object_get(reply, "parameters");
        r = CTL_DONE;
        if (error)
                r = explain_error(method, error, result);
        else if (json_is_object(result))
                *ret = json_incref(result);
        else
                r = explain_failure(context->socket, -EBADMSG);
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
        if (exchange(context->socket, text, &reply) < 0)
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
