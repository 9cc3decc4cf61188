/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

#include "host-agent/control/listen.h"
#include "host-agent/control/message.h"
#include "host-agent/control/peer.h"
#include "host-agent/control/varlink.h"
#include "protocol/base.h"
#include "protocol/units.h"

/* The server and its clients share this thread: a client writes, the loop runs until it has been answered, the client reads. */

struct fixture {
        char folder[32], path[64];
        struct listener listener;
        sd_event *event;
        struct varlink_server *server;
        enum varlink_access access;
        struct varlink_call *held;
        unsigned closed;               /* how often a held call was closed by its client */
        unsigned served;               /* calls of Echo */
};

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

static void answer_nothing(struct varlink_call *call, json_t *parameters, void *userdata) {
        varlink_reply(call, NULL); /* as when there was no memory to build it */
}

static const struct varlink_method methods[] = {
        { "Echo", false, answer_echo }, { "Large", false, answer_large }, { "Hold", false, answer_hold },
        { "Count", false, answer_count }, { "Nothing", false, answer_nothing }, { "Change", true, answer_echo },
};

static enum varlink_access access_of(int fd, uid_t uid, void *userdata) {
        return ((struct fixture *) userdata)->access;
}

static void setup_with(struct fixture *f, const struct varlink_limits *limits) {
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
                .limits = *limits,
                .userdata = f,
        };
        char error[LISTENER_ERROR_MAX];

        *f = (struct fixture) { .folder = "/tmp/aerostat-test-XXXXXX", .access = VARLINK_WRITE };
        assert_non_null(mkdtemp(f->folder));
        snprintf(f->path, sizeof(f->path), "%s/socket", f->folder);
        assert_int_equal(listener_open(f->path, 0600, (gid_t) -1, &f->listener, error), 0);
        assert_int_equal(sd_event_new(&f->event), 0);
        assert_int_equal(varlink_server_new(&f->server, f->event, f->listener.fd, &service), 0);
        f->listener.fd = -1;
}

static int setup(void **state) {
        static struct fixture f;

        setup_with(&f, &varlink_limits_default);
        *state = &f;
        return 0;
}

static int teardown(void **state) {
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

static uint64_t now_usec(void) {
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t) now.tv_sec * USEC_PER_SEC + (uint64_t) now.tv_nsec / 1000;
}

/* Runs the loop until nothing has happened for a while. */
static void settle(struct fixture *f) {
        while (sd_event_run(f->event, 20 * USEC_PER_MSEC) > 0)
                ;
}

static void run_for(struct fixture *f, uint64_t usec) {
        uint64_t end = now_usec() + usec;

        while (now_usec() < end)
                sd_event_run(f->event, 10 * USEC_PER_MSEC);
}

static int client(struct fixture *f) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        strcpy(address.sun_path, f->path);
        while (connect(fd, (const struct sockaddr *) &address, sizeof(address)) < 0) {
                assert_int_equal(errno, EAGAIN); /* the backlog is full: let the server take some */
                sd_event_run(f->event, 0);
        }
        return fd;
}

