/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/virt-driver.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "protocol/units.h"

static void test_discovers(void **state) {
        size_t from = 0;
        const struct virt_event *event;

        await(VIRT_EVENT_CONNECTED, NULL, &from);
        event = await(VIRT_EVENT_DOMAIN, NULL, &from);
        assert_string_equal(event->name, "test");
        assert_true(event->id > 0);
        assert_int_equal(event->state, VIRT_RUNNING);
        assert_int_equal(event->info.max_bytes, 8 * GIB);
        assert_int_equal(event->info.current_bytes, 2 * GIB);
        await(VIRT_EVENT_SYNCED, NULL, &from);
}

static void test_follows_lifecycle(void **state) {
        size_t from = now();
        uint8_t uuid[16];
        virDomainPtr domain = start_domain("lifecycle", uuid);

        assert_int_equal(await(VIRT_EVENT_DOMAIN, uuid, &from)->info.max_bytes, GIB);
        assert_int_equal(virDomainSuspend(domain), 0);
        await_state(VIRT_PAUSED, uuid, &from);
        assert_int_equal(virDomainResume(domain), 0);
        await_state(VIRT_RUNNING, uuid, &from);
        assert_int_equal(virt_request_pause(t.virt, uuid, true), 0);
        await_state(VIRT_PAUSED, uuid, &from);
        assert_int_equal(virt_request_pause(t.virt, uuid, false), 0);
        await_state(VIRT_RUNNING, uuid, &from);
        stop_domain(domain);
        await(VIRT_EVENT_GONE, uuid, &from);
        assert_int_equal(virt_request_stats(t.virt, uuid), -ENOENT);
        run_for(100 * USEC_PER_MSEC);
        assert_false(came(VIRT_EVENT_DOMAIN, uuid, from));
        assert_false(came(VIRT_EVENT_GONE, uuid, from));
}

static void test_target_and_stats(void **state) {
        size_t from = now();
        uint8_t uuid[16], nobody[16] = { 1 };
        const struct virt_event *event;
        virDomainInfo info;
        virDomainPtr domain;

        test_uuid(uuid);
        assert_int_equal(virt_request_target(t.virt, uuid, 3 * GIB), 0);
        event = await(VIRT_EVENT_TARGET, uuid, &from);
        assert_int_equal(event->result, 0);
        assert_int_equal(event->target_bytes, 3 * GIB);
        assert_in_range(event->issued_usec, 1, now_usec());
        domain = virDomainLookupByUUID(driver, uuid);
        assert_int_equal(virDomainGetInfo(domain, &info), 0);
        assert_int_equal(info.memory, 3 * GIB / KIB);
        (void) virDomainFree(domain);

        assert_int_equal(virt_request_target(t.virt, uuid, 9 * GIB), 0); /* above max: libvirt refuses */
        event = await(VIRT_EVENT_TARGET, uuid, &from);
        assert_int_equal(event->result, -EIO);
        assert_string_not_equal(event->text, "");
        assert_int_equal(virt_request_target(t.virt, uuid, 2 * GIB), 0);
        await(VIRT_EVENT_TARGET, uuid, &from);

        assert_int_equal(virt_request_stats(t.virt, uuid), 0);
        event = await(VIRT_EVENT_STATS, uuid, &from);
        assert_int_equal(event->result, 0);
        assert_int_equal(event->stats.actual_bytes, 2 * GIB);
        assert_true(event->stats.available_bytes != 0 && event->stats.available_bytes != AEROSTAT_UNKNOWN);
        assert_int_equal(virt_request_stats_period(t.virt, uuid, 2), 0);
        assert_int_equal(virt_request_target(t.virt, nobody, GIB), -ENOENT);
}

static void test_metadata(void **state) {
        struct virt_metadata policy = { .has_floor = true, .floor_bytes = 512 * MIB, .floor_ppm = AEROSTAT_UNKNOWN, .has_weight = true,
                                        .weight = 7 };
        size_t from = now();
        uint8_t uuid[16];
        const struct virt_event *event;

        test_uuid(uuid);
        assert_int_equal(virt_request_metadata(t.virt, uuid, &policy), 0);
        assert_int_equal(await(VIRT_EVENT_METADATA, uuid, &from)->result, 0);
        event = await(VIRT_EVENT_DOMAIN, uuid, &from);
        assert_true(event->info.metadata.has_floor && event->info.metadata.has_weight && !event->info.metadata.has_priority);
        assert_int_equal(event->info.metadata.floor_bytes, 512 * MIB);
        assert_int_equal(event->info.metadata.weight, 7);
        policy.weight = UINT64_MAX;
        assert_int_equal(virt_request_metadata(t.virt, uuid, &policy), 0);
        event = await(VIRT_EVENT_METADATA, uuid, &from);
        assert_int_equal(event->result, -EINVAL);
        assert_string_not_equal(event->text, "");
        policy = (struct virt_metadata) { 0 }; /* removes it */
        assert_int_equal(virt_request_metadata(t.virt, uuid, &policy), 0);
        assert_int_equal(await(VIRT_EVENT_METADATA, uuid, &from)->result, 0);
        assert_false(await(VIRT_EVENT_DOMAIN, uuid, &from)->info.metadata.has_floor);
}

