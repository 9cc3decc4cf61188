/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "protocol/units.h"
#include "tests/property/case.h"

/* Makes a failing case smaller while it still breaks the same invariant: fewer steps, fewer VMs, then one number after the other to its default or
 * to half. Until nothing helps. */

static bool breaks(const struct test_case *test, uint64_t seed, bool thorough, unsigned which) {
        struct violations v = { 0 };

        case_check(test, seed, thorough, &v);
        return v.count[which] > 0;
}

static bool keep_if(struct test_case *test, const struct test_case *smaller, uint64_t seed, bool thorough, unsigned which) {
        if (!breaks(smaller, seed, thorough, which))
                return false;
        *test = *smaller;
        return true;
}

static bool drop_steps(struct test_case *test, uint64_t seed, bool thorough, unsigned which) {
        static struct test_case smaller;
        bool any = false;

        for (size_t s = test->n_steps; s > 0; s--) {
                smaller = *test;
                memmove(&smaller.steps[s - 1], &smaller.steps[s], (smaller.n_steps - s) * sizeof(smaller.steps[0]));
                smaller.n_steps--;
                any |= smaller.n_steps > 0 && keep_if(test, &smaller, seed, thorough, which);
        }
        return any;
}

static bool drop_vms(struct test_case *test, uint64_t seed, bool thorough, unsigned which) {
        static struct test_case smaller;
        bool any = false;

        for (size_t i = test->n_vms; i > 0; i--) {
                smaller = *test;
                smaller.n_vms--;
                for (size_t s = 0; s < smaller.n_steps; s++)
                        memmove(&smaller.steps[s].vms[i - 1], &smaller.steps[s].vms[i], (smaller.n_vms - (i - 1)) * sizeof(smaller.steps[s].vms[0]));
                any |= keep_if(test, &smaller, seed, thorough, which);
        }
        return any;
}

/* base_of: the same place in the case that is tried, and in the defaults. */
static bool simplify(struct test_case *test, struct test_case *smaller, void *base, const void *defaults, const struct field *fields, uint64_t seed,
                     bool thorough, unsigned which) {
        bool any = false;

        for (; fields->name; fields++) {
                uint64_t value = field_get(fields, base), plain = field_get(fields, defaults);

                if (value == plain)
                        continue;
                field_set(fields, base, plain);
                if (keep_if(test, smaller, seed, thorough, which)) {
                        any = true;
                        continue;
                }
                field_set(fields, base, value / MIB > 1 ? value / MIB * MIB : value / 2); /* rounder, then smaller */
                if (field_get(fields, base) != value && keep_if(test, smaller, seed, thorough, which))
                        any = true;
                else
                        field_set(fields, base, value);
        }
        return any;
}

void case_shrink(struct test_case *test, uint64_t seed, bool thorough, unsigned which) {
        static struct test_case smaller, defaults;
        bool any = true;

        for (unsigned round = 0; any && round < 20; round++) {
                any = drop_steps(test, seed, thorough, which);
                any |= drop_vms(test, seed, thorough, which);
                case_defaults(&defaults, test->n_vms, test->n_steps);
                smaller = *test;
                any |= simplify(test, &smaller, &smaller.config, &defaults.config, config_fields, seed, thorough, which);
                for (size_t s = 0; s < test->n_steps; s++) {
                        any |= simplify(test, &smaller, &smaller.steps[s].host, &defaults.steps[s].host, host_fields, seed, thorough, which);
                        for (size_t i = 0; i < test->n_vms; i++)
                                any |= simplify(test, &smaller, &smaller.steps[s].vms[i], &defaults.steps[s].vms[i], vm_fields, seed,
                                                thorough, which);
                }
        }
}
