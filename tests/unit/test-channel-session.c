/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The conversation with an agent, with times and frames made up. */

#include "tests/unit/unit.h"

#include <errno.h>
#include <string.h>

#include "host-agent/virt/channel_session.h"

#define T0 (1000 * USEC_PER_SEC)
#define SEC USEC_PER_SEC

static const uint8_t boot[16] = { 7 }, other_boot[16] = { 8 };
static struct channel_session s;
static struct message heard;

/* Hands a message of the guest to the session. */
static enum channel_session_event say(const struct message *message, uint64_t id, uint64_t sequence, const uint8_t boot_id[static 16],
                                      uint64_t guest_usec, uint64_t now) {
        struct frame frame = { .version = FRAME_VERSION, .session_id = id, .sequence = sequence, .time_usec = guest_usec }, decoded;
        struct frame_decoder decoder = { 0 };
        uint8_t *buf;
        size_t size;

        memcpy(frame.boot_id, boot_id, 16);
        size = frame_decoder_space(&decoder, &buf);
        assert_int_equal(message_encode(&frame, message, buf, size, &size), 0);
        frame_decoder_fill(&decoder, size);
        assert_int_equal(frame_decoder_next(&decoder, &decoded), 1);
        return channel_session_receive(&s, &decoded, now, &heard);
}

static const struct message ack = { .type = MESSAGE_HELLO_ACK, .hello_ack = { .version = 1, .page_size_bytes = 4096,
                                                                              .memory_total_bytes = 1 << 30 } };
static const struct message goodbye = { .type = MESSAGE_GOODBYE };

static struct message report(void) {
        struct message message = { .type = MESSAGE_REPORT };

        message_report_init(&message.report);
        message.report.reason = REPORT_PERIODIC;
        message.report.total_bytes = 1 << 30;
        message.report.available_bytes = 1 << 29;
        return message;
}

/* What the host says next; type 0: nothing. */
static struct frame said(uint64_t now, struct message *ret) {
        static uint8_t buf[FRAME_SIZE_MAX];
        static struct frame_decoder decoder;
        struct frame frame = { 0 };
        uint8_t *space;
        size_t size;

        if (channel_session_say(&s, now, buf, &size) == 0)
                return frame;
        decoder = (struct frame_decoder) { 0 };
        (void) frame_decoder_space(&decoder, &space);
        memcpy(space, buf, size);
        frame_decoder_fill(&decoder, size);
        assert_int_equal(frame_decoder_next(&decoder, &frame), 1);
        assert_int_equal(message_decode(&frame, ret), 0);
        return frame;
}

static int begin(void **state) {
        s = (struct channel_session) { 0 };
        channel_session_begin(&s, 42, T0);
        return 0;
}

static int begin_ready(void **state) {
        struct message message;

        begin(state);
        assert_int_equal(channel_session_tick(&s, T0), CHANNEL_SESSION_NOTHING);
        assert_int_equal(said(T0, &message).type, MESSAGE_HELLO);
        assert_int_equal(say(&ack, 42, 1, boot, 5 * SEC, T0), CHANNEL_SESSION_READY);
        return 0;
}

static void test_hello_until_answered(void **state) {
        struct message message;
        struct frame frame;

        for (unsigned i = 0; i < 15; i++) {
                uint64_t now = channel_session_due(&s), gap = i < HELLO_EAGER ? i * SEC : (HELLO_EAGER - 1) * SEC + (i - HELLO_EAGER + 1) * 5 * SEC;

                assert_int_equal(now, T0 + gap);
                assert_int_equal(channel_session_tick(&s, now), CHANNEL_SESSION_NOTHING);
                frame = said(now, &message);
                assert_int_equal(frame.type, MESSAGE_HELLO);
                assert_int_equal(frame.session_id, 42);
                assert_int_equal(frame.sequence, i + 1);
                assert_int_equal(frame.time_usec, 0);
                assert_int_equal(said(now, &message).type, 0);
        }
        assert_int_equal(say(&ack, 41, 1, boot, 1, T0), CHANNEL_SESSION_NOTHING);
        assert_int_equal(s.stale_frames, 1);
        assert_int_equal(say(&ack, 42, 1, boot, 1, T0), CHANNEL_SESSION_READY);
        assert_memory_equal(s.agent.boot_id, boot, 16);
        assert_int_equal(s.agent.ack.page_size_bytes, 4096);
}