/* Pause, resume and save answer; a save that takes long is no sign of a QEMU that hangs. */
static void test_pause_and_save(void **state) {
        size_t from = now();
        uint8_t uuid[16], nobody[16] = { 1 };
        virDomainPtr domain;

        test_uuid(uuid);
        assert_int_equal(virt_request_save(t.virt, nobody), -ENOENT);
        assert_int_equal(virt_request_pause(t.virt, uuid, true), 0);
        assert_int_equal(await(VIRT_EVENT_PAUSE, uuid, &from)->result, 0);
        from = 0;
        await_state(VIRT_PAUSED, uuid, &from);
        from = now();
        assert_int_equal(virt_request_pause(t.virt, uuid, false), 0);
        assert_int_equal(await(VIRT_EVENT_PAUSE, uuid, &from)->result, 0);
        assert_int_equal(virt_request_pause(t.virt, uuid, false), 0); /* it runs */
        assert_true(await(VIRT_EVENT_PAUSE, uuid, &from)->result < 0);
        run_for(50 * USEC_PER_MSEC);
        from = now();
        hang(uuid);
        assert_int_equal(virt_request_save(t.virt, uuid), 0);
        run_for(3500 * USEC_PER_MSEC);
        assert_false(came(VIRT_EVENT_SLOW, uuid, from));
        release_all();
        await(VIRT_EVENT_GONE, uuid, &from);
        assert_int_equal(n_calls(CALL_SAVE), 1);
        domain = virDomainLookupByName(driver, "test");
        assert_int_equal(virDomainHasManagedSaveImage(domain, 0), 1);
        assert_int_equal(virDomainCreate(domain), 0); /* for the tests that follow */
        await(VIRT_EVENT_DOMAIN, uuid, &from);
        (void) virDomainFree(domain);
}

static void push_note(const uint8_t uuid[static 16], struct note note) {
        memcpy(note.uuid, uuid, 16);
        hub_push_note(virt_get_hub(t.virt), &note);
}

static void test_notes(void **state) {
        size_t from = now();
        uint8_t uuid[16], nobody[16] = { 1 };

        test_uuid(uuid);
        push_note(nobody, (struct note) { .kind = NOTE_REBOOT });
        push_note(nobody, (struct note) { .kind = NOTE_GONE });
        push_note(uuid, (struct note) { .kind = NOTE_BALLOON, .bytes = GIB });
        push_note(uuid, (struct note) { .kind = NOTE_REBOOT });
        assert_int_equal(await(VIRT_EVENT_BALLOON, uuid, &from)->actual_bytes, GIB);
        await(VIRT_EVENT_REBOOT, uuid, &from);
        push_note(uuid, (struct note) { .kind = NOTE_MIGRATING });
        assert_int_equal(await(VIRT_EVENT_STATE, uuid, &from)->state, VIRT_MIGRATING);
        push_note(uuid, (struct note) { .kind = NOTE_CHANGED });
        assert_int_equal(await(VIRT_EVENT_DOMAIN, uuid, &from)->state, VIRT_MIGRATING); /* until the job is known to be over */
        await_state(VIRT_RUNNING, uuid, &from);
        assert_false(came(VIRT_EVENT_REBOOT, nobody, 0));
        assert_false(came(VIRT_EVENT_GONE, nobody, 0));
}

static void test_lost_notes_cause_a_listing(void **state) {
        size_t from = now();
        uint8_t uuid[16];
        unsigned n = 0;

        test_uuid(uuid);
        for (unsigned i = 0; i < NOTES_MAX + 100; i++)
                push_note(uuid, (struct note) { .kind = NOTE_BALLOON, .bytes = i });
        await(VIRT_EVENT_SYNCED, NULL, &from);
        from = 0;
        while (find(VIRT_EVENT_BALLOON, uuid, &from))
                n++;
        assert_int_equal(n, NOTES_MAX);
}

