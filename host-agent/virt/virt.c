/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The main thread's half: which VMs there are, what is wanted of each, what the handler is told. Only the main thread comes here, so there
 * are no locks; what is shared is behind the hub (workers.c, with the essay on threads).
 *
 * Answers and events overtake each other: a description may have been made before an event that was noted first. Every event about a VM
 * raises the VM's serial; a description that was asked for at a lower serial is thrown away and asked for again. Notes are therefore always
 * handled before answers. Other answers are dropped when the VM has stopped since (its run has changed).
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libvirt/virterror.h>

#include "host-agent/virt/domain_xml.h"
#include "host-agent/virt/internal.h"
#include "host-agent/virt/machines.h"

#define WATCH_USEC (100 * USEC_PER_MSEC)       /* how often calls under way are looked at */
#define STUCK_USEC (50 * USEC_PER_MSEC)        /* a worker that is in one call for so long is not counted on (a call takes about 2 ms) */
#define SLOW_USEC (3 * USEC_PER_SEC)
#define RESYNC_USEC (60 * USEC_PER_SEC)
#define RELIST_USEC (1 * USEC_PER_SEC)         /* after a listing that failed */
#define BACKOFF_MIN_USEC (200 * USEC_PER_MSEC)
#define BACKOFF_MAX_USEC (5 * USEC_PER_SEC)

struct virt {
        virt_handler_t handler;
        void *userdata;
        struct hub *hub;
        sd_event_source *wakeup, *watch, *connect_timer, *resync_timer;
        struct machines machines;

        /* The event connection. */
        struct call *connect;          /* ours while !connecting */
        struct event_link *link;
        bool connecting, connected, lost_early;
        uint64_t backoff_usec;
        char said[160];                /* why we are not connected, as the handler knows it */

        /* The listing. */
        struct call *list;             /* ours while !listing */
        bool listing, want_list;
        unsigned held;
        uint64_t round;                /* counts listings */
        bool synced;                   /* SYNCED has been delivered for this round */
        bool ask_jobs;                 /* the first listing of a connection asks for jobs, too: their events may have been missed */
};

static void watch_later(struct virt *virt) {
        int enabled = SD_EVENT_OFF;

        (void) sd_event_source_get_enabled(virt->watch, &enabled);
        if (enabled != SD_EVENT_OFF)
                return;
        (void) sd_event_source_set_time_relative(virt->watch, WATCH_USEC);
        (void) sd_event_source_set_enabled(virt->watch, SD_EVENT_ONESHOT);
}

static void arm(sd_event_source *timer, uint64_t delay_usec) {
        (void) sd_event_source_set_time_relative(timer, delay_usec);
        (void) sd_event_source_set_enabled(timer, SD_EVENT_ONESHOT);
}

static void submit(struct virt *virt, struct call *call, bool urgent) {
        hub_submit(virt->hub, call, urgent);
        watch_later(virt);
}

static void emit(struct virt *virt, const struct virt_event *event) {
        virt->handler(event, virt->userdata);
}

static void emit_simple(struct virt *virt, enum virt_event_type type, const struct machine *machine) {
        struct virt_event event = { .type = type, .id = -1 };

        if (machine) {
                memcpy(event.uuid, machine->uuid, sizeof(event.uuid));
                event.id = machine->id;
                event.state = machine->state;
        }
        emit(virt, &event);
}

/* What is wanted of a VM */

static void dispatch(struct virt *virt, struct machine *machine) {
        if (!machine->busy && machine_next_call(machine))
                submit(virt, machine->call, machine->call->kind <= CALL_TARGET);
}

static void want(struct virt *virt, struct machine *machine, enum call_kind kind) {
        if (machine->busy) {
                /* It waits already. (Age 0 is also a call that is just done: then its answer will be as good.) */
                if (kind == CALL_STATS && machine->call->kind == kind && hub_call_age(virt->hub, machine->call) == 0)
                        return;
                if (kind <= machine->call->kind && hub_withdraw(virt->hub, machine->call))
                        machine_take_back(machine);
        }
        machine->wanted |= 1u << kind;
        dispatch(virt, machine);
}

