/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/unit.h"

#include <errno.h>
#include <string.h>

#include "guest-agent/session.h"
#include "protocol/base.h"
#include "protocol/units.h"

#define NOW (100 * USEC_PER_SEC)
#define SESSION 0xabcdef0123456789

static const uint8_t boot_id[16] = { 0xb0, 0x07 };

static struct session session;
static uint64_t host_sequence;

static int set_up(void **state) {
        session = (struct session) {
                .identity = { .version = 1, .page_size_bytes = 4096, .memory_total_bytes = GIB, .agent_version = "0.1.0" },
        };
        memcpy(session.boot_id, boot_id, 16);
        session_reset(&session);
        host_sequence = 0;
        return 0;
}

/* A host's frame as a decoder would hand it over. */
static enum session_event host_says(const struct message *message, uint64_t session_id, const uint8_t boot[16], uint64_t expiry) {
        static struct frame_decoder decoder;
        struct frame frame = { .session_id = session_id, .sequence = ++host_sequence, .time_usec = expiry };
        uint8_t *buf;
        size_t n;

        if (boot)
                memcpy(frame.boot_id, boot, 16);
        n = frame_decoder_space(&decoder, &buf);
        assert_int_equal(message_encode(&frame, message, buf, n, &n), 0);
        frame_decoder_fill(&decoder, n);
        assert_int_equal(frame_decoder_next(&decoder, &frame), 1);
        return session_receive(&session, &frame, NOW);
}

static enum session_event say_hello(uint64_t id) {
        const struct message hello = { .type = MESSAGE_HELLO, .hello = { 1, 1, 0, "" } };

        return host_says(&hello, id, NULL, 0);
}

static enum session_event say_ping(uint64_t token, uint64_t id, const uint8_t boot[16], uint64_t expiry) {
        const struct message ping = { .type = MESSAGE_PING, .ping.token = token };

        return host_says(&ping, id, boot, expiry);
}

/* Takes the next frame that the guest wants to send; false when there is none. */
static bool guest_says(struct frame *ret_frame, struct message *ret) {
        static struct frame_decoder decoder;
        const uint8_t *data;
        uint8_t *buf;
        size_t n, space;

        data = queue_peek(&session.queue, &n);
        if (!data)
                return false;
        space = frame_decoder_space(&decoder, &buf);
        assert_true(space >= n);
        memcpy(buf, data, n);
        queue_consume(&session.queue, n);
        frame_decoder_fill(&decoder, n);
        assert_int_equal(frame_decoder_next(&decoder, ret_frame), 1);
        assert_memory_equal(ret_frame->boot_id, boot_id, 16);
        assert_int_equal(message_decode(ret_frame, ret), 0);
        return true;
}

static void expect_nothing(void) {
        size_t n;

        assert_null(queue_peek(&session.queue, &n));
}

static void expect(enum message_type type, uint64_t id, uint64_t sequence, struct message *ret) {
        struct frame frame;

        assert_true(guest_says(&frame, ret));
        assert_int_equal(ret->type, type);
        assert_true(frame.session_id == id);
        assert_int_equal(frame.sequence, sequence);
        assert_int_equal(frame.time_usec, NOW);
}

static void expect_error(enum message_error_code code, uint64_t of_sequence) {
        struct message message;
        struct frame frame;

        assert_true(guest_says(&frame, &message));
        assert_int_equal(message.type, MESSAGE_ERROR);
        assert_int_equal(message.error.code, code);
        assert_int_equal(message.error.sequence, of_sequence);
        expect_nothing();
}

static void begin(uint64_t id) {
        struct message message;

        assert_int_equal(say_hello(id), SESSION_NOTHING);
        assert_int_equal(session_drained(&session, NOW), SESSION_BEGUN);
        expect(MESSAGE_HELLO_ACK, id, 1, &message);
        assert_int_equal(message.hello_ack.version, 1);
        assert_int_equal(message.hello_ack.memory_total_bytes, GIB);
        expect_nothing();
}

static struct message_report a_report(uint64_t available) {
        struct message_report report;

        message_report_init(&report);
        report.reason = REPORT_PERIODIC;
        report.total_bytes = GIB;
        report.available_bytes = available;
        return report;
}

static void test_handshake(void **state) {
        struct message_report report = a_report(5);
        struct message message;

        assert_int_equal(session_report(&session, &report, NOW), -ENOTCONN);
        assert_int_equal(session_drained(&session, NOW), SESSION_NOTHING);
        begin(SESSION);
        assert_int_equal(session_report(&session, &report, NOW), 0);
        expect(MESSAGE_REPORT, SESSION, 2, &message);
        assert_int_equal(message.report.available_bytes, 5);
        report.available_bytes = 2 * GIB;
        assert_int_equal(session_report(&session, &report, NOW), -EINVAL);
        expect_nothing();
}

