/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The manager with a host of its own (a fixture tree) and libvirt's test driver, or no libvirt at all and invented news of it. */

#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "host-agent/manager/internal.h"
#include "host-agent/manager/paused.h"
#include "host-agent/virt/core.h"
#include "protocol/clock.h"
#include "protocol/frame.h"
#include "protocol/message.h"
#include "protocol/units.h"
#include "tests/unit/tree.h"

#define PATIENCE_USEC (10 * USEC_PER_SEC)
#define BOOT "11111111-2222-3333-4444-555555555555"
#define SLOW "aaaaaaaa-0000-0000-0000-000000000001"    /* runs, and is described late */
#define GONE "aaaaaaaa-0000-0000-0000-000000000002"    /* has ended while nobody looked */

static const struct tree_file files[] = {
        { "proc/meminfo", "MemTotal:       16316412 kB\nMemFree:          812345 kB\nMemAvailable:    4123456 kB\n"
                          "SwapTotal:             0 kB\nSwapFree:              0 kB\n" },
        { "proc/vmstat", "pswpin 12\npswpout 34\n" },
        { "proc/swaps", "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n" },
        { "proc/sys/kernel/random/boot_id", BOOT "\n" },
        { "state", "aerostat-state 1\nboot " BOOT "\npin " SLOW " 7 536870912 -\npin " GONE " 8 536870912 -\n" },
        { NULL, NULL },
};
static const uint8_t slow_uuid[16] = { 0xaa, 0xaa, 0xaa, 0xaa, [15] = 1 }, gone_uuid[16] = { 0xaa, 0xaa, 0xaa, 0xaa, [15] = 2 };

static struct tree tree;
static sd_event *loop;
static struct manager *m;

static void start(const char *uri) {
        struct manager_options options = { .root = tree.path, .state_dir = tree.path };
        struct settings settings;

        settings_init(&settings);
        snprintf(settings.uri, sizeof(settings.uri), "%s", uri);
        assert_int_equal(manager_new(&m, loop, &settings, &options), 0);
}

static int setup(void **state) {
        tree = tree_make(files);
        assert_true(sd_event_new(&loop) >= 0);
        return 0;
}

static int teardown(void **state) {
        m = manager_free(m);
        loop = sd_event_unref(loop);
        tree_remove(&tree);
        return 0;
}

