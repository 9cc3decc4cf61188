/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/parse.h"
#include "tests/property/case.h"

/*
 * Property tests of the policy: generated histories, every invariant after every decision.
 *
 *   test-properties [--count SNAPSHOTS] [--seed N]     exit 0: all held; 1: a case was found, made small, and printed
 *   test-properties --replay FILE                      a printed case again
 *
 * AEROSTAT_PROPERTY_COUNT stands in for --count.
 */

#define COUNT 100000
#define THOROUGH_EVERY 200 /* cases: convergence takes thousands of decisions */

static void tell(const struct test_case *test, uint64_t seed, bool thorough) {
        struct violations v = { 0 };

        case_check(test, seed, thorough, &v);
        printf("# %s\n# run it again: test-properties --replay FILE%s\n# seed = %llu\n", v.first, thorough ? " --thorough" : "",
               (unsigned long long) seed);
        case_print(test, stdout);
}

/* What the last step of a case comes to, for the eye. */
static void show(const struct test_case *test) {
        static struct policy_vm vms[CASE_VMS];
        struct policy_work work[CASE_VMS];
        struct policy_state state = { 0 };
        struct policy_plan p = { 0 };

        for (size_t s = 0; s < test->n_steps; s++) {
                for (size_t i = 0; i < test->n_vms; i++)
                        vms[i].input = test->steps[s].vms[i];
                policy_decide(&test->config, &test->steps[s].host, test->steps[s].now_usec, &state, vms, work, test->n_vms, &p);
        }
        printf("envelope %llu, rule %llu, committed %llu, deficit %llu, free %llu, pool %llu%s%s\n", (unsigned long long) p.envelope_bytes,
               (unsigned long long) p.rule_bytes, (unsigned long long) p.committed_bytes, (unsigned long long) p.deficit_bytes,
               (unsigned long long) p.free_bytes, (unsigned long long) p.pool_bytes, p.unsafe ? ", unsafe" : "",
               p.floors_fit ? "" : ", floors do not fit");
        for (size_t i = 0; i < test->n_vms; i++)
                printf("vm %zu: %s, %s%s: target %llu, ideal %llu, entitled %llu, demand %llu, floor %llu\n", i,
                       policy_class_to_string(vms[i].plan.class),
                       policy_reason_to_string(vms[i].plan.reason), vms[i].plan.set ? ", set" : "", (unsigned long long) vms[i].plan.target_bytes,
                       (unsigned long long) vms[i].plan.ideal_bytes, (unsigned long long) vms[i].plan.entitled_bytes,
                       (unsigned long long) vms[i].plan.demand_bytes, (unsigned long long) vms[i].plan.floor_bytes);
}

static int replay(const char *path, bool thorough) {
        static struct test_case test;
        struct violations v = { 0 };
        FILE *f = fopen(path, "re");
        int r;

        if (!f) {
                fprintf(stderr, "%s: %s\n", path, strerror(errno));
                return 2;
        }
        r = case_read(f, &test);
        fclose(f);
        if (r < 0)
                return 2;
        for (uint64_t seed = 0; seed < 64 && violations_first(&v) == 0; seed++) /* the pairs follow from the seed */
                case_check(&test, seed, thorough, &v);
        show(&test);
        puts(violations_first(&v) ? v.first : "all held");
        return violations_first(&v) ? 1 : 0;
}

int main(int argc, char **argv) {
        static struct test_case test;
        const char *env = getenv("AEROSTAT_PROPERTY_COUNT"), *file = NULL;
        uint64_t count = COUNT, seed = 1, done = 0, cases = 0;
        bool thorough = false;

        if (env && parse_u64(env, &count) < 0)
                return 2;
        for (int i = 1; i < argc; i++) {
                bool more = i + 1 < argc;

                if (strcmp(argv[i], "--thorough") == 0)
                        thorough = true;
                else if (strcmp(argv[i], "--replay") == 0 && more)
                        file = argv[++i];
                else if (!more || (strcmp(argv[i], "--count") != 0 && strcmp(argv[i], "--seed") != 0) ||
                         parse_u64(argv[i + 1], strcmp(argv[i], "--count") == 0 ? &count : &seed) < 0) {
                        fprintf(stderr, "usage: test-properties [--count SNAPSHOTS] [--seed N] [--thorough] | --replay FILE\n");
                        return 2;
                } else
                        i++;
        }
        if (file)
                return replay(file, thorough);
        for (; done < count; seed++, cases++) {
                struct violations v = { 0 };
                bool all = thorough || cases % THOROUGH_EVERY == 0;

                case_generate(seed, &test);
                case_check(&test, seed, all, &v);
                done += test.n_steps;
                if (violations_first(&v)) {
                        case_shrink(&test, seed, all, violations_first(&v));
                        tell(&test, seed, all);
                        return 1;
                }
        }
        printf("%llu snapshots in %llu cases: every invariant held\n", (unsigned long long) done, (unsigned long long) cases);
        return 0;
}
