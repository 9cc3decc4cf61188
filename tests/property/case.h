/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A case: a configuration and a short history of snapshots, as plain numbers, so that it can be run again, made smaller, printed and read. What the
 * policy remembers between snapshots comes from running them in order.
 */

#include <stdio.h>

#include "host-agent/policy/policy.h"
#include "tools/sim/invariants.h"

#define CASE_VMS 12
#define CASE_STEPS 12
#define CASE_NODES 3

struct snapshot {
        uint64_t now_usec;
        struct policy_host host;
        struct policy_vm_input vms[CASE_VMS];
};

struct test_case {
        struct policy_config config;
        size_t n_vms, n_steps;
        struct snapshot steps[CASE_STEPS];
};

/* generate.c: the case of a seed. The same everywhere. */
void case_generate(uint64_t seed, struct test_case *ret);

/* check.c: runs a case and checks every invariant at every step; those that compare two decisions for VM and change that follow from `seed`.
 * thorough: convergence as well, which takes thousands of decisions. Adds to v. */
void case_check(const struct test_case *test, uint64_t seed, bool thorough, struct violations *v);

/* Two decisions from the same state that differ in one VM's weight or claims: I5 and I8. */
void case_check_pairs(const struct test_case *test, const struct policy_vm *vms, const struct policy_state *state, const struct policy_host *host,
                      uint64_t now_usec, uint64_t seed, struct violations *v);

/* The first invariant that is broken, or 0. */
unsigned violations_first(const struct violations *v);

/* shrink.c: the smallest case found that breaks the same invariant. */
void case_shrink(struct test_case *test, uint64_t seed, bool thorough, unsigned which);

/* text.c: a case as text, "host.total_bytes = 1073741824" a line; unknown values as "unknown". Lines that are at their default are left out. */
void case_print(const struct test_case *test, FILE *out);
int case_read(FILE *in, struct test_case *ret);
void case_defaults(struct test_case *ret, size_t n_vms, size_t n_steps);

/* One number of a case by its place, for printing and shrinking. */
struct field {
        const char *name;
        size_t offset;
        bool is_bool;
};
extern const struct field config_fields[], host_fields[], vm_fields[]; /* the last has no name */
uint64_t field_get(const struct field *field, const void *base);
void field_set(const struct field *field, void *base, uint64_t value);
