/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "protocol/units.h"
#include "tests/property/case.h"
#include "tools/sim/random.h"

/* Two decisions that differ in one thing. */

#define GRAIN (2 * MIB) /* ideals are rounded to 1 MiB */
#define LLU(x) ((unsigned long long) (x))

struct decision {
        struct policy_vm vms[CASE_VMS];
        struct policy_plan plan;
};

static void decide(const struct test_case *test, const struct policy_vm *vms, const struct policy_state *state, const struct policy_host *host,
                   uint64_t now_usec, struct decision *ret) {
        struct policy_work work[CASE_VMS];
        struct policy_state copy = *state;

        policy_decide(&test->config, host, now_usec, &copy, ret->vms, work, test->n_vms, &ret->plan);
}

/* Where the change alters the verdict on a guest (it could not obey, or would not), the two are about different hosts. */
static bool are_comparable(const struct decision *a, const struct decision *b, size_t who) {
        return a->plan.fits == b->plan.fits && a->plan.floors_fit && b->plan.floors_fit && a->vms[who].plan.class == b->vms[who].plan.class &&
               a->vms[who].state.stuck_usec == b->vms[who].state.stuck_usec && a->vms[who].plan.floor_bytes == b->vms[who].plan.floor_bytes;
}

/* Of a VM that cannot swap and is bound to NUMA nodes two bounds cross: what its node leaves it is not there for another that cannot swap, on
 * another node. */
static bool is_crossed(const struct test_case *test, const struct decision *d) {
        for (size_t i = 0; i < test->n_vms; i++)
                if (d->vms[i].plan.nodeset > 0 && (d->vms[i].input.cannot_swap || d->vms[i].input.fixed))
                        return true;
        return false;
}

static bool is_managed(const struct policy_vm *vm) {
        return vm->plan.class == POLICY_MANAGED && vm->plan.reason != POLICY_REASON_STUCK;
}

/* More weight: never less memory. (Where nobody vouches for a VM's demand, its entitlement bounds that; then weights change demands, too.) */
static void check_weight(const struct test_case *test, const struct decision *less, const struct decision *more, size_t who, struct violations *v) {
        for (size_t i = 0; i < test->n_vms; i++)
                if (less->vms[i].plan.class == POLICY_UNKNOWN)
                        return;
        if (is_crossed(test, less))
                return;
        if (is_managed(&less->vms[who]) && are_comparable(less, more, who) &&
            more->vms[who].plan.ideal_bytes + GRAIN < less->vms[who].plan.ideal_bytes)
                invariants_violate(v, 8, "vm %zu: more weight, but %llu instead of %llu", who, LLU(more->vms[who].plan.ideal_bytes),
                                   LLU(less->vms[who].plan.ideal_bytes));
}

/* Less demand of one: never less for another. */
static void check_demand(const struct test_case *test, const struct decision *much, const struct decision *little, size_t who, struct violations *v) {
        if (!are_comparable(much, little, who) || little->vms[who].plan.demand_bytes > much->vms[who].plan.demand_bytes ||
            !is_managed(&much->vms[who]) ||
            test->config.mode != POLICY_GUARANTEED || is_crossed(test, much))
                return;
        for (size_t i = 0; i < test->n_vms; i++)
                if (i != who && is_managed(&much->vms[i]) && is_managed(&little->vms[i]) &&
                    little->vms[i].plan.ideal_bytes + GRAIN < much->vms[i].plan.ideal_bytes)
                        invariants_violate(v, 8, "vm %zu: %llu instead of %llu, though vm %zu wants less", i, LLU(little->vms[i].plan.ideal_bytes),
                                           LLU(much->vms[i].plan.ideal_bytes), who);
}

/* Whatever one claims, the others' entitlement stays. */
static void check_claim(const struct test_case *test, const struct decision *honest, const struct decision *claim, size_t who, struct violations *v) {
        if (!are_comparable(honest, claim, who))
                return;
        for (size_t i = 0; i < test->n_vms; i++)
                if (i != who && is_managed(&honest->vms[i]) && is_managed(&claim->vms[i]) &&
                    claim->vms[i].plan.entitled_bytes + GRAIN < honest->vms[i].plan.entitled_bytes)
                        invariants_violate(v, 5, "vm %zu: entitled to %llu instead of %llu by a claim of vm %zu", i,
                                           LLU(claim->vms[i].plan.entitled_bytes), LLU(honest->vms[i].plan.entitled_bytes), who);
}

void case_check_pairs(const struct test_case *test, const struct policy_vm *vms, const struct policy_state *state, const struct policy_host *host,
                      uint64_t now_usec, uint64_t seed, struct violations *v) {
        static struct decision plain, heavy, idle, greedy;
        size_t who;

        if (test->n_vms == 0)
                return;
        who = random_below(&seed, test->n_vms);
        memcpy(plain.vms, vms, sizeof(plain.vms));
        memcpy(heavy.vms, vms, sizeof(heavy.vms));
        memcpy(idle.vms, vms, sizeof(idle.vms));
        memcpy(greedy.vms, vms, sizeof(greedy.vms));
        heavy.vms[who].input.weight = u64_add(u64_mul(vms[who].input.weight, 2), 1);
        idle.vms[who].input.guest_available_bytes = u64_add(vms[who].input.guest_available_bytes, GIB);
        greedy.vms[who].input.guest_available_bytes = 0;
        decide(test, vms, state, host, now_usec, &plain);
        decide(test, vms, state, host, now_usec, &heavy);
        decide(test, vms, state, host, now_usec, &idle);
        decide(test, vms, state, host, now_usec, &greedy);
        check_weight(test, &plain, &heavy, who, v);
        check_demand(test, &plain, &idle, who, v);
        check_claim(test, &plain, &greedy, who, v);
}
