/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "protocol/parse.h"
#include "protocol/units.h"
#include "tools/sim/scenario.h"

/*
 * "events": each has "at_s" and one key that names what happens:
 *   {"reserve": "4G", "for": "web3"}   for: a guest that is to start, or how long ("5m" or seconds)
 *   {"release": "web3"}                of a guest, the n-th reservation (from 1), or true: all
 *   {"host_use": "6G"}                 what host processes use beside base_use from now on; with "node": 0, those that are bound to a NUMA node
 *   {"swap": "16G"}                    the host's swap from now on
 *   {"set": "web1", "to": "2G", "for": "5m"}   {"auto": "web1"}   {"limits": "web1", "floor": "1G", "weight": 2000}
 *   {"pause": true}  {"resume": true}  automation
 *   {"reboot": "web1"}  {"vm_pause": "web1"}  {"vm_resume": "web1"}
 */

const char *const event_names[] = {
        [EVENT_RESERVE] = "reserve", [EVENT_RELEASE] = "release", [EVENT_HOST_USE] = "host_use", [EVENT_SWAP] = "swap", [EVENT_SET] = "set",
        [EVENT_AUTO] = "auto", [EVENT_LIMITS] = "limits", [EVENT_PAUSE] = "pause", [EVENT_RESUME] = "resume", [EVENT_REBOOT] = "reboot",
        [EVENT_VM_PAUSE] = "vm_pause", [EVENT_VM_RESUME] = "vm_resume", NULL,
};

static bool exists(const struct scenario *scenario, const char *who) {
        for (size_t i = 0; i < scenario->n_guests; i++)
                if (guest_is_meant(&scenario->guests[i], who))
                        return true;
        return false;
}

static int read_who(const struct scenario *scenario, const struct reader_object *o, const char *key, const char *text, struct event *e) {
        if (!text)
                return reader_complain(o, key, "the name of a guest was expected");
        if (!exists(scenario, text))
                return reader_complain(o, key, "no guest is called \"%.40s\"", text);
        snprintf(e->who, sizeof(e->who), "%s", text);
        return 0;
}

/* `for` of a reservation names a VM, which may never start, or says how long; of a manual target it says how long. */
static int read_for(const struct scenario *scenario, const struct reader_object *o, struct event *e) {
        json_t *value = json_object_get(o->json, "for");
        const char *text = json_string_value(value);
        uint64_t usec;

        if (!value || json_is_null(value))
                return 0;
        if (e->kind == EVENT_RESERVE && text && (exists(scenario, text) || parse_duration(text, &usec) < 0)) {
                if (!*text || strlen(text) >= sizeof(e->who))
                        return reader_complain(o, "for", "the name of a VM, or a time, was expected");
                snprintf(e->who, sizeof(e->who), "%s", text);
                return 0;
        }
        return reader_seconds_value(o, "for", value, &e->for_usec) < 0 ? -EINVAL : 0;
}

/* {"set": "web1", "to": "2G"}; size, target and memory are understood, too. */
static int read_set(const struct reader_object *o, struct event *e) {
        static const char *const names[] = { "to", "size", "target", "memory" };

        for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
                int r = reader_size(o, names[i], &e->bytes);
                if (r != 0)
                        return r < 0 ? r : 0;
        }
        return reader_complain(o, "to", "missing: the size to set");
}

static int read_limits(const struct reader_object *o, struct event *e) {
        const char *text = json_string_value(json_object_get(o->json, "floor"));
        bool share = text && parse_percent(text, &e->floor_ppm) == 0;
        int floor = share ? 1 : reader_size(o, "floor", &e->floor_bytes), weight = reader_integer(o, "weight", 0, POLICY_WEIGHT_MAX, &e->weight);

        if (floor < 0 || weight < 0)
                return -EINVAL;
        return floor == 0 && weight == 0 ? reader_complain(o, "limits", "neither floor nor weight is given") : 0;
}

/* How many events reserve, for a VM of this name or (NULL) at all; wherever they stand. */
static size_t count_reserves(const json_t *events, const char *name) {
        size_t index, n = 0;
        json_t *item;

        json_array_foreach((json_t *) events, index, item) {
                const char *who = json_string_value(json_object_get(item, "for"));

                n += json_object_get(item, "reserve") && (!name || (who && strcmp(who, name) == 0));
        }
        return n;
}

static int read_release(const struct scenario *scenario, const struct reader_object *o, const json_t *events, json_t *value, struct event *e) {
        const char *text = json_string_value(value);
        int r = 0;

        if (json_is_true(value))
                return 0;
        if (json_is_integer(value))
                r = reader_integer(o, "release", 1, INT64_MAX, &e->id);
        else if (!text || exists(scenario, text) || parse_u64(text, &e->id) < 0 || e->id == 0) {
                if (text && count_reserves(events, text) > 0) {
                        snprintf(e->who, sizeof(e->who), "%.*s", (int) sizeof(e->who) - 1, text);
                        return 0;
                }
                return read_who(scenario, o, "release", text, e);
        }
        if (r >= 0 && e->id > count_reserves(events, NULL))
                r = reader_complain(o, "release", "there is no reservation %llu", (unsigned long long) e->id);
        return r < 0 ? r : 0;
}

