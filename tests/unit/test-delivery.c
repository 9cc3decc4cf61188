/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The alert command (fine, failing, hanging, many at once), alerts on disk, and the JSON that goes out. */

#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "host-agent/control/alert_json.h"
#include "host-agent/control/alert_store.h"
#include "host-agent/control/delivery.h"
#include "host-agent/control/runner.h"
#include "protocol/units.h"
#include "tests/unit/stub-manager.h"

#define FAST { .running = 2, .queued = 64, .tries = 3, .timeout_usec = 300 * USEC_PER_MSEC, .retry_usec = 20 * USEC_PER_MSEC, \
               .retry_max_usec = USEC_PER_SEC }

static char folder[] = "/tmp/aerostat-test-XXXXXX";
static sd_event *loop;

static void write_script(const char *name, const char *body, char path[static 256]) {
        FILE *f;

        snprintf(path, 256, "%s/%s", folder, name);
        f = fopen(path, "w");
        assert_non_null(f);
        fprintf(f, "#!/bin/sh\ncd %s || exit 9\n%s\n", folder, body);
        fclose(f);
        assert_int_equal(chmod(path, 0755), 0);
}

static char *slurp(const char *name) {
        char path[256];
        char *text = calloc(1, 65536);
        FILE *f;

        snprintf(path, sizeof(path), "%s/%s", folder, name);
        f = fopen(path, "r");
        if (f) {
                (void) !fread(text, 1, 65535, f);
                fclose(f);
        }
        return text;
}

static uint64_t monotonic(void) {
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t) t.tv_sec * USEC_PER_SEC + (uint64_t) t.tv_nsec / 1000;
}

/* Runs the loop until the counter has come so far. No turn of it may take long: that is what "never blocks" means. */
static void run_until(struct runner *r, const uint64_t *counter, uint64_t value, struct runner_counters *c) {
        uint64_t deadline = monotonic() + 20 * USEC_PER_SEC;

        for (runner_get_counters(r, c); *counter < value; runner_get_counters(r, c)) {
                assert_true(monotonic() < deadline);
                assert_true(sd_event_run(loop, 100 * USEC_PER_MSEC) >= 0);
        }
}

static int new_runner(struct runner **ret, const struct runner_limits *limits) {
        return runner_new(ret, loop, "command", limits, NULL, NULL);
}

static void test_text_reaches_the_command(void **state) {
        const struct runner_limits limits = FAST;
        struct runner_counters c;
        char path[256], command[300];
        _cleanup_free_ char *got = NULL, *environment = NULL, *arguments = NULL;
        struct runner *r;

        setenv("AEROSTAT_TEST_SECRET", "x", 1);
        write_script("ok", "cat > stdin; env > env; printf '%s|' \"$@\" > args; ls -l /proc/self/fd > fds; pwd -P > /dev/null", path);
        snprintf(command, sizeof(command), "%s  one $HOME \t'two'", path);
        assert_int_equal(new_runner(&r, &limits), 0);
        assert_int_equal(runner_run(r, command, "k", "{\"quote\": \"'$(reboot)\"}"), 0);
        run_until(r, &c.delivered, 1, &c);
        got = slurp("stdin");
        environment = slurp("env");
        arguments = slurp("args");
        assert_string_equal(got, "{\"quote\": \"'$(reboot)\"}");
        assert_string_equal(arguments, "one|$HOME|'two'|"); /* no shell between us and it */
        assert_null(strstr(environment, "AEROSTAT_TEST_SECRET"));
        assert_non_null(strstr(environment, "PATH=/usr/local/sbin"));
        runner_free(r);
}

static void test_failure_is_tried_again_and_given_up(void **state) {
        const struct runner_limits limits = FAST;
        struct runner_counters c;
        char path[256];
        _cleanup_free_ char *tries = NULL;
        struct runner *r;

        assert_int_equal(new_runner(&r, &limits), 0);
        write_script("fails", "echo x >> tries; exit 3", path);
        assert_int_equal(runner_run(r, path, "k", "{}"), 0);
        run_until(r, &c.given_up, 1, &c);
        tries = slurp("tries");
        assert_string_equal(tries, "x\nx\nx\n");
        write_script("third", "echo x >> third.tries; [ \"$(wc -l < third.tries)\" = 3 ]", path);
        assert_int_equal(runner_run(r, path, "k", "{}"), 0);
        run_until(r, &c.delivered, 1, &c);
        assert_int_equal(runner_run(r, "/nonexistent/command", "k", "{}"), 0);
        run_until(r, &c.given_up, 2, &c);
        assert_int_equal(runner_run(r, "not/absolute", "k", "{}"), -EINVAL);
        assert_int_equal(runner_run(r, "  ", "k", "{}"), -EINVAL);
        runner_free(r);
}

