/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

#include "protocol/parse.h"
#include "protocol/units.h"
#include "tools/sim/scenario.h"

/* "guests": each entry is one guest, or `count` equal ones. */

#define OVERHEAD (64 * MIB)
#define REREAD_USEC (60 * USEC_PER_SEC)

const char *const behaviour_names[] = {
        [COOPERATIVE] = "cooperative", [STUCK] = "stuck", [SLOW] = "slow", [LIMITED] = "limited", [STICKY] = "sticky", [FLAPPING] = "flapping",
        [LIAR] = "liar", [BOASTER] = "boaster", [FAKER] = "faker", [DEFLATER] = "deflater", [REBOOTER] = "rebooter", [SILENT] = "silent",
        [BURSTY] = "bursty", NULL,
};

bool guest_is_meant(const struct guest_spec *guest, const char *who) {
        return strcmp(guest->name, who) == 0 || strcmp(guest->group_name, who) == 0 || fnmatch(who, guest->name, 0) == 0;
}

static int add_series(struct scenario *scenario, const struct series **ret) {
        struct series **all, *one;

        all = reallocarray(scenario->series, scenario->n_series + 1, sizeof(*all));
        if (!all)
                return -ENOMEM;
        scenario->series = all;
        one = calloc(1, sizeof(*one));
        if (!one)
                return -ENOMEM;
        scenario->series[scenario->n_series++] = one;
        *ret = one;
        return 0;
}

static int read_demand(struct scenario *scenario, const struct reader_object *o, struct guest_spec *g) {
        json_t *demand = json_object_get(o->json, "demand"), *cache = json_object_get(o->json, "cache");
        struct series *demand_series, *cache_series;
        uint64_t time_col = 0, bytes_col = 1;
        const char *csv = NULL;

        if (add_series(scenario, &g->demand) < 0 || add_series(scenario, &g->cache) < 0)
                return -ENOMEM;
        demand_series = scenario->series[scenario->n_series - 2];
        cache_series = scenario->series[scenario->n_series - 1];
        if (reader_string(o, "demand_csv", &csv) < 0 || reader_integer(o, "time_col", 0, 1000, &time_col) < 0 ||
            reader_integer(o, "bytes_col", 0, 1000, &bytes_col) < 0)
                return -EINVAL;
        if (csv && demand)
                return reader_complain(o, "demand_csv", "demand is given twice");
        if (csv && series_read_csv(o, "demand_csv", csv, time_col, bytes_col, demand_series) < 0)
                return -EINVAL;
        if (demand && series_read(o, "demand", demand, demand_series) < 0)
                return -EINVAL;
        return cache ? series_read(o, "cache", cache, cache_series) : 0;
}

/* A floor is a size or a share of memory, as in aerostatd.conf. */
static int read_floor(const struct scenario *scenario, const struct reader_object *o, struct guest_spec *g) {
        const char *text = json_string_value(json_object_get(o->json, "floor"));
        uint64_t ppm;

        g->floor_bytes = settings_floor_bytes(&scenario->settings.defaults, g->memory_bytes);
        if (text && parse_percent(text, &ppm) == 0)
                g->floor_bytes = u64_mul_div(g->memory_bytes, ppm, PPM_ONE);
        else if (reader_size(o, "floor", &g->floor_bytes) < 0)
                return -EINVAL;
        if (g->floor_bytes > g->memory_bytes)
                return reader_complain(o, "floor", "above the guest's memory");
        return 0;
}

static int read_behaviour(const struct scenario *scenario, const struct reader_object *o, struct guest_spec *g) {
        const char *text = NULL;
        int r = reader_string(o, "behaviour", &text);

        if (r < 0)
                return r;
        if (r > 0) {
                int choice = parse_choice(text, behaviour_names);
                const char *nearest = choice < 0 ? parse_nearest(text, behaviour_names) : NULL;

                if (choice < 0)
                        return nearest ? reader_complain(o, "behaviour", "unknown behaviour \"%.40s\"; did you mean \"%s\"?", text, nearest)
                                       : reader_complain(o, "behaviour", "unknown behaviour \"%.40s\"", text);
                g->behaviour = (enum behaviour) choice;
        }
        if (g->behaviour == SLOW) /* a tenth of the usual, unless it says how slow */
                g->inflate_bps = MAX(g->inflate_bps / 10, 1);
        if (reader_rate(o, "inflate_bps", &g->inflate_bps) < 0 || reader_rate(o, "deflate_bps", &g->deflate_bps) < 0)
                return -EINVAL;
        g->limit_bytes = g->behaviour == LIMITED ? g->memory_bytes / 2 : 0;
        r = reader_size(o, "limit", &g->limit_bytes);
        if (r > 0 && g->limit_bytes > g->memory_bytes)
                r = reader_complain(o, "limit", "above the guest's memory");
        g->silent_usec = scenario->settle_usec;
        return r < 0 || reader_seconds(o, "silent_s", &g->silent_usec) < 0 || reader_seconds(o, "reread_s", &g->reread_usec) < 0 ? -EINVAL : 0;
}

