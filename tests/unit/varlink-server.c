/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/varlink-server.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include "protocol/base.h"
#include "protocol/units.h"

static void answer_echo(struct varlink_call *call, json_t *parameters, void *userdata) {
        struct fixture *f = userdata;
        const char *text = NULL;
        bool loud = false;
        const struct varlink_parameter list[] = { { "text", VARLINK_STRING, true, &text },
                                                  { "loud", VARLINK_BOOL, false, &loud },
                                                  {} };

        f->served++;
        if (varlink_take_parameters(call, parameters, list) >= 0)
                varlink_reply(call, json_pack("{s:s, s:b}", "text", text, "loud", loud));
}

static void answer_large(struct varlink_call *call, json_t *parameters, void *userdata) {
        uint64_t bytes = 0;
        const struct varlink_parameter list[] = { { "bytes", VARLINK_BYTES, true, &bytes }, {} };
        _cleanup_free_ char *text = NULL;

        if (varlink_take_parameters(call, parameters, list) < 0)
                return;
        text = malloc(bytes);
        memset(text, 'x', bytes);
        varlink_reply(call, json_pack("{s:s%}", "text", text, (int) bytes));
}

static void on_closed(struct varlink_call *call, void *userdata) {
        struct fixture *f = userdata;

        assert_ptr_equal(f->held, call);
        f->held = NULL;
        f->closed++;
}

static void answer_hold(struct varlink_call *call, json_t *parameters, void *userdata) {
        struct fixture *f = userdata;

        f->held = call;
        varlink_hold(call, on_closed, f);
}

static void answer_count(struct varlink_call *call, json_t *parameters, void *userdata) {
        if (!varlink_wants_more(call)) {
                assert_int_equal(varlink_continue(call, json_object()), -EINVAL);
                varlink_error_message(call, "ExpectedMore", "call this with \"more\" \xc3");
                return;
        }
        for (int i = 1; i <= 3; i++)
                assert_int_equal(varlink_continue(call, json_pack("{s:i}", "n", i)), 0);
        varlink_reply(call, json_pack("{s:i}", "n", 4));
}

static void answer_watch(struct varlink_call *call, json_t *parameters, void *userdata) {
        follow_answer(&((struct fixture *) userdata)->followers, call, parameters);
}

static void answer_nothing(struct varlink_call *call, json_t *parameters, void *userdata) {
        varlink_reply(call, NULL); /* as when there was no memory to build it */
}

static bool only_looks(const json_t *parameters) {
        return !json_object_get(parameters, "loud");
}

static void on_write(const struct varlink_call *call, const char *method, const json_t *parameters, void *userdata) {
        struct fixture *f = userdata;

        snprintf(f->asked, sizeof(f->asked), "%u %s %zu", (unsigned) varlink_caller(call), method, json_object_size(parameters));
}

static const struct varlink_method methods[] = {
        { "Echo", false, answer_echo }, { "Large", false, answer_large }, { "Hold", false, answer_hold },
        { "Count", false, answer_count }, { "Nothing", false, answer_nothing }, { "Change", true, answer_echo },
        { "Look", true, answer_echo, only_looks }, { "Watch", false, answer_watch },
};

static enum varlink_access access_of(int fd, uid_t uid, void *userdata) {
        return ((struct fixture *) userdata)->access;
}

void setup_with(struct fixture *f, const struct varlink_limits *limits) {
        struct varlink_service service = {
                .vendor = "V",
                .product = "P",
                .version = "1",
                .url = "U",
                .interface = "org.test.Fake",
                .description = "interface org.test.Fake\n",
                .methods = methods,
                .n_methods = ARRAY_SIZE(methods),
                .access = access_of,
                .on_write = on_write,
                .limits = *limits,
                .userdata = f,
        };
        char error[LISTENER_ERROR_MAX];

        *f = (struct fixture) { .folder = "/tmp/aerostat-test-XXXXXX", .access = VARLINK_WRITE };
        TAILQ_INIT(&f->followers);
        assert_non_null(mkdtemp(f->folder));
        snprintf(f->path, sizeof(f->path), "%s/socket", f->folder);
        assert_int_equal(listener_open(f->path, 0600, (gid_t) -1, &f->listener, error), 0);
        assert_int_equal(sd_event_new(&f->event), 0);
        assert_int_equal(varlink_server_new(&f->server, f->event, f->listener.fd, &service), 0);
        f->listener.fd = -1;
}

