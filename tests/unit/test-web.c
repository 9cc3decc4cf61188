/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Metrics as text, and the web server in front of an invented manager, over a unix socket and over TCP. */

#include "tests/unit/unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "host-agent/control/http.h"
#include "host-agent/control/metrics.h"
#include "protocol/clock.h"
#include "tests/unit/stub-manager.h"

static char folder[] = "/tmp/aerostat-test-XXXXXX";
static sd_event *loop;
static struct manager *manager;

static const char *line_of(const char *text, const char *start) {
        for (const char *p = strstr(text, start); p; p = strstr(p + 1, start))
                if (p == text || p[-1] == '\n')
                        return p + strlen(start);
        return NULL;
}

static void test_numbers_and_labels(void **state) {
        struct alert_condition c = { .name = ALERT_GUEST_PRESSURE, .subject = "web1", .uuid = { 1 } };
        _cleanup_free_ char *text = NULL;
        size_t size;

        assert_true(alerts_restore(stub_manager_alerts(manager), &c, 0, 0, 0));
        assert_int_equal(metrics_format(manager, &text, &size), 0);
        assert_int_equal(strlen(text), size);
        assert_memory_equal(line_of(text, "aerostat_host_committed_bytes "), "12884901888\n", 12);
        assert_memory_equal(line_of(text, "aerostat_host_overcommit_ratio "), "1.500000\n", 9);
        assert_memory_equal(line_of(text, "aerostat_host_state{state=\"tight\"} "), "1\n", 2);
        assert_memory_equal(line_of(text, "aerostat_host_state{state=\"normal\"} "), "0\n", 2);
        assert_memory_equal(line_of(text, "aerostat_vm_target_bytes{vm=\"web1\"} "), "2147483648\n", 11);
        assert_memory_equal(line_of(text, "aerostat_vm_reaction_seconds{vm=\"web1\"} "), "0.041000\n", 9);
        assert_memory_equal(line_of(text, "aerostat_alert{name=\"GuestPressure\",severity=\"warning\"} "), "1\n", 2);
        assert_memory_equal(line_of(text, "aerostat_alert{name=\"HostTight\",severity=\"warning\"} "), "0\n", 2);
        assert_memory_equal(line_of(text, "aerostat_reaction_seconds_bucket{le=\"0.05\"} "), "0\n", 2);
        /* what is not known is not there, and says nothing false */
        assert_null(line_of(text, "aerostat_vm_actual_bytes{vm=\"silent\"}"));
        assert_null(line_of(text, "aerostat_vm_target_bytes{vm=\"new\"}"));
        assert_null(strstr(text, "18446744073709551615"));
}

/* On a host with several NUMA nodes only. */
static void test_node_metrics(void **state) {
        struct manager *two = stub_manager_new(0);
        struct policy_host *host = stub_manager_host(two);
        struct policy_plan *plan = stub_manager_plan(two);
        char *text;
        size_t size;

        assert_int_equal(metrics_format(two, &text, &size), 0);
        assert_null(strstr(text, "aerostat_host_node"));
        free(text);
        host->n_nodes = 3;
        host->nodes[0] = (struct policy_node) { 8 * GIB, GIB };
        host->nodes[2] = (struct policy_node) { 4 * GIB, 2 * GIB };
        assert_int_equal(metrics_format(two, &text, &size), 0);
        assert_memory_equal(line_of(text, "aerostat_host_node_memory_bytes{node=\"2\"} "), "4294967296\n", 11);
        assert_memory_equal(line_of(text, "aerostat_host_node_available_bytes{node=\"0\"} "), "1073741824\n", 11);
        assert_null(strstr(text, "node=\"1\""));
        assert_null(strstr(text, "aerostat_host_node_capacity_bytes"));
        free(text);
        plan->n_nodesets = 2;
        plan->nodesets[0] = (struct policy_nodeset) { .mask = 4, .capacity_bytes = 3 * GIB, .committed_bytes = GIB, .n_vms = 1 };
        plan->nodesets[1] = (struct policy_nodeset) { .mask = 5, .capacity_bytes = 9 * GIB, .deficit_bytes = 7, .n_vms = 2 };
        assert_int_equal(metrics_format(two, &text, &size), 0);
        assert_memory_equal(line_of(text, "aerostat_host_node_capacity_bytes{node=\"2\"} "), "3221225472\n", 11);
        assert_memory_equal(line_of(text, "aerostat_host_node_deficit_bytes{node=\"0,2\"} "), "7\n", 2);
        assert_memory_equal(line_of(text, "aerostat_host_node_vms{node=\"0,2\"} "), "2\n", 2);
        free(text);
        stub_manager_free(two);
}

static void test_before_the_first_decision(void **state) {
        struct manager *fresh = stub_manager_new(0);
        _cleanup_free_ char *text = NULL;
        size_t size;

        stub_manager_forget(fresh);
        assert_int_equal(metrics_format(fresh, &text, &size), 0);
        assert_null(strstr(text, "aerostat_host_committed_bytes"));
        assert_null(strstr(text, "aerostat_swap_used_bytes"));
        assert_null(strstr(text, "18446744073709551615"));
        stub_manager_free(fresh);
}