static void describe(struct virt *virt, struct machine *machine, bool ask_job) {
        machine->ask_job |= ask_job;
        want(virt, machine, CALL_DESCRIBE);
}

/* SYNCED: when no machine of the listing waits for its description any more. */
static void check_synced(struct virt *virt) {
        if (virt->synced || virt->listing || virt->machines.n_unsynced > 0)
                return;
        virt->synced = true;
        emit_simple(virt, VIRT_EVENT_SYNCED, NULL);
}

/* The VM's run has ended. Its entry stays as long as a worker holds its call. */
static void end_machine(struct virt *virt, struct machine *machine) {
        struct machine ended = *machine; /* for the handler */

        machine_end(&virt->machines, machine);
        if (ended.known)
                emit_simple(virt, VIRT_EVENT_GONE, &ended);
        check_synced(virt);
}

static void set_state(struct virt *virt, struct machine *machine, enum virt_state state) {
        if (machine->state == state || !machine->known)
                return;
        machine->state = state;
        emit_simple(virt, VIRT_EVENT_STATE, machine);
}

/* Listing */

static void begin_list(struct virt *virt) {
        virt->want_list = true;
        if (virt->listing || virt->held > 0 || !virt->connected)
                return;
        virt->want_list = false;
        virt->listing = true;
        virt->synced = false;
        virt->list->kind = CALL_LIST;
        virt->list->serial = virt->machines.serial;
        submit(virt, virt->list, false);
        arm(virt->resync_timer, RESYNC_USEC);
}

static void on_list(struct virt *virt, struct call *call) {
        struct machine *machine, *next;

        if (!virt->connected || call->event.result < 0) {
                virt->listing = false;
                virt->want_list = true;
                arm(virt->resync_timer, RELIST_USEC);
                return;
        }
        virt->round++;
        for (size_t i = 0; i < call->n_uuids; i++) {
                machine = machines_add(&virt->machines, call->uuids[i]);
                if (!machine) { /* no memory: the next listing may do better */
                        virt->want_list = true;
                        continue;
                }
                machine->round = virt->round;
                machine_await_sync(&virt->machines, machine);
                describe(virt, machine, virt->ask_jobs || machine->state == VIRT_MIGRATING);
        }
        virt->ask_jobs = false;
        /* Not listed, and not heard of since the list was asked for. */
        for (machine = machines_first(&virt->machines); machine; machine = next) {
                next = machines_next(&virt->machines, machine);
                if (machine->round != virt->round && !machine->ended && machine->serial <= call->serial)
                        end_machine(virt, machine);
        }
        virt->listing = false;
        check_synced(virt);
        if (virt->want_list)
                arm(virt->resync_timer, RELIST_USEC);
}

static int on_resync_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        begin_list(userdata);
        return 0;
}

/* The event connection */

static void begin_connect(struct virt *virt) {
        virt->connecting = true;
        virt->lost_early = false;
        virt->connect->kind = CALL_CONNECT;
        virt->connect->link = TAKE_PTR(virt->link);
        submit(virt, virt->connect, true);
}

static void say_disconnected(struct virt *virt, const char *text) {
        struct virt_event event = { .type = VIRT_EVENT_DISCONNECTED, .id = -1, .result = -ENOTCONN };

        if (strcmp(virt->said, text) == 0) /* the same again at each attempt */
                return;
        snprintf(virt->said, sizeof(virt->said), "%s", text);
        snprintf(event.text, sizeof(event.text), "%s", text);
        emit(virt, &event);
}

static void connect_later(struct virt *virt, const char *text) {
        virt->connected = false;
        arm(virt->connect_timer, virt->backoff_usec);
        virt->backoff_usec = MIN(2 * virt->backoff_usec, BACKOFF_MAX_USEC);
        say_disconnected(virt, text);
}

static int on_connect_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        struct virt *virt = userdata;

        if (!virt->connecting && !virt->connected)
                begin_connect(virt);
        return 0;
}