static void test_interval_with_expiry(void **state) {
        struct message_set_interval interval = { .interval_msec = 2000, .pressure_available_bytes = 64 << 20 };
        struct message message;
        struct frame frame;

        assert_int_equal(channel_session_set_interval(&s, &(struct message_set_interval) { .interval_msec = 99 }), -EINVAL);
        assert_int_equal(channel_session_set_interval(&s, &(struct message_set_interval) { .interval_msec = 3600001 }), -EINVAL);
        assert_int_equal(channel_session_set_interval(&s, &interval), 1);
        frame = said(T0 + 3 * SEC, &message);
        assert_int_equal(frame.type, MESSAGE_SET_INTERVAL);
        assert_memory_equal(frame.boot_id, boot, 16);
        assert_int_equal(frame.time_usec, 5 * SEC + 3 * SEC + REQUEST_TTL_USEC);
        assert_int_equal(message.set_interval.interval_msec, 2000);
        assert_int_equal(message.set_interval.pressure_available_bytes, 64 << 20);
        assert_int_equal(channel_session_set_interval(&s, &interval), 0); /* nothing new, nothing said */
        assert_int_equal(said(T0, &message).type, 0);
        /* Repeated to the next agent. */
        channel_session_begin(&s, 43, T0 + 9 * SEC);
        assert_int_equal(say(&ack, 43, 1, boot, 20 * SEC, T0 + 10 * SEC), CHANNEL_SESSION_READY);
        frame = said(T0 + 10 * SEC, &message);
        assert_int_equal(frame.type, MESSAGE_SET_INTERVAL);
        assert_int_equal(frame.session_id, 43);
}

/* After a migration or a snapshot the guest's clock may be behind: from now on it counts as it is. */
static void test_guest_time_jumps(void **state) {
        struct message_set_interval interval = { .interval_msec = 500 };
        struct message r = report(), message;

        assert_int_equal(say(&r, 42, 2, boot, 100 * SEC, T0 + SEC), CHANNEL_SESSION_REPORT);
        assert_int_equal(say(&r, 42, 3, boot, 2 * SEC, T0 + 2 * SEC), CHANNEL_SESSION_REPORT);
        assert_int_equal(channel_session_set_interval(&s, &interval), 1);
        assert_int_equal(said(T0 + 2 * SEC, &message).time_usec, 2 * SEC + REQUEST_TTL_USEC);
        assert_int_equal(say(&r, 42, 4, boot, UINT64_MAX, T0 + 3 * SEC), CHANNEL_SESSION_REPORT);
        interval.interval_msec = 600;
        assert_int_equal(channel_session_set_interval(&s, &interval), 1);
        assert_int_equal(said(T0 + 4 * SEC, &message).time_usec, UINT64_MAX);
        assert_int_equal(say(&r, 42, 5, boot, 0, T0 + 5 * SEC), CHANNEL_SESSION_REPORT);
        interval.interval_msec = 700;
        assert_int_equal(channel_session_set_interval(&s, &interval), 1);
        assert_int_equal(said(T0 + 5 * SEC, &message).time_usec, REQUEST_TTL_USEC);
}

static void test_only_newer_frames_of_our_session(void **state) {
        struct message r = report();

        assert_int_equal(say(&r, 42, 10, boot, 6 * SEC, T0), CHANNEL_SESSION_REPORT);
        assert_int_equal(say(&r, 42, 10, boot, 6 * SEC, T0), CHANNEL_SESSION_NOTHING);
        assert_int_equal(say(&r, 42, 9, boot, 6 * SEC, T0), CHANNEL_SESSION_NOTHING);
        assert_int_equal(say(&r, 41, 11, boot, 6 * SEC, T0), CHANNEL_SESSION_NOTHING);
        assert_int_equal(say(&r, 0, 11, boot, 6 * SEC, T0), CHANNEL_SESSION_NOTHING);
        assert_int_equal(say(&goodbye, 41, 11, boot, 6 * SEC, T0), CHANNEL_SESSION_NOTHING);
        assert_int_equal(s.stale_frames, 5);
        assert_int_equal(say(&r, 42, 11, boot, 6 * SEC, T0), CHANNEL_SESSION_REPORT);
}

static void test_silence(void **state) {
        struct message message;
        struct message r = report(), pong = { .type = MESSAGE_PONG };
        uint64_t now = T0 + 6 * SEC;

        assert_int_equal(channel_session_due(&s), now); /* three times the default of 2 s */
        assert_int_equal(channel_session_tick(&s, now - 1), CHANNEL_SESSION_NOTHING);
        assert_int_equal(said(now, &message).type, 0);
        assert_int_equal(channel_session_tick(&s, now), CHANNEL_SESSION_NOTHING);
        assert_int_equal(said(now, &message).type, MESSAGE_PING);
        assert_int_equal(say(&pong, 42, 2, boot, 11 * SEC, now + SEC), CHANNEL_SESSION_NOTHING);
        assert_int_equal(channel_session_due(&s), now + SEC + 6 * SEC);
        assert_int_equal(say(&r, 42, 3, boot, 12 * SEC, now + 2 * SEC), CHANNEL_SESSION_REPORT);
        now += 2 * SEC + 6 * SEC;
        assert_int_equal(channel_session_tick(&s, now), CHANNEL_SESSION_NOTHING);
        assert_int_equal(said(now, &message).type, MESSAGE_PING);
        assert_int_equal(channel_session_due(&s), now + PING_GRACE_USEC);
        assert_int_equal(channel_session_tick(&s, now + PING_GRACE_USEC), CHANNEL_SESSION_ENDED);
}