/* Sends with the NUL. The server has to take it as it comes. */
static void put_call(struct fixture *f, int fd, const char *text) {
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

/* The next reply, or NULL when the connection ends first. The loop runs meanwhile. */
static json_t *get_reply(struct fixture *f, int fd) {
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
                        sd_event_run(f->event, USEC_PER_MSEC);
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

static json_t *ask(struct fixture *f, int fd, const char *text) {
        put_call(f, fd, text);
        return get_reply(f, fd);
}

#define ECHO(text) "{\"method\":\"org.test.Fake.Echo\",\"parameters\":{\"text\":\"" text "\"}}"

static void assert_echo(json_t *reply, const char *text) {
        assert_null(json_object_get(reply, "error"));
        assert_string_equal(json_string_value(json_object_get(json_object_get(reply, "parameters"), "text")), text);
        json_decref(reply);
}

/* parameter: what its member of that name or "message" has to contain; NULL: anything. */
static void assert_error(json_t *reply, const char *error, const char *member, const char *contains) {
        assert_non_null(reply);
        assert_string_equal(json_string_value(json_object_get(reply, "error")), error);
        if (member)
                assert_non_null(strstr(json_string_value(json_object_get(json_object_get(reply, "parameters"), member)), contains));
        json_decref(reply);
}

static void test_calls(void **state) {
        struct fixture *f = *state;
        int fd = client(f);
        json_t *reply;

        assert_echo(ask(f, fd, ECHO("hello")), "hello");
        assert_echo(ask(f, fd, ECHO("again, \\u00fc \\\" {[")), "again, \xc3\xbc \" {[");
        reply = ask(f, fd, "{\"method\":\"org.varlink.service.GetInfo\"}");
        assert_string_equal(json_string_value(json_object_get(json_object_get(reply, "parameters"), "vendor")), "V");
        assert_int_equal(json_array_size(json_object_get(json_object_get(reply, "parameters"), "interfaces")), 2);
        json_decref(reply);
        reply = ask(f, fd,
                    "{\"method\":\"org.varlink.service.GetInterfaceDescription\",\"parameters\":{\"interface\":\"org.test.Fake\"}}");
        assert_string_equal(json_string_value(json_object_get(json_object_get(reply, "parameters"), "description")),
                            "interface org.test.Fake\n");
        json_decref(reply);
        reply = ask(f, fd,
                    "{\"method\":\"org.varlink.service.GetInterfaceDescription\",\"parameters\":{\"interface\":\"org.varlink.service\"}}");
        assert_null(json_object_get(reply, "error"));
        json_decref(reply);
        assert_error(ask(f, fd,
                         "{\"method\":\"org.varlink.service.GetInterfaceDescription\",\"parameters\":{\"interface\":\"a.b\"}}"),
                     "org.varlink.service.InterfaceNotFound", "interface", "a.b");
        assert_error(ask(f, fd, "{\"method\":\"org.test.Fake.Nope\"}"), "org.varlink.service.MethodNotFound", "method",
                     "org.test.Fake.Nope");
        assert_error(ask(f, fd, "{\"method\":\"org.test.Fake.echo\"}"), "org.varlink.service.MethodNotFound", NULL, NULL);
        assert_error(ask(f, fd, "{\"method\":\"org.other.Thing\"}"), "org.varlink.service.InterfaceNotFound", "interface",
                     "org.other");
        assert_error(ask(f, fd, "{\"method\":\"org.test.Fake.Nothing\"}"), "org.test.Fake.OutOfMemory", NULL, NULL);
        assert_echo(ask(f, fd, ECHO("still here")), "still here");
        close(fd);
}

static void test_parameters(void **state) {
        static const struct {
                const char *parameters, *parameter, *sentence;
        } cases[] = {
                { "{}", "text", "required" },
                { "{\"text\":null}", "text", "required" },
                { "{\"text\":\"\"}", "text", "not empty" },
                { "{\"text\":1}", "text", "must be text" },
                { "{\"text\":\"a\",\"laud\":true}", "laud", "did you mean \"loud\"" },
                { "{\"text\":\"a\",\"volume\":1}", "volume", "no parameter of this name" },
                { "{\"text\":\"a\",\"loud\":1}", "loud", "true or false" },
        };
        struct fixture *f = *state;
        int fd = client(f);

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                char call[256];

                snprintf(call, sizeof(call), "{\"method\":\"org.test.Fake.Echo\",\"parameters\":%s}", cases[i].parameters);
                put_call(f, fd, call);
                json_t *reply = get_reply(f, fd);
                assert_string_equal(json_string_value(json_object_get(json_object_get(reply, "parameters"), "parameter")),
                                    cases[i].parameter);
                assert_error(reply, "org.varlink.service.InvalidParameter", "message", cases[i].sentence);
        }
        assert_error(ask(f, fd, "{\"method\":\"org.test.Fake.Large\",\"parameters\":{\"bytes\":-1}}"),
                     "org.varlink.service.InvalidParameter", "message", "whole number of bytes");
        assert_error(ask(f, fd, "{\"method\":\"org.test.Fake.Large\",\"parameters\":{\"bytes\":1.5}}"),
                     "org.varlink.service.InvalidParameter", "message", "whole number of bytes");
        close(fd);
}

static void test_pipelining(void **state) {
        struct fixture *f = *state;
        static const char oneway[] = "{\"method\":\"org.test.Fake.Echo\",\"oneway\":true}";
        int fd = client(f), silent = client(f);
        char calls[4096];
        size_t size = 0;

        /* Twenty calls in one write, one of them without an answer. */
        for (int i = 0; i < 20; i++)
                size += (size_t) sprintf(calls + size,
                                         "{\"method\":\"org.test.Fake.Echo\",\"parameters\":{\"text\":\"%d\"},\"oneway\":%s}", i,
                                         i == 7 ? "true" : "false") +
                        1;
        assert_int_equal(send(fd, calls, size, 0), size);
        for (int i = 0; i < 20; i++) {
                char text[8];

                sprintf(text, "%d", i);
                if (i != 7)
                        assert_echo(get_reply(f, fd), text);
        }
        assert_int_equal(f->served, 20);

        /* In two pieces. */
        assert_int_equal(send(fd, "{\"method\":\"org.test.Fake.Ec", 27, 0), 27);
        settle(f);
        assert_echo(ask(f, fd, "ho\",\"parameters\":{\"text\":\"halves\"}}"), "halves");

        /* One that says all it has to say and shuts down is still answered, and then closed. */
        put_call(f, fd, ECHO("a"));
        put_call(f, fd, ECHO("b"));
        shutdown(fd, SHUT_WR);
        assert_echo(get_reply(f, fd), "a");
        assert_echo(get_reply(f, fd), "b");
        assert_null(get_reply(f, fd));
        close(fd);

        /* One that does not even wait is still heard. */
        f->served = 0;
        assert_true(send(silent, oneway, sizeof(oneway), 0) == sizeof(oneway));
        close(silent);
        settle(f);
        assert_int_equal(f->served, 1);
}

static void test_bad_messages(void **state) {
        static const struct {
                const char *text, *sentence;
        } cases[] = {
                { "", "not valid JSON" },
                { "{", "not valid JSON" },
                { "hello", "not valid JSON" },
                { "{} {}", "not valid JSON" },
                { "[]", "a call is a JSON object" },
                { "{}", "names no" },
                { "{\"method\":1}", "full name of a method" },
                { "{\"method\":\"Echo\"}", "full name of a method" },
                { "{\"method\":\"org.test.Fake.Echo \"}", "full name of a method" },
                { "{\"method\":\"org.test.Fake.Echo\",\"method\":\"org.test.Fake.Echo\"}", "twice" },
                { "{\"method\":\"org.test.Fake.Echo\",\"parameters\":{\"text\":\"a\",\"text\":\"b\"}}", "twice" },
                { "{\"method\":\"org.test.Fake.Echo\",\"parameters\":[]}", "must be an object" },
                { "{\"method\":\"org.test.Fake.Echo\",\"parameters\":null}", "must be an object" },
                { "{\"method\":\"org.test.Fake.Echo\",\"more\":1}", "true or false" },
                { "{\"method\":\"org.test.Fake.Echo\",\"more\":true,\"oneway\":true}", "exclude" },
                { "{\"method\":\"org.test.Fake.Echo\",\"upgrade\":true}", "no others" },
                { "{\"method\":\"org.test.Fake.Echo\",\"x\":1}", "no others" },
                { "{\"method\":\"org.test.Fake.Echo\",\"parameters\":{\"text\":\"\\u0000\"}}", "not valid JSON" },
                { "{\"method\":\"org.test.Fake.Echo\",\"parameters\":{\"text\":\"\xff\"}}", "not valid JSON" },
                { "{\"method\":\"org.test.Fake.Echo\",\"parameters\":{\"n\":99999999999999999999}}", "not valid JSON" },
                { "{\"method\":\"org.test.Fake.Echo\",\"parameters\":{\"n\":1e999}}", "not valid JSON" },
                { "[[[[[[[[[[[[[[[[[[[[[[[[", "too deeply" },
        };
        struct fixture *f = *state;

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                int fd = client(f);

                put_call(f, fd, cases[i].text);
                put_call(f, fd, ECHO("ignored"));
                assert_error(get_reply(f, fd), "org.test.Fake.InvalidMessage", "message", cases[i].sentence);
                assert_null(get_reply(f, fd));
                close(fd);
        }
        assert_int_equal(f->served, 0);
}

