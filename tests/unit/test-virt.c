/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Against libvirt's test driver, which lives in this process; what it cannot do (hang, reboot, forget a VM) is done by a runner in front of
 * the real calls. */

#include "tests/unit/unit.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "host-agent/virt/internal.h"
#include "protocol/units.h"

#define EVENTS_MAX 4096
#define PATIENCE_USEC (10 * USEC_PER_SEC)

static virConnectPtr driver; /* the test's own connection; keeps the test driver's world alive */

static struct {
        sd_event *loop;
        struct virt *virt;
        struct virt_event *events;
        size_t n_events;
} t;

/* What the runner does to calls; everything under the lock. */
static struct {
        pthread_mutex_t lock;
        pthread_cond_t released;
        uint8_t hung[64][16];          /* calls on these VMs wait for release */
        size_t n_hung;
        bool hang_answers_late;        /* and then time out */
        bool forget;                   /* listings leave out: */
        uint8_t forgotten[16];
        int add_id;                    /* added to ids in descriptions */
        unsigned n_calls[CALL_LIST + 1];
        unsigned n_waiting;
} runner = { .lock = PTHREAD_MUTEX_INITIALIZER, .released = PTHREAD_COND_INITIALIZER };

static bool is_hung(const uint8_t uuid[static 16]) {
        for (size_t i = 0; i < runner.n_hung; i++)
                if (memcmp(runner.hung[i], uuid, 16) == 0)
                        return true;
        return false;
}

static void run_hooked(struct call *call, struct worker_link *link) {
        bool late;

        pthread_mutex_lock(&runner.lock);
        runner.n_calls[call->kind]++;
        late = is_hung(call->uuid) && runner.hang_answers_late;
        runner.n_waiting++;
        while (is_hung(call->uuid))
                pthread_cond_wait(&runner.released, &runner.lock);
        runner.n_waiting--;
        pthread_mutex_unlock(&runner.lock);
        call_run(call, link);
        pthread_mutex_lock(&runner.lock);
        if (late)
                call->event.result = -ETIMEDOUT;
        call->event.id += call->kind == CALL_DESCRIBE ? runner.add_id : 0;
        for (size_t i = 0; runner.forget && call->kind == CALL_LIST && i < call->n_uuids; i++)
                if (memcmp(call->uuids[i], runner.forgotten, 16) == 0)
                        memcpy(call->uuids[i], call->uuids[--call->n_uuids], 16);
        pthread_mutex_unlock(&runner.lock);
}

static void hang(const uint8_t uuid[static 16]) {
        pthread_mutex_lock(&runner.lock);
        memcpy(runner.hung[runner.n_hung++], uuid, 16);
        pthread_mutex_unlock(&runner.lock);
}

static void release_all(void) {
        pthread_mutex_lock(&runner.lock);
        runner.n_hung = 0;
        pthread_cond_broadcast(&runner.released);
        pthread_mutex_unlock(&runner.lock);
}

static unsigned n_calls(enum call_kind kind) {
        unsigned n;

        pthread_mutex_lock(&runner.lock);
        n = runner.n_calls[kind];
        pthread_mutex_unlock(&runner.lock);
        return n;
}

static void on_event(const struct virt_event *event, void *userdata) {
        assert_true(t.n_events < EVENTS_MAX);
        t.events[t.n_events++] = *event;
}

/* The first event of this type and VM (NULL: any) from position *from on, which then moves behind it; NULL: none yet. */
static const struct virt_event *find(enum virt_event_type type, const uint8_t *uuid, size_t *from) {
        for (size_t i = *from; i < t.n_events; i++)
                if (t.events[i].type == type && (!uuid || memcmp(t.events[i].uuid, uuid, 16) == 0)) {
                        *from = i + 1;
                        return &t.events[i];
                }
        return NULL;
}

static void run_for(uint64_t usec) {
        uint64_t until = now_usec() + usec;

        do
                assert_true(sd_event_run(t.loop, 10 * USEC_PER_MSEC) >= 0);
        while (now_usec() < until);
}

static const struct virt_event *await(enum virt_event_type type, const uint8_t *uuid, size_t *from) {
        uint64_t until = now_usec() + PATIENCE_USEC;
        const struct virt_event *event;

        while (!(event = find(type, uuid, from))) {
                if (now_usec() >= until)
                        fail_msg("event %d did not come", (int) type);
                assert_true(sd_event_run(t.loop, 10 * USEC_PER_MSEC) >= 0);
        }
        return event;
}

