/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/varlink-server.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "protocol/base.h"
#include "protocol/units.h"

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

/* A method may need the right to write for some calls only; whoever uses that right is named, and nobody else. */
static void test_on_write(void **state) {
        struct fixture *f = *state;
        int fd = client(f);
        char expected[64];

        f->access = VARLINK_READ;
        assert_echo(ask(f, fd, "{\"method\":\"org.test.Fake.Look\",\"parameters\":{\"text\":\"x\"}}"), "x");
        assert_error(ask(f, fd, "{\"method\":\"org.test.Fake.Look\",\"parameters\":{\"text\":\"x\",\"loud\":false}}"),
                     "org.test.Fake.PermissionDenied",
                     "message", "not change");
        assert_string_equal(f->asked, "");
        f->access = VARLINK_WRITE;
        assert_echo(ask(f, fd, "{\"method\":\"org.test.Fake.Look\",\"parameters\":{\"text\":\"x\"}}"), "x");
        assert_string_equal(f->asked, "");
        assert_echo(ask(f, fd, "{\"method\":\"org.test.Fake.Look\",\"parameters\":{\"text\":\"x\",\"loud\":false}}"), "x");
        snprintf(expected, sizeof(expected), "%u Look 2", (unsigned) getuid());
        assert_string_equal(f->asked, expected);
        assert_echo(ask(f, fd, "{\"method\":\"org.test.Fake.Change\",\"parameters\":{\"text\":\"x\"}}"), "x");
        snprintf(expected, sizeof(expected), "%u Change 1", (unsigned) getuid());
        assert_string_equal(f->asked, expected);
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

int main(void) {
#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
        const struct CMUnitTest tests[] = {
                WITH_SERVER(test_calls),
                WITH_SERVER(test_parameters),
                WITH_SERVER(test_pipelining),
                WITH_SERVER(test_bad_messages),
                WITH_SERVER(test_oversize),
                WITH_SERVER(test_access),
                WITH_SERVER(test_on_write),
                WITH_SERVER(test_more),
                WITH_SERVER(test_held),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
