/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The whole agent against a host that is this test, over a socket pair or a terminal in place of the port, and with memory that
 * is a file. */

#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>
#include <time.h>

#include "guest-agent/agent.h"
#include "protocol/base.h"
#include "protocol/message.h"
#include "protocol/units.h"

#define SESSION 0x5e5510

struct host {
        struct agent *agent;
        int fd, quit_fd;
        char root[32];
        struct frame_decoder decoder;
        uint64_t session, sequence;
        uint8_t boot_id[16];
        uint64_t guest_usec;
        struct frame frame;             /* the last one received */
        struct message message;
};

static uint64_t now_usec(void) {
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t) ts.tv_sec * USEC_PER_SEC + (uint64_t) ts.tv_nsec / 1000;
}

static void set_memory(const struct host *host, unsigned available_mib) {
        char path[64], text[128];
        int fd, n;

        snprintf(path, sizeof(path), "%s/proc/meminfo", host->root);
        fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        /* Of constant length and written at once, so that the agent never sees half of it. */
        n = snprintf(text, sizeof(text), "MemTotal: 1048576 kB\nMemFree: 1024 kB\nMemAvailable: %8u kB\n", available_mib * 1024);
        assert_int_equal(pwrite(fd, text, (size_t) n, 0), n);
        close(fd);
}

static struct config test_config(void) {
        struct config config;

        config_init(&config);
        log_setup(LOG_LEVEL_ERROR, true);
        return config;
}

static void start_on(struct host *host, struct port *port) {
        struct config config = test_config();
        char path[64];

        strcpy(host->root, "/tmp/aerostat-test-XXXXXX");
        assert_non_null(mkdtemp(host->root));
        snprintf(path, sizeof(path), "%s/proc", host->root);
        assert_int_equal(mkdir(path, 0700), 0);
        set_memory(host, 900);
        host->quit_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        assert_int_equal(agent_new(&config, host->root, port, host->quit_fd, &host->agent), 0);
}

static int set_up(void **state) {
        struct host *host = calloc(1, sizeof(*host));
        struct port *port;
        int fds[2];

        assert_non_null(host);
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
        host->fd = fds[0];
        assert_int_equal(port_new_from_fd(fds[1], &port), 0);
        start_on(host, port);
        *state = host;
        return 0;
}

static int tear_down(void **state) {
        struct host *host = *state;
        char path[64];

        agent_free(host->agent);
        closep(&host->fd);
        closep(&host->quit_fd);
        snprintf(path, sizeof(path), "%s/proc/meminfo", host->root);
        unlink(path);
        *strrchr(path, '/') = 0;
        rmdir(path);
        rmdir(host->root);
        free(host);
        return 0;
}

/* Lets the agent run for a while. */
static void run(struct host *host, unsigned msec) {
        uint64_t end = now_usec() + msec * USEC_PER_MSEC, now;

        while ((now = now_usec()) < end)
                assert_int_equal(agent_step(host->agent, (int) ((end - now) / USEC_PER_MSEC + 1)), 0);
}

static void send_frame(struct host *host, const struct message *message, const uint8_t *boot_id, uint64_t expiry) {
        struct frame frame = { .session_id = host->session, .sequence = ++host->sequence, .time_usec = expiry };
        uint8_t buf[FRAME_SIZE_MAX];
        size_t n;

        if (boot_id)
                memcpy(frame.boot_id, boot_id, 16);
        assert_int_equal(message_encode(&frame, message, buf, sizeof(buf), &n), 0);
        assert_int_equal(write(host->fd, buf, n), n);
}

static void send_hello(struct host *host, uint64_t session) {
        const struct message hello = { .type = MESSAGE_HELLO, .hello = { 1, 1, 0, "test" } };

        host->session = session;
        send_frame(host, &hello, NULL, 0);
}