/* A state comes as news of its own or with a description that was under way, whichever is first; what is known already is not told again. */
static void await_state(enum virt_state state, const uint8_t *uuid, size_t *from) {
        uint64_t until = now_usec() + PATIENCE_USEC;

        for (;;) {
                for (; *from < t.n_events; (*from)++) {
                        const struct virt_event *event = &t.events[*from];

                        if ((event->type == VIRT_EVENT_STATE || event->type == VIRT_EVENT_DOMAIN) && memcmp(event->uuid, uuid, 16) == 0 &&
                            event->state == state)
                                return;
                }
                if (now_usec() >= until)
                        fail_msg("state %d did not come", (int) state);
                assert_true(sd_event_run(t.loop, 10 * USEC_PER_MSEC) >= 0);
        }
}

static bool came(enum virt_event_type type, const uint8_t *uuid, size_t from) {
        return find(type, uuid, &from);
}

/* A position: what comes from now on. */
static size_t now(void) {
        return t.n_events;
}

static virDomainPtr start_domain(const char *name, uint8_t uuid[static 16]) {
        char xml[512];
        virDomainPtr domain;

        snprintf(xml, sizeof(xml), "<domain type='test'><name>%s</name><memory unit='MiB'>1024</memory><os><type>hvm</type></os>"
                 "<devices><memballoon model='virtio'/></devices></domain>", name);
        domain = virDomainCreateXML(driver, xml, 0);
        assert_non_null(domain);
        assert_int_equal(virDomainGetUUID(domain, uuid), 0);
        return domain;
}

static void stop_domain(virDomainPtr domain) {
        (void) virDomainDestroy(domain);
        (void) virDomainFree(domain);
}

static void test_uuid(uint8_t uuid[static 16]) {
        virDomainPtr domain = virDomainLookupByName(driver, "test");

        assert_non_null(domain);
        assert_int_equal(virDomainGetUUID(domain, uuid), 0);
        (void) virDomainFree(domain);
}

static int setup(void **state) {
        size_t from = 0;

        assert_true(sd_event_new(&t.loop) >= 0);
        t.events = calloc(EVENTS_MAX, sizeof(*t.events));
        assert_non_null(t.events);
        assert_int_equal(virt_new_with_runner(&t.virt, t.loop, "test:///default", on_event, NULL, run_hooked), 0);
        await(VIRT_EVENT_SYNCED, NULL, &from);
        run_for(50 * USEC_PER_MSEC); /* for the calls that SYNCED does not wait for */
        return 0;
}

static int teardown(void **state) {
        release_all();
        pthread_mutex_lock(&runner.lock);
        runner.hang_answers_late = runner.forget = false;
        runner.add_id = 0;
        memset(runner.n_calls, 0, sizeof(runner.n_calls));
        pthread_mutex_unlock(&runner.lock);
        t.virt = virt_free(t.virt);
        t.loop = sd_event_unref(t.loop);
        free(t.events);
        t.events = NULL;
        t.n_events = 0;
        return 0;
}

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
        assert_true(virt_is_connected(t.virt));
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
static void test_one_hangs(void **state) {
        size_t from = now(), answers;
        uint8_t stuck[16], other[16];
        virDomainPtr a = start_domain("stuck", stuck), b = start_domain("other", other);
        uint64_t begun;

        await(VIRT_EVENT_DOMAIN, stuck, &from);
        from = 0;
        await(VIRT_EVENT_DOMAIN, other, &from);
        run_for(50 * USEC_PER_MSEC);
        hang(stuck);
        assert_int_equal(virt_request_stats(t.virt, stuck), 0);
        run_for(20 * USEC_PER_MSEC);
        begun = now_usec();
        assert_int_equal(virt_request_target(t.virt, stuck, 600 * MIB), 0);
        assert_int_equal(virt_request_target(t.virt, stuck, 700 * MIB), 0);
        assert_int_equal(virt_request_stats(t.virt, stuck), 0);
        assert_int_equal(virt_request_stats(t.virt, stuck), 0);
        assert_int_equal(virt_request_target(t.virt, stuck, 800 * MIB), 0);
        assert_int_equal(virt_request_target(t.virt, other, 512 * MIB), 0);
        await(VIRT_EVENT_TARGET, other, &from);
        assert_true(now_usec() - begun < USEC_PER_SEC);
        await(VIRT_EVENT_SLOW, stuck, &from);
        assert_in_range(now_usec() - begun, 2 * USEC_PER_SEC, 5 * USEC_PER_SEC);
        virt_resync(t.virt); /* a listing does not wait for it either */
        await(VIRT_EVENT_SYNCED, NULL, &from);
        answers = now();
        release_all();
        await(VIRT_EVENT_ANSWERS, stuck, &answers);
        await(VIRT_EVENT_STATS, stuck, &answers);
        assert_int_equal(await(VIRT_EVENT_TARGET, stuck, &answers)->target_bytes, 800 * MIB);
        await(VIRT_EVENT_STATS, stuck, &answers);
        run_for(100 * USEC_PER_MSEC);
        assert_int_equal(n_calls(CALL_TARGET), 2);
        assert_int_equal(n_calls(CALL_STATS), 2);
        from = 0;
        await(VIRT_EVENT_SLOW, stuck, &from);
        assert_false(came(VIRT_EVENT_SLOW, stuck, from));
        stop_domain(a);
        stop_domain(b);
}