static void test_oversize(void **state) {
        struct fixture *f = *state;
        int fd = client(f);
        char *call = malloc(200 * KIB);

        /* The longest call that may be: 64 KiB with its NUL. */
        int head = sprintf(call, "{\"method\":\"org.test.Fake.Echo\",\"parameters\":{\"text\":\"");
        memset(call + head, 'y', 64 * KIB);
        strcpy(call + 64 * KIB - 1 - 3, "\"}}");
        assert_int_equal(strlen(call) + 1, 64 * KIB);
        json_t *reply = ask(f, fd, call);
        assert_null(json_object_get(reply, "error"));
        json_decref(reply);

        /* One more. */
        memset(call + head, 'y', 64 * KIB);
        strcpy(call + 64 * KIB - 3, "\"}}");
        assert_error(ask(f, fd, call), "org.test.Fake.InvalidMessage", "message", "too long");
        assert_null(get_reply(f, fd));
        close(fd);

        /* Brackets that would take jansson 2,048 levels down, and this server's stack with it. */
        fd = client(f);
        memset(call, '[', 60 * KIB);
        call[60 * KIB] = 0;
        assert_error(ask(f, fd, call), "org.test.Fake.InvalidMessage", "message", "too deeply");
        close(fd);
        free(call);
}

static void test_access(void **state) {
        struct fixture *f = *state;
        int fd = client(f);

        f->access = VARLINK_NO_ACCESS;
        assert_error(ask(f, fd, ECHO("x")), "org.test.Fake.PermissionDenied", "message", "may not read");
        assert_error(ask(f, fd, "{\"method\":\"org.varlink.service.GetInfo\"}"), "org.test.Fake.PermissionDenied", NULL, NULL);
        assert_error(ask(f, fd, "{\"method\":\"org.test.Fake.Change\"}"), "org.test.Fake.PermissionDenied", NULL, NULL);
        f->access = VARLINK_READ;
        assert_echo(ask(f, fd, ECHO("x")), "x");
        f->served = 0;
        assert_error(ask(f, fd, "{\"method\":\"org.test.Fake.Change\",\"parameters\":{\"text\":\"x\"}}"),
                     "org.test.Fake.PermissionDenied", "message", "not change");
        assert_int_equal(f->served, 0);
        f->access = VARLINK_WRITE;
        assert_echo(ask(f, fd, "{\"method\":\"org.test.Fake.Change\",\"parameters\":{\"text\":\"x\"}}"), "x");
        close(fd);
}