static void test_a_hanging_command_is_killed_with_its_children(void **state) {
        const struct runner_limits limits = FAST;
        struct runner_counters c;
        char path[256];
        _cleanup_free_ char *pid = NULL;
        struct runner *r;

        assert_int_equal(new_runner(&r, &limits), 0);
        write_script("hangs", "trap '' TERM; sleep 1000 & echo $! > pid; wait", path);
        assert_int_equal(runner_run(r, path, "k", "{}"), 0);
        run_until(r, &c.failed, 1, &c);
        pid = slurp("pid");
        /* its parent is gone: init reaps it, or it stays a zombie that kill(0) still finds */
        for (int i = 0; i < 100 && kill(atoi(pid), 0) == 0; i++) {
                char stat[64], text[256] = "";
                FILE *f;

                snprintf(stat, sizeof(stat), "/proc/%d/stat", atoi(pid));
                f = fopen(stat, "r");
                if (!f)
                        break;
                (void) !fread(text, 1, sizeof(text) - 1, f);
                fclose(f);
                if (strstr(text, ") Z "))
                        break;
                assert_true(i < 99);
                usleep(10000);
        }
        runner_free(r); /* with the next try waiting */
}

static void test_many_at_once_are_limited_and_all_delivered(void **state) {
        struct runner_limits limits = FAST;
        struct runner_counters c;
        char path[256], key[16];
        _cleanup_free_ char *log = NULL;
        struct runner *r;
        int most = 0, now = 0, n = 0;

        limits.timeout_usec = USEC_PER_MINUTE; /* on a busy machine a run takes long, and a second try would count twice */
        assert_int_equal(new_runner(&r, &limits), 0);
        write_script("many", "echo + >> many.log; sleep 0.02; echo - >> many.log", path);
        for (int i = 0; i < 50; i++) {
                snprintf(key, sizeof(key), "k%d", i);
                assert_int_equal(runner_run(r, path, key, "{}"), 0);
        }
        run_until(r, &c.delivered, 50, &c);
        log = slurp("many.log");
        for (const char *p = log; *p; p++) {
                now += *p == '+' ? 1 : *p == '-' ? -1 : 0;
                n += *p == '+';
                most = MAX(most, now);
        }
        assert_int_equal(n, 50);
        assert_int_equal(most, 2);
        for (int i = 0; i < 100; i++) { /* more than the queue holds: the oldest go */
                snprintf(key, sizeof(key), "k%d", i);
                assert_int_equal(runner_run(r, path, key, "{}"), 0);
        }
        runner_get_counters(r, &c);
        assert_int_equal(c.dropped, 36);
        runner_free(r);
}

/* "fired" that could not be delivered must not arrive after "resolved". */
static void test_one_key_keeps_its_order(void **state) {
        struct runner_limits limits = FAST;
        struct runner_counters c;
        char path[256], key[256];
        _cleanup_free_ char *log = NULL;
        struct runner *r;

        limits.timeout_usec = USEC_PER_MINUTE; /* the script sleeps, and on a busy machine starts late */
        snprintf(key, sizeof(key), "last-resort/%0200d", 1); /* names of VMs may be long */
        assert_int_equal(new_runner(&r, &limits), 0);
        write_script("order", "read x; sleep 0.1; echo $x >> order.log", path);
        assert_int_equal(runner_run(r, path, key, "fired\n"), 0);
        assert_true(sd_event_run(loop, USEC_PER_SEC) >= 0); /* it runs */
        assert_int_equal(runner_run(r, path, key, "repeated\n"), 0);
        assert_int_equal(runner_run(r, path, key, "resolved\n"), 0);
        run_until(r, &c.delivered, 2, &c);
        log = slurp("order.log");
        assert_string_equal(log, "fired\nresolved\n");
        runner_free(r);
}

