/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A real socket with a made-up agent at its end, a hostile one at times. */

#include "tests/unit/unit.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

#include "host-agent/virt/channel.h"
#include "protocol/frame.h"
#include "protocol/message.h"
#include "protocol/units.h"

#define PATIENCE_USEC (10 * USEC_PER_SEC)

static struct {
        char directory[64], path[96];
        sd_event *loop;
        struct channel *channel;
        int listener, fd; /* QEMU's ends */

        /* The agent. */
        struct frame_decoder decoder;
        uint64_t session_id, sequence;
        uint8_t boot_id[16];

        /* What the channel told. */
        enum channel_state state;
        unsigned n_ready, n_reports, n_violations;
        uint8_t ready_boot_id[16];
        uint64_t available_bytes;
        char violation[200];
} t;

static uint64_t now_usec(void) {
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t) ts.tv_sec * USEC_PER_SEC + (uint64_t) ts.tv_nsec / 1000;
}

static void on_state(void *userdata, enum channel_state state, const struct channel_agent *agent) {
        t.state = state;
        assert_true((state == CHANNEL_READY) == !!agent);
        if (!agent)
                return;
        t.n_ready++;
        memcpy(t.ready_boot_id, agent->boot_id, 16);
}

static void on_report(void *userdata, const struct message_report *report, uint64_t received_usec) {
        assert_in_range(received_usec, 1, now_usec());
        t.n_reports++;
        t.available_bytes = report->available_bytes;
}

static void on_violation(void *userdata, const char *text) {
        t.n_violations++;
        snprintf(t.violation, sizeof(t.violation), "%s", text);
}

static const struct channel_ops ops = { .state = on_state, .report = on_report, .violation = on_violation };

static void run_for(uint64_t usec) {
        uint64_t until = now_usec() + usec;

        do
                assert_true(sd_event_run(t.loop, 5 * USEC_PER_MSEC) >= 0);
        while (now_usec() < until);
}

#define await(condition)                                                                   \
        do {                                                                               \
                uint64_t _until = now_usec() + PATIENCE_USEC;                              \
                while (!(condition)) {                                                     \
                        if (now_usec() > _until)                                           \
                                fail_msg("did not happen: %s", #condition);                \
                        assert_true(sd_event_run(t.loop, 5 * USEC_PER_MSEC) >= 0);         \
                }                                                                          \
        } while (0)

static void listen_at_path(void) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };

        t.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        assert_true(t.listener >= 0);
        snprintf(address.sun_path, sizeof(address.sun_path), "%s", t.path);
        assert_int_equal(bind(t.listener, (struct sockaddr *) &address, sizeof(address)), 0);
        assert_int_equal(listen(t.listener, 1), 0);
}