/* What libvirt says of a VM whose monitor is held by a call that hangs: a timeout. That is no sign of life. */
static void test_timeout_is_no_answer(void **state) {
        size_t from = now();
        uint8_t uuid[16];

        test_uuid(uuid);
        pthread_mutex_lock(&runner.lock);
        runner.hang_answers_late = true;
        pthread_mutex_unlock(&runner.lock);
        hang(uuid);
        assert_int_equal(virt_request_stats(t.virt, uuid), 0);
        await(VIRT_EVENT_SLOW, uuid, &from);
        release_all();
        assert_int_equal(await(VIRT_EVENT_STATS, uuid, &from)->result, -ETIMEDOUT);
        assert_false(came(VIRT_EVENT_ANSWERS, uuid, 0));
        virt_resync(t.virt); /* libvirtd can describe a VM that hangs */
        await(VIRT_EVENT_DOMAIN, uuid, &from);
        assert_false(came(VIRT_EVENT_ANSWERS, uuid, 0));
        assert_int_equal(virt_request_stats(t.virt, uuid), 0);
        await(VIRT_EVENT_STATS, uuid, &from);
        assert_true(came(VIRT_EVENT_ANSWERS, uuid, 0));
}

/* More VMs hang than there are workers to begin with. */
static void test_many_hang(void **state) {
        enum { N = 40 };
        virDomainPtr domains[N], other;
        uint8_t uuids[N][16], uuid[16];
        size_t from = 0;
        uint64_t begun;

        other = start_domain("fine", uuid);
        await(VIRT_EVENT_DOMAIN, uuid, &from);
        for (int i = 0; i < N; i++) {
                char name[16];

                snprintf(name, sizeof(name), "hangs%d", i);
                domains[i] = start_domain(name, uuids[i]);
        }
        for (int i = 0; i < N; i++) {
                from = 0;
                await(VIRT_EVENT_DOMAIN, uuids[i], &from);
        }
        for (int i = 0; i < N; i++) {
                hang(uuids[i]);
                assert_int_equal(virt_request_stats(t.virt, uuids[i]), 0);
        }
        run_for(20 * USEC_PER_MSEC);
        begun = now_usec();
        assert_int_equal(virt_request_target(t.virt, uuid, 512 * MIB), 0);
        from = 0;
        await(VIRT_EVENT_TARGET, uuid, &from);
        print_message("a target behind %d calls that hang: %llu ms\n", N, (unsigned long long) (now_usec() - begun) / 1000);
        assert_true(now_usec() - begun < USEC_PER_SEC);
        release_all();
        for (int i = 0; i < N; i++) {
                from = 0;
                await(VIRT_EVENT_STATS, uuids[i], &from);
                stop_domain(domains[i]);
        }
        stop_domain(other);
}