/* One that fails while a newer one waits must not be tried again after it. */
static void test_a_failed_text_does_not_follow_a_newer_one(void **state) {
        struct runner_limits limits = FAST;
        struct runner_counters c;
        char path[256];
        _cleanup_free_ char *log = NULL;
        struct runner *r;

        limits.timeout_usec = USEC_PER_MINUTE;
        assert_int_equal(new_runner(&r, &limits), 0);
        write_script("stubborn", "read x; sleep 0.1; [ -e stubborn.log ] || { touch stubborn.log; exit 1; }; echo $x >> stubborn.log", path);
        assert_int_equal(runner_run(r, path, "k", "fired\n"), 0);
        assert_true(sd_event_run(loop, USEC_PER_SEC) >= 0); /* it runs */
        assert_int_equal(runner_run(r, path, "k", "resolved\n"), 0);
        run_until(r, &c.delivered, 1, &c);
        for (uint64_t end = monotonic() + 300 * USEC_PER_MSEC; monotonic() < end;) /* ten times as long as until a second try */
                assert_true(sd_event_run(loop, 10 * USEC_PER_MSEC) >= 0);
        log = slurp("stubborn.log");
        assert_string_equal(log, "resolved\n");
        runner_free(r);
}

static struct alert *add_alert(struct manager *m, enum alert_name name, const char *subject, uint8_t id) {
        struct alert_condition c = { .name = name, .subject = subject, .uuid = { id }, .numbers = { 1500 * MIB, 2 * GIB, 120000, AEROSTAT_UNKNOWN } };
        struct alerts *alerts = stub_manager_alerts(m);

        assert_true(alerts_restore(alerts, &c, UINT64_C(1700000000) * USEC_PER_SEC, 0, USEC_PER_HOUR));
        for (size_t i = 0; i < ALERTS_MAX; i++)
                if (alerts->table[i].used && alerts->table[i].name == name && alerts->table[i].uuid[0] == id)
                        return &alerts->table[i];
        return NULL;
}

static void test_store(void **state) {
        struct manager *m = stub_manager_new(0), *again = stub_manager_new(0);
        json_t *untold = NULL, *texts;
        char path[256];
        FILE *f;

        snprintf(path, sizeof(path), "%s/alerts.json", folder);
        assert_int_equal(alert_store_load(path, again, &untold), 0);
        add_alert(m, ALERT_HOST_TIGHT, "host", 0);
        add_alert(m, ALERT_GUEST_PRESSURE, "<b>\"web\"</b>", 7);
        texts = json_pack("[s]", "a text");
        assert_int_equal(alert_store_save(path, stub_manager_alerts(m), USEC_PER_HOUR, texts), 0);
        assert_int_equal(alert_store_load(path, again, &untold), 2);
        assert_true(json_equal(untold, texts));
        json_decref(untold);
        json_decref(texts);
        untold = NULL;
        assert_int_equal(stub_manager_alerts(again)->n_firing, 2);
        for (size_t i = 0; i < ALERTS_MAX; i++) {
                const struct alert *a = &stub_manager_alerts(again)->table[i];

                if (!a->used)
                        continue;
                assert_true(a->since_realtime_usec == UINT64_C(1700000000) * USEC_PER_SEC);
                assert_true(a->numbers[0] == 1500 * MIB && a->numbers[3] == AEROSTAT_UNKNOWN);
                if (a->name == ALERT_GUEST_PRESSURE)
                        assert_string_equal(a->subject, "<b>\"web\"</b>");
        }
        static const char *const bad[] = { "", "{", "[]", "{\"version\": 2, \"alerts\": []}", "{\"version\": \"1\"}", "\xff\xff" };
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                f = fopen(path, "w");
                fputs(bad[i], f);
                fclose(f);
                assert_int_equal(alert_store_load(path, again, &untold), -EBADMSG);
        }
        static const char *const odd[] = {
                "{\"version\": 1}", "{\"version\": 1, \"alerts\": [1, {}, {\"name\": \"Nope\"}]}",
                "{\"version\": 1, \"alerts\": [{\"name\": \"HostHard\", \"uuid\": \"x\", "
                "\"subject\": \"host\", \"since_usec\": 1, \"told_usec\": 1}]}",
                "{\"version\": 1, \"alerts\": [{\"name\": \"HostHard\", \"uuid\": \"00000000-0000-0000-0000-000000000000\", "
                "\"subject\": \"host\", \"since_usec\": -1, \"told_usec\": 1}]}",
        };
        for (size_t i = 0; i < ARRAY_SIZE(odd); i++) {
                f = fopen(path, "w");
                fputs(odd[i], f);
                fclose(f);
                assert_int_equal(alert_store_load(path, again, &untold), 0);
                assert_null(untold);
        }
        unlink(path);
        stub_manager_free(m);
        stub_manager_free(again);
}