static void test_more(void **state) {
        struct fixture *f = *state;
        int fd = client(f);

        put_call(f, fd, "{\"method\":\"org.test.Fake.Count\",\"more\":true}");
        for (int i = 1; i <= 4; i++) {
                json_t *reply = get_reply(f, fd);

                assert_int_equal(json_integer_value(json_object_get(json_object_get(reply, "parameters"), "n")), i);
                assert_int_equal(json_is_true(json_object_get(reply, "continues")), i < 4);
                json_decref(reply);
        }
        assert_error(ask(f, fd, "{\"method\":\"org.test.Fake.Count\"}"), "org.test.Fake.ExpectedMore", "message", "more\" ?");
        close(fd);
}

static void test_held(void **state) {
        struct fixture *f = *state;
        int fd = client(f), other = client(f);
        json_t *reply;

        /* Answers that come later, while others are served, and what is behind it in the same connection waits. */
        put_call(f, fd, "{\"method\":\"org.test.Fake.Hold\",\"more\":true}");
        put_call(f, fd, ECHO("behind"));
        settle(f);
        assert_non_null(f->held);
        assert_echo(ask(f, other, ECHO("other")), "other");
        assert_int_equal(f->served, 1);
        assert_int_equal(varlink_continue(f->held, json_pack("{s:i}", "n", 1)), 0);
        reply = get_reply(f, fd);
        assert_true(json_is_true(json_object_get(reply, "continues")));
        json_decref(reply);
        varlink_reply(TAKE_PTR(f->held), json_object());
        json_decref(get_reply(f, fd));
        assert_echo(get_reply(f, fd), "behind");
        assert_int_equal(f->closed, 0);

        /* A client that leaves meanwhile. */
        put_call(f, fd, "{\"method\":\"org.test.Fake.Hold\"}");
        settle(f);
        assert_non_null(f->held);
        close(fd);
        settle(f);
        assert_int_equal(f->closed, 1);

        /* A server that ends meanwhile. */
        put_call(f, other, "{\"method\":\"org.test.Fake.Hold\"}");
        settle(f);
        f->server = varlink_server_free(f->server);
        assert_int_equal(f->closed, 2);
        close(other);
}

