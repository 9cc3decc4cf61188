/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "protocol/base.h"
#include "tools/sim/scenario.h"

/* Steps over time: written out, or from two columns of a CSV file such as public traces come in. */

#define EPOCH_SECONDS 1e8 /* times since 1970, not since the start: the first row is the start then */

static int add_step(struct series *s, uint64_t at_usec, uint64_t bytes) {
        if ((s->n & (s->n - 1)) == 0) { /* powers of two: grow */
                struct series_step *steps = reallocarray(s->steps, s->n ? 2 * s->n : 1, sizeof(*steps));

                if (!steps)
                        return -ENOMEM;
                s->steps = steps;
        }
        s->steps[s->n++] = (struct series_step) { at_usec, bytes };
        return 0;
}

int series_read(const struct reader_object *object, const char *key, json_t *value, struct series *ret) {
        json_t *pair;
        size_t i;

        if (json_is_string(value)) { /* the same all the time */
                uint64_t bytes;

                return reader_size_value(object, key, value, &bytes) < 0 ? -EINVAL : add_step(ret, 0, bytes);
        }
        if (!json_is_array(value))
                return reader_complain(object, key, "steps were expected, as [[0, \"300M\"], [60, \"3G\"]]");
        json_array_foreach(value, i, pair) {
                char place[48];
                uint64_t at, bytes;

                snprintf(place, sizeof(place), "%s[%zu]", key, i);
                if (!json_is_array(pair) || json_array_size(pair) != 2)
                        return reader_complain(object, place, "a pair was expected, as [60, \"3G\"]");
                if (reader_seconds_value(object, place, json_array_get(pair, 0), &at) < 0 ||
                    reader_size_value(object, place, json_array_get(pair, 1), &bytes) < 0)
                        return -EINVAL;
                if (ret->n > 0 && at < ret->steps[ret->n - 1].at_usec)
                        return reader_complain(object, place, "steps have to be in the order of time");
                if (add_step(ret, at, bytes) < 0)
                        return -ENOMEM;
        }
        return 0;
}

/* The column as a number; -EINVAL where the line has none there (a header). */
static int column(const char *line, uint64_t index, double *ret) {
        char *end;

        for (; index > 0; index--) {
                line = strchr(line, ',');
                if (!line)
                        return -EINVAL;
                line++;
        }
        line += strspn(line, " \t\"");
        *ret = strtod(line, &end);
        end += strspn(end, " \t\"\r\n");
        return end == line || (*end && *end != ',') || !(*ret >= 0 && *ret < 4e15) ? -EINVAL : 0;
}

int series_read_csv(const struct reader_object *object, const char *key, const char *file, uint64_t time_col, uint64_t bytes_col,
                    struct series *ret) {
        const char *slash = strrchr(object->reader->file, '/');
        _cleanup_free_ char *path = NULL, *line = NULL;
        size_t size = 0, number = 0;
        double first = 0;
        FILE *in;
        int r = 0;

        if (asprintf(&path, "%.*s%s", file[0] == '/' || !slash ? 0 : (int) (slash + 1 - object->reader->file), object->reader->file, file) < 0)
                return -ENOMEM;
        in = fopen(path, "re");
        if (!in)
                return reader_complain(object, key, "%.150s: %s", path, strerror(errno));
        while (r == 0 && getline(&line, &size, in) >= 0) {
                double seconds, bytes;

                number++;
                if (line[0] == '#' || line[strspn(line, " \t\r\n")] == 0)
                        continue;
                if (column(line, time_col, &seconds) < 0 || column(line, bytes_col, &bytes) < 0) {
                        if (number > 1) /* the first line may be a header */
                                r = reader_complain(object, key, "%.150s: line %zu has no numbers in columns %llu and %llu", path, number,
                                                    (unsigned long long) time_col, (unsigned long long) bytes_col);
                        continue;
                }
                if (ret->n == 0 && seconds > EPOCH_SECONDS)
                        first = seconds;
                if (ret->n > 0 && (seconds < first || (uint64_t) ((seconds - first) * 1e6) < ret->steps[ret->n - 1].at_usec))
                        r = reader_complain(object, key, "%.150s: line %zu goes back in time", path, number);
                else
                        r = add_step(ret, (uint64_t) ((seconds - first) * 1e6), (uint64_t) bytes);
        }
        fclose(in);
        if (r == 0 && ret->n == 0)
                r = reader_complain(object, key, "%.150s: no rows", path);
        return r;
}