static void on_event(const struct manager_event *event, void *userdata) {
        delivery_handle(userdata, event);
}

static void test_delivery(void **state) {
        const struct runner_limits limits = FAST;
        struct manager *m = stub_manager_new(0);
        struct delivery *d;
        struct alert_event e = { .type = ALERT_FIRED };
        const struct manager_event event = { .type = MANAGER_EVENT_ALERT, .alert = &e };
        char path[256], file[256];
        json_t *json = NULL;
        struct stat st;

        write_script("deliver", "cat > deliver.tmp && mv deliver.tmp deliver.json", path);
        snprintf(stub_manager_settings(m)->alert_command, SETTINGS_TEXT_MAX, "%s", path);
        e.alert = add_alert(m, ALERT_GUEST_PRESSURE, "web\n\"1\"", 9);
        assert_int_equal(delivery_new(&d, loop, m, folder, &limits), 0);
        manager_watch(m, on_event, d);
        stub_manager_emit(m, &event);
        snprintf(file, sizeof(file), "%s/deliver.json", folder);
        for (int i = 0; i < 100 && !json; i++) {
                assert_true(sd_event_run(loop, 100 * USEC_PER_MSEC) >= 0);
                json = json_load_file(file, 0, NULL);
        }
        assert_non_null(json);
        assert_string_equal(json_string_value(json_object_get(json, "event")), "fired");
        assert_true(json_is_string(json_object_get(json, "host")));
        json_t *alert = json_object_get(json, "alert");
        assert_string_equal(json_string_value(json_object_get(alert, "name")), "GuestPressure");
        assert_string_equal(json_string_value(json_object_get(alert, "severity")), "warning");
        assert_string_equal(json_string_value(json_object_get(alert, "subject")), "web\n\"1\"");
        assert_string_equal(json_string_value(json_object_get(alert, "since")), "2023-11-14T22:13:20Z");
        assert_true(json_is_null(json_object_get(alert, "until")));
        assert_true(json_integer_value(json_object_get(json_object_get(alert, "numbers"), "available_bytes")) == (json_int_t) (2 * GIB));
        json_decref(json);
        snprintf(file, sizeof(file), "%s/alerts.json", folder);
        for (int i = 0; i < 20 && stat(file, &st) < 0; i++)
                assert_true(sd_event_run(loop, 10 * USEC_PER_MSEC) >= 0);
        assert_int_equal(stat(file, &st), 0);
        manager_watch(m, NULL, NULL);
        delivery_free(d);
        stub_manager_free(m);
}

/* What could not be saved is, once it can be, though nothing happens any more. */
static void test_saves_once_it_can(void **state) {
        const struct runner_limits limits = FAST;
        struct manager *m = stub_manager_new(0);
        struct alert_event e = { .type = ALERT_FIRED };
        const struct manager_event event = { .type = MANAGER_EVENT_ALERT, .alert = &e };
        char away[256], file[300];
        struct delivery *d;

        (void) !snprintf(away, sizeof(away), "%s/not-there-yet", folder);
        (void) !snprintf(file, sizeof(file), "%s/alerts.json", away);
        e.alert = add_alert(m, ALERT_HOST_HARD, "host", 0);
        assert_int_equal(delivery_new(&d, loop, m, away, &limits), 0);
        manager_watch(m, on_event, d);
        stub_manager_emit(m, &event);
        for (int i = 0; i < 3; i++)
                assert_true(sd_event_run(loop, 10 * USEC_PER_MSEC) >= 0);
        assert_int_equal(mkdir(away, 0700), 0);
        for (int i = 0; i < 200 && access(file, F_OK) < 0; i++)
                assert_true(sd_event_run(loop, 10 * USEC_PER_MSEC) >= 0);
        assert_int_equal(access(file, F_OK), 0);
        manager_watch(m, NULL, NULL);
        delivery_free(d);
        unlink(file);
        rmdir(away);
        stub_manager_free(m);
}