static void send_interval(struct host *host, uint32_t msec, uint64_t threshold) {
        const struct message set = { .type = MESSAGE_SET_INTERVAL, .set_interval = { msec, threshold } };

        send_frame(host, &set, host->boot_id, host->guest_usec + 5 * USEC_PER_SEC);
}

/* The next good frame within msec, or false. Lets the agent run meanwhile. */
static bool receive(struct host *host, unsigned msec) {
        uint64_t end = now_usec() + msec * USEC_PER_MSEC;

        for (;;) {
                uint8_t *buf;
                size_t space;
                ssize_t n;

                if (frame_decoder_next(&host->decoder, &host->frame) > 0) {
                        assert_int_equal(message_decode(&host->frame, &host->message), 0);
                        memcpy(host->boot_id, host->frame.boot_id, 16);
                        host->guest_usec = host->frame.time_usec;
                        return true;
                }
                if (now_usec() >= end)
                        return false;
                assert_int_equal(agent_step(host->agent, 5), 0);
                space = frame_decoder_space(&host->decoder, &buf);
                n = read(host->fd, buf, space);
                if (n > 0)
                        frame_decoder_fill(&host->decoder, (size_t) n);
        }
}

static bool receive_type(struct host *host, enum message_type type, unsigned msec) {
        uint64_t end = now_usec() + msec * USEC_PER_MSEC;

        while (now_usec() < end)
                if (receive(host, msec) && host->message.type == type)
                        return true;
        return false;
}

static void begin(struct host *host, uint64_t session) {
        send_hello(host, session);
        assert_true(receive_type(host, MESSAGE_HELLO_ACK, 1000));
        assert_true(host->frame.session_id == session);
        assert_true(receive(host, 1000));
        assert_int_equal(host->message.type, MESSAGE_REPORT);
        assert_int_equal(host->message.report.reason, REPORT_REQUESTED);
}

static void test_session(void **state) {
        struct host *host = *state;
        unsigned reports = 0;
        uint64_t end;

        /* It announces itself to a host that is there already. */
        assert_true(receive(host, 1000));
        assert_int_equal(host->message.type, MESSAGE_GOODBYE);
        assert_int_equal(host->frame.session_id, 0);
        begin(host, SESSION);
        assert_int_equal(host->message.report.available_bytes, 900 * MIB);
        assert_true(host->guest_usec <= now_usec());
        send_interval(host, 100, 0);
        for (end = now_usec() + USEC_PER_SEC; now_usec() < end;)
                reports += receive(host, 50) && host->message.type == MESSAGE_REPORT;
        assert_in_range(reports, 6, 12);
        send_frame(host, &(struct message) { .type = MESSAGE_PING, .ping.token = 99 }, host->boot_id, host->guest_usec + USEC_PER_SEC);
        assert_true(receive_type(host, MESSAGE_PONG, 1000));
        assert_int_equal(host->message.ping.token, 99);
}

/* Nothing wakes it without a session, whether the host is there or not. */
static void test_idle_costs_nothing(void **state) {
        struct host *host = *state;
        uint64_t before;

        run(host, 50);
        before = agent_get_stats(host->agent)->wakeups;
        run(host, 1500);
        assert_int_equal(agent_get_stats(host->agent)->wakeups, before);
        begin(host, SESSION);
        send_frame(host, &(struct message) { .type = MESSAGE_GOODBYE }, host->boot_id, 0);
        run(host, 50);
        before = agent_get_stats(host->agent)->wakeups;
        run(host, 1500);
        assert_int_equal(agent_get_stats(host->agent)->wakeups, before);
}

static void test_calm_wakes_once_a_second(void **state) {
        struct host *host = *state;
        uint64_t before;

        begin(host, SESSION);
        run(host, 20);
        before = agent_get_stats(host->agent)->wakeups;
        run(host, 3100);
        assert_in_range(agent_get_stats(host->agent)->wakeups - before, 2, 3);
}

