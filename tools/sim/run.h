/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * A simulation: simulated time in steps, the models of guests and host, and the daemon's policy (or a baseline's rule) that decides over them.
 */

#include <stdio.h>

#include "tools/sim/baseline.h"
#include "tools/sim/host.h"
#include "tools/sim/invariants.h"

/* Simulated time begins here, because 0 means "never" to the policy. */
#define RUN_EPOCH_USEC (1000 * USEC_PER_SEC)

enum reservation_state { RESERVATION_WAITS, RESERVATION_MET, RESERVATION_GONE };

struct reservation {
        uint64_t id, bytes, asked_usec, expires_usec;
        char for_vm[SCENARIO_NAME_MAX];
        enum reservation_state state;
};

/* What is counted for a guest over the run. */
struct guest_account {
        unsigned __int128 unmet_byte_usec;
        uint64_t pressure_since_usec;          /* unknown: not under pressure, or served */
        bool pressed;
        bool granted;                          /* since then */
        int direction;                         /* of its last move: +1, -1 */
        uint64_t pin_bytes, pin_until_usec;    /* unknown: none */
        uint64_t floor_bytes, weight;          /* in force */
};

struct account {
        uint64_t decisions, moves, reversals, moved_bytes, floor_violations, unsafe_usec;
        uint64_t committed_ppm, swap_ppm;      /* peaks; committed: after settling */
        uint64_t *latency_usec;                /* of grants */
        size_t n_latency, latency_allocated;
        uint64_t reservations_met, reservations_refused, reservation_wait_usec; /* the longest wait */
};

struct run {
        const struct scenario *scenario;
        enum baseline baseline;
        uint64_t now_usec;                     /* since the start */
        struct host host;
        struct guest *guests;                  /* as the scenario has them */
        struct guest_account *accounts;
        struct policy_state state;
        struct policy_plan plan;
        struct policy_host policy_host;        /* as of the last decision */
        /* running guests, in the order in which they came */
        struct policy_vm *vms;
        size_t *guest_of;                      /* index into guests for each of vms */
        size_t n_vms;
        struct policy_work *work;
        struct policy_vm *scratch;             /* for whatif: n_guests */
        uint64_t decide_usec;                  /* the next one is due */
        bool decide_now, paused;
        size_t next_event;
        struct reservation *reservations;
        size_t n_reservations;
        struct baseline_state *baseline_state;
        struct account account;
        struct violations violations;
        FILE *timeline;                        /* or NULL */
        struct svg *svg;                       /* or NULL */
};

int run_new(struct run **ret, const struct scenario *scenario, enum baseline baseline);
struct run *run_free(struct run *run);
DEFINE_CLEANUP(struct run *, run_free)

int run_all(struct run *run);

/* In parts. */
void run_events(struct run *run);                                      /* events.c: what is due */
void run_reservations(struct run *run);                                /* events.c: met, expired */
uint64_t run_reserved_bytes(const struct run *run);
void run_decide(struct run *run);                                      /* decide.c */
void run_add_vm(struct run *run, size_t guest);
void run_remove_vm(struct run *run, size_t guest);
void run_set_target(struct run *run, size_t vm, uint64_t bytes);       /* asks the balloon */
int run_account_step(struct run *run);                                 /* account.c */
int run_account_end(struct run *run);