static int read_guest(struct scenario *scenario, const struct reader_object *o, size_t index, uint64_t *ret_count, struct guest_spec *g) {
        const char *name = NULL;
        uint64_t count = 1;
        int r;

        r = reader_string(o, "name", &name);
        if (r == 0 || (r > 0 && strlen(name) > SCENARIO_NAME_MAX - 16))
                return reader_complain(o, "name", "a guest needs a name of at most %d characters", SCENARIO_NAME_MAX - 16);
        if (r < 0 || reader_integer(o, "count", 0, SCENARIO_GUESTS_MAX, &count) < 0)
                return -EINVAL;
        g->group = index;
        snprintf(g->name, sizeof(g->name), "%s", name);
        snprintf(g->group_name, sizeof(g->group_name), "%s", name);
        r = reader_size(o, "memory", &g->memory_bytes);
        if (r == 0 || (r > 0 && (g->memory_bytes == 0 || g->memory_bytes > POLICY_SIZE_MAX)))
                return reader_complain(o, "memory", "a guest needs memory, at most 4 PiB");
        if (r < 0 || read_floor(scenario, o, g) < 0 || reader_integer(o, "weight", 0, POLICY_WEIGHT_MAX, &g->weight) < 0 ||
            reader_bool(o, "agent", &g->agent) < 0 || reader_size(o, "overhead", &g->overhead_bytes) < 0 ||
            reader_bool(o, "autodeflate", &g->autodeflate) < 0 || reader_bool(o, "fixed", &g->fixed) < 0 ||
            reader_bool(o, "hugepages", &g->hugepages) < 0 || reader_bool(o, "cannot_swap", &g->cannot_swap) < 0 ||
            reader_size(o, "swap", &g->swap_bytes) < 0 ||
            reader_seconds(o, "start_s", &g->start_usec) < 0 || reader_seconds(o, "stop_s", &g->stop_usec) < 0)
                return -EINVAL;
        if (g->stop_usec < g->start_usec)
                return reader_complain(o, "stop_s", "before its start");
        if (read_behaviour(scenario, o, g) < 0 || scenario_read_node(scenario, o, &g->node) < 0)
                return -EINVAL;
        *ret_count = count;
        return read_demand(scenario, o, g);
}

static int add_guests(struct scenario *scenario, const struct reader_object *o, const struct guest_spec *g, uint64_t count, bool numbered) {
        struct guest_spec *all;

        if (scenario->n_guests + count > SCENARIO_GUESTS_MAX)
                return reader_complain(o, "count", "more than %d guests", SCENARIO_GUESTS_MAX);
        all = reallocarray(scenario->guests, scenario->n_guests + count + 1, sizeof(*all));
        if (!all)
                return -ENOMEM;
        scenario->guests = all;
        for (uint64_t i = 0; i < count; i++) {
                struct guest_spec *one = &all[scenario->n_guests++];

                *one = *g;
                if (numbered)
                        snprintf(one->name, sizeof(one->name), "%.*s%u", SCENARIO_NAME_MAX - 16, g->group_name, (unsigned) i);
        }
        return 0;
}

static int compare_names(const void *a, const void *b) {
        return strcmp(*(const char *const *) a, *(const char *const *) b);
}

static int check_names(const struct scenario *scenario, const struct reader_object *top) {
        _cleanup_free_ const char **names = calloc(scenario->n_guests + 1, sizeof(*names));

        if (!names)
                return -ENOMEM;
        for (size_t i = 0; i < scenario->n_guests; i++)
                names[i] = scenario->guests[i].name;
        qsort(names, scenario->n_guests, sizeof(*names), compare_names);
        for (size_t i = 1; i < scenario->n_guests; i++)
                if (strcmp(names[i - 1], names[i]) == 0)
                        return reader_complain(top, "guests", "two guests are called \"%s\"", names[i]);
        return 0;
}

int scenario_read_guests(struct scenario *scenario, const struct reader_object *top, uint64_t inflate_bps, uint64_t deflate_bps) {
        static const char *const known[] = {
                "name", "count", "memory", "floor", "weight", "agent", "overhead", "behaviour", "autodeflate", "fixed", "hugepages",
                "cannot_swap", "swap", "start_s", "stop_s", "demand", "cache", "reread_s", "inflate_bps", "deflate_bps", "limit", "silent_s",
                "demand_csv", "time_col", "bytes_col", "node", NULL,
        };
        json_t *guests, *item;
        size_t index;
        int r;

        r = reader_array(top, "guests", &guests);
        if (r <= 0)
                return r < 0 ? r : reader_complain(top, "guests", "missing");
        json_array_foreach(guests, index, item) {
                struct guest_spec g = {
                        .weight = scenario->settings.defaults.weight, .agent = true, .overhead_bytes = OVERHEAD, .stop_usec = AEROSTAT_UNKNOWN,
                        .inflate_bps = inflate_bps, .deflate_bps = deflate_bps, .reread_usec = REREAD_USEC,
                };
                struct reader_object o;
                uint64_t count = 1;

                r = reader_enter_item(top, "guests", index, item, known, &o);
                if (r >= 0)
                        r = read_guest(scenario, &o, index, &count, &g);
                if (r >= 0)
                        r = add_guests(scenario, &o, &g, count, json_object_get(o.json, "count") != NULL);
                if (r < 0)
                        return r;
        }
        return check_names(scenario, top);
}