/* 180 KB of old hellos may wait for the first opener; the newest counts, and one answer goes out. */
static void test_only_newest_hello(void **state) {
        struct message message;

        for (unsigned i = 1; i < 500; i++)
                assert_int_equal(say_hello(i), SESSION_NOTHING);
        expect_nothing();
        assert_int_equal(say_hello(SESSION), SESSION_NOTHING);
        assert_int_equal(session_drained(&session, NOW), SESSION_BEGUN);
        expect(MESSAGE_HELLO_ACK, SESSION, 1, &message);
        expect_nothing();
        assert_int_equal(session_drained(&session, NOW), SESSION_NOTHING);
}

static void test_nothing_before_hello(void **state) {
        const struct message set = { .type = MESSAGE_SET_INTERVAL, .set_interval = { 100, 0 } };

        assert_int_equal(say_ping(1, SESSION, boot_id, 0), SESSION_NOTHING);
        assert_int_equal(say_ping(1, 0, boot_id, 0), SESSION_NOTHING);
        assert_int_equal(host_says(&set, SESSION, boot_id, 0), SESSION_NOTHING);
        expect_nothing();
        assert_int_equal(session.interval.interval_msec, 0);
        assert_int_equal(session.ignored, 3);
        /* A hello that is not answered yet does not help the session before it. */
        begin(SESSION);
        say_hello(SESSION + 1);
        assert_int_equal(host_says(&set, SESSION, boot_id, 0), SESSION_NOTHING);
        assert_int_equal(session.interval.interval_msec, 0);
        session_drained(&session, NOW);
        assert_true(session.id == SESSION + 1);
}

static void test_requests(void **state) {
        const struct message set = { .type = MESSAGE_SET_INTERVAL, .set_interval = { 250, 64 * MIB } };
        struct message message;

        begin(SESSION);
        assert_int_equal(say_ping(77, SESSION, boot_id, NOW + 1), SESSION_NOTHING);
        expect(MESSAGE_PONG, SESSION, 2, &message);
        assert_int_equal(message.ping.token, 77);
        assert_int_equal(host_says(&set, SESSION, boot_id, NOW), SESSION_CHANGED);
        assert_int_equal(session.interval.interval_msec, 250);
        assert_int_equal(session.interval.pressure_available_bytes, 64 * MIB);
        /* Of another session. */
        assert_int_equal(say_ping(77, SESSION - 1, boot_id, NOW + 1), SESSION_NOTHING);
        expect_nothing();
        /* What only a guest says. */
        message = (struct message) { .type = MESSAGE_PONG, .ping.token = 1 };
        assert_int_equal(host_says(&message, SESSION, boot_id, NOW + 1), SESSION_NOTHING);
        expect_nothing();
}

static void test_expiry(void **state) {
        static const uint8_t other_boot[16] = { 0xb0, 0x08 };
        const struct message hello = { .type = MESSAGE_HELLO, .hello = { 1, 1, 0, "" } };

        begin(SESSION);
        say_ping(77, SESSION, boot_id, NOW - 1);
        expect_error(MESSAGE_ERROR_EXPIRED, host_sequence);
        say_ping(77, SESSION, other_boot, NOW + 1);
        expect_error(MESSAGE_ERROR_EXPIRED, host_sequence);
        say_ping(77, SESSION, NULL, NOW + 1);
        expect_error(MESSAGE_ERROR_EXPIRED, host_sequence);
        assert_int_equal(session.refused, 3);
        host_says(&hello, SESSION + 1, other_boot, 0);
        expect_error(MESSAGE_ERROR_EXPIRED, host_sequence);
        host_says(&hello, SESSION + 1, NULL, NOW - 1);
        expect_error(MESSAGE_ERROR_EXPIRED, host_sequence);
        host_says(&hello, SESSION + 1, boot_id, NOW + 1);
        assert_int_equal(session_drained(&session, NOW), SESSION_BEGUN);
}

static void test_hello_again(void **state) {
        const struct message set = { .type = MESSAGE_SET_INTERVAL, .set_interval = { 250, 0 } };
        struct message message;

        begin(SESSION);
        host_says(&set, SESSION, boot_id, 0);
        /* The same hello: our answer did not arrive; what was set stays. */
        say_hello(SESSION);
        assert_int_equal(session_drained(&session, NOW), SESSION_BEGUN);
        expect(MESSAGE_HELLO_ACK, SESSION, 2, &message);
        assert_int_equal(session.interval.interval_msec, 250);
        /* Another session starts from nothing. */
        say_hello(SESSION + 1);
        assert_int_equal(session_drained(&session, NOW), SESSION_BEGUN);
        expect(MESSAGE_HELLO_ACK, SESSION + 1, 1, &message);
        assert_int_equal(session.interval.interval_msec, 0);
}

