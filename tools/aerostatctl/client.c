/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/aerostatctl/client.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "protocol/base.h"
#include "protocol/clock.h"
#include "tools/aerostatctl/wire.h"

#define PATIENCE_USEC (10 * USEC_PER_SEC)

/* Connects and sends a call. The connection, or -errno. */
static int begin(const char *path, const char *call, uint64_t deadline_usec) {
        _cleanup_close_ int fd = wire_connect(path, deadline_usec);
        int r;

        if (fd < 0)
                return fd;
        r = wire_send(fd, call, strlen(call) + 1, deadline_usec);
        /* A daemon that refuses us may have closed before it read everything; what it said is still there to be read. */
        if (r < 0 && r != -EPIPE)
                return r;
        return TAKE_FD(fd);
}

static int exchange(const char *path, uint64_t wait_usec, const char *call, json_t **ret) {
        _cleanup_(wire_input_done) struct wire_input input = { 0 };
        uint64_t deadline = u64_add(clock_monotonic_usec() + PATIENCE_USEC, wait_usec);
        _cleanup_close_ int fd = begin(path, call, deadline);

        return fd < 0 ? fd : wire_receive(fd, &input, deadline, ret);
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
                        return complain(CTL_UNREACHABLE, "%s is no socket\nThe daemon's is /run/aerostat/control.varlink "
                                                         "unless it was started with another.", path);
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
                return complain(CTL_UNREACHABLE, "aerostatd closed the connection\n"
                                "See `journalctl -u aerostatd`: did it end or restart, or does it have too many clients?");
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

        if (strcmp(error, WIRE_INTERFACE "PermissionDenied") == 0)
                return complain(CTL_FAILED, "%s\nBe root, or a member of the group that [control] group in aerostatd.conf names.",
                                message ?: "permission denied");
        if (strcmp(error, "org.varlink.service.MethodNotFound") == 0 || strcmp(error, "org.varlink.service.InterfaceNotFound") == 0)
                return complain(CTL_FAILED, "this aerostatd does not know %s: is it of another version? See `aerostatctl version`.",
                                method);
        if (strcmp(error, WIRE_INTERFACE "OutOfMemory") == 0)
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

int client_follow(const struct context *context, const char *method, json_t *parameters, client_handler_t handler) {
        _cleanup_(wire_input_done) struct wire_input input = { 0 };
        _cleanup_free_ char *text = wire_format_call(method, parameters, true);
        _cleanup_close_ int fd = text ? begin(context->socket, text, clock_monotonic_usec() + PATIENCE_USEC) : -ENOMEM;
        int r;

        if (fd < 0)
                return explain_failure(context->socket, fd);
        for (;;) {
                json_t *reply = NULL, *result;
                bool more;

                r = wire_receive(fd, &input, UINT64_MAX, &reply);
                if (r < 0)
                        return explain_failure(context->socket, r);
                r = take_reply(context, method, reply, &result);
                more = r == CTL_DONE && handler(context, result) >= 0 && json_is_true(json_object_get(reply, "continues"));
                json_decref(reply);
                if (!more)
                        return r;
        }
}

int client_call(const struct context *context, const char *method, json_t *parameters, json_t **ret) {
        _cleanup_free_ char *text = wire_format_call(method, parameters, false);
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

        if (asprintf(&text, "{\"method\": \"" WIRE_INTERFACE "%s\", \"parameters\": {}}", method) < 0) {
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

int client_call_vm(const struct context *context, const char *method, const char *vm, json_t **ret) {
        json_t *parameters = json_pack("{s:s}", "vm", vm);

        return parameters ? client_call_or_print(context, method, parameters, ret) : complain(CTL_USAGE, "names have to be valid UTF-8");
}