static void test_slow_reader(void **state) {
        struct fixture *f = *state;
        int slow = client(f), other = client(f);
        size_t n = 0;
        json_t *reply;

        /* Asks twice for more than the socket's buffer takes, and does not read: neither it nor its second call is a burden to
         * others. */
        put_call(f, slow, "{\"method\":\"org.test.Fake.Large\",\"parameters\":{\"bytes\":4000000}}");
        put_call(f, slow, ECHO("second"));
        settle(f);
        assert_echo(ask(f, other, ECHO("quick")), "quick");
        assert_int_equal(f->served, 1);

        /* Then it reads, and gets all of it. */
        reply = get_reply(f, slow);
        n = json_string_length(json_object_get(json_object_get(reply, "parameters"), "text"));
        json_decref(reply);
        assert_int_equal(n, 4000000);
        assert_echo(get_reply(f, slow), "second");

        /* More than a connection may have is refused, for that call only. */
        assert_error(ask(f, slow, "{\"method\":\"org.test.Fake.Large\",\"parameters\":{\"bytes\":17000000}}"),
                     "org.test.Fake.OutOfMemory", NULL, NULL);
        assert_echo(ask(f, slow, ECHO("fine")), "fine");
        close(slow);
        close(other);
}

/* What all connections together may have is bounded, too: those that do not read go first. */
static void test_total_output(void **state) {
        struct fixture *f = *state;
        int slow[8], other = client(f);

        for (size_t i = 0; i < ARRAY_SIZE(slow); i++) {
                slow[i] = client(f);
                put_call(f, slow[i], "{\"method\":\"org.test.Fake.Large\",\"parameters\":{\"bytes\":15000000}}");
                settle(f);
        }
        assert_echo(ask(f, other, ECHO("x")), "x");
        json_decref(get_reply(f, slow[ARRAY_SIZE(slow) - 1]));
        for (size_t i = 0; i < ARRAY_SIZE(slow); i++) {
                char buf[65536];
                bool cut = false;
                ssize_t r;

                while ((r = recv(slow[i], buf, sizeof(buf), 0)) > 0)
                        ;
                cut = r == 0;
                if (i < 3) /* 8 x 15 MB against 64 MiB */
                        assert_true(cut);
                close(slow[i]);
        }
        close(other);
}