/* With the host gone it neither ends nor spins. */
static void test_host_goes_away(void **state) {
        struct host *host = *state;
        uint64_t before;

        begin(host, SESSION);
        send_interval(host, 100, 0);
        run(host, 50);
        close(TAKE_FD(host->fd));
        run(host, 250);
        before = agent_get_stats(host->agent)->wakeups;
        run(host, 500);
        assert_int_equal(agent_get_stats(host->agent)->wakeups, before);
}

static void test_pressure_is_told_at_once(void **state) {
        struct host *host = *state;
        uint64_t fell;

        begin(host, SESSION);
        send_interval(host, 3600000, 100 * MIB);
        set_memory(host, 150);
        run(host, 1200);
        while (receive(host, 1))
                ;
        /* From close to the threshold it has to be quick. */
        set_memory(host, 90);
        fell = now_usec();
        assert_true(receive_type(host, MESSAGE_REPORT, 2000));
        assert_int_equal(host->message.report.reason, REPORT_PRESSURE);
        assert_int_equal(host->message.report.available_bytes, 90 * MIB);
        assert_in_range(now_usec() - fell, 0, 300 * USEC_PER_MSEC);
        set_memory(host, 40);
        fell = now_usec();
        assert_true(receive_type(host, MESSAGE_REPORT, 2000));
        assert_int_equal(host->message.report.available_bytes, 40 * MIB);
        assert_in_range(now_usec() - fell, 0, 200 * USEC_PER_MSEC);
}

/* Old bytes, a stump and a hello: one answer to the hello that counts. */
static void test_junk_before_hello(void **state) {
        struct host *host = *state;
        struct frame stump = { .version = FRAME_VERSION, .type = MESSAGE_PING, .session_id = 1 };
        uint8_t buf[FRAME_SIZE_MAX], payload[100] = { 0 };
        size_t n;

        stump.payload = payload;
        stump.payload_size = sizeof(payload);
        assert_int_equal(frame_encode(&stump, buf, sizeof(buf), &n), 0);
        assert_int_equal(write(host->fd, "login: ", 7), 7);
        assert_int_equal(write(host->fd, buf + 5, n - 5), n - 5);
        assert_int_equal(write(host->fd, buf, n / 2), n / 2);
        for (uint64_t id = 1; id < 20; id++)
                send_hello(host, id);
        begin(host, SESSION);
        assert_int_equal(agent_get_stats(host->agent)->sessions, 1);
}

/* A stump that claims more than will come must not swallow the hellos that follow for long: they are repeated each second. */
static void test_long_stump(void **state) {
        struct host *host = *state;
        struct frame stump = { .version = FRAME_VERSION, .type = MESSAGE_PING };
        uint8_t buf[FRAME_SIZE_MAX], payload[FRAME_PAYLOAD_MAX] = { 0 };
        size_t n;

        stump.payload = payload;
        stump.payload_size = sizeof(payload);
        assert_int_equal(frame_encode(&stump, buf, sizeof(buf), &n), 0);
        assert_int_equal(write(host->fd, buf, 70), 70);
        send_hello(host, SESSION);
        run(host, 1050);
        assert_int_equal(agent_get_stats(host->agent)->sessions, 0);
        begin(host, SESSION);
}

