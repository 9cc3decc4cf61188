/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Clients that stall, flood, or are many: they delay nobody. */

#include "tests/unit/varlink-server.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "host-agent/control/connection.h"
#include "protocol/base.h"
#include "protocol/units.h"

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
        unsigned worst = 0;

        /* 200 clients, by turns saying nothing, half a call, and not reading; and one that is always served, on an old connection
         * and on new ones. */
        fd = client(f);
        for (size_t i = 0; i < ARRAY_SIZE(stalled); i++) {
                const char *opening = openings[i % ARRAY_SIZE(openings)];
                unsigned before;
                int fresh;

                stalled[i] = client(f);
                if (*opening)
                        (void) send(stalled[i], opening, strlen(opening) + (i % 4 == 3), MSG_NOSIGNAL);
                before = f->turns;
                assert_echo(ask(f, fd, ECHO("old")), "old");
                worst = MAX(worst, f->turns - before);
                if (i % 20 == 0) {
                        fresh = client(f);
                        assert_echo(ask(f, fresh, ECHO("new")), "new");
                        close(fresh);
                }
        }
        /* What the newest of them asked for may come first, but nothing of the others. */
        print_message("turns of the loop before an answer beside 200 stalled clients: %u at most\n", worst);
        assert_true(worst < 10);
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

/* 200 that all flood at once, and go on: as many as may be connected are served in turns, and a newcomer among them. */
static void test_many_floods(void **state) {
        static const char call[] = "{\"method\":\"org.test.Fake.Echo\",\"oneway\":true}";
        static char calls[40000];
        struct fixture *f = *state;
        int floods[200];
        size_t size = 0;
        unsigned worst = 0;

        while (size + sizeof(call) < sizeof(calls)) {
                memcpy(calls + size, call, sizeof(call));
                size += sizeof(call);
        }
        for (size_t i = 0; i < ARRAY_SIZE(floods); i++) {
                floods[i] = client(f);
                (void) send(floods[i], calls, size, MSG_NOSIGNAL);
        }
        for (int round = 0; round < 10; round++) {
                int fd = client(f);
                unsigned before = f->served;

                assert_echo(ask(f, fd, ECHO("between")), "between");
                worst = MAX(worst, f->served - before - 1);
                close(fd);
                for (size_t i = 0; i < ARRAY_SIZE(floods); i++)
                        (void) send(floods[i], calls, size, MSG_NOSIGNAL);
        }
        print_message("calls of 200 floods served before a newcomer's: %u at most\n", worst);
        assert_true(worst > 0);
        /* One or two turns of each that is connected, of the 64 that one user may have. */
        assert_true(worst <= 3 * 64);
        for (size_t i = 0; i < ARRAY_SIZE(floods); i++)
                close(floods[i]);
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

static unsigned count_connections(const struct fixture *f) {
        const struct connection *c;
        unsigned n = 0;

        TAILQ_FOREACH(c, &f->server->connections, all)
                n++;
        return n;
}

/* Of about `size` bytes, with a number. */
static void publish(struct fixture *f, unsigned number, size_t size) {
        _cleanup_free_ char *text = calloc(1, size + 16);

        memset(text, 'x', size);
        sprintf(text + size, " %u", number);
        follow_publish(&f->followers, &(const struct manager_event) { .type = MANAGER_EVENT_HOST, .text = text });
}

static const struct varlink_limits little_output = {
        .message_bytes = 64 * KIB,
        .output_bytes = 256 * KIB,
        .backlog_bytes = 256 * KIB,
        .output_total_bytes = 528 * KIB,
        .connections = 8,
        .connections_per_user = 8,
        .message_usec = USEC_PER_MINUTE,
        .reply_usec = USEC_PER_MINUTE,
        .idle_usec = USEC_PER_MINUTE,
};

static int setup_little_output(void **state) {
        static struct fixture f;

        setup_with(&f, &little_output);
        *state = &f;
        return 0;
}

/* Watchers that read nothing, beyond what all together may have unread. Those that make room for others are ended, but not while the others are being
 * told: whoever tells them goes from one to the next. */
static void test_watchers_make_room(void **state) {
        struct fixture *f = *state;
        unsigned closed = 0;
        int fds[4];

        for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
                fds[i] = client(f);
                put_call(f, fds[i], "{\"method\":\"org.test.Fake.Watch\",\"more\":true}");
        }
        settle(f);
        for (int i = 0; i < 100; i++) {
                publish(f, 0, 16 * KIB);
                assert_int_equal(count_connections(f), ARRAY_SIZE(fds));
                assert_true(f->server->out_total_bytes <= f->server->service.limits.output_total_bytes);
        }
        settle(f);
        for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
                closed += is_closed(fds[i]);
                close(fds[i]);
        }
        assert_in_range(closed, 1, ARRAY_SIZE(fds) - 1);
        settle(f);
        assert_int_equal(count_connections(f), 0);
        publish(f, 0, 1);
}