#define await(condition)                                                                   \
        do {                                                                               \
                uint64_t _until = clock_monotonic_usec() + PATIENCE_USEC;                  \
                while (!(condition)) {                                                     \
                        if (clock_monotonic_usec() > _until)                               \
                                fail_msg("did not happen: %s", #condition);                \
                        assert_true(sd_event_run(loop, 5 * USEC_PER_MSEC) >= 0);           \
                }                                                                          \
        } while (0)

static void tell(struct virt_event event, const uint8_t *uuid) {
        if (uuid)
                memcpy(event.uuid, uuid, 16);
        manager_on_virt(&event, m);
}

/* What the last run kept of a VM is not forgotten before that VM could be looked at. */
static void test_forgets_late(void **state) {
        start("test:///nowhere");
        assert_int_equal(paused_note(m->undo, slow_uuid, 7, "test:///default"), 0);
        assert_int_equal(paused_note(m->undo, gone_uuid, 8, "test:///default"), 0);
        tell((struct virt_event) { .type = VIRT_EVENT_CONNECTED }, NULL);
        tell((struct virt_event) { .type = VIRT_EVENT_SYNCED, .complete = false }, NULL);
        assert_int_equal(m->kept.n_vms, 2);
        assert_true(paused_is_noted(m->undo, slow_uuid, 7));
        tell((struct virt_event) { .type = VIRT_EVENT_DOMAIN, .name = "slow", .id = 7, .state = VIRT_PAUSED, .info.max_bytes = GIB }, slow_uuid);
        assert_int_equal(m->vms[0]->pin_bytes, 512 * MIB);
        assert_int_equal(m->vms[0]->resort.step, RESORT_PAUSED);
        tell((struct virt_event) { .type = VIRT_EVENT_SYNCED, .complete = true }, NULL);
        assert_int_equal(m->kept.n_vms, 0);
        assert_true(paused_is_noted(m->undo, slow_uuid, 7));
        assert_false(paused_is_noted(m->undo, gone_uuid, 8));
}

static void say(int fd, const struct message *message, uint64_t session_id, uint64_t sequence) {
        struct frame frame = { .version = FRAME_VERSION, .session_id = session_id, .sequence = sequence, .boot_id = { 1 } };
        uint8_t buf[FRAME_SIZE_MAX];
        size_t size;

        assert_int_equal(message_encode(&frame, message, buf, sizeof(buf), &size), 0);
        assert_int_equal(send(fd, buf, size, MSG_NOSIGNAL), size);
}

/* As the agent: answers the hello of a session. */
static uint64_t shake_hands(int fd) {
        const struct message ack = { .type = MESSAGE_HELLO_ACK, .hello_ack = { .version = FRAME_VERSION, .page_size_bytes = 4096,
                                                                               .memory_total_bytes = GIB } };
        struct frame_decoder decoder = { 0 };
        struct frame frame;
        uint8_t *buf;
        size_t space = frame_decoder_space(&decoder, &buf);
        ssize_t n;

        await((n = recv(fd, buf, space, MSG_DONTWAIT)) > 0);
        frame_decoder_fill(&decoder, (size_t) n);
        assert_int_equal(frame_decoder_next(&decoder, &frame), 1);
        assert_int_equal(frame.type, MESSAGE_HELLO);
        say(fd, &ack, frame.session_id, 1);
        await(m->vms[0]->agent_spoke);
        return frame.session_id;
}

/* The last report before a reset is read after libvirt has told of the reset: it says nothing of the balloon of the new boot. */
static void test_reset_overtakes_a_report(void **state) {
        struct virt_event domain = { .type = VIRT_EVENT_DOMAIN, .name = "vm", .id = 7, .info = { .max_bytes = GIB, .has_balloon = true } };
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_close_ int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0), fd = -1;
        struct message report = { .type = MESSAGE_REPORT };
        uint64_t session;

        start("test:///nowhere");
        snprintf(address.sun_path, sizeof(address.sun_path), "%s/channel", tree.path);
        assert_int_equal(bind(listener, (struct sockaddr *) &address, sizeof(address)), 0);
        assert_int_equal(listen(listener, 1), 0);
        snprintf(domain.info.channel_path, sizeof(domain.info.channel_path), "%s", address.sun_path);
        tell(domain, slow_uuid);
        await((fd = accept(listener, NULL, NULL)) >= 0);
        session = shake_hands(fd);
        message_report_init(&report.report);
        report.report.reason = REPORT_PERIODIC;
        report.report.total_bytes = GIB / 2;
        report.report.available_bytes = report.report.total_bytes / 2;
        report.report.balloon_bytes = GIB / 2;
        say(fd, &report, session, 2);
        tell((struct virt_event) { .type = VIRT_EVENT_BALLOON, .actual_bytes = GIB / 2 }, slow_uuid);
        await(m->vms[0]->balloon_confirmed);
        say(fd, &report, session, 3);
        tell((struct virt_event) { .type = VIRT_EVENT_REBOOT }, slow_uuid);
        for (unsigned i = 0; i < 20; i++) /* it would be read in the first of these turns */
                assert_true(sd_event_run(loop, 5 * USEC_PER_MSEC) >= 0);
        assert_false(m->vms[0]->balloon_confirmed);
        assert_int_equal(m->vms[0]->report_usec, 0);
}

static void on_done(int result, const struct reservation_view *reservation, const char *error, void *userdata) {
        *(int *) userdata = result;
}

/* A hook has its domain's lock, which a listing would wait for; an operator who waits for hours has none. What a hold does: test-virt-hang. */
static void test_only_hooks_hold_listings(void **state) {
        struct reserve_request request = { .bytes = 64 * GIB, .ttl_usec = USEC_PER_HOUR, .wait_usec = USEC_PER_HOUR, .done = on_done };
        struct reservation_view made;
        char error[VIEW_ERROR_MAX] = "";
        int patient = 1, hook = 1;

        start("test:///default");
        await(m->synced_usec != 0);
        request.userdata = &patient;
        assert_int_equal(manager_reserve(m, &request, &made, error), 1);
        assert_int_equal(m->virt->held, 0);
        request.userdata = &hook;
        request.hook = true;
        assert_int_equal(manager_reserve(m, &request, &made, error), 1);
        assert_int_equal(m->virt->held, 1);
        manager_reserve_abandon(m, &patient);
        assert_int_equal(m->virt->held, 1);
        assert_int_equal(manager_unreserve(m, made.id, NULL, error), 0);
        assert_int_equal(hook, -ECANCELED);
        assert_int_equal(m->virt->held, 0);
        assert_int_equal(patient, 1); /* nobody was there to be told */
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_forgets_late, setup, teardown),
                cmocka_unit_test_setup_teardown(test_reset_overtakes_a_report, setup, teardown),
                cmocka_unit_test_setup_teardown(test_only_hooks_hold_listings, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