static void on_connect(struct virt *virt, struct call *call) {
        virt->connecting = false;
        virt->link = TAKE_PTR(call->link);
        if (call->event.result < 0) {
                connect_later(virt, call->event.text);
                return;
        }
        if (virt->lost_early) {
                connect_later(virt, close_reason_text(VIR_CONNECT_CLOSE_REASON_ERROR));
                return;
        }
        virt->connected = true;
        virt->backoff_usec = BACKOFF_MIN_USEC;
        virt->said[0] = '\0';
        virt->ask_jobs = true;
        emit_simple(virt, VIRT_EVENT_CONNECTED, NULL);
        begin_list(virt);
}

static void on_closed(struct virt *virt, int reason) {
        if (virt->connected)
                connect_later(virt, close_reason_text(reason));
        else
                virt->lost_early = true; /* the note came before the answer of the attempt that it is about */
}

/* Notes and answers */

static void on_note(struct virt *virt, const struct note *note) {
        struct virt_event event = { .id = -1 };
        struct machine *machine;

        if (note->kind == NOTE_CLOSED) {
                on_closed(virt, note->reason);
                return;
        }
        machine = machines_find(&virt->machines, note->uuid);
        if (machine && machine->ended && note->kind != NOTE_STARTED)
                return;
        if (note->kind == NOTE_STARTED || (!machine && note->kind == NOTE_STATE)) {
                /* An incoming migration may be heard of first when it is resumed. */
                machine = machines_add(&virt->machines, note->uuid);
                if (!machine) {
                        begin_list(virt);
                        return;
                }
        }
        if (!machine)
                return;
        machine->serial = ++virt->machines.serial;
        memcpy(event.uuid, machine->uuid, sizeof(event.uuid));
        switch (note->kind) {
        case NOTE_STARTED:
        case NOTE_CHANGED:
                describe(virt, machine, machine->state == VIRT_MIGRATING);
                break;
        case NOTE_STATE:
                /* At once; and described for the reason behind it: a pause may be that of a save. */
                set_state(virt, machine, note->state);
                describe(virt, machine, false);
                break;
        case NOTE_MIGRATING:
                if (machine->state == VIRT_RUNNING)
                        set_state(virt, machine, VIRT_MIGRATING);
                machine->ask_job = true; /* should a description be under way: it did not ask */
                break;
        case NOTE_GONE:
                end_machine(virt, machine);
                break;
        case NOTE_REBOOT:
        case NOTE_BALLOON:
                event.type = note->kind == NOTE_REBOOT ? VIRT_EVENT_REBOOT : VIRT_EVENT_BALLOON;
                event.actual_bytes = note->bytes;
                if (machine->known)
                        emit(virt, &event);
                break;
        case NOTE_CLOSED:
                break;
        }
}

static void on_described(struct virt *virt, struct machine *machine, const struct virt_event *event, uint64_t serial, bool asked_job) {
        if (event->result == -ENOENT) {
                end_machine(virt, machine);
                return;
        }
        if (serial != machine->serial) {
                describe(virt, machine, asked_job);
                return;
        }
        if (event->result >= 0) {
                if (machine->known && machine->id != event->id) { /* another run; we missed its end */
                        struct machine before = *machine;

                        machine_forget_wants(machine);
                        emit_simple(virt, VIRT_EVENT_GONE, &before);
                }
                machine->known = true;
                machine->id = event->id;
                machine->state = event->state;
                emit(virt, event);
        }
        machine_synced(&virt->machines, machine);
        check_synced(virt);
}

/* A call that timed out or that libvirtd never answered is no sign of life; nor is a description, which libvirtd makes without asking QEMU. */
static bool is_sign_of_life(const struct machine *machine, enum call_kind kind, int result) {
        return machine->slow && result != -ETIMEDOUT && result != -ENOTCONN && (kind != CALL_DESCRIBE || machine->slow_kind == CALL_DESCRIBE);
}