static void test_odd_names(void **state) {
        static const char *const names[][2] = {
                { "a\"b\\c\nd", "vm=\"a\\\"b\\\\c\\nd\"" }, { "<b>", "vm=\"<b>\"" },
                { "\xff\xc3(", "vm=\"?" "?(\"" }, { "\xc3\xbc", "vm=\"\xc3\xbc\"" },
                { "cut\xc3", "vm=\"cut?\"" },
        };

        for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
                struct manager *m = stub_manager_new(0);
                _cleanup_free_ char *text = NULL;
                size_t size;

                stub_manager_rename(m, STUB_WEB, names[i][0]);
                assert_int_equal(metrics_format(m, &text, &size), 0);
                if (!strstr(text, names[i][1]))
                        fail_msg("no %s", names[i][1]);
                stub_manager_free(m);
        }
}

static void test_hosts(void **state) {
        static const char names[] = " kvm1.example.org  kvm1-mgmt";
        static const char *const ours[] = { "127.0.0.1", "127.0.0.1:19788", "localhost", "LOCALHOST:1", "[::1]", "[::1]:80", "192.0.2.7:80", "kvm1",
                                            "kvm1:80", "KVM1", "kvm1.example.org:19788", "KVM1-mgmt" };
        static const char *const others[] = { "", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "kvm1.evil.example",
                                              "[::1", "[evil]", "127.0.0.1@evil", "kvm1.example", "example.org", "kvm1.example.org.evil.example",
                                              "kvm1.example.org  kvm1-mgmt", " " };

        for (size_t i = 0; i < ARRAY_SIZE(ours); i++)
                if (!http_host_is_ours(ours[i], "kvm1", names))
                        fail_msg("%s is ours", ours[i]);
        for (size_t i = 0; i < ARRAY_SIZE(others); i++)
                if (http_host_is_ours(others[i], "kvm1", names))
                        fail_msg("%s is not ours", others[i]);
        assert_false(http_host_is_ours(NULL, "kvm1", names));
        assert_false(http_host_is_ours(":80", "", names));
}

/* Sends a request and returns the whole reply; the caller frees it. */
static char *ask(int fd, const char *request) {
        uint64_t deadline = clock_monotonic_usec() + 10 * USEC_PER_SEC;
        size_t fill = 0, size = 4u << 20;
        char *reply = calloc(1, size);

        assert_non_null(reply);
        assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL), (ssize_t) strlen(request));
        for (;;) {
                ssize_t n;

                assert_true(clock_monotonic_usec() < deadline);
                assert_true(sd_event_run(loop, 20 * USEC_PER_MSEC) >= 0);
                n = recv(fd, reply + fill, size - fill - 1, MSG_DONTWAIT);
                if (n == 0 || (n < 0 && errno != EAGAIN))
                        break;
                fill += n > 0 ? (size_t) n : 0;
        }
        close(fd);
        return reply;
}

static int connect_unix(const char *path) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        strcpy(address.sun_path, path);
        assert_int_equal(connect(fd, (const struct sockaddr *) &address, sizeof(address)), 0);
        return fd;
}

static int connect_tcp(uint16_t port) {
        struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert_int_equal(connect(fd, (const struct sockaddr *) &address, sizeof(address)), 0);
        return fd;
}

#define CLOSE "Connection: close\r\n\r\n"

static void expect(int fd, const char *request, const char *status, const char *contains) {
        _cleanup_free_ char *reply = ask(fd, request);

        if (strncmp(reply, status, strlen(status)) != 0 || (contains && !strstr(reply, contains)))
                fail_msg("%s was answered with %.600s", request, reply);
        if (!strstr(reply, "Content-Security-Policy: default-src 'none'; script-src 'self'") || !strstr(reply, "X-Content-Type-Options: nosniff"))
                fail_msg("%s is answered without its headers", request);
}