/* Two VMs, one hangs: the other is served at once, the watchdog speaks up once, and what was asked meanwhile is not forgotten. */

static void test_listing_finds_what_was_missed(void **state) {
        size_t from = now();
        uint8_t uuid[16];

        test_uuid(uuid);
        pthread_mutex_lock(&runner.lock);
        runner.forget = true;
        memcpy(runner.forgotten, uuid, 16);
        pthread_mutex_unlock(&runner.lock);
        discovery_list(t.virt);
        await(VIRT_EVENT_GONE, uuid, &from);
        await(VIRT_EVENT_SYNCED, NULL, &from);
        pthread_mutex_lock(&runner.lock);
        runner.forget = false;
        pthread_mutex_unlock(&runner.lock);
        discovery_list(t.virt);
        await(VIRT_EVENT_DOMAIN, uuid, &from);
        await(VIRT_EVENT_SYNCED, NULL, &from);
        /* It was restarted, and nobody told us. */
        pthread_mutex_lock(&runner.lock);
        runner.add_id = 1000;
        pthread_mutex_unlock(&runner.lock);
        discovery_list(t.virt);
        await(VIRT_EVENT_GONE, uuid, &from);
        assert_true(await(VIRT_EVENT_DOMAIN, uuid, &from)->id > 1000);
}

static void test_no_sync_without_a_list(void **state) {
        static const uint8_t nobody[16];
        size_t from = now(), order;

        fail_calls(CALL_LIST, -EIO);
        discovery_list(t.virt);
        run_for(500 * USEC_PER_MSEC);
        assert_int_equal(n_calls(CALL_LIST), 2); /* and the one at the start */
        assert_false(came(VIRT_EVENT_SYNCED, NULL, from));
        fail_calls(CALL_LIST, 0);
        await(VIRT_EVENT_SYNCED, NULL, &from);
        /* The connection breaks while the list is under way. */
        run_for(50 * USEC_PER_MSEC);
        from = now();
        hang(nobody);
        discovery_list(t.virt);
        run_for(20 * USEC_PER_MSEC);
        hub_push_note(virt_get_hub(t.virt), &(struct note) { .kind = NOTE_CLOSED, .reason = VIR_CONNECT_CLOSE_REASON_EOF });
        await(VIRT_EVENT_DISCONNECTED, NULL, &from);
        release_all(); /* the list comes before the next attempt to connect */
        order = from;
        await(VIRT_EVENT_SYNCED, NULL, &from);
        await(VIRT_EVENT_CONNECTED, NULL, &order);
        assert_true(order < from);
}

/* libvirtd is lost between the list and what it lists. */
static void test_no_sync_without_descriptions(void **state) {
        size_t from = now();
        uint8_t uuid[16];

        test_uuid(uuid);
        fail_calls(CALL_DESCRIBE, -ENOTCONN);
        discovery_list(t.virt);
        run_for(500 * USEC_PER_MSEC);
        assert_false(came(VIRT_EVENT_SYNCED, NULL, from));
        fail_calls(CALL_DESCRIBE, 0);
        await(VIRT_EVENT_SYNCED, NULL, &from); /* soon: it does not wait for the next listing of all that are well */
        assert_true(came(VIRT_EVENT_DOMAIN, uuid, 0));
        /* One that cannot be described has been answered for. */
        fail_calls(CALL_DESCRIBE, -EIO);
        discovery_list(t.virt);
        await(VIRT_EVENT_SYNCED, NULL, &from);
}

