/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "host-agent/virt/core.h"

#define LIST_USEC (60 * USEC_PER_SEC)          /* heals what events should ever miss; about 1 ms of work per VM */
#define LIST_AGAIN_USEC (1 * USEC_PER_SEC)     /* after one that failed */

static bool all_are_known(const struct virt *virt) {
        for (const struct machine *machine = machines_first(&virt->machines); machine; machine = machines_next(&virt->machines, machine))
                if (!machine->known && !machine->ended)
                        return false;
        return true;
}

/* SYNCED: when no machine of the listing waits for its description any more. */
void discovery_check_synced(struct virt *virt) {
        struct virt_event event = { .type = VIRT_EVENT_SYNCED, .id = -1 };

        if (virt->synced || !virt->listed || virt->machines.n_unsynced > 0)
                return;
        virt->synced = true;
        event.complete = all_are_known(virt);
        virt_emit(virt, &event);
}

/* Listing */

void discovery_list(struct virt *virt) {
        virt->want_list = true;
        if (virt->listing || virt->held > 0 || !virt->connected)
                return;
        virt->want_list = false;
        virt->listing = true;
        virt->listed = virt->synced = false;
        virt->list->kind = CALL_LIST;
        virt->list->serial = virt->machines.serial;
        virt_submit(virt, virt->list, false);
        virt_arm(virt->list_timer, LIST_USEC);
}

void discovery_list_again(struct virt *virt) {
        virt->want_list = true;
        virt_arm(virt->list_timer, LIST_AGAIN_USEC);
}

void discovery_on_list(struct virt *virt, struct call *call) {
        struct machine *machine, *next;
        bool all = true;

        virt->listing = false;
        if (!virt->connected || call->event.result < 0) {
                discovery_list_again(virt);
                return;
        }
        virt->round++;
        for (size_t i = 0; i < call->n_uuids; i++) {
                machine = machines_add(&virt->machines, call->uuids[i]);
                if (!machine) { /* no memory: the next listing may do better */
                        all = false;
                        continue;
                }
                machine->round = virt->round;
                machine_await_sync(&virt->machines, machine);
                following_describe(virt, machine);
                if (virt->ask_jobs)
                        following_want(virt, machine, CALL_JOB);
        }
        virt->ask_jobs = false;
        /* Not listed, and not heard of since the list was asked for. */
        for (machine = machines_first(&virt->machines); machine; machine = next) {
                next = machines_next(&virt->machines, machine);
                if (machine->round != virt->round && !machine->ended && machine->serial <= call->serial)
                        following_end(virt, machine);
        }
        virt->listed = all;
        discovery_check_synced(virt);
        if (virt->want_list || !all)
                discovery_list_again(virt);
}

int discovery_on_list_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        discovery_list(userdata);
        return 0;
}

/* The event connection */

void discovery_connect(struct virt *virt) {
        virt->connecting = true;
        virt->lost_early = false;
        virt->connect->kind = CALL_CONNECT;
        virt->connect->link = TAKE_PTR(virt->link);
        virt_submit(virt, virt->connect, true);
}

void discovery_say_disconnected(struct virt *virt, const char *text) {
        struct virt_event event = { .type = VIRT_EVENT_DISCONNECTED, .id = -1, .result = -ENOTCONN };

        if (strcmp(virt->said, text) == 0) /* the same again at each attempt */
                return;
        snprintf(virt->said, sizeof(virt->said), "%s", text);
        snprintf(event.text, sizeof(event.text), "%s", text);
        virt_emit(virt, &event);
}

static void connect_later(struct virt *virt, const char *text) {
        virt->connected = virt->listed = false;
        virt_arm(virt->connect_timer, virt->backoff_usec);
        virt->backoff_usec = MIN(2 * virt->backoff_usec, BACKOFF_MAX_USEC);
        discovery_say_disconnected(virt, text);
}

int discovery_on_connect_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        struct virt *virt = userdata;

        if (!virt->connecting && !virt->connected)
                discovery_connect(virt);
        return 0;
}

void discovery_on_connect(struct virt *virt, struct call *call) {
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
        virt_emit_simple(virt, VIRT_EVENT_CONNECTED, NULL);
        discovery_list(virt);
}

void discovery_on_closed(struct virt *virt, int reason) {
        if (virt->connected)
                connect_later(virt, close_reason_text(reason));
        else
                virt->lost_early = true; /* the note came before the answer of the attempt that it is about */
}
