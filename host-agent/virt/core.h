/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The main thread's half: which VMs there are, what is wanted of each, what the handler is told. Only the main thread comes here, so there
 * are no locks; what is shared is behind the hub (workers.c, with the essay on threads).
 *
 *   virt.c       the public side; wake-ups and the watchdog
 *   discovery.c  the event connection, and the listing of all VMs
 *   following.c  one VM: its notes, its calls, its answers
 *   machines.c   the table of VMs
 */

#include <systemd/sd-event.h>

#include "host-agent/virt/machines.h"

#define BACKOFF_MIN_USEC (200 * USEC_PER_MSEC)
#define BACKOFF_MAX_USEC (5 * USEC_PER_SEC)

struct virt {
        virt_handler_t handler;
        void *userdata;
        struct hub *hub;
        sd_event_source *wakeup, *watch, *connect_timer, *list_timer;
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
        bool listed;                   /* the last one has succeeded; what it named is being described */
        bool synced;                   /* SYNCED has been delivered for this round */
        bool ask_jobs;                 /* the first listing of a connection asks for jobs, too: their events may have been missed */
};

/* virt.c */
void virt_submit(struct virt *virt, struct call *call, bool urgent); /* to the hub, under the watchdog's eyes */
void virt_arm(sd_event_source *timer, uint64_t delay_usec);
void virt_emit(struct virt *virt, const struct virt_event *event);
void virt_emit_simple(struct virt *virt, enum virt_event_type type, const struct machine *machine); /* machine NULL: of no VM */

/* discovery.c */
void discovery_connect(struct virt *virt);
void discovery_on_connect(struct virt *virt, struct call *call);    /* the answer */
void discovery_on_closed(struct virt *virt, int reason);            /* virConnectCloseReason */
void discovery_say_disconnected(struct virt *virt, const char *text);
void discovery_list(struct virt *virt);                             /* now, or as soon as it may be */
void discovery_list_again(struct virt *virt);                       /* in a second: something was not to be had */
void discovery_on_list(struct virt *virt, struct call *call);
void discovery_check_synced(struct virt *virt);                     /* when a VM is described, stuck or gone */
int discovery_on_connect_timer(sd_event_source *source, uint64_t usec, void *virt);
int discovery_on_list_timer(sd_event_source *source, uint64_t usec, void *virt);

/* following.c */
void following_want(struct virt *virt, struct machine *machine, enum call_kind kind);
void following_describe(struct virt *virt, struct machine *machine);
void following_end(struct virt *virt, struct machine *machine);     /* its run is over: GONE; the machine may be freed */
void following_on_note(struct virt *virt, const struct note *note);
void following_on_answer(struct virt *virt, struct call *call);