/* What could not be delivered before the daemon ended is delivered by the next one, and only once. */
static void test_undelivered_outlives_a_restart(void **state) {
        struct runner_limits limits = FAST;
        struct manager *m = stub_manager_new(0);
        struct alert_event e = { .type = ALERT_FIRED };
        const struct manager_event event = { .type = MANAGER_EVENT_ALERT, .alert = &e };
        char path[256], flag[300];
        struct delivery *d;
        char *log;

        limits.retry_usec = USEC_PER_MINUTE;
        write_script("later", "[ -e later.up ] || { touch later.failed; exit 1; }; cat >> later.log; echo >> later.log", path);
        snprintf(stub_manager_settings(m)->alert_command, SETTINGS_TEXT_MAX, "%s", path);
        e.alert = add_alert(m, ALERT_HOST_HARD, "host", 0);
        assert_int_equal(delivery_new(&d, loop, m, folder, &limits), 0);
        manager_watch(m, on_event, d);
        stub_manager_emit(m, &event);
        (void) !snprintf(flag, sizeof(flag), "%s/later.failed", folder);
        for (int i = 0; i < 200 && access(flag, F_OK) < 0; i++)
                assert_true(sd_event_run(loop, 50 * USEC_PER_MSEC) >= 0);
        delivery_free(d);
        (void) !snprintf(flag, sizeof(flag), "%s/later.up", folder);
        fclose(fopen(flag, "w"));
        for (int life = 0; life < 2; life++) {
                assert_int_equal(delivery_new(&d, loop, m, folder, &limits), 0);
                for (int i = 0; i < 30; i++)
                        assert_true(sd_event_run(loop, 20 * USEC_PER_MSEC) >= 0);
                delivery_free(d);
        }
        log = slurp("later.log");
        assert_non_null(strstr(log, "HostHard"));
        assert_ptr_equal(strchr(log, '\n'), strrchr(log, '\n'));
        free(log);
        manager_watch(m, NULL, NULL);
        stub_manager_free(m);
}

/* It does not wait behind alerts that cannot be delivered. */
static void test_last_resort_has_a_queue_of_its_own(void **state) {
        struct runner_limits limits = FAST;
        struct manager *m = stub_manager_new(STUB_VMS);
        struct alert_event e = { .type = ALERT_FIRED };
        const struct manager_event alert = { .type = MANAGER_EVENT_ALERT, .alert = &e };
        const struct manager_event resort = { .type = MANAGER_EVENT_LAST_RESORT, .vm = STUB_DB_NAME, .text = "x", .action = LAST_RESORT_COMMAND };
        char path[256], file[300];
        struct delivery *d;

        limits.running = 1;
        limits.timeout_usec = USEC_PER_MINUTE;
        write_script("stuck", "sleep 60", path);
        snprintf(stub_manager_settings(m)->alert_command, SETTINGS_TEXT_MAX, "%s", path);
        write_script("saves", "touch saves.ran", path);
        snprintf(stub_manager_settings(m)->last_resort_command, SETTINGS_TEXT_MAX, "%s", path);
        e.alert = add_alert(m, ALERT_HOST_CRITICAL, "host", 0);
        assert_int_equal(delivery_new(&d, loop, m, folder, &limits), 0);
        manager_watch(m, on_event, d);
        stub_manager_emit(m, &alert);
        assert_true(sd_event_run(loop, USEC_PER_SEC) >= 0);
        stub_manager_emit(m, &resort);
        (void) !snprintf(file, sizeof(file), "%s/saves.ran", folder);
        for (int i = 0; i < 200 && access(file, F_OK) < 0; i++)
                assert_true(sd_event_run(loop, 50 * USEC_PER_MSEC) >= 0);
        assert_int_equal(access(file, F_OK), 0);
        manager_watch(m, NULL, NULL);
        delivery_free(d);
        stub_manager_free(m);
}