/* A VM that stops while a call on it hangs: GONE at once, nothing after that, and it can come back. */
static void test_stops_while_it_hangs(void **state) {
        size_t from = 0;
        uint8_t uuid[16], again[16];
        virDomainPtr domain = start_domain("gone", uuid);
        char xml[512], text[VIR_UUID_STRING_BUFLEN];

        await(VIRT_EVENT_DOMAIN, uuid, &from);
        run_for(50 * USEC_PER_MSEC);
        (void) virDomainGetUUIDString(domain, text);
        hang(uuid);
        assert_int_equal(virt_request_stats(t.virt, uuid), 0);
        assert_int_equal(virt_request_target(t.virt, uuid, 512 * MIB), 0);
        run_for(20 * USEC_PER_MSEC);
        stop_domain(domain);
        await(VIRT_EVENT_GONE, uuid, &from);
        assert_int_equal(virt_request_stats(t.virt, uuid), -ENOENT);
        snprintf(xml, sizeof(xml), "<domain type='test'><name>gone</name><uuid>%s</uuid><memory unit='MiB'>512</memory><os><type>hvm</type>"
                 "</os></domain>", text);
        domain = virDomainCreateXML(driver, xml, 0);
        assert_non_null(domain);
        (void) virDomainGetUUID(domain, again);
        assert_memory_equal(uuid, again, 16);
        run_for(50 * USEC_PER_MSEC);
        release_all();
        assert_int_equal(await(VIRT_EVENT_DOMAIN, uuid, &from)->info.max_bytes, 512 * MIB);
        run_for(50 * USEC_PER_MSEC);
        assert_false(came(VIRT_EVENT_STATS, uuid, 0)); /* asked of the run before */
        assert_false(came(VIRT_EVENT_TARGET, uuid, 0));
        stop_domain(domain);
        await(VIRT_EVENT_GONE, uuid, &from);
}

static void test_listing_finds_what_was_missed(void **state) {
        size_t from = now();
        uint8_t uuid[16];

        test_uuid(uuid);
        pthread_mutex_lock(&runner.lock);
        runner.forget = true;
        memcpy(runner.forgotten, uuid, 16);
        pthread_mutex_unlock(&runner.lock);
        virt_resync(t.virt);
        await(VIRT_EVENT_GONE, uuid, &from);
        await(VIRT_EVENT_SYNCED, NULL, &from);
        pthread_mutex_lock(&runner.lock);
        runner.forget = false;
        pthread_mutex_unlock(&runner.lock);
        virt_resync(t.virt);
        await(VIRT_EVENT_DOMAIN, uuid, &from);
        await(VIRT_EVENT_SYNCED, NULL, &from);
        /* It was restarted, and nobody told us. */
        pthread_mutex_lock(&runner.lock);
        runner.add_id = 1000;
        pthread_mutex_unlock(&runner.lock);
        virt_resync(t.virt);
        await(VIRT_EVENT_GONE, uuid, &from);
        assert_true(await(VIRT_EVENT_DOMAIN, uuid, &from)->id > 1000);
}

static void test_hold(void **state) {
        unsigned before = n_calls(CALL_LIST);
        size_t from = now();

        virt_hold_enumeration(t.virt, true);
        virt_hold_enumeration(t.virt, true);
        virt_resync(t.virt);
        virt_hold_enumeration(t.virt, false);
        run_for(100 * USEC_PER_MSEC);
        assert_int_equal(n_calls(CALL_LIST), before);
        virt_hold_enumeration(t.virt, false);
        await(VIRT_EVENT_SYNCED, NULL, &from);
        assert_int_equal(n_calls(CALL_LIST), before + 1);
}

/* A worker that hangs is left behind; the rest ends, and in bounded time. */
static void test_free_while_it_hangs(void **state) {
        uint8_t uuid[16];
        uint64_t begun;

        test_uuid(uuid);
        hang(uuid);
        assert_int_equal(virt_request_stats(t.virt, uuid), 0);
        run_for(50 * USEC_PER_MSEC);
        begun = now_usec();
        t.virt = virt_free(t.virt);
        assert_true(now_usec() - begun < 4 * USEC_PER_SEC);
        release_all();
        usleep(100000); /* it ends now; the sanitizers look on */
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
        assert_false(virt_is_connected(t.virt));
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

static int open_driver(void **state) {
        assert_int_equal(events_start_thread(), 0); /* before any connection */
        driver = virConnectOpen("test:///default");
        assert_non_null(driver);
        return 0;
}

static int close_driver(void **state) {
        return virConnectClose(driver) < 0;
}

#define test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_states), test(test_discovers), test(test_follows_lifecycle), test(test_target_and_stats),
                test(test_metadata), test(test_pause_and_save), test(test_notes), test(test_lost_notes_cause_a_listing), test(test_one_hangs),
                test(test_timeout_is_no_answer), test(test_many_hang), test(test_stops_while_it_hangs),
                test(test_listing_finds_what_was_missed), test(test_hold), test(test_free_while_it_hangs), test(test_connects_when_it_can),
        };
        return cmocka_run_group_tests(tests, open_driver, close_driver);
}
