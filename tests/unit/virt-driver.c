/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/virt-driver.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/units.h"

#define EVENTS_MAX 4096
#define PATIENCE_USEC (10 * USEC_PER_SEC)

virConnectPtr driver;
struct virt_test t;
struct runner runner = { .lock = PTHREAD_MUTEX_INITIALIZER, .released = PTHREAD_COND_INITIALIZER };

static bool is_hung(const uint8_t uuid[static 16]) {
        for (size_t i = 0; i < runner.n_hung; i++)
                if (memcmp(runner.hung[i], uuid, 16) == 0)
                        return true;
        return false;
}

void run_hooked(struct call *call, struct worker_link *link) {
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
        if (runner.fail[call->kind] < 0)
                call->event.result = runner.fail[call->kind];
        call->event.id += call->kind == CALL_DESCRIBE ? runner.add_id : 0;
        for (size_t i = 0; runner.forget && call->kind == CALL_LIST && i < call->n_uuids; i++)
                if (memcmp(call->uuids[i], runner.forgotten, 16) == 0)
                        memcpy(call->uuids[i], call->uuids[--call->n_uuids], 16);
        pthread_mutex_unlock(&runner.lock);
}

void hang(const uint8_t uuid[static 16]) {
        pthread_mutex_lock(&runner.lock);
        memcpy(runner.hung[runner.n_hung++], uuid, 16);
        pthread_mutex_unlock(&runner.lock);
}

void release_all(void) {
        pthread_mutex_lock(&runner.lock);
        runner.n_hung = 0;
        pthread_cond_broadcast(&runner.released);
        pthread_mutex_unlock(&runner.lock);
}

void fail_calls(enum call_kind kind, int result) {
        pthread_mutex_lock(&runner.lock);
        runner.fail[kind] = result;
        pthread_mutex_unlock(&runner.lock);
}

unsigned n_calls(enum call_kind kind) {
        unsigned n;

        pthread_mutex_lock(&runner.lock);
        n = runner.n_calls[kind];
        pthread_mutex_unlock(&runner.lock);
        return n;
}

void on_event(const struct virt_event *event, void *userdata) {
        assert_true(t.n_events < EVENTS_MAX);
        t.events[t.n_events++] = *event;
}

const struct virt_event *find(enum virt_event_type type, const uint8_t *uuid, size_t *from) {
        for (size_t i = *from; i < t.n_events; i++)
                if (t.events[i].type == type && (!uuid || memcmp(t.events[i].uuid, uuid, 16) == 0)) {
                        *from = i + 1;
                        return &t.events[i];
                }
        return NULL;
}

void run_for(uint64_t usec) {
        uint64_t until = now_usec() + usec;

        do
                assert_true(sd_event_run(t.loop, 10 * USEC_PER_MSEC) >= 0);
        while (now_usec() < until);
}

const struct virt_event *await(enum virt_event_type type, const uint8_t *uuid, size_t *from) {
        uint64_t until = now_usec() + PATIENCE_USEC;
        const struct virt_event *event;

        while (!(event = find(type, uuid, from))) {
                if (now_usec() >= until)
                        fail_msg("event %d did not come", (int) type);
                assert_true(sd_event_run(t.loop, 10 * USEC_PER_MSEC) >= 0);
        }
        return event;
}

void await_state(enum virt_state state, const uint8_t *uuid, size_t *from) {
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

bool came(enum virt_event_type type, const uint8_t *uuid, size_t from) {
        return find(type, uuid, &from);
}

size_t now(void) {
        return t.n_events;
}

virDomainPtr start_domain(const char *name, uint8_t uuid[static 16]) {
        char xml[512];
        virDomainPtr domain;

        snprintf(xml, sizeof(xml), "<domain type='test'><name>%s</name><memory unit='MiB'>1024</memory><os><type>hvm</type></os>"
                 "<devices><memballoon model='virtio'/></devices></domain>", name);
        domain = virDomainCreateXML(driver, xml, 0);
        assert_non_null(domain);
        assert_int_equal(virDomainGetUUID(domain, uuid), 0);
        return domain;
}

void stop_domain(virDomainPtr domain) {
        (void) virDomainDestroy(domain);
        (void) virDomainFree(domain);
}

void test_uuid(uint8_t uuid[static 16]) {
        virDomainPtr domain = virDomainLookupByName(driver, "test");

        assert_non_null(domain);
        assert_int_equal(virDomainGetUUID(domain, uuid), 0);
        (void) virDomainFree(domain);
}

int setup(void **state) {
        size_t from = 0;

        assert_true(sd_event_new(&t.loop) >= 0);
        t.events = calloc(EVENTS_MAX, sizeof(*t.events));
        assert_non_null(t.events);
        assert_int_equal(virt_new_with_runner(&t.virt, t.loop, "test:///default", on_event, NULL, run_hooked), 0);
        await(VIRT_EVENT_SYNCED, NULL, &from);
        run_for(50 * USEC_PER_MSEC); /* for the calls that SYNCED does not wait for */
        return 0;
}

int teardown(void **state) {
        release_all();
        pthread_mutex_lock(&runner.lock);
        runner.hang_answers_late = runner.forget = false;
        runner.add_id = 0;
        memset(runner.fail, 0, sizeof(runner.fail));
        memset(runner.n_calls, 0, sizeof(runner.n_calls));
        pthread_mutex_unlock(&runner.lock);
        t.virt = virt_free(t.virt);
        t.loop = sd_event_unref(t.loop);
        free(t.events);
        t.events = NULL;
        t.n_events = 0;
        return 0;
}

int open_driver(void **state) {
        assert_int_equal(events_start_thread(), 0); /* before any connection */
        driver = virConnectOpen("test:///default");
        assert_non_null(driver);
        return 0;
}

int close_driver(void **state) {
        return virConnectClose(driver) < 0;
}