static void test_agent_restarts(void **state) {
        struct message r = report(), message;

        assert_int_equal(channel_session_set_interval(&s, &(struct message_set_interval) { .interval_msec = 1000 }), 1);
        assert_int_equal(said(T0, &message).type, MESSAGE_SET_INTERVAL);
        assert_int_equal(say(&r, 42, 50, boot, 6 * SEC, T0), CHANNEL_SESSION_REPORT);
        /* It answers a hello of ours that had waited in the port: the sequence begins anew, and it knows no interval. */
        assert_int_equal(say(&ack, 42, 1, boot, 7 * SEC, T0 + SEC), CHANNEL_SESSION_READY);
        assert_int_equal(said(T0 + SEC, &message).type, MESSAGE_SET_INTERVAL);
        assert_int_equal(say(&r, 42, 2, boot, 8 * SEC, T0 + SEC), CHANNEL_SESSION_REPORT);
        /* An ack to each of our hellos means nothing. */
        assert_int_equal(say(&ack, 42, 3, boot, 8 * SEC, T0 + SEC), CHANNEL_SESSION_NOTHING);
        /* It opens its port and finds no hello. */
        assert_int_equal(say(&goodbye, 0, 1, boot, 9 * SEC, T0 + 2 * SEC), CHANNEL_SESSION_ENDED);
        channel_session_begin(&s, 43, T0 + 2 * SEC);
        assert_int_equal(channel_session_due(&s), T0 + 2 * SEC);
        assert_int_equal(channel_session_tick(&s, T0 + 2 * SEC), CHANNEL_SESSION_NOTHING);
        assert_int_equal(said(T0 + 2 * SEC, &message).type, MESSAGE_HELLO);
        /* The same while we wait: the next hello goes soon, but not as often as it may want. */
        assert_int_equal(say(&goodbye, 0, 1, boot, 9 * SEC, T0 + 2 * SEC), CHANNEL_SESSION_NOTHING);
        assert_int_equal(channel_session_due(&s), T0 + 2 * SEC + HELLO_SPACING_USEC);
}

static void test_guest_reboots(void **state) {
        struct message r = report();

        assert_int_equal(say(&ack, 42, 1, other_boot, SEC, T0 + SEC), CHANNEL_SESSION_READY);
        assert_memory_equal(s.agent.boot_id, other_boot, 16);
        assert_int_equal(say(&ack, 42, 1, boot, SEC, T0 + SEC + 1), CHANNEL_SESSION_VIOLATION); /* to and fro */
        assert_int_equal(say(&r, 42, 2, other_boot, SEC, T0 + SEC), CHANNEL_SESSION_REPORT);
        assert_int_equal(say(&r, 42, 3, boot, SEC, T0 + SEC), CHANNEL_SESSION_ENDED);
        channel_session_begin(&s, 43, T0 + SEC);
        assert_int_equal(say(&r, 43, 4, boot, SEC, T0 + SEC), CHANNEL_SESSION_NOTHING); /* no ack yet */
}

static void test_errors(void **state) {
        struct message error = { .type = MESSAGE_ERROR, .error = { .code = MESSAGE_ERROR_UNKNOWN_TYPE } }, message;
        struct message ping = { .type = MESSAGE_PING };
        struct frame frame = { .version = 1, .type = 99, .session_id = 42, .sequence = 5, .boot_id = { 7 } };

        assert_int_equal(say(&error, 42, 2, boot, 6 * SEC, T0), CHANNEL_SESSION_NOTHING);
        assert_int_equal(said(T0, &message).type, 0); /* an error is not answered with an error */
        assert_int_equal(say(&ping, 42, 3, boot, 6 * SEC, T0), CHANNEL_SESSION_VIOLATION);
        assert_non_null(s.violation);
        assert_int_equal(channel_session_receive(&s, &frame, T0, &heard), CHANNEL_SESSION_NOTHING);
        assert_int_equal(said(T0, &message).type, MESSAGE_ERROR);
        assert_int_equal(message.error.code, MESSAGE_ERROR_UNKNOWN_TYPE);
        assert_int_equal(message.error.sequence, 5);
        frame.type = MESSAGE_REPORT; /* without any field */
        frame.sequence = 6;
        assert_int_equal(channel_session_receive(&s, &frame, T0, &heard), CHANNEL_SESSION_VIOLATION);
        assert_int_equal(said(T0, &message).type, MESSAGE_ERROR);
        error.error.code = MESSAGE_ERROR_VERSION;
        assert_int_equal(say(&error, 42, 7, boot, 6 * SEC, T0), CHANNEL_SESSION_VIOLATION);
        error.error.code = MESSAGE_ERROR_EXPIRED; /* we have its clock wrong */
        assert_int_equal(say(&error, 42, 8, boot, 6 * SEC, T0), CHANNEL_SESSION_ENDED);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup(test_hello_until_answered, begin), cmocka_unit_test_setup(test_interval_with_expiry, begin_ready),
                cmocka_unit_test_setup(test_guest_time_jumps, begin_ready),
                cmocka_unit_test_setup(test_only_newer_frames_of_our_session, begin_ready),
                cmocka_unit_test_setup(test_silence, begin_ready), cmocka_unit_test_setup(test_agent_restarts, begin_ready),
                cmocka_unit_test_setup(test_guest_reboots, begin_ready), cmocka_unit_test_setup(test_errors, begin_ready),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
