/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/sim/summary.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "protocol/parse.h"
#include "protocol/units.h"

static int compare(const void *a, const void *b) {
        uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;

        return x < y ? -1 : x > y;
}

static json_t *latencies(const struct account *a) {
        _cleanup_free_ uint64_t *sorted = calloc(a->n_latency + 1, sizeof(*sorted));

        if (!sorted)
                return NULL;
        memcpy(sorted, a->latency_usec ? a->latency_usec : sorted, a->n_latency * sizeof(*sorted));
        qsort(sorted, a->n_latency, sizeof(*sorted), compare);
#define AT(share) (a->n_latency == 0 ? 0.0 : (double) sorted[(size_t) ((double) (a->n_latency - 1) * (share) + 0.5)] / 1000)
        return json_pack("{s:f,s:f,s:f,s:I}", "p50", AT(0.5), "p99", AT(0.99), "max", AT(1.0), "count", (json_int_t) a->n_latency);
#undef AT
}

/* A guest's number; and, beside each one's, the sum of those that share a name. Takes over `one`. */
static void add_guest(json_t *guests, json_t *groups, const struct guest_spec *g, json_t *one) {
        const json_t *sum = json_object_get(groups, g->group_name);

        if (strcmp(g->name, g->group_name) != 0)
                json_object_set_new(groups, g->group_name, json_is_integer(one) ? json_integer(json_integer_value(sum) + json_integer_value(one))
                                                                                : json_real(json_number_value(sum) + json_number_value(one)));
        json_object_set_new(guests, g->name, one);
}

static json_t *unmet(const struct run *run) {
        json_t *guests = json_object(), *groups = json_object();
        double all = 0;

        for (size_t i = 0; i < run->scenario->n_guests; i++) {
                double one = (double) run->accounts[i].unmet_byte_usec / 1e6;

                all += one;
                add_guest(guests, groups, &run->scenario->guests[i], json_real(one));
        }
        return json_pack("{s:f,s:o,s:o}", "all", all, "guests", guests, "groups", groups);
}

static json_t *refaults(const struct run *run) {
        json_t *guests = json_object(), *groups = json_object();
        uint64_t all = 0;

        for (size_t i = 0; i < run->scenario->n_guests; i++) {
                all = u64_add(all, run->guests[i].refault_bytes);
                add_guest(guests, groups, &run->scenario->guests[i], json_integer((json_int_t) run->guests[i].refault_bytes));
        }
        return json_pack("{s:I,s:o,s:o}", "all", (json_int_t) all, "guests", guests, "groups", groups);
}

json_t *summary_new(const struct run *run) {
        const struct account *a = &run->account;
        json_t *invariants = json_object(), *summary;

        for (unsigned i = 1; i <= INVARIANTS; i++) {
                char name[8];

                snprintf(name, sizeof(name), "I%u", i);
                json_object_set_new(invariants, name, json_integer((json_int_t) run->violations.count[i]));
        }
        summary = json_pack("{s:s,s:f,s:I,s:o,s:f,s:f,s:I,s:I,s:f,s:o,s:o,s:o,s:I,s:I,s:I,s:{s:I,s:I,s:f},s:I}",
                            "policy", baseline_names[run->baseline],
                            "duration_seconds", (double) run->now_usec / 1e6,
                            "guests", (json_int_t) run->scenario->n_guests,
                            "invariants", invariants,
                            "committed_ratio", (double) a->committed_ppm / 1e6,
                            "swap_pct", (double) a->swap_ppm / 1e4,
                            "host_oom", (json_int_t) run->host.oom_kills,
                            "floor_violations", (json_int_t) a->floor_violations,
                            "unsafe_seconds", (double) a->unsafe_usec / 1e6,
                            "grant_latency_ms", latencies(a),
                            "unmet_byte_seconds", unmet(run),
                            "refault_bytes", refaults(run),
                            "moves", (json_int_t) a->moves,
                            "reversals", (json_int_t) a->reversals,
                            "moved_bytes", (json_int_t) MIN(a->moved_bytes, (uint64_t) INT64_MAX),
                            "reservations", "met", (json_int_t) a->reservations_met, "refused", (json_int_t) a->reservations_refused,
                                            "wait", (double) a->reservation_wait_usec / 1e6,
                            "decisions", (json_int_t) a->decisions);
        if (summary && run->violations.first[0])
                json_object_set_new(summary, "first_violation", json_string(run->violations.first));
        return summary;
}

/* An object stands for one number of its own: all, the worst, or the sum. */
static json_t *as_number(json_t *value) {
        json_t *one, *sum;
        const char *key;

        if (json_is_number(value))
                return json_incref(value);
        if (!json_is_object(value))
                return NULL;
        if ((one = json_object_get(value, "all")) || (one = json_object_get(value, "max")) || (one = json_object_get(value, "met")))
                return json_incref(one);
        sum = json_integer(0);
        json_object_foreach(value, key, one)
                if (json_is_integer(one))
                        json_integer_set(sum, json_integer_value(sum) + json_integer_value(one));
        return sum;
}