static void on_machine_answer(struct virt *virt, struct call *call) {
        struct machine *machine = machines_find(&virt->machines, call->uuid);
        struct virt_event event = call->event; /* the handler may ask for more, and the call is used again */
        enum call_kind kind = call->kind;
        uint64_t serial = call->serial;
        bool current = call->run == machine->run, asked_job = call->flag;

        machine->busy = false;
        if (machine_is_over(machine)) {
                machines_remove(&virt->machines, machine);
                return;
        }
        if (is_sign_of_life(machine, kind, event.result)) {
                machine->slow = false;
                if (current && machine->known)
                        emit_simple(virt, VIRT_EVENT_ANSWERS, machine);
        }
        if (current && kind == CALL_DESCRIBE) {
                on_described(virt, machine, &event, serial, asked_job);
                machine = machines_find(&virt->machines, event.uuid); /* it may have ended */
        } else if (current && machine->known && (kind == CALL_TARGET || kind == CALL_STATS || kind == CALL_METADATA)) {
                emit(virt, &event);
                if (event.result == -ENOENT) /* its STOPPED event is on the way; make sure */
                        describe(virt, machine, false);
        }
        if (machine)
                dispatch(virt, machine);
}

static int on_wakeup(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        struct virt *virt = userdata;
        struct note note;
        struct call *call;

        hub_clear_wakeup(virt->hub);
        while (hub_take_note(virt->hub, &note))
                on_note(virt, &note);
        if (hub_take_lost(virt->hub))
                begin_list(virt);
        while ((call = hub_take_answer(virt->hub))) {
                if (call == virt->connect)
                        on_connect(virt, call);
                else if (call == virt->list)
                        on_list(virt, call);
                else
                        on_machine_answer(virt, call);
                while (hub_take_note(virt->hub, &note))
                        on_note(virt, &note);
        }
        return 0;
}

/* The watchdog */

static int on_watch(sd_event_source *source, uint64_t usec, void *userdata) {
        struct virt *virt = userdata;
        size_t n_stuck = 0, n_busy = 0;

        for (struct machine *machine = machines_first(&virt->machines); machine; machine = machines_next(&virt->machines, machine)) {
                uint64_t age_usec;

                if (!machine->busy)
                        continue;
                n_busy++;
                age_usec = hub_call_age(virt->hub, machine->call);
                n_stuck += age_usec >= STUCK_USEC;
                if (age_usec < SLOW_USEC || machine->slow)
                        continue;
                machine->slow = true;
                machine->slow_kind = machine->call->kind;
                machine_synced(&virt->machines, machine);
                if (machine->known && !machine->ended)
                        emit_simple(virt, VIRT_EVENT_SLOW, machine);
        }
        if (virt->connecting && hub_call_age(virt->hub, virt->connect) >= SLOW_USEC)
                say_disconnected(virt, "libvirtd does not answer.");
        hub_allow(virt->hub, n_stuck + virt->connecting + virt->listing);
        check_synced(virt);
        if (n_busy > 0 || virt->connecting || virt->listing)
                watch_later(virt);
        return 0;
}

/* The public side */

static void ignore_error(void *userdata, virErrorPtr error) {
        /* libvirt would print it on stderr; every call's error is taken from virGetLastError() instead. */
}

static int add_timer(struct virt *virt, sd_event *event, sd_event_source **ret, sd_event_time_handler_t handler) {
        int r = sd_event_add_time_relative(event, ret, CLOCK_MONOTONIC, 0, 20 * USEC_PER_MSEC, handler, virt);

        return r < 0 ? r : sd_event_source_set_enabled(*ret, SD_EVENT_OFF);
}

int virt_new_with_runner(struct virt **ret, sd_event *event, const char *uri, virt_handler_t handler, void *userdata, call_runner_t runner) {
        _cleanup_(virt_freep) struct virt *virt = NULL;
        int r;

        virSetErrorFunc(NULL, ignore_error);
        domain_xml_init();
        r = events_start_thread();
        if (r < 0)
                return r;
        virt = calloc(1, sizeof(*virt));
        if (!virt)
                return -ENOMEM;
        virt->handler = handler;
        virt->userdata = userdata;
        virt->backoff_usec = BACKOFF_MIN_USEC;
        virt->synced = true;
        virt->connect = call_new();
        virt->list = call_new();
        if (!virt->connect || !virt->list)
                return -ENOMEM;
        r = hub_new(&virt->hub, uri, runner);
        if (r < 0)
                return r;
        r = sd_event_add_io(event, &virt->wakeup, hub_fd(virt->hub), EPOLLIN, on_wakeup, virt);
        if (r < 0)
                return r;
        if ((r = add_timer(virt, event, &virt->watch, on_watch)) < 0 ||
            (r = add_timer(virt, event, &virt->connect_timer, on_connect_timer)) < 0 ||
            (r = add_timer(virt, event, &virt->resync_timer, on_resync_timer)) < 0)
                return r;
        begin_connect(virt);
        *ret = TAKE_PTR(virt);
        return 0;
}