static void test_connects_when_it_can(void **state) {
        char path[] = "/tmp/aerostat-test-virt-XXXXXX", uri[64];
        static const char xml[] = "<node><domain type='test'><name>later</name><uuid>c7a5fdbd-edaf-9455-926a-d65c16db1809</uuid>"
                                  "<memory>4096</memory><os><type>hvm</type></os></domain></node>";
        size_t from = 0;
        FILE *f;
        int fd;

        t.virt = virt_free(t.virt);
        fd = mkstemp(path);
        assert_true(fd >= 0);
        close(fd);
        assert_int_equal(unlink(path), 0);
        snprintf(uri, sizeof(uri), "test://%s", path);
        t.n_events = 0;
        assert_int_equal(virt_new_with_runner(&t.virt, t.loop, uri, on_event, NULL, run_hooked), 0);
        assert_string_not_equal(await(VIRT_EVENT_DISCONNECTED, NULL, &from)->text, "");
        assert_int_equal(virt_request_stats(t.virt, (const uint8_t[16]) { 0 }), -ENOTCONN);
        run_for(700 * USEC_PER_MSEC);
        assert_false(came(VIRT_EVENT_DISCONNECTED, NULL, from)); /* once, not at each attempt */
        f = fopen(path, "w");
        assert_non_null(f);
        assert_true(fputs(xml, f) >= 0);
        assert_int_equal(fclose(f), 0);
        await(VIRT_EVENT_CONNECTED, NULL, &from);
        assert_string_equal(await(VIRT_EVENT_DOMAIN, NULL, &from)->name, "later");
        await(VIRT_EVENT_SYNCED, NULL, &from);
        /* The connection breaks: the VM is kept, and listed again. */
        hub_push_note(virt_get_hub(t.virt), &(struct note) { .kind = NOTE_CLOSED, .reason = VIR_CONNECT_CLOSE_REASON_EOF });
        assert_string_equal(await(VIRT_EVENT_DISCONNECTED, NULL, &from)->text, close_reason_text(VIR_CONNECT_CLOSE_REASON_EOF));
        await(VIRT_EVENT_CONNECTED, NULL, &from);
        await(VIRT_EVENT_SYNCED, NULL, &from);
        assert_false(came(VIRT_EVENT_GONE, NULL, 0));
        unlink(path);
}

static void test_states(void **state) {
        static const struct {
                int event, detail;
                enum virt_state state;
        } cases[] = {
                { VIR_DOMAIN_EVENT_SUSPENDED, VIR_DOMAIN_EVENT_SUSPENDED_PAUSED, VIRT_PAUSED },
                { VIR_DOMAIN_EVENT_SUSPENDED, VIR_DOMAIN_EVENT_SUSPENDED_IOERROR, VIRT_PAUSED },
                { VIR_DOMAIN_EVENT_SUSPENDED, VIR_DOMAIN_EVENT_SUSPENDED_MIGRATED, VIRT_MIGRATING },
                { VIR_DOMAIN_EVENT_SUSPENDED, VIR_DOMAIN_EVENT_SUSPENDED_POSTCOPY, VIRT_MIGRATING },
                { VIR_DOMAIN_EVENT_RESUMED, VIR_DOMAIN_EVENT_RESUMED_POSTCOPY, VIRT_MIGRATING },
                { VIR_DOMAIN_EVENT_RESUMED, VIR_DOMAIN_EVENT_RESUMED_MIGRATED, VIRT_RUNNING },
                { VIR_DOMAIN_EVENT_PMSUSPENDED, VIR_DOMAIN_EVENT_PMSUSPENDED_MEMORY, VIRT_PAUSED },
        };
        struct note note;

        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                note = (struct note) { 0 };
                assert_true(note_from_lifecycle(cases[i].event, cases[i].detail, &note));
                assert_int_equal(note.kind, NOTE_STATE);
                assert_int_equal(note.state, cases[i].state);
        }
        assert_true(note_from_lifecycle(VIR_DOMAIN_EVENT_STOPPED, VIR_DOMAIN_EVENT_STOPPED_CRASHED, &note));
        assert_int_equal(note.kind, NOTE_GONE);
        assert_false(note_from_lifecycle(VIR_DOMAIN_EVENT_UNDEFINED, 0, &note));
        assert_false(note_from_lifecycle(12345, 0, &note));
        assert_int_equal(state_from_libvirt(VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_SAVE), VIRT_MIGRATING);
        assert_int_equal(state_from_libvirt(VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_IOERROR), VIRT_PAUSED);
        assert_int_equal(state_from_libvirt(VIR_DOMAIN_RUNNING, VIR_DOMAIN_RUNNING_POSTCOPY), VIRT_MIGRATING);
        assert_int_equal(state_from_libvirt(VIR_DOMAIN_RUNNING, VIR_DOMAIN_RUNNING_BOOTED), VIRT_RUNNING);
        assert_int_equal(state_from_libvirt(VIR_DOMAIN_SHUTOFF, 0), VIRT_SHUTOFF);
        assert_true(job_moves_memory(VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT));
        assert_false(job_moves_memory(VIR_DOMAIN_JOB_OPERATION_BACKUP));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_states), test(test_discovers), test(test_follows_lifecycle), test(test_target_and_stats),
                test(test_metadata), test(test_pause_and_save), test(test_notes), test(test_lost_notes_cause_a_listing),
                test(test_listing_finds_what_was_missed), test(test_no_sync_without_a_list), test(test_no_sync_without_descriptions),
                test(test_connects_when_it_can),
        };

        return cmocka_run_group_tests(tests, open_driver, close_driver);
}
