/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/sim/scenario.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "protocol/units.h"

#define INFLATE_BPS UINT64_C(922746880)        /* 0.86 GiB/s and 2.1 GiB/s: HyperAlloc (EuroSys'25), virtio-balloon on real hardware */
#define DEFLATE_BPS UINT64_C(2254857830)
#define STEPS_MAX UINT64_C(100000000)

/* One "section.key" of aerostatd.conf, read by the daemon's own table. */
static int read_setting(struct scenario *scenario, const struct reader_object *config, const char *key, json_t *value) {
        const char *dot = strchr(key, '.'), *text;
        char error[SETTINGS_ERROR_MAX], lines[512], scratch[64];

        if (!dot || dot == key || !dot[1] || strlen(key) > 64 || strpbrk(key, "[]\n\r= \t"))
                return reader_complain(config, key, "a key of aerostatd.conf was expected, as \"policy.headroom\"");
        if (json_is_string(value))
                text = json_string_value(value);
        else if (json_is_boolean(value))
                text = json_is_true(value) ? "yes" : "no";
        else if (json_is_number(value)) {
                snprintf(scratch, sizeof(scratch), "%.*g", json_is_integer(value) ? 18 : 6, json_number_value(value));
                text = scratch;
        } else
                return reader_complain(config, key, "a text was expected, as it would stand in aerostatd.conf");
        if (strlen(text) > 256 || strpbrk(text, "\n\r"))
                return reader_complain(config, key, "one short line was expected");
        snprintf(lines, sizeof(lines), "[%.*s]\n%s = %s\n", (int) (dot - key), key, dot + 1, text);
        if (settings_parse("config", lines, &scenario->settings, error) < 0) {
                const char *sentence = strstr(error, ": "); /* after the place in our two lines, which nobody else sees */

                return reader_complain(config, key, "%s", sentence ? sentence + 2 : error);
        }
        return 0;
}

static int read_config(struct scenario *scenario, const struct reader_object *config) {
        const char *key;
        json_t *value;

        json_object_foreach(config->json, key, value) {
                int r = read_setting(scenario, config, key, value);
                if (r < 0)
                        return r;
        }
        scenario->settings.policy.fresh_usec = MAX(3 * scenario->settings.report_interval_usec, 10 * USEC_PER_SEC);
        return 0;
}

/* "nodes": [{"memory": "8G"}, {"memory": "8G"}]: together they are the host's memory. */
static int read_nodes(struct scenario *scenario, const struct reader_object *host) {
        static const char *const known[] = { "memory", NULL };
        uint64_t sum = 0;
        json_t *nodes, *item;
        size_t index;
        int r = reader_array(host, "nodes", &nodes);

        if (r <= 0)
                return r;
        if (json_array_size(nodes) > POLICY_NODES_MAX)
                return reader_complain(host, "nodes", "more than %d nodes", POLICY_NODES_MAX);
        json_array_foreach(nodes, index, item) {
                struct reader_object o;

                if (reader_enter_item(host, "nodes", index, item, known, &o) < 0 || reader_size(&o, "memory", &scenario->node_bytes[index]) < 0)
                        return -EINVAL;
                sum = u64_add(sum, scenario->node_bytes[index]);
                scenario->n_nodes++;
        }
        if (scenario->n_nodes > 0 && sum != scenario->memory_bytes)
                return reader_complain(host, "nodes", "the nodes have %llu bytes together, the host has %llu", (unsigned long long) sum,
                                       (unsigned long long) scenario->memory_bytes);
        return 0;
}

int scenario_read_node(const struct scenario *scenario, const struct reader_object *o, int *ret) {
        uint64_t node = 0;
        int r = reader_integer(o, "node", 0, POLICY_NODES_MAX - 1, &node);

        *ret = -1;
        if (r <= 0)
                return r;
        if (node >= scenario->n_nodes || scenario->node_bytes[node] == 0)
                return reader_complain(o, "node", "the host has no node %llu with memory", (unsigned long long) node);
        *ret = (int) node;
        return 1;
}

static int read_host(struct scenario *scenario, const struct reader_object *top) {
        static const char *const known[] = { "memory", "swap", "base_use", "zram", "nodes", NULL };
        struct reader_object host;
        int r;

        r = reader_enter(top, "host", known, &host);
        if (r <= 0)
                return r < 0 ? r : reader_complain(top, "host", "missing");
        r = reader_size(&host, "memory", &scenario->memory_bytes);
        if (r == 0 || (r > 0 && scenario->memory_bytes == 0))
                return reader_complain(&host, "memory", "the host needs memory");
        if (r < 0 || reader_size(&host, "swap", &scenario->swap_bytes) < 0 || reader_size(&host, "base_use", &scenario->base_use_bytes) < 0 ||
            reader_size(&host, "zram", &scenario->zram_bytes) < 0)
                return -EINVAL;
        if (scenario->memory_bytes > POLICY_SIZE_MAX || scenario->swap_bytes > POLICY_SIZE_MAX || scenario->zram_bytes > POLICY_SIZE_MAX ||
            scenario->base_use_bytes > scenario->memory_bytes)
                return reader_complain(&host, NULL, "sizes are at most 4 PiB, and base_use at most memory");
        return read_nodes(scenario, &host);
}