static void test_bad_requests(void **state) {
        const struct message hello = { .type = MESSAGE_HELLO, .hello = { 2, 3, 0, "" } };
        struct frame frame = { .version = 1, .type = 99, .session_id = SESSION, .sequence = 41 };

        host_says(&hello, SESSION, NULL, 0);
        expect_error(MESSAGE_ERROR_VERSION, host_sequence);
        say_hello(0);
        expect_error(MESSAGE_ERROR_BAD_MESSAGE, host_sequence);
        assert_int_equal(session_drained(&session, NOW), SESSION_NOTHING);
        begin(SESSION);
        memcpy(frame.boot_id, boot_id, 16);
        session_receive(&session, &frame, NOW);
        expect_error(MESSAGE_ERROR_UNKNOWN_TYPE, 41);
        frame.type = MESSAGE_PING; /* without its token */
        session_receive(&session, &frame, NOW);
        expect_error(MESSAGE_ERROR_BAD_MESSAGE, 41);
        /* Errors are never answered, good or bad. */
        frame.type = MESSAGE_ERROR;
        session_receive(&session, &frame, NOW);
        expect_nothing();
        host_says(&(struct message) { .type = MESSAGE_ERROR, .error = { 1, 1, "" } }, SESSION, boot_id, 0);
        expect_nothing();
}

static void test_endings(void **state) {
        const struct message goodbye = { .type = MESSAGE_GOODBYE };
        struct message message;

        begin(SESSION);
        assert_int_equal(host_says(&goodbye, SESSION - 1, boot_id, 0), SESSION_NOTHING);
        assert_int_equal(host_says(&goodbye, SESSION, boot_id, 0), SESSION_ENDED);
        assert_int_equal(session.id, 0);
        session_goodbye(&session, NOW);
        expect_nothing();
        begin(SESSION);
        session_goodbye(&session, NOW);
        expect(MESSAGE_GOODBYE, SESSION, 2, &message);
        assert_int_equal(session.id, 0);
        session_announce(&session, NOW);
        expect(MESSAGE_GOODBYE, 0, 1, &message);
        begin(SESSION);
        say_ping(1, SESSION, boot_id, 0);
        session_reset(&session);
        expect_nothing();
}

/* The host does not read: old reports make room for new ones, answers stay, and nothing grows. */
static void test_full_queue(void **state) {
        struct message_report report = a_report(0);
        struct message message;
        struct frame frame;

        say_hello(SESSION);
        session_drained(&session, NOW);
        for (unsigned i = 1; i <= 100; i++) {
                report.available_bytes = i;
                assert_int_equal(session_report(&session, &report, NOW), 0);
        }
        assert_int_equal(session.queue.dropped, 100 - (QUEUE_SLOTS - 1));
        expect(MESSAGE_HELLO_ACK, SESSION, 1, &message);
        for (unsigned i = 0; i < QUEUE_SLOTS - 1; i++) {
                assert_true(guest_says(&frame, &message));
                assert_int_equal(message.report.available_bytes, 100 - (QUEUE_SLOTS - 2) + i);
        }
        expect_nothing();
        /* Full of answers, a further one is dropped. */
        for (unsigned i = 0; i < 2 * QUEUE_SLOTS; i++)
                say_ping(i, SESSION, boot_id, 0);
        assert_int_equal(session_report(&session, &report, NOW), -ENOBUFS);
        for (unsigned i = 0; i < QUEUE_SLOTS; i++) {
                assert_true(guest_says(&frame, &message));
                assert_int_equal(message.ping.token, i);
        }
        expect_nothing();
}

/* A frame that is partly out is finished, whatever is dropped around it. */
static void test_begun_frame_is_finished(void **state) {
        struct message_report report = a_report(1);
        const uint8_t *data;
        size_t n, rest;

        begin(SESSION);
        session_report(&session, &report, NOW);
        (void) queue_peek(&session.queue, &n);
        queue_consume(&session.queue, 10);
        for (unsigned i = 0; i < 3 * QUEUE_SLOTS; i++)
                session_report(&session, &report, NOW);
        data = queue_peek(&session.queue, &rest);
        assert_non_null(data);
        assert_int_equal(rest, n - 10);
        say_hello(SESSION + 1);
        session_drained(&session, NOW);
        (void) queue_peek(&session.queue, &rest);
        assert_int_equal(rest, n - 10);
        /* Unless the host is gone: the port has thrown its beginning away. */
        session_reset(&session);
        expect_nothing();
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup(test_handshake, set_up), cmocka_unit_test_setup(test_only_newest_hello, set_up),
                cmocka_unit_test_setup(test_nothing_before_hello, set_up), cmocka_unit_test_setup(test_requests, set_up),
                cmocka_unit_test_setup(test_expiry, set_up), cmocka_unit_test_setup(test_hello_again, set_up),
                cmocka_unit_test_setup(test_bad_requests, set_up), cmocka_unit_test_setup(test_endings, set_up),
                cmocka_unit_test_setup(test_full_queue, set_up), cmocka_unit_test_setup(test_begun_frame_is_finished, set_up),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
