/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "protocol/base.h"
#include "protocol/units.h"
#include "tools/aerostatctl/args.h"
#include "tools/aerostatctl/client.h"
#include "tools/aerostatctl/field.h"
#include "tools/aerostatctl/history.h"
#include "tools/aerostatctl/table.h"

#define SPARK_WIDTH 60u
#define SINCE_DEFAULT_USEC (5 * USEC_PER_MINUTE)

static const struct column columns[] = {
        { "SERIES", false, 0 }, { "LEAST", true, 2 }, { "MOST", true, 0 }, { "LAST", true,
                                                                             0 }, { "OLDEST TO NEWEST, FROM 0 TO THE MOST OF ALL", false, 0 },
};

static uint64_t value_at(const json_t *values, size_t i) {
        const json_t *value = json_array_get(values, i);

        return json_is_integer(value) && json_integer_value(value) >= 0 ? (uint64_t) json_integer_value(value) : AEROSTAT_UNKNOWN;
}

/* The highest value of each column's part of the time; ' ' where none is known. */
static void draw_spark(const json_t *values, uint64_t most, char *buf) {
        size_t n = json_array_size(values), width = MIN(n, (size_t) SPARK_WIDTH);

        for (size_t column = 0; column < width; column++) {
                uint64_t highest = AEROSTAT_UNKNOWN;

                for (size_t i = column * n / width; i < (column + 1) * n / width; i++) {
                        uint64_t value = value_at(values, i);

                        if (value != AEROSTAT_UNKNOWN)
                                highest = highest == AEROSTAT_UNKNOWN ? value : MAX(highest, value);
                }
                buf = stpcpy(buf, highest == AEROSTAT_UNKNOWN ? " " : text_spark(highest, most));
        }
        *buf = 0;
}

static void add_series(struct table *table, const char *name, const json_t *values, uint64_t most) {
        uint64_t low = AEROSTAT_UNKNOWN, high = AEROSTAT_UNKNOWN;
        char size[FORMAT_SIZE_MAX], spark[SPARK_WIDTH * 4 + 1];

        for (size_t i = 0; i < json_array_size(values); i++) {
                uint64_t value = value_at(values, i);

                low = MIN(low, value); /* unknown is the largest number */
                if (value != AEROSTAT_UNKNOWN)
                        high = high == AEROSTAT_UNKNOWN ? value : MAX(high, value);
        }
        draw_spark(values, most, spark);
        table_add(table, name, STYLE_HEADER);
        table_add(table, format_size(low, size), STYLE_PLAIN);
        table_add(table, format_size(high, size), STYLE_PLAIN);
        table_add(table, format_size(value_at(values, json_array_size(values) - 1), size), STYLE_PLAIN);
        table_add(table, spark, STYLE_PLAIN);
}

static void print_history(json_t *reply) {
        json_t *series = json_object_get(reply, "series_bytes"), *values;
        const json_t *ages = json_object_get(reply, "age_seconds");
        struct table *table;
        char oldest[FORMAT_DURATION_MAX];
        uint64_t most = 0;
        const char *name;

        if (json_array_size(ages) == 0) {
                puts("Nothing is remembered yet: the daemon has just started.");
                return;
        }
        json_object_foreach(series, name, values)
                for (size_t i = 0; i < json_array_size(values); i++)
                        if (value_at(values, i) != AEROSTAT_UNKNOWN)
                                most = MAX(most, value_at(values, i));
        format_duration(u64_mul(value_at(ages, 0), USEC_PER_SEC), oldest);
        printf("The last %s, in steps of %" PRIu64 " s\n", oldest, field_count(reply, "step_seconds"));
        table = table_new(columns, ARRAY_SIZE(columns));
        json_object_foreach(series, name, values)
                add_series(table, name, values, most);
        table_print(table, stdout);
        table_free(table);
}

static int write_picture(json_t *reply, const char *path) {
        FILE *out = fopen(path, "we");
        bool failed;

        if (!out)
                return complain(CTL_FAILED, "cannot write %s: %m", path);
        history_draw(reply, out);
        failed = ferror(out);
        if (fclose(out) != 0 || failed)
                return complain(CTL_FAILED, "cannot write %s: %m", path);
        return CTL_DONE;
}

static int run_history(const struct context *context, const struct args *args) {
        uint64_t since_usec = SINCE_DEFAULT_USEC;
        json_t *parameters, *reply;
        int r;

        if (args->values[0] && args_duration(args->values[0], &since_usec) != CTL_DONE)
                return CTL_USAGE;
        parameters = json_pack("{s:f, s:s*}", "since_seconds", (double) since_usec / 1e6, "vm", args->n_operands > 0 ? args->operands[0] : NULL);
        if (!parameters)
                return complain(CTL_USAGE, "names have to be valid UTF-8");
        r = client_call_or_print(context, "History", parameters, &reply);
        if (r != CTL_DONE || !reply)
                return r;
        if (args->values[1])
                r = write_picture(reply, args->values[1]);
        else
                print_history(reply);
        json_decref(reply);
        return r;
}

const struct verb verb_history = {
        .name = "history",
        .operands = "[VM]",
        .summary = "Memory over time, of the host or of one VM",
        .help = "The daemon remembers 5 minutes in steps of 2 s, and a day in minutes (the highest of each). Default: the last 5 minutes.",
        .max_operands = 1,
        .options = { { "--since", "DURATION" }, { "--svg", "FILE" } },
        .run = run_history,
};