/* The last resort's command hears of the VM and the host; in a dry run, and for what the daemon does itself, nothing is run. */
static void test_last_resort_command(void **state) {
        const struct runner_limits limits = FAST;
        struct manager *m = stub_manager_new(STUB_VMS);
        struct manager_event event = { .type = MANAGER_EVENT_LAST_RESORT, .vm = STUB_DB_NAME, .text = "a sentence", .action = LAST_RESORT_COMMAND,
                                       .would = true };
        char path[256], file[300];
        struct delivery *d;
        json_t *json = NULL;

        write_script("resort", "cat > resort.tmp && echo \"$1\" >> resort.runs && mv resort.tmp resort.json", path);
        (void) !snprintf(stub_manager_settings(m)->last_resort_command, SETTINGS_TEXT_MAX, "%.200s once", path);
        assert_int_equal(delivery_new(&d, loop, m, folder, &limits), 0);
        manager_watch(m, on_event, d);
        stub_manager_emit(m, &event);
        event.would = false;
        event.action = LAST_RESORT_SAVE;
        stub_manager_emit(m, &event);
        event.action = LAST_RESORT_COMMAND;
        stub_manager_emit(m, &event);
        snprintf(file, sizeof(file), "%s/resort.json", folder);
        for (int i = 0; i < 100 && !json; i++) {
                assert_true(sd_event_run(loop, 100 * USEC_PER_MSEC) >= 0);
                json = json_load_file(file, 0, NULL);
        }
        assert_non_null(json);
        assert_string_equal(json_string_value(json_object_get(json, "event")), "last_resort");
        assert_string_equal(json_string_value(json_object_get(json, "text")), "a sentence");
        assert_true(json_is_string(json_object_get(json, "host")));
        assert_string_equal(json_string_value(json_object_get(json_object_get(json, "vm"), "name")), STUB_DB_NAME);
        assert_string_equal(json_string_value(json_object_get(json_object_get(json, "vm"), "uuid")), STUB_DB_UUID);
        assert_true(json_is_integer(json_object_get(json_object_get(json, "status"), "available_bytes")));
        json_decref(json);
        char *runs = slurp("resort.runs");
        assert_string_equal(runs, "once\n");
        free(runs);
        manager_watch(m, NULL, NULL);
        delivery_free(d);
        stub_manager_free(m);
}

static void test_json_order(void **state) {
        struct manager *m = stub_manager_new(0);
        json_t *object;

        add_alert(m, ALERT_GUEST_PRESSURE, "a", 1);
        add_alert(m, ALERT_GUARANTEE_WEAKENED, "host", 0);
        add_alert(m, ALERT_HOST_CRITICAL, "host", 0);
        object = json_alerts(m);
        assert_non_null(object);
        json_t *firing = json_object_get(object, "firing");
        assert_int_equal(json_array_size(firing), 3);
        assert_string_equal(json_string_value(json_object_get(json_array_get(firing, 0), "name")), "HostCritical");
        assert_true(json_is_null(json_object_get(json_array_get(firing, 0), "uuid")));
        assert_string_equal(json_string_value(json_object_get(json_array_get(firing, 2), "name")), "GuaranteeWeakened");
        assert_int_equal(json_array_size(json_object_get(object, "recent")), 0);
        json_decref(object);
        stub_manager_free(m);
}

static int setup(void **state) {
        sigset_t signals;

        assert_non_null(mkdtemp(folder));
        sigemptyset(&signals);
        sigaddset(&signals, SIGCHLD);
        sigprocmask(SIG_BLOCK, &signals, NULL);
        return sd_event_new(&loop);
}

static int teardown(void **state) {
        char command[300];

        sd_event_unref(loop);
        snprintf(command, sizeof(command), "rm -rf %s", folder);
        return system(command);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_text_reaches_the_command), cmocka_unit_test(test_failure_is_tried_again_and_given_up),
                cmocka_unit_test(test_a_hanging_command_is_killed_with_its_children),
                cmocka_unit_test(test_many_at_once_are_limited_and_all_delivered),
                cmocka_unit_test(test_one_key_keeps_its_order), cmocka_unit_test(test_a_failed_text_does_not_follow_a_newer_one),
                cmocka_unit_test(test_store), cmocka_unit_test(test_delivery), cmocka_unit_test(test_saves_once_it_can),
                cmocka_unit_test(test_undelivered_outlives_a_restart),
                cmocka_unit_test(test_last_resort_has_a_queue_of_its_own), cmocka_unit_test(test_last_resort_command), cmocka_unit_test(test_json_order),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