static void test_pages(void **state) {
        char path[128], listen[160], error[HTTP_ERROR_MAX];
        struct http *http;
        struct stat st;

        snprintf(path, sizeof(path), "%s/web.sock", folder);
        snprintf(listen, sizeof(listen), "unix:%s", path);
        assert_int_equal(http_new(&http, loop, manager, listen, 0660, getegid(), error), 0);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0660);
        expect(connect_unix(path), "GET / HTTP/1.1\r\nHost: any.example\r\n" CLOSE, "HTTP/1.1 200", "<title>Aerostat</title>");
        expect(connect_unix(path), "GET /metrics HTTP/1.1\r\nHost: x\r\n" CLOSE, "HTTP/1.1 200", "# TYPE aerostat_host_memory_bytes gauge");
        expect(connect_unix(path), "GET /api/status HTTP/1.1\r\nHost: x\r\n" CLOSE, "HTTP/1.1 200", "\"state\":\"tight\"");
        expect(connect_unix(path), "GET /api/vms HTTP/1.1\r\nHost: x\r\n" CLOSE, "HTTP/1.1 200", "\"name\":\"web1\"");
        expect(connect_unix(path), "GET /api/alerts HTTP/1.1\r\nHost: x\r\n" CLOSE, "HTTP/1.1 200", "\"firing\":[");
        expect(connect_unix(path), "GET /api/vm?vm=web1 HTTP/1.1\r\nHost: x\r\n" CLOSE, "HTTP/1.1 200", "\"explanation\":\"");
        expect(connect_unix(path), "GET /api/vm?vm=nobody HTTP/1.1\r\nHost: x\r\n" CLOSE, "HTTP/1.1 404", "No running VM");
        expect(connect_unix(path), "GET /api/history HTTP/1.1\r\nHost: x\r\n" CLOSE, "HTTP/1.1 200", "\"series_bytes\":{\"envelope\":[");
        expect(connect_unix(path), "GET /api/history?vm=web1 HTTP/1.1\r\nHost: x\r\n" CLOSE, "HTTP/1.1 200", "\"name\":\"web1\"");
        expect(connect_unix(path), "GET /api/history?vm=nobody HTTP/1.1\r\nHost: x\r\n" CLOSE, "HTTP/1.1 404", "No running VM");
        expect(connect_unix(path), "GET /api/vm HTTP/1.1\r\nHost: x\r\n" CLOSE, "HTTP/1.1 404", NULL);
        expect(connect_unix(path), "GET /../etc/passwd HTTP/1.1\r\nHost: x\r\n" CLOSE, "HTTP/1.1 404", NULL);
        expect(connect_unix(path), "HEAD /metrics HTTP/1.1\r\nHost: x\r\n" CLOSE, "HTTP/1.1 200", "text/plain; version=0.0.4");
        expect(connect_unix(path), "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n" CLOSE "abc", "HTTP/1.1 405", "Allow: GET, HEAD");
        expect(connect_unix(path), "DELETE / HTTP/1.1\r\nHost: x\r\n" CLOSE, "HTTP/1.1 405", NULL);
        http_free(http);
        assert_int_equal(stat(path, &st), -1);
}

static void test_address(void **state) {
        char listen[64], error[HTTP_ERROR_MAX];
        struct http *http, *second;
        uint16_t port = 0;
        int r = -EADDRINUSE;

        for (uint16_t try = 0; try < 50 && r == -EADDRINUSE; try++) {
                port = (uint16_t) (20000 + (getpid() + try * 37) % 20000);
                snprintf(listen, sizeof(listen), "127.0.0.1:%u", port);
                r = http_new(&http, loop, manager, listen, 0600, getegid(), error);
        }
        assert_int_equal(r, 0);
        assert_int_equal(http_new(&second, loop, manager, listen, 0600, getegid(), error), -EADDRINUSE);
        assert_non_null(strstr(error, listen));
        assert_int_equal(http_new(&second, loop, manager, "kvm1.example:80", 0600, getegid(), error), -EINVAL);
        expect(connect_tcp(port), "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n" CLOSE, "HTTP/1.1 200", "aerostat_build_info");
        expect(connect_tcp(port), "GET /metrics HTTP/1.1\r\nHost: rebound.example\r\n" CLOSE, "HTTP/1.1 421", NULL);
        snprintf(stub_manager_settings(manager)->metrics_names, SETTINGS_TEXT_MAX, "kvm1.example.org");
        expect(connect_tcp(port), "GET /metrics HTTP/1.1\r\nHost: kvm1.example.org\r\n" CLOSE, "HTTP/1.1 200", NULL);
        expect(connect_tcp(port), "GET /metrics HTTP/1.0\r\n\r\n", "HTTP/1.", "Ask by IP address");
        /* Many who connect and say nothing, or half of it, or do not read: others are still served. */
        int idle[70];
        for (size_t i = 0; i < ARRAY_SIZE(idle); i++) {
                idle[i] = connect_tcp(port);
                if (i % 2 == 0)
                        assert_true(send(idle[i], "GET /metrics HTTP/1.1\r\nHost: 127", 32, MSG_NOSIGNAL) > 0);
                assert_true(sd_event_run(loop, USEC_PER_MSEC) >= 0);
        }
        for (size_t i = 0; i < ARRAY_SIZE(idle); i++)
                close(idle[i]);
        expect(connect_tcp(port), "GET / HTTP/1.1\r\nHost: localhost\r\n" CLOSE, "HTTP/1.1 200", NULL);
        http_free(http);
}

static int setup(void **state) {
        manager = stub_manager_new(0);
        assert_non_null(mkdtemp(folder));
        return sd_event_new(&loop);
}

static int teardown(void **state) {
        char command[300];

        stub_manager_free(manager);
        sd_event_unref(loop);
        snprintf(command, sizeof(command), "rm -rf %s", folder);
        return system(command);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_numbers_and_labels), cmocka_unit_test(test_node_metrics), cmocka_unit_test(test_before_the_first_decision),
                cmocka_unit_test(test_odd_names),
                cmocka_unit_test(test_hosts), cmocka_unit_test(test_pages), cmocka_unit_test(test_address),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