int virt_new(struct virt **ret, sd_event *event, const char *uri, virt_handler_t handler, void *userdata) {
        return virt_new_with_runner(ret, event, uri, handler, userdata, call_run);
}

struct hub *virt_get_hub(struct virt *virt) {
        return virt->hub;
}

struct virt *virt_free(struct virt *virt) {
        if (!virt)
                return NULL;
        sd_event_source_disable_unref(virt->wakeup);
        sd_event_source_disable_unref(virt->watch);
        sd_event_source_disable_unref(virt->connect_timer);
        sd_event_source_disable_unref(virt->resync_timer);
        if (virt->hub) {
                /* The last call closes the event connection, on a worker because that can block. */
                if (!virt->connecting) {
                        virt->connect->kind = CALL_CONNECT;
                        virt->connect->flag = true;
                        virt->connect->link = TAKE_PTR(virt->link);
                }
                hub_close(virt->hub, virt->connecting ? NULL : TAKE_PTR(virt->connect));
        }
        /* Calls that are under way belong to the hub and its workers. */
        machines_clear(&virt->machines);
        if (!virt->connecting)
                call_free(virt->connect);
        if (!virt->listing)
                call_free(virt->list);
        hub_unref(virt->hub);
        free(virt);
        return NULL;
}

static int find_known(struct virt *virt, const uint8_t uuid[static 16], struct machine **ret) {
        struct machine *machine;

        if (!virt->connected)
                return -ENOTCONN;
        machine = machines_find(&virt->machines, uuid);
        if (!machine || !machine->known || machine->ended)
                return -ENOENT;
        *ret = machine;
        return 0;
}

int virt_request_stats(struct virt *virt, const uint8_t uuid[static 16]) {
        struct machine *machine;
        int r = find_known(virt, uuid, &machine);

        if (r < 0)
                return r;
        want(virt, machine, CALL_STATS);
        return 0;
}

int virt_request_target(struct virt *virt, const uint8_t uuid[static 16], uint64_t bytes) {
        struct machine *machine;
        int r = find_known(virt, uuid, &machine);

        if (r < 0)
                return r;
        machine->target_bytes = bytes;
        want(virt, machine, CALL_TARGET);
        return 0;
}

int virt_request_stats_period(struct virt *virt, const uint8_t uuid[static 16], uint32_t seconds) {
        struct machine *machine;
        int r = find_known(virt, uuid, &machine);

        if (r < 0)
                return r;
        machine->period_sec = seconds;
        want(virt, machine, CALL_PERIOD);
        return 0;
}

int virt_request_pause(struct virt *virt, const uint8_t uuid[static 16], bool pause) {
        struct machine *machine;
        int r = find_known(virt, uuid, &machine);

        if (r < 0)
                return r;
        machine->pause = pause;
        want(virt, machine, CALL_PAUSE);
        return 0;
}

int virt_request_metadata(struct virt *virt, const uint8_t uuid[static 16], const struct virt_metadata *metadata) {
        struct machine *machine;
        int r = find_known(virt, uuid, &machine);

        if (r < 0)
                return r;
        machine->metadata = *metadata;
        want(virt, machine, CALL_METADATA);
        return 0;
}

void virt_resync(struct virt *virt) {
        begin_list(virt);
}

void virt_hold_enumeration(struct virt *virt, bool hold) {
        if (hold)
                virt->held++;
        else if (virt->held > 0 && --virt->held == 0 && virt->want_list)
                begin_list(virt);
}

bool virt_is_connected(const struct virt *virt) {
        return virt->connected;
}