/* Takes the reference. */
static void assert_event(json_t *reply, const char *member, const char *text) {
        assert_true(json_is_true(json_object_get(reply, "continues")));
        assert_string_equal(json_string_value(json_object_get(json_object_get(reply, "parameters"), member)), text);
        json_decref(reply);
}

/* Begins to watch: answered at once, so that the client knows from when on it is told. */
static void watch(struct fixture *f, int fd, bool alerts_only) {
        char call[128];

        snprintf(call, sizeof(call), "{\"method\":\"org.test.Fake.Watch\",\"parameters\":{\"alerts_only\":%s},\"more\":true}",
                 alerts_only ? "true" : "false");
        assert_event(ask(f, fd, call), "type", "host");
}

/* One that wants alerts only is told when it begins, and then of alerts. */
static void test_watcher_knows_when_it_begins(void **state) {
        struct fixture *f = *state;
        struct alert alert = { .name = ALERT_HOST_TIGHT };
        const struct alert_event fired = { .type = ALERT_FIRED, .alert = &alert };
        int all = client(f), alerts = client(f);

        watch(f, all, false);
        watch(f, alerts, true);
        publish(f, 7, 1);
        follow_publish(&f->followers, &(const struct manager_event) { .type = MANAGER_EVENT_ALERT, .alert = &fired });
        assert_event(get_reply(f, alerts), "type", "alert");
        assert_event(get_reply(f, all), "text", "x 7");
        close(all);
        close(alerts);
        settle(f);
}

/* The next event says how many before it were missed; returns its number. */
static unsigned take_event(struct fixture *f, int fd, unsigned expected, unsigned *missed) {
        json_t *reply = get_reply(f, fd), *event = json_object_get(reply, "parameters");
        unsigned number, skipped;

        assert_non_null(event);
        assert_int_equal(sscanf(json_string_value(json_object_get(event, "text")), "%*s %u", &number), 1);
        skipped = (unsigned) json_integer_value(json_object_get(event, "missed"));
        assert_int_equal(number, expected + skipped);
        *missed += skipped;
        json_decref(reply);
        return number;
}

/* One that reads nothing for a while: its events are appended, not all copied with every new one; they are not kept without limit; and when it reads,
 * it gets them whole and in order, and is told how many are not there. */
static void test_watcher_that_falls_behind(void **state) {
        struct fixture *f = *state;
        unsigned published = 0, expected = 0, moved = 0, missed = 0;
        struct connection *c;
        int fd = client(f);
        char byte;

        watch(f, fd, false);
        c = TAILQ_FIRST(&f->server->connections);
        while (published < 1000) {
                const char *before = c->out;

                publish(f, published++, 2000);
                moved += c->out != before;
        }
        print_message("the buffer of a watcher moved %u times, and has %zu bytes\n", moved, f->server->out_total_bytes);
        assert_true(moved < 20);
        assert_true(f->server->out_total_bytes < 2 * MIB);

        /* It reads as fast as more comes, and then faster. */
        for (int i = 0; i < 400; i++) {
                expected = take_event(f, fd, expected, &missed) + 1;
                publish(f, published++, 2000);
        }
        while (c->out || recv(fd, &byte, 1, MSG_PEEK) == 1)
                expected = take_event(f, fd, expected, &missed) + 1;
        assert_int_equal(f->server->out_total_bytes, 0);
        publish(f, published, 2000);
        assert_int_equal(take_event(f, fd, expected, &missed), published);
        print_message("%u events, %u missed\n", published + 1, missed);
        assert_in_range(missed, 1, published / 2 + published / 4);
        close(fd);
        settle(f);
}

int main(void) {
#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
#define WITH_HASTY_SERVER(test) cmocka_unit_test_setup_teardown(test, setup_hasty, teardown)
#define WITH_LITTLE_OUTPUT(test) cmocka_unit_test_setup_teardown(test, setup_little_output, teardown)
        const struct CMUnitTest tests[] = {
                WITH_SERVER(test_slow_reader),
                WITH_SERVER(test_total_output),
                WITH_SERVER(test_stalled_clients),
                WITH_SERVER(test_flood),
                WITH_SERVER(test_many_floods),
                WITH_HASTY_SERVER(test_deadlines),
                WITH_HASTY_SERVER(test_connection_limit),
                WITH_LITTLE_OUTPUT(test_watchers_make_room),
                WITH_SERVER(test_watcher_knows_when_it_begins),
                WITH_SERVER(test_watcher_that_falls_behind),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