static void test_stalled_clients(void **state) {
        static const char *const openings[] = { "", "{\"method\":", ECHO("x"),
                                                "{\"method\":\"org.test.Fake.Large\",\"parameters\":{\"bytes\":1000000}}" };
        struct fixture *f = *state;
        int stalled[200], fd;
        uint64_t worst = 0;

        /* 200 clients, by turns saying nothing, half a call, and not reading; and one that is always served, on an old connection
         * and on new ones. */
        fd = client(f);
        for (size_t i = 0; i < ARRAY_SIZE(stalled); i++) {
                const char *opening = openings[i % ARRAY_SIZE(openings)];
                uint64_t before;
                int fresh;

                stalled[i] = client(f);
                if (*opening)
                        (void) send(stalled[i], opening, strlen(opening) + (i % 4 == 3), MSG_NOSIGNAL);
                before = now_usec();
                assert_echo(ask(f, fd, ECHO("old")), "old");
                worst = MAX(worst, now_usec() - before);
                if (i % 20 == 0) {
                        fresh = client(f);
                        assert_echo(ask(f, fresh, ECHO("new")), "new");
                        close(fresh);
                }
        }
        print_message("worst answer beside 200 stalled clients: %llu us\n", (unsigned long long) worst);
        assert_true(worst < 500 * USEC_PER_MSEC);
        for (size_t i = 0; i < ARRAY_SIZE(stalled); i++)
                close(stalled[i]);
        close(fd);
        settle(f);
}

/* A flood of calls on one connection is served one by one, with everybody else in between. */
static void test_flood(void **state) {
        struct fixture *f = *state;
        int flood = client(f), fd = client(f);
        static char calls[60000];
        size_t size = 0;
        unsigned before;

        while (size + sizeof("{\"method\":\"org.test.Fake.Echo\",\"oneway\":true}") < sizeof(calls))
                size += (size_t) sprintf(calls + size, "{\"method\":\"org.test.Fake.Echo\",\"oneway\":true}") + 1;
        assert_int_equal(send(flood, calls, size, 0), size);
        for (int i = 0; i < 100; i++) /* let it get going */
                sd_event_run(f->event, 0);
        before = f->served;
        assert_true(before > 0);
        put_call(f, fd, ECHO("between"));
        assert_echo(get_reply(f, fd), "between");
        print_message("calls of the flood served before the other client's: %u\n", f->served - before - 1);
        assert_true(f->served - before < 10);
        close(flood);
        close(fd);
        settle(f);
}

static const struct varlink_limits hasty = {
        .message_bytes = 64 * KIB,
        .output_bytes = 16 * MIB,
        .output_total_bytes = 64 * MIB,
        .connections = 8,
        .connections_per_user = 4,
        .message_usec = USEC_PER_SEC / 2,
        .reply_usec = USEC_PER_SEC / 2,
        .idle_usec = USEC_PER_SEC / 2,
};

static int setup_hasty(void **state) {
        static struct fixture f;

        setup_with(&f, &hasty);
        *state = &f;
        return 0;
}

static bool is_closed(int fd) {
        char buf[65536];
        ssize_t n;

        while ((n = recv(fd, buf, sizeof(buf), 0)) > 0)
                ;
        return n == 0 || errno == ECONNRESET;
}

static void test_deadlines(void **state) {
        struct fixture *f = *state;
        int idle = client(f), half = client(f), reader = client(f), held = client(f);

        put_call(f, held, "{\"method\":\"org.test.Fake.Hold\"}");
        put_call(f, reader, "{\"method\":\"org.test.Fake.Large\",\"parameters\":{\"bytes\":4000000}}");
        settle(f);
        /* A byte now and then is not patience without end. */
        for (int i = 0; i < 12; i++) {
                (void) send(half, "{", 1, MSG_NOSIGNAL);
                run_for(f, USEC_PER_SEC / 5);
        }
        assert_true(is_closed(idle));
        assert_true(is_closed(half));
        assert_true(is_closed(reader));
        assert_false(is_closed(held)); /* it waits for us, not we for it */
        close(idle);
        close(half);
        close(reader);
        close(held);
        settle(f);
        assert_int_equal(f->closed, 1);
}

