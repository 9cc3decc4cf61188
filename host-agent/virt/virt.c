/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libvirt/virterror.h>

#include "host-agent/virt/core.h"
#include "host-agent/virt/domain_xml.h"

#define WATCH_USEC (100 * USEC_PER_MSEC)       /* how often calls under way are looked at */
#define STUCK_USEC (50 * USEC_PER_MSEC)        /* a worker that is in one call for so long is not counted on (a call takes about 2 ms) */
#define SLOW_USEC (3 * USEC_PER_SEC)

static void watch_later(struct virt *virt) {
        int enabled = SD_EVENT_OFF;

        (void) sd_event_source_get_enabled(virt->watch, &enabled);
        if (enabled != SD_EVENT_OFF)
                return;
        (void) sd_event_source_set_time_relative(virt->watch, WATCH_USEC);
        (void) sd_event_source_set_enabled(virt->watch, SD_EVENT_ONESHOT);
}

void virt_arm(sd_event_source *timer, uint64_t delay_usec) {
        (void) sd_event_source_set_time_relative(timer, delay_usec);
        (void) sd_event_source_set_enabled(timer, SD_EVENT_ONESHOT);
}

void virt_submit(struct virt *virt, struct call *call, bool urgent) {
        hub_submit(virt->hub, call, urgent);
        watch_later(virt);
}

void virt_emit(struct virt *virt, const struct virt_event *event) {
        virt->handler(event, virt->userdata);
}

void virt_emit_simple(struct virt *virt, enum virt_event_type type, const struct machine *machine) {
        struct virt_event event = { .type = type, .id = -1 };

        if (machine) {
                memcpy(event.uuid, machine->uuid, sizeof(event.uuid));
                event.id = machine->id;
                event.state = machine->state;
        }
        virt_emit(virt, &event);
}

static int on_wakeup(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        struct virt *virt = userdata;
        struct note note;
        struct call *call;

        hub_clear_wakeup(virt->hub);
        while (hub_take_note(virt->hub, &note))
                following_on_note(virt, &note);
        if (hub_take_lost(virt->hub))
                discovery_list(virt);
        while ((call = hub_take_answer(virt->hub))) {
                if (call == virt->connect)
                        discovery_on_connect(virt, call);
                else if (call == virt->list)
                        discovery_on_list(virt, call);
                else
                        following_on_answer(virt, call);
                while (hub_take_note(virt->hub, &note))
                        following_on_note(virt, &note);
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
                if (age_usec < SLOW_USEC || machine->slow || machine->call->kind == CALL_SAVE) /* takes as long as the disk does: the caller judges */
                        continue;
                machine->slow = true;
                machine->slow_kind = machine->call->kind;
                machine_synced(&virt->machines, machine);
                if (machine->known && !machine->ended)
                        virt_emit_simple(virt, VIRT_EVENT_SLOW, machine);
        }
        if (virt->connecting && hub_call_age(virt->hub, virt->connect) >= SLOW_USEC)
                discovery_say_disconnected(virt, "libvirtd does not answer");
        hub_allow(virt->hub, n_stuck + virt->connecting + virt->listing);
        discovery_check_synced(virt);
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
            (r = add_timer(virt, event, &virt->connect_timer, discovery_on_connect_timer)) < 0 ||
            (r = add_timer(virt, event, &virt->list_timer, discovery_on_list_timer)) < 0)
                return r;
        discovery_connect(virt);
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
        sd_event_source_disable_unref(virt->list_timer);
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
        following_want(virt, machine, CALL_STATS);
        return 0;
}

int virt_request_target(struct virt *virt, const uint8_t uuid[static 16], uint64_t bytes) {
        struct machine *machine;
        int r = find_known(virt, uuid, &machine);

        if (r < 0)
                return r;
        machine->target_bytes = bytes;
        following_want(virt, machine, CALL_TARGET);
        return 0;
}

int virt_request_save(struct virt *virt, const uint8_t uuid[static 16]) {
        struct machine *machine;
        int r = find_known(virt, uuid, &machine);

        if (r < 0)
                return r;
        following_want(virt, machine, CALL_SAVE);
        return 0;
}

int virt_request_stats_period(struct virt *virt, const uint8_t uuid[static 16], uint32_t seconds) {
        struct machine *machine;
        int r = find_known(virt, uuid, &machine);

        if (r < 0)
                return r;
        machine->period_sec = seconds;
        following_want(virt, machine, CALL_PERIOD);
        return 0;
}

int virt_request_pause(struct virt *virt, const uint8_t uuid[static 16], bool pause) {
        struct machine *machine;
        int r = find_known(virt, uuid, &machine);

        if (r < 0)
                return r;
        machine->pause = pause;
        following_want(virt, machine, CALL_PAUSE);
        return 0;
}

int virt_request_metadata(struct virt *virt, const uint8_t uuid[static 16], const struct virt_metadata *metadata) {
        struct machine *machine;
        int r = find_known(virt, uuid, &machine);

        if (r < 0)
                return r;
        machine->metadata = *metadata;
        following_want(virt, machine, CALL_METADATA);
        return 0;
}

void virt_hold_enumeration(struct virt *virt, bool hold) {
        if (hold)
                virt->held++;
        else if (virt->held > 0 && --virt->held == 0 && virt->want_list)
                discovery_list(virt);
}
