/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A scenario: the host, the guests and what happens, as read from JSON (man aerostat-sim tells the form). Read once, then constant.
 * Bytes and microseconds since the start of the simulation.
 */

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host-agent/settings/settings.h"
#include "tools/sim/reader.h"

#define SCENARIO_NAME_MAX 64
#define SCENARIO_GUESTS_MAX 200000

enum behaviour {
        COOPERATIVE,
        STUCK,                 /* its balloon never moves */
        SLOW,                  /* obeys at its own inflate_bps */
        LIMITED,               /* cannot go below `limit` */
        STICKY,                /* moves one page now and then */
        FLAPPING,              /* obeys 1 s in 20 */
        LIAR,                  /* claims that all its memory is in use */
        BOASTER,               /* claims that none is */
        FAKER,                 /* reports an actual that it does not keep, and uses all of its memory */
        DEFLATER,              /* takes memory back on its own, and uses it */
        REBOOTER,              /* reboots every now and then */
        SILENT,                /* no report, and no statistics, from silent_s on */
        BURSTY,                /* uses all of its balloon at random times */
};
extern const char *const behaviour_names[]; /* by enum behaviour, NULL-terminated */

/* What holds from `at` on. Sorted; before the first one: 0. */
struct series {
        struct series_step {
                uint64_t at_usec, bytes;
        } *steps;
        size_t n;
};

struct guest_spec {
        char name[SCENARIO_NAME_MAX];
        size_t group;                          /* index in "guests": "web" with a count is a group of web0, web1, ... */
        char group_name[SCENARIO_NAME_MAX];
        uint64_t memory_bytes, floor_bytes, overhead_bytes, swap_bytes, weight;
        bool agent, autodeflate, fixed, hugepages;
        bool cannot_swap;                      /* the host cannot put it on disk */
        int node;                              /* bound to this one strictly; -1: to none */
        enum behaviour behaviour;
        uint64_t inflate_bps, deflate_bps;
        uint64_t limit_bytes;                  /* LIMITED */
        uint64_t silent_usec;                  /* SILENT */
        uint64_t start_usec, stop_usec;        /* stop: unknown for never */
        uint64_t reread_usec;                  /* how long the guest takes to go through the cache that it wants; 0: it reads once */
        const struct series *demand, *cache;   /* owned by the scenario */
};

enum event_kind {
        EVENT_RESERVE, EVENT_RELEASE, EVENT_HOST_USE, EVENT_SWAP, EVENT_SET, EVENT_AUTO, EVENT_LIMITS, EVENT_PAUSE, EVENT_RESUME, EVENT_REBOOT,
        EVENT_VM_PAUSE, EVENT_VM_RESUME,
};
extern const char *const event_names[]; /* by enum event_kind, NULL-terminated */

struct event {
        uint64_t at_usec;
        enum event_kind kind;
        char who[SCENARIO_NAME_MAX];           /* a guest, a group or a pattern; RESERVE: for whom, may be "" */
        uint64_t bytes;                        /* RESERVE, HOST_USE, SWAP, SET */
        uint64_t for_usec;                     /* SET, RESERVE: how long; unknown: without end, and 5 min */
        uint64_t id;                           /* RELEASE: the n-th reservation from 1; 0: by name, or all */
        uint64_t floor_bytes, floor_ppm, weight; /* LIMITS; unknown: as it was */
        int node;                              /* HOST_USE: bound to this one; -1: anywhere */
};

struct scenario {
        uint64_t memory_bytes, swap_bytes, zram_bytes, base_use_bytes;
        size_t n_nodes;                        /* NUMA nodes; 0: memory is in one piece */
        uint64_t node_bytes[POLICY_NODES_MAX];
        struct settings settings;
        uint64_t duration_usec, step_usec, settle_usec, seed;
        struct guest_spec *guests;
        size_t n_guests;
        struct event *events;                  /* by time, then as written */
        size_t n_events;
        json_t *expect;                        /* an object, or NULL */
        struct series **series;                /* all that guests point to */
        size_t n_series;
};

/* Reads a scenario. On failure -errno, and in error a sentence that names the place. */
int scenario_load(const char *path, struct scenario **ret, char error[static READER_ERROR_MAX]);
/* The same from a text; name stands for the path. */
int scenario_parse(const char *name, const char *text, struct scenario **ret, char error[static READER_ERROR_MAX]);
struct scenario *scenario_free(struct scenario *scenario);
DEFINE_CLEANUP(struct scenario *, scenario_free)

/* The same in parts, for scenario.c: fill in from their place in the JSON. */
int scenario_read_guests(struct scenario *scenario, const struct reader_object *top, uint64_t inflate_bps, uint64_t deflate_bps);
int scenario_read_events(struct scenario *scenario, const struct reader_object *top);

/* "node": the number of one of the host's nodes; -1 where it is not given. */
int scenario_read_node(const struct scenario *scenario, const struct reader_object *object, int *ret);

/* demand_csv: a series from two columns of a file, seconds and bytes. Relative to the folder of the scenario. */
int series_read_csv(const struct reader_object *object, const char *key, const char *file, uint64_t time_col, uint64_t bytes_col, struct series *ret);
/* [[0, "300M"], [60, "3G"]] */
int series_read(const struct reader_object *object, const char *key, json_t *value, struct series *ret);

static inline uint64_t series_at(const struct series *s, uint64_t now_usec, size_t *cursor) {
        while (*cursor < s->n && s->steps[*cursor].at_usec <= now_usec)
                (*cursor)++;
        return *cursor == 0 ? 0 : s->steps[*cursor - 1].bytes;
}

/* Whether a guest is meant by `who`: its name, its group's name, or a pattern. */
bool guest_is_meant(const struct guest_spec *guest, const char *who);