static bool try_accept(void) {
        t.fd = accept4(t.listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        return t.fd >= 0;
}

static void write_all(const void *data, size_t size) {
        const char *p = data;

        while (size > 0) {
                ssize_t n = send(t.fd, p, size, MSG_NOSIGNAL);

                if (n < 0) {
                        assert_int_equal(errno, EAGAIN);
                        assert_true(sd_event_run(t.loop, USEC_PER_MSEC) >= 0);
                        continue;
                }
                p += n;
                size -= (size_t) n;
        }
}

static size_t encode(const struct message *message, uint64_t session_id, uint64_t sequence, uint8_t buf[static FRAME_SIZE_MAX]) {
        struct frame frame = { .version = FRAME_VERSION, .session_id = session_id, .sequence = sequence, .time_usec = now_usec() };
        size_t size;

        memcpy(frame.boot_id, t.boot_id, 16);
        assert_int_equal(message_encode(&frame, message, buf, FRAME_SIZE_MAX, &size), 0);
        return size;
}

static void say_as(const struct message *message, uint64_t session_id, uint64_t sequence) {
        uint8_t buf[FRAME_SIZE_MAX];

        write_all(buf, encode(message, session_id, sequence, buf));
}

static void say(const struct message *message) {
        say_as(message, t.session_id, ++t.sequence);
}

static struct message report(uint64_t available_bytes) {
        struct message message = { .type = MESSAGE_REPORT };

        message_report_init(&message.report);
        message.report.reason = REPORT_PERIODIC;
        message.report.total_bytes = GIB;
        message.report.available_bytes = available_bytes;
        return message;
}

/* Whether the host has said something of this type; what it said before that is passed over. */
static bool hear(uint8_t type, struct frame *ret_frame, struct message *ret) {
        for (;;) {
                uint8_t *buf;
                size_t space;
                ssize_t n;

                while (frame_decoder_next(&t.decoder, ret_frame) > 0)
                        if (ret_frame->type == type) {
                                assert_int_equal(message_decode(ret_frame, ret), 0);
                                return true;
                        }
                space = frame_decoder_space(&t.decoder, &buf);
                n = recv(t.fd, buf, space, 0);
                if (n <= 0)
                        return false;
                frame_decoder_fill(&t.decoder, (size_t) n);
        }
}

static void shake_hands(void) {
        const struct message ack = { .type = MESSAGE_HELLO_ACK, .hello_ack = { .version = 1, .page_size_bytes = 4096,
                                                                               .memory_total_bytes = GIB } };
        unsigned before = t.n_ready;
        struct message message;
        struct frame frame;

        await(hear(MESSAGE_HELLO, &frame, &message));
        assert_int_equal(message.hello.version_min, 1);
        t.session_id = frame.session_id;
        t.sequence = 0;
        say(&ack);
        await(t.n_ready == before + 1);
        assert_int_equal(t.state, CHANNEL_READY);
        assert_memory_equal(t.ready_boot_id, t.boot_id, 16);
}

static struct channel_counters counters(void) {
        struct channel_counters c;

        channel_get_counters(t.channel, &c);
        return c;
}

static int setup(void **state) {
        memset(&t, 0, sizeof(t));
        t.listener = t.fd = -1;
        t.boot_id[0] = 1;
        strcpy(t.directory, "/tmp/aerostat-test-channel-XXXXXX");
        assert_non_null(mkdtemp(t.directory));
        snprintf(t.path, sizeof(t.path), "%s/s", t.directory);
        assert_true(sd_event_new(&t.loop) >= 0);
        listen_at_path();
        assert_int_equal(channel_new(&t.channel, t.loop, t.path, &ops, NULL), 0);
        await(try_accept());
        return 0;
}

static int setup_ready(void **state) {
        setup(state);
        shake_hands();
        return 0;
}

static int teardown(void **state) {
        t.channel = channel_free(t.channel);
        t.loop = sd_event_unref(t.loop);
        closep(&t.fd);
        closep(&t.listener);
        unlink(t.path);
        rmdir(t.directory);
        return 0;
}

static void test_handshake_and_interval(void **state) {
        struct message r = report(123), message;
        struct frame frame;

        assert_int_equal(t.state, CHANNEL_HELLO);
        assert_int_equal(channel_set_interval(t.channel, 50, 0), -EINVAL);
        assert_int_equal(channel_set_interval(t.channel, 300, 77), 0);
        shake_hands();
        await(hear(MESSAGE_SET_INTERVAL, &frame, &message));
        assert_int_equal(message.set_interval.interval_msec, 300);
        assert_int_equal(message.set_interval.pressure_available_bytes, 77);
        assert_memory_equal(frame.boot_id, t.boot_id, 16);
        assert_in_range(frame.time_usec, now_usec() + 4 * USEC_PER_SEC, now_usec() + 6 * USEC_PER_SEC);
        say(&r);
        await(t.n_reports == 1);
        assert_int_equal(t.available_bytes, 123);
        assert_int_equal(counters().reports, 1);
        assert_int_equal(channel_set_interval(t.channel, 400, 77), 0);
        await(hear(MESSAGE_SET_INTERVAL, &frame, &message));
        assert_int_equal(message.set_interval.interval_msec, 400);
        await(hear(MESSAGE_PING, &frame, &message)); /* after 1.2 s of silence */
        t.channel = channel_free(t.channel);
        await(hear(MESSAGE_GOODBYE, &frame, &message));
        assert_int_equal(frame.session_id, t.session_id);
}

static void test_reconnects(void **state) {
        uint64_t first = t.session_id, begun;

        closep(&t.fd);
        await(t.state == CHANNEL_DISCONNECTED);
        await(try_accept());
        shake_hands();
        assert_true(t.session_id != first);
        assert_int_equal(counters().reconnects, 1);
        /* QEMU is gone, and comes back later. */
        closep(&t.fd);
        closep(&t.listener);
        t.listener = -1;
        unlink(t.path);
        await(t.state == CHANNEL_DISCONNECTED);
        run_for(700 * USEC_PER_MSEC);
        begun = now_usec();
        listen_at_path();
        await(try_accept());
        assert_true(now_usec() - begun < 2 * USEC_PER_SEC);
        shake_hands();
}

/* The other end stops writing, but does not close. */
static void test_half_close(void **state) {
        assert_int_equal(shutdown(t.fd, SHUT_WR), 0);
        await(t.state == CHANNEL_DISCONNECTED);
        closep(&t.fd);
        await(try_accept());
        shake_hands();
}

static void test_garbage(void **state) {
        static const char marker[] = "\xa5" "AST";
        struct message r = report(1);
        unsigned char junk[3000];
        uint8_t buf[FRAME_SIZE_MAX];
        size_t size;

        for (unsigned round = 0; round < 20; round++) {
                for (size_t i = 0; i < sizeof(junk); i++)
                        junk[i] = (unsigned char) (i * 7 + round * i / 3);
                memcpy(junk + 100, marker, 4);          /* a marker, and then a length beyond any frame */
                memset(junk + 104, 0xff, 64);
                memcpy(junk + 2000, marker, 4);
                junk[2004] = 1;                         /* a version that we speak, a length that we take, a wrong checksum */
                write_all(junk, sizeof(junk));
                /* The first half of a frame, and then a whole one: joined by the port. */
                size = encode(&r, t.session_id, ++t.sequence, buf);
                write_all(buf, size / 2);
                say(&r);
        }
        /* A false frame may swallow what follows it, up to its length; what comes after that is understood. */
        for (unsigned i = 0; i < 30; i++)
                say(&r);
        await(t.available_bytes == 1 && t.n_reports >= 20);
        assert_true(counters().skipped_bytes > 3000);
        assert_int_equal(t.n_violations, 1); /* 60 KB of junk, one sentence */
        assert_int_equal(t.state, CHANNEL_READY);
}

static void test_old_sessions_and_replay(void **state) {
        struct message old = report(1), fresh = report(2);

        for (unsigned i = 0; i < 10; i++)
                say_as(&old, t.session_id + 1, 100 + i);
        say_as(&fresh, t.session_id, 10);
        say_as(&old, t.session_id, 10);
        say_as(&old, t.session_id, 9);
        await(counters().stale_frames == 12);
        assert_int_equal(t.n_reports, 1);
        assert_int_equal(t.available_bytes, 2);
}

static void test_frame_quota(void **state) {
        struct message r = report(1);
        uint64_t begun = now_usec();

        while (now_usec() - begun < 2500 * USEC_PER_MSEC) {
                for (unsigned i = 0; i < 5; i++)
                        say(&r);
                run_for(5 * USEC_PER_MSEC);
        }
        print_message("%u reports of %llu taken in 2.5 s\n", t.n_reports, (unsigned long long) t.sequence);
        assert_in_range(t.n_reports, 100, 4 * CHANNEL_FRAMES_PER_SEC_MAX);
        assert_true(counters().dropped_frames > 100);
        assert_int_equal(t.n_violations, 1);
        assert_int_equal(t.state, CHANNEL_READY);
}

/* As many bytes as the socket takes: we read a bounded number of them, and the loop stays free. */
static void test_byte_flood(void **state) {
        static char zeros[64 * 1024];
        uint64_t begun = now_usec(), sent = 0, turns = 0;
        struct message r = report(5);

        while (now_usec() - begun < 2500 * USEC_PER_MSEC) {
                ssize_t n = send(t.fd, zeros, sizeof(zeros), MSG_NOSIGNAL);

                sent += n > 0 ? (uint64_t) n : 0;
                assert_true(sd_event_run(t.loop, USEC_PER_MSEC) >= 0);
                turns++;
        }
        print_message("%llu KiB taken in 2.5 s, %llu turns of the loop\n", (unsigned long long) (sent / KIB), (unsigned long long) turns);
        assert_true(sent < 2 * MIB);
        assert_int_equal(t.n_violations, 1);
        run_for(4 * USEC_PER_SEC); /* the flood is over; what was queued is read second by second */
        say(&r);
        await(t.available_bytes == 5);
}

/* Nobody reads at the other end: the channel goes on, and costs nothing. */
static void test_peer_does_not_read(void **state) {
        struct message r = report(1);
        uint32_t interval = 1000;

        for (unsigned i = 0; i < 3000; i++) {
                assert_int_equal(channel_set_interval(t.channel, interval++, 0), 0);
                assert_true(sd_event_run(t.loop, 0) >= 0);
        }
        say(&r);
        await(t.n_reports == 1);
        assert_int_equal(t.state, CHANNEL_READY);
}

static void test_reboot(void **state) {
        const struct message ack = { .type = MESSAGE_HELLO_ACK, .hello_ack = { .version = 1, .page_size_bytes = 4096,
                                                                               .memory_total_bytes = GIB } };
        struct message r = report(1);

        run_for(300 * USEC_PER_MSEC);
        t.boot_id[0] = 2;
        t.sequence = 0;
        say(&ack); /* to a hello that had waited in the port */
        await(t.n_ready == 2);
        assert_memory_equal(t.ready_boot_id, t.boot_id, 16);
        t.boot_id[0] = 3;
        say(&r); /* without any */
        await(t.state == CHANNEL_HELLO);
        shake_hands();
        assert_int_equal(t.n_reports, 0);
}

/* libvirt tells of a reset while the last report of the boot before still waits in the socket. */
static void test_restart(void **state) {
        struct message r = report(1);
        uint64_t first = t.session_id;

        say(&r);
        channel_restart(t.channel);
        assert_int_equal(t.state, CHANNEL_HELLO);
        say(&r);
        await(counters().stale_frames == 2);
        assert_int_equal(t.n_reports, 0);
        t.boot_id[0] = 2;
        shake_hands();
        assert_true(t.session_id != first);
        say(&r);
        await(t.n_reports == 1);
        assert_int_equal(counters().reconnects, 0);
        /* Nobody there: nothing to restart. */
        closep(&t.fd);
        await(t.state == CHANNEL_DISCONNECTED);
        channel_restart(t.channel);
        assert_int_equal(t.state, CHANNEL_DISCONNECTED);
        await(try_accept());
        shake_hands();
}

static void test_bad_paths(void **state) {
        struct channel *channel = NULL;
        char path[200];

        memset(path, 'x', sizeof(path));
        path[sizeof(path) - 1] = '\0';
        assert_int_equal(channel_new(&channel, t.loop, path, &ops, NULL), -ENAMETOOLONG);
        assert_int_equal(channel_new(&channel, t.loop, "", &ops, NULL), -EINVAL);
        assert_null(channel);
}

#define test(f) cmocka_unit_test_setup_teardown(f, setup_ready, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_handshake_and_interval, setup, teardown), test(test_reconnects), test(test_half_close),
                test(test_garbage), test(test_old_sessions_and_replay), test(test_frame_quota), test(test_byte_flood),
                test(test_peer_does_not_read), test(test_reboot), test(test_restart), test(test_bad_paths),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
