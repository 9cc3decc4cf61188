/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The alert engine: conditions in, state, now -> events. Pure: reads no clock, does no I/O, allocates nothing.
 *
 * A round is alerts_begin(), one alerts_observe() for each condition that holds, and alerts_next() until it has no more events. A condition that
 * has held for its alert's `hold` fires once, is repeated every so often, and is resolved when it has been gone for its alert's `clear`. Between the
 * level at which a condition holds and the one at which it is gone there is a third answer, "keeps": it keeps a firing alert and fires none.
 *
 * Times are microseconds: `now_usec` of a monotonic clock, for all that is measured; `realtime_usec` since 1970, only to be told to people.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol/base.h"

enum alert_name {
        ALERT_HOST_TIGHT,
        ALERT_HOST_HARD,
        ALERT_HOST_CRITICAL,
        ALERT_ENVELOPE_UNSAFE,
        ALERT_GUARANTEE_WEAKENED,
        ALERT_SWAP_NEAR_CEILING,
        ALERT_SWAP_AT_CEILING,
        ALERT_SWAP_ABOVE_CEILING,
        ALERT_SWAP_THRASHING,
        ALERT_KSM_UNPROFITABLE,
        _ALERT_HOST_NAMES, /* those above are about the host, those below about one VM */
        ALERT_GUEST_BREACHING = _ALERT_HOST_NAMES,
        ALERT_GUEST_SWAP_AT_CEILING,
        ALERT_GUEST_PRESSURE,
        ALERT_GUEST_OOM_KILL,
        ALERT_GUEST_UNCOOPERATIVE,
        ALERT_GUEST_STALE,
        ALERT_VM_UNRESPONSIVE,
        ALERT_PROTOCOL_ERROR,
        ALERT_LAST_RESORT,
        _ALERT_NAMES,
};

enum alert_severity { ALERT_INFO, ALERT_WARNING, ALERT_CRITICAL };

#define ALERT_NUMBERS 5

/* What is fixed about an alert. */
struct alert_kind {
        const char *name;                      /* "HostTight" */
        enum alert_severity severity;
        uint64_t hold_usec;                    /* its condition has to hold for so long before it fires */
        uint64_t clear_usec;                   /* and to be gone for so long before it is resolved */
        /* what its numbers are, as in JSON: *_bytes, *_ratio (of ppm), *_seconds (of usec), or counts; NULL: none */
        const char *numbers[ALERT_NUMBERS];
};

extern const struct alert_kind alert_kinds[_ALERT_NAMES];

const char *alert_severity_to_string(enum alert_severity severity); /* "info", "warning", "critical" */
int alert_name_from_string(const char *name);                       /* an enum alert_name, or -1 */

#define ALERT_SUBJECT_MAX 256

/* What is seen now. */
struct alert_condition {
        enum alert_name name;
        bool keeps;                            /* between the levels: keeps an alert that fires, fires none */
        uint8_t uuid[16];                      /* of the VM; zero: the host */
        const char *subject;                   /* the VM's name, or "host"; cut where it is too long */
        uint64_t numbers[ALERT_NUMBERS];       /* as in struct alert_kind; unknown where not known */
};

struct alert {
        enum alert_name name;
        bool used, firing, seen;               /* of the engine: the slot is taken; it has fired; its condition was there in this round */
        uint8_t uuid[16];
        char subject[ALERT_SUBJECT_MAX];
        uint64_t numbers[ALERT_NUMBERS];       /* when the condition was last there */
        uint64_t since_usec;                   /* when the condition began; of a restored alert, when it was restored */
        uint64_t seen_usec;                    /* when it was last there */
        uint64_t told_usec;                    /* when it was last fired or repeated */
        uint64_t since_realtime_usec;          /* when the condition began */
        uint64_t until_realtime_usec;          /* when it was resolved; unknown: it fires */
};

enum alert_event_type { ALERT_FIRED, ALERT_REPEATED, ALERT_RESOLVED };
const char *alert_event_type_to_string(enum alert_event_type type); /* "fired", "repeated", "resolved" */

struct alert_event {
        enum alert_event_type type;
        const struct alert *alert;             /* valid until the next call of the engine */
};

/* Conditions followed at once. The last places are the host's, and those before for what is critical in guests: many guests in trouble must not hide that
 * the host is, too. */
#define ALERTS_MAX 512
#define ALERTS_RECENT_MAX 64

/* Zero-initialised by the caller. */
struct alerts {
        struct alert table[ALERTS_MAX];
        size_t n_used, n_firing;
        uint64_t dropped;                      /* conditions in this round that found no place */
        struct alert recent[ALERTS_RECENT_MAX]; /* resolved; a ring */
        uint64_t n_resolved;                   /* ever; the last is recent[(n_resolved - 1) % ALERTS_RECENT_MAX] */
        /* of the round under way */
        size_t cursor;
        struct alert last;
};

void alerts_begin(struct alerts *alerts);
void alerts_observe(struct alerts *alerts, const struct alert_condition *condition, uint64_t now_usec, uint64_t realtime_usec);

/* The next event of this round. repeat_usec: how often to repeat what stays; 0: never. False: no more. */
bool alerts_next(struct alerts *alerts, uint64_t now_usec, uint64_t realtime_usec, uint64_t repeat_usec, struct alert_event *ret);

/* Takes up an alert that fired in an earlier life of the daemon: it fires without being told again, until its condition is found gone for its `clear`
 * from now. told_ago_usec: how long ago it was told. False: no place, or already there. */
bool alerts_restore(struct alerts *alerts, const struct alert_condition *condition, uint64_t since_realtime_usec, uint64_t told_ago_usec,
                    uint64_t now_usec);