/* What belongs to another kind of event would be passed over, and the scenario mean something else than was meant. */
static int check_extras(const struct reader_object *o, enum event_kind kind) {
        static const struct {
                const char *key;
                unsigned kinds;
        } extras[] = {
                { "for", 1u << EVENT_RESERVE | 1u << EVENT_SET }, { "to", 1u << EVENT_SET }, { "size", 1u << EVENT_SET },
                { "target", 1u << EVENT_SET }, { "memory", 1u << EVENT_SET }, { "floor", 1u << EVENT_LIMITS }, { "weight", 1u << EVENT_LIMITS },
        };

        for (size_t i = 0; i < ARRAY_SIZE(extras); i++)
                if (json_object_get(o->json, extras[i].key) && !(extras[i].kinds >> kind & 1))
                        return reader_complain(o, extras[i].key, "means nothing to \"%s\"", event_names[kind]);
        return 0;
}

static int read_event(const struct scenario *scenario, const struct reader_object *o, const json_t *events, struct event *e) {
        json_t *value = NULL;
        const char *key;
        int kind = -1, r;

        *e = (struct event) { .for_usec = AEROSTAT_UNKNOWN, .floor_bytes = AEROSTAT_UNKNOWN, .floor_ppm = AEROSTAT_UNKNOWN,
                              .weight = AEROSTAT_UNKNOWN };
        r = reader_seconds(o, "at_s", &e->at_usec);
        if (r <= 0)
                return r < 0 ? r : reader_complain(o, "at_s", "missing");
        for (size_t i = 0; event_names[i]; i++)
                if (json_object_get(o->json, event_names[i])) {
                        if (kind >= 0)
                                return reader_complain(o, event_names[i], "an event is one thing; this one is \"%s\", too", event_names[kind]);
                        kind = (int) i;
                }
        if (kind < 0)
                return reader_complain(o, NULL, "says when, but not what happens");
        e->kind = (enum event_kind) kind;
        key = event_names[kind];
        value = json_object_get(o->json, key);
        r = check_extras(o, e->kind);
        if (r < 0)
                return r;
        switch (e->kind) {
        case EVENT_RESERVE:
        case EVENT_HOST_USE:
        case EVENT_SWAP:
                r = reader_size(o, key, &e->bytes);
                break;
        case EVENT_RELEASE:
                r = read_release(scenario, o, events, value, e);
                break;
        case EVENT_PAUSE:
        case EVENT_RESUME:
                if (!json_is_true(value))
                        r = reader_complain(o, key, "this is about automation: write true; a guest is paused by vm_pause");
                break;
        default:
                r = read_who(scenario, o, key, json_string_value(value), e);
        }
        if (r >= 0 && e->kind == EVENT_SET)
                r = read_set(o, e);
        if (r >= 0 && e->kind == EVENT_LIMITS)
                r = read_limits(o, e);
        if (r >= 0 && e->bytes > POLICY_SIZE_MAX)
                r = reader_complain(o, key, "more than 4 PiB");
        if (r >= 0)
                r = scenario_read_node(scenario, o, &e->node);
        if (r > 0 && e->kind != EVENT_HOST_USE)
                r = reader_complain(o, "node", "only host_use is about a node");
        return r < 0 ? r : read_for(scenario, o, e);
}

int scenario_read_events(struct scenario *scenario, const struct reader_object *top) {
        static const char *const known[] = {
                "at_s", "reserve", "release", "host_use", "swap", "set", "auto", "limits", "pause", "resume", "reboot", "vm_pause", "vm_resume",
                "for", "to", "size", "target", "memory", "floor", "weight", "node", NULL,
        };
        json_t *events, *item;
        size_t index;
        int r;

        r = reader_array(top, "events", &events);
        if (r <= 0)
                return r;
        scenario->events = calloc(json_array_size(events) + 1, sizeof(*scenario->events));
        if (!scenario->events)
                return -ENOMEM;
        json_array_foreach(events, index, item) {
                struct reader_object o;
                struct event e;
                size_t at;

                if (reader_enter_item(top, "events", index, item, known, &o) < 0 || read_event(scenario, &o, events, &e) < 0)
                        return -EINVAL;
                for (at = scenario->n_events; at > 0 && scenario->events[at - 1].at_usec > e.at_usec; at--)
                        scenario->events[at] = scenario->events[at - 1];
                scenario->events[at] = e;
                scenario->n_events++;
        }
        return 0;
}