int setup(void **state) {
        static struct fixture f;

        setup_with(&f, &varlink_limits_default);
        *state = &f;
        return 0;
}

int teardown(void **state) {
        struct fixture *f = *state;
        char lock[80];

        f->server = varlink_server_free(f->server);
        sd_event_unref(f->event);
        listener_close(&f->listener);
        assert_int_equal(access(f->path, F_OK), -1);
        snprintf(lock, sizeof(lock), "%s.lock", f->path);
        unlink(lock);
        assert_int_equal(rmdir(f->folder), 0);
        return 0;
}

uint64_t now_usec(void) {
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t) now.tv_sec * USEC_PER_SEC + (uint64_t) now.tv_nsec / 1000;
}

void settle(struct fixture *f) {
        while (sd_event_run(f->event, 20 * USEC_PER_MSEC) > 0)
                ;
}

void run_for(struct fixture *f, uint64_t usec) {
        uint64_t end = now_usec() + usec;

        while (now_usec() < end)
                sd_event_run(f->event, 10 * USEC_PER_MSEC);
}

int client(struct fixture *f) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        strcpy(address.sun_path, f->path);
        while (connect(fd, (const struct sockaddr *) &address, sizeof(address)) < 0) {
                assert_int_equal(errno, EAGAIN); /* the backlog is full: let the server take some */
                sd_event_run(f->event, 0);
        }
        return fd;
}

void put_call(struct fixture *f, int fd, const char *text) {
        size_t size = strlen(text) + 1;

        while (size > 0) {
                ssize_t n = send(fd, text, size, MSG_NOSIGNAL);

                if (n < 0 && errno == EPIPE)
                        return;
                if (n > 0) {
                        text += n;
                        size -= (size_t) n;
                }
                sd_event_run(f->event, 0);
        }
}

json_t *get_reply(struct fixture *f, int fd) {
        size_t fill = 0, size = 32 * MIB;
        _cleanup_free_ char *text = malloc(size);
        uint64_t end = now_usec() + 20 * USEC_PER_SEC;
        json_t *reply;

        for (;;) {
                ssize_t n = recv(fd, text + fill, MIN(size - fill, 256 * KIB), MSG_PEEK);
                const char *nul;

                if (n == 0 || (n < 0 && errno == ECONNRESET))
                        return NULL;
                if (n < 0) {
                        assert_true(now_usec() < end);
                        f->turns += sd_event_run(f->event, USEC_PER_MSEC) > 0;
                        continue;
                }
                nul = memchr(text + fill, 0, (size_t) n);
                if (nul)
                        n = nul + 1 - (text + fill);
                assert_int_equal(recv(fd, text + fill, (size_t) n, 0), n);
                if (nul)
                        break;
                fill += (size_t) n;
        }
        reply = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(reply);
        return reply;
}

json_t *ask(struct fixture *f, int fd, const char *text) {
        put_call(f, fd, text);
        return get_reply(f, fd);
}

void assert_echo(json_t *reply, const char *text) {
        assert_null(json_object_get(reply, "error"));
        assert_string_equal(json_string_value(json_object_get(json_object_get(reply, "parameters"), "text")), text);
        json_decref(reply);
}

void assert_error(json_t *reply, const char *error, const char *member, const char *contains) {
        assert_non_null(reply);
        assert_string_equal(json_string_value(json_object_get(reply, "error")), error);
        if (member)
                assert_non_null(strstr(json_string_value(json_object_get(json_object_get(reply, "parameters"), member)), contains));
        json_decref(reply);
}