/* A host that does not read costs neither blocking nor memory; when it reads again, whole frames come, the newest among them. */
static void test_host_does_not_read(void **state) {
        struct host *host = *state;
        uint64_t last = 0, newest = 0;
        int size = 4096;

        setsockopt(host->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
        begin(host, SESSION);
        for (unsigned i = 0; i < 2000; i++) {
                send_frame(host, &(struct message) { .type = MESSAGE_PING, .ping.token = i }, host->boot_id, 0);
                assert_int_equal(agent_step(host->agent, 0), 0);
        }
        send_interval(host, 100, 0);
        run(host, 1000);
        while (receive(host, 300)) {
                assert_true(host->frame.sequence > last);
                last = host->frame.sequence;
                if (host->message.type == MESSAGE_REPORT)
                        newest = host->frame.time_usec;
                if (newest > 0 && now_usec() - newest < 150 * USEC_PER_MSEC)
                        break;
        }
        assert_int_equal(host->decoder.skipped_bytes, 0);
        assert_true(newest > 0);
}

static void test_unreadable_memory(void **state) {
        struct host *host = *state;
        char path[64];

        begin(host, SESSION);
        snprintf(path, sizeof(path), "%s/proc/meminfo", host->root);
        assert_int_equal(truncate(path, 0), 0);
        log_setup(0, true); /* it complains once, and rightly */
        assert_false(receive_type(host, MESSAGE_REPORT, 2500));
        set_memory(host, 800);
        assert_true(receive_type(host, MESSAGE_REPORT, 2500));
        assert_int_equal(host->message.report.available_bytes, 800 * MIB);
}

static void test_quit_says_goodbye(void **state) {
        struct host *host = *state;
        struct frame frame;
        uint8_t *buf;
        size_t space;
        ssize_t n;

        begin(host, SESSION);
        assert_int_equal(eventfd_write(host->quit_fd, 1), 0);
        assert_int_equal(agent_step(host->agent, 1000), 1);
        host->agent = agent_free(host->agent);
        space = frame_decoder_space(&host->decoder, &buf);
        n = read(host->fd, buf, space);
        assert_true(n > 0);
        frame_decoder_fill(&host->decoder, (size_t) n);
        assert_int_equal(frame_decoder_next(&host->decoder, &frame), 1);
        assert_int_equal(frame.type, MESSAGE_GOODBYE);
        assert_int_equal(frame.session_id, SESSION);
}

/* The port breaks: it does not end, does not spin, and looks for it now and then. */
static void test_port_breaks(void **state) {
        struct host *host = *state;
        uint64_t before;

        begin(host, SESSION);
        send_interval(host, 100, 0);
        run(host, 300);
        close(TAKE_FD(host->fd)); /* with reports unread: the agent's next call fails with ECONNRESET */
        before = agent_get_stats(host->agent)->wakeups;
        run(host, 2500);
        assert_in_range(agent_get_stats(host->agent)->wakeups - before, 1, 4);
}

/* A device that is not there yet is found within the back-off. */
static void test_port_comes_late(void **state) {
        struct host *host = calloc(1, sizeof(*host));
        char path[] = "/tmp/aerostat-port-XXXXXX", name[64];
        void *host_state = host;
        struct termios raw = { 0 };
        struct port *port;
        int slave;

        assert_non_null(host);
        close(mkstemp(path));
        unlink(path);
        assert_int_equal(port_new(path, &port), 0);
        start_on(host, port);
        run(host, 100);
        assert_int_equal(agent_get_stats(host->agent)->opens, 0);
        cfmakeraw(&raw);
        assert_int_equal(openpty(&host->fd, &slave, name, &raw, NULL), 0);
        assert_int_equal(fcntl(host->fd, F_SETFL, O_NONBLOCK), 0);
        assert_int_equal(symlink(name, path), 0);
        run(host, 1200);
        assert_int_equal(agent_get_stats(host->agent)->opens, 1);
        begin(host, SESSION);
        close(slave);
        unlink(path);
        tear_down(&host_state);
}

int main(void) {
#define WITH_HOST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                WITH_HOST(test_session), WITH_HOST(test_idle_costs_nothing), WITH_HOST(test_calm_wakes_once_a_second),
                WITH_HOST(test_host_goes_away), WITH_HOST(test_pressure_is_told_at_once), WITH_HOST(test_junk_before_hello),
                WITH_HOST(test_long_stump), WITH_HOST(test_host_does_not_read), WITH_HOST(test_unreadable_memory),
                WITH_HOST(test_quit_says_goodbye), WITH_HOST(test_port_breaks), cmocka_unit_test(test_port_comes_late),
        };
        signal(SIGPIPE, SIG_IGN); /* as main() does */
        return cmocka_run_group_tests(tests, NULL, NULL);
}
