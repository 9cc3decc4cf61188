/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/policy/alerts.h"

#include <string.h>

#include "protocol/units.h"

/* The host's names come first in the enum, and there is one host: so many places, the last ones, suffice for it. Those before are for what is
 * critical in guests: a hundred silent agents must not hide that a VM was taken down. */
#define PLACES_FOR_GUESTS (ALERTS_MAX - _ALERT_HOST_NAMES)
#define PLACES_FOR_MILD (PLACES_FOR_GUESTS - 64)

static struct alert *find(struct alerts *alerts, const struct alert_condition *c) {
        for (size_t i = 0; i < ALERTS_MAX; i++) {
                struct alert *a = &alerts->table[i];

                if (a->used && a->name == c->name && memcmp(a->uuid, c->uuid, sizeof(a->uuid)) == 0)
                        return a;
        }
        return NULL;
}

static bool is_host(enum alert_name name) {
        return name < _ALERT_HOST_NAMES;
}

static struct alert *add(struct alerts *alerts, const struct alert_condition *c, uint64_t now_usec) {
        bool critical = alert_kinds[c->name].severity == ALERT_CRITICAL;
        size_t first = is_host(c->name) ? PLACES_FOR_GUESTS : 0;
        size_t end = is_host(c->name) ? ALERTS_MAX : critical ? PLACES_FOR_GUESTS : PLACES_FOR_MILD;

        for (size_t i = first; i < end; i++) {
                struct alert *a = &alerts->table[i];

                if (a->used)
                        continue;
                *a = (struct alert) { .name = c->name, .used = true, .since_usec = now_usec, .until_realtime_usec = AEROSTAT_UNKNOWN };
                memcpy(a->uuid, c->uuid, sizeof(a->uuid));
                alerts->n_used++;
                return a;
        }
        alerts->dropped++;
        return NULL;
}

/* The name may change while the UUID stays: the last one counts. Cut at a whole UTF-8 character. */
static void take_subject(struct alert *a, const char *subject) {
        size_t n = 0;

        while (n < sizeof(a->subject) && subject[n])
                n++;
        if (n == sizeof(a->subject))
                for (n--; n > 0 && (subject[n] & 0xc0) == 0x80; n--)
                        ;
        memcpy(a->subject, subject, n);
        a->subject[n] = 0;
}

void alerts_begin(struct alerts *alerts) {
        for (size_t i = 0; i < ALERTS_MAX; i++)
                alerts->table[i].seen = false;
        alerts->cursor = 0;
        alerts->dropped = 0;
}

void alerts_observe(struct alerts *alerts, const struct alert_condition *c, uint64_t now_usec, uint64_t realtime_usec) {
        struct alert *a = find(alerts, c);

        if (c->keeps && (!a || !a->firing))
                return;
        if (!a) {
                a = add(alerts, c, now_usec);
                if (!a)
                        return;
                a->since_realtime_usec = realtime_usec;
        }
        a->seen = true;
        a->seen_usec = now_usec;
        memcpy(a->numbers, c->numbers, sizeof(a->numbers));
        take_subject(a, c->subject);
}

static void forget(struct alerts *alerts, struct alert *a) {
        a->used = false;
        alerts->n_used--;
}

static void resolve(struct alerts *alerts, struct alert *a, uint64_t realtime_usec) {
        a->firing = false;
        a->until_realtime_usec = realtime_usec;
        alerts->n_firing--;
        alerts->last = *a;
        alerts->recent[alerts->n_resolved++ % ALERTS_RECENT_MAX] = *a;
        forget(alerts, a);
}

/* What this alert has to say, or -1. */
static int step(struct alerts *alerts, struct alert *a, uint64_t now_usec, uint64_t realtime_usec, uint64_t repeat_usec) {
        const struct alert_kind *kind = &alert_kinds[a->name];

        if (!a->firing && !a->seen) { /* it has to hold without a break */
                forget(alerts, a);
                return -1;
        }
        if (!a->firing) {
                if (u64_sub(now_usec, a->since_usec) < kind->hold_usec)
                        return -1;
                a->firing = true;
                a->told_usec = now_usec;
                alerts->n_firing++;
                return ALERT_FIRED;
        }
        if (!a->seen && u64_sub(now_usec, a->seen_usec) >= kind->clear_usec) {
                resolve(alerts, a, realtime_usec);
                return ALERT_RESOLVED;
        }
        if (repeat_usec == 0 || u64_sub(now_usec, a->told_usec) < repeat_usec)
                return -1;
        a->told_usec = now_usec;
        return ALERT_REPEATED;
}

bool alerts_next(struct alerts *alerts, uint64_t now_usec, uint64_t realtime_usec, uint64_t repeat_usec, struct alert_event *ret) {
        while (alerts->cursor < ALERTS_MAX) {
                struct alert *a = &alerts->table[alerts->cursor++];
                int type = a->used ? step(alerts, a, now_usec, realtime_usec, repeat_usec) : -1;

                if (type < 0)
                        continue;
                *ret = (struct alert_event) { .type = (enum alert_event_type) type, .alert = type == ALERT_RESOLVED ? &alerts->last : a };
                return true;
        }
        return false;
}

bool alerts_restore(struct alerts *alerts, const struct alert_condition *c, uint64_t since_realtime_usec, uint64_t told_ago_usec, uint64_t now_usec) {
        struct alert *a = find(alerts, c) ? NULL : add(alerts, c, now_usec);

        if (!a)
                return false;
        a->firing = true;
        alerts->n_firing++;
        a->seen_usec = now_usec;
        a->told_usec = u64_sub(now_usec, told_ago_usec);
        a->since_realtime_usec = since_realtime_usec;
        memcpy(a->numbers, c->numbers, sizeof(a->numbers));
        take_subject(a, c->subject);
        return true;
}