/* "grant_latency_ms.p99", "grant_latency_ms_p99", "unmet_byte_seconds.web1", "invariants.I3". A new reference, or NULL. */
static json_t *find(json_t *summary, const char *name) {
        static const char *const inside[] = { "guests", "groups" };
        json_t *value = json_object_get(summary, name), *inner, *found;
        const char *key;

        if (value)
                return as_number(value);
        json_object_foreach(summary, key, value) {
                size_t n = strlen(key);

                if (!json_is_object(value) || strncmp(name, key, n) != 0 || (name[n] != '.' && name[n] != '_'))
                        continue;
                found = find(value, name + n + 1);
                for (size_t i = 0; !found && i < ARRAY_SIZE(inside); i++)
                        if ((inner = json_object_get(value, inside[i])))
                                found = find(inner, name + n + 1);
                if (found)
                        return found;
        }
        return NULL;
}

enum relation { EXACT, AT_MOST, AT_LEAST };

static bool holds(enum relation relation, double got, double expected) {
        switch (relation) {
        case AT_MOST:
                return got <= expected;
        case AT_LEAST:
                return got >= expected;
        default:
                return got >= expected - 1e-9 && got <= expected + 1e-9;
        }
}

static int expect_one(json_t *summary, json_t *results, const char *key, const char *name, enum relation relation, json_t *expected,
                      const char *file, char error[static READER_ERROR_MAX]) {
        json_t *got = find(summary, name);
        bool held;

        if (!got || !json_is_number(expected)) {
                snprintf(error, READER_ERROR_MAX, "%.120s: expect.%.80s: %s", file, key,
                         got ? "a number was expected" : "the summary has no such number (max_X, min_X or X of its fields)");
                json_decref(got);
                return -EINVAL;
        }
        held = holds(relation, json_number_value(got), json_number_value(expected));
        json_object_set_new(results, key, json_pack("{s:O,s:o,s:b}", "expected", expected, "got", got, "held", held));
        return held;
}

int summary_expect(json_t *summary, json_t *expect, const char *file, char error[static READER_ERROR_MAX]) {
        json_t *results, *expected, *inner;
        const char *key, *part;
        int all = 1;

        results = json_object();
        json_object_foreach(expect, key, expected) {
                enum relation relation = strncmp(key, "max_", 4) == 0 ? AT_MOST : strncmp(key, "min_", 4) == 0 ? AT_LEAST : EXACT;
                const char *name = relation == EXACT ? key : key + 4;
                int r = 1;

                if (json_is_object(expected)) { /* {"max_grant_latency_ms": {"p99": 500}} */
                        json_object_foreach(expected, part, inner) {
                                char whole[160], label[160];

                                snprintf(whole, sizeof(whole), "%.70s.%.70s", name, part);
                                snprintf(label, sizeof(label), "%.70s.%.70s", key, part);
                                r = expect_one(summary, results, label, whole, relation, inner, file, error);
                                if (r <= 0)
                                        break;
                        }
                } else
                        r = expect_one(summary, results, key, name, relation, expected, file, error);
                if (r < 0) {
                        json_decref(results);
                        return r;
                }
                all &= r;
        }
        json_object_set_new(summary, "expect", results);
        return all;
}

static double number(const json_t *summary, const char *key, const char *inner) {
        const json_t *value = json_object_get(summary, key);

        return json_number_value(inner ? json_object_get(value, inner) : value);
}

void summary_print(const json_t *summary, const struct run *run, FILE *out) {
        json_t *results = json_object_get(summary, "expect"), *result;
        char size[FORMAT_SIZE_MAX];
        const char *key;

        fprintf(out, "%-22s %zu guests, %.0f s, %s\n", "simulated", run->scenario->n_guests, number(summary, "duration_seconds", NULL),
                baseline_names[run->baseline]);
        if (run->baseline == BASELINE_NONE)
                fprintf(out, "%-22s %llu violations%s%s\n", "invariants", (unsigned long long) invariants_total(&run->violations),
                        run->violations.first[0] ? ", first " : "", run->violations.first);
        fprintf(out, "%-22s %.3f of the envelope at most\n", "committed", number(summary, "committed_ratio", NULL));
        fprintf(out, "%-22s %.2f %% at most; host OOM kills: %.0f\n", "swap", number(summary, "swap_pct", NULL), number(summary, "host_oom", NULL));
        fprintf(out, "%-22s %.0f; unsafe for %.1f s\n", "floor violations", number(summary, "floor_violations", NULL),
                number(summary, "unsafe_seconds", NULL));
        fprintf(out, "%-22s p50 %.0f ms, p99 %.0f ms, max %.0f ms (%.0f)\n", "grant latency", number(summary, "grant_latency_ms", "p50"),
                number(summary, "grant_latency_ms", "p99"), number(summary, "grant_latency_ms", "max"), number(summary, "grant_latency_ms", "count"));
        fprintf(out, "%-22s %.3f GiB x s\n", "unmet demand", number(summary, "unmet_byte_seconds", "all") / (double) GIB);
        fprintf(out, "%-22s %.0f, %.0f of them back; %s\n", "moves", number(summary, "moves", NULL), number(summary, "reversals", NULL),
                format_size((uint64_t) number(summary, "moved_bytes", NULL), size));
        if (number(summary, "reservations", "met") + number(summary, "reservations", "refused") > 0)
                fprintf(out, "%-22s %.0f met, %.0f refused, waited %.1f s at most\n", "reservations", number(summary, "reservations", "met"),
                        number(summary, "reservations", "refused"), number(summary, "reservations", "wait"));
        json_object_foreach(results, key, result)
                fprintf(out, "expect %-30s %s: expected %.10g, got %.10g\n", key, json_is_true(json_object_get(result, "held")) ? "held" : "FAILED",
                        json_number_value(json_object_get(result, "expected")), json_number_value(json_object_get(result, "got")));
}