static void test_connection_limit(void **state) {
        struct fixture *f = *state;
        int held = client(f), fds[6];

        put_call(f, held, "{\"method\":\"org.test.Fake.Hold\"}");
        settle(f);
        for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
                fds[i] = client(f);
                assert_echo(ask(f, fds[i], ECHO("x")), "x");
        }
        /* The latest stay, the most silent went, and the one that is owed an answer stayed. */
        for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
                assert_int_equal(is_closed(fds[i]), i < 3);
                close(fds[i]);
        }
        assert_false(is_closed(held));
        close(held);
        settle(f);
}

static void test_listener(void **state) {
        struct fixture *f = *state;
        char error[LISTENER_ERROR_MAX], path[96];
        struct listener second, third;
        struct stat st;
        int fd;

        /* The server of the fixture holds the lock. */
        assert_int_equal(listener_open(f->path, 0600, (gid_t) -1, &second, error), -EADDRINUSE);
        assert_non_null(strstr(error, "another aerostatd is running"));

        /* Somebody answers who knows no lock. */
        snprintf(path, sizeof(path), "%s/new/socket", f->folder);
        assert_int_equal(listener_open(path, 0660, getgid(), &second, error), 0);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0660);
        assert_int_equal(listener_set_access(&second, 0666, (gid_t) -1), 0);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 07777, 0666);
        close(second.lock_fd);
        second.lock_fd = -1;
        assert_int_equal(listener_open(path, 0600, (gid_t) -1, &third, error), -EADDRINUSE);
        assert_non_null(strstr(error, "answers on"));

        /* A leftover is replaced. */
        close(second.fd);
        assert_int_equal(listener_open(path, 0600, (gid_t) -1, &third, error), 0);
        listener_close(&third);
        assert_int_equal(access(path, F_OK), -1);

        /* What is no socket is left alone. */
        fd = open(path, O_CREAT | O_WRONLY, 0600);
        close(fd);
        assert_int_equal(listener_open(path, 0600, (gid_t) -1, &third, error), -EEXIST);
        unlink(path);
        strcat(path, ".lock");
        unlink(path);
        snprintf(path, sizeof(path), "%s/new", f->folder);
        rmdir(path);

        assert_int_equal(
                        listener_open("/tmp/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                                      0600, (gid_t) -1, &third, error),
                        -ENAMETOOLONG);
        assert_int_equal(listener_open("/proc/nowhere/socket", 0600, (gid_t) -1, &third, error), -ENOENT);
}

static void test_peer(void **state) {
        uid_t uid = 12345;
        int pair[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        assert_int_equal(peer_uid(pair[0], &uid), 0);
        assert_int_equal(uid, getuid());
        assert_int_equal(peer_in_group(pair[0], getegid()), 1);
        assert_int_equal(peer_in_group(pair[0], 3999999999u), 0);
        close(pair[0]);
        close(pair[1]);
        assert_true(peer_uid(-1, &uid) < 0);
        assert_true(peer_in_group(-1, 0) < 0);
}

int main(void) {
#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
#define WITH_HASTY_SERVER(test) cmocka_unit_test_setup_teardown(test, setup_hasty, teardown)
        const struct CMUnitTest tests[] = {
                WITH_SERVER(test_calls),
                WITH_SERVER(test_parameters),
                WITH_SERVER(test_pipelining),
                WITH_SERVER(test_bad_messages),
                WITH_SERVER(test_oversize),
                WITH_SERVER(test_access),
                WITH_SERVER(test_more),
                WITH_SERVER(test_held),
                WITH_SERVER(test_slow_reader),
                WITH_SERVER(test_total_output),
                WITH_SERVER(test_stalled_clients),
                WITH_SERVER(test_flood),
                WITH_HASTY_SERVER(test_deadlines),
                WITH_HASTY_SERVER(test_connection_limit),
                WITH_SERVER(test_listener),
                cmocka_unit_test(test_peer),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