static int read_times(struct scenario *scenario, const struct reader_object *top) {
        uint64_t step_ms = 100;

        scenario->duration_usec = 600 * USEC_PER_SEC;
        scenario->settle_usec = 60 * USEC_PER_SEC;
        scenario->seed = 1;
        if (reader_seconds(top, "duration_s", &scenario->duration_usec) < 0 || reader_seconds(top, "settle_s", &scenario->settle_usec) < 0 ||
            reader_integer(top, "step_ms", 1, 60000, &step_ms) < 0 || reader_integer(top, "seed", 0, INT64_MAX, &scenario->seed) < 0)
                return -EINVAL;
        scenario->step_usec = step_ms * USEC_PER_MSEC;
        if (scenario->duration_usec / scenario->step_usec > STEPS_MAX)
                return reader_complain(top, "duration_s", "more than %llu steps", (unsigned long long) STEPS_MAX);
        return 0;
}

static int read_top(struct scenario *scenario, const struct reader_object *top) {
        static const char *const known[] = { "name", "description", "host", "config", "duration_s", "step_ms", "seed", "settle_s", "balloon",
                                             "guests", "events", "expect", NULL };
        static const char *const known_balloon[] = { "inflate_bps", "deflate_bps", NULL };
        uint64_t inflate = INFLATE_BPS, deflate = DEFLATE_BPS;
        struct reader_object part;
        const char *text;
        int r;

        r = reader_check_keys(top, known);
        if (r < 0 || reader_string(top, "name", &text) < 0 || reader_string(top, "description", &text) < 0)
                return -EINVAL;
        if (read_host(scenario, top) < 0 || read_times(scenario, top) < 0)
                return -EINVAL;
        r = reader_enter(top, "config", NULL, &part);
        if (r > 0)
                r = read_config(scenario, &part);
        if (r < 0)
                return r;
        r = reader_enter(top, "balloon", known_balloon, &part);
        if (r < 0 || (r > 0 && (reader_rate(&part, "inflate_bps", &inflate) < 0 || reader_rate(&part, "deflate_bps", &deflate) < 0)))
                return -EINVAL;
        if (scenario_read_guests(scenario, top, inflate, deflate) < 0 || scenario_read_events(scenario, top) < 0)
                return -EINVAL;
        r = reader_enter(top, "expect", NULL, &part);
        if (r > 0)
                scenario->expect = json_incref(part.json);
        return r < 0 ? r : 0;
}

/* Takes over the JSON; NULL with the error if it was none. */
static int read_json(const char *path, json_t *json, const json_error_t *json_error, struct scenario **ret, char error[static READER_ERROR_MAX]) {
        _cleanup_(scenario_freep) struct scenario *scenario = calloc(1, sizeof(*scenario));
        struct reader reader = { .file = path };
        struct reader_object top = { .reader = &reader, .json = json };
        int r;

        if (!json) {
                if (json_error->line > 0)
                        snprintf(error, READER_ERROR_MAX, "%.120s: line %d, column %d: %s", path, json_error->line, json_error->column,
                                 json_error->text);
                else
                        snprintf(error, READER_ERROR_MAX, "%.200s", json_error->text);
                return -EINVAL;
        }
        if (!scenario) {
                json_decref(json);
                return -ENOMEM;
        }
        settings_init(&scenario->settings);
        r = json_is_object(json) ? read_top(scenario, &top) : reader_complain(&top, NULL, "an object was expected");
        json_decref(json);
        if (r < 0) {
                snprintf(error, READER_ERROR_MAX, "%s", reader.error[0] ? reader.error : strerror(-r));
                return r;
        }
        *ret = TAKE_PTR(scenario);
        return 0;
}

int scenario_load(const char *path, struct scenario **ret, char error[static READER_ERROR_MAX]) {
        json_error_t json_error;
        json_t *json = strcmp(path, "-") == 0 ? json_loadf(stdin, JSON_REJECT_DUPLICATES, &json_error)
                                              : json_load_file(path, JSON_REJECT_DUPLICATES, &json_error);

        return read_json(path, json, &json_error, ret, error);
}

int scenario_parse(const char *name, const char *text, struct scenario **ret, char error[static READER_ERROR_MAX]) {
        json_error_t json_error;
        json_t *json = json_loads(text, JSON_REJECT_DUPLICATES, &json_error);

        return read_json(name, json, &json_error, ret, error);
}

struct scenario *scenario_free(struct scenario *scenario) {
        if (!scenario)
                return NULL;
        for (size_t i = 0; i < scenario->n_series; i++) {
                free(scenario->series[i]->steps);
                free(scenario->series[i]);
        }
        free(scenario->series);
        free(scenario->guests);
        free(scenario->events);
        json_decref(scenario->expect);
        free(scenario);
        return NULL;
}
