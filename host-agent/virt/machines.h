/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The table of VMs. Main thread only. */

#include "host-agent/virt/internal.h"

struct machine {
        struct machine *next;          /* of its bucket */
        uint8_t uuid[16];
        struct call *call;             /* ours while !busy; on the hub while busy, and then only good for asking its age */
        bool busy;
        unsigned wanted;               /* bits 1 << enum call_kind, with what they need: */
        uint64_t target_bytes;
        uint32_t period_sec;
        bool pause;
        struct virt_metadata metadata;

        bool known;                    /* DOMAIN was delivered, so GONE is due */
        bool ended;                    /* it has stopped, and the entry only waits for its call to come back */
        bool unsynced;                 /* SYNCED waits for its description */
        bool slow;                     /* a call took longer than the watchdog allows, and none has been a sign of life since */
        enum call_kind slow_kind;
        int id;
        enum virt_state base;          /* as libvirt has it */
        bool moving;                   /* a job copies its memory while it runs */
        enum virt_state state;         /* both together, as the handler knows it */
        uint64_t run;                  /* raised when it stops: answers of an earlier run are dropped */
        uint64_t serial;               /* of the last event about it */
        uint64_t round;                /* of the last listing that had it */
};

#define MACHINE_BUCKETS 1024u          /* UUIDs are random: at 1,000 VMs about one each */

struct machines {
        struct machine *buckets[MACHINE_BUCKETS];
        size_t n_unsynced;
        uint64_t serial;               /* counts events */
};

/* NULL: not there; may be one that has ended. */
struct machine *machines_find(const struct machines *machines, const uint8_t uuid[static 16]);

/* Finds it, or adds it with its call allocated; one that had ended begins a new run. NULL: no memory. */
struct machine *machines_add(struct machines *machines, const uint8_t uuid[static 16]);

struct machine *machines_first(const struct machines *machines);
struct machine *machines_next(const struct machines *machines, const struct machine *machine);

/* Removes and frees. Its call goes, too, unless it is on the hub. */
void machines_remove(struct machines *machines, struct machine *machine);
void machines_clear(struct machines *machines);

/* Its run is over: forgets what was wanted; removed at once, unless its call is on the hub. */
void machine_end(struct machines *machines, struct machine *machine);

/* True when only its call was waited for, which has come back. */
bool machine_is_over(const struct machine *machine);

/* base and moving together. */
enum virt_state machine_state(const struct machine *machine);

/* Makes the most urgent of what is wanted into its call, marks it busy and returns true; false: nothing is wanted. */
bool machine_next_call(struct machine *machine);

/* The call was withdrawn from the hub before anybody took it: it is wanted again. */
void machine_take_back(struct machine *machine);

/* Another run has begun unnoticed: nothing that was wanted of the last one counts. */
void machine_forget_wants(struct machine *machine);

/* SYNCED waits for this machine (not for one that does not answer), or no longer. */
void machine_await_sync(struct machines *machines, struct machine *machine);
void machine_synced(struct machines *machines, struct machine *machine);
