/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Memory that is set aside before a VM starts. This is the table only: it knows no clock, no VM and no policy, so that tests feed it times. The
 * policy squeezes the others by the sum; manager/reserve.c says when a reservation is met, and hands it over.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RESERVATIONS_MAX 64
#define RESERVATION_NAME_MAX 256

struct reservation {
        uint64_t id;                           /* 1, 2, ... */
        uint64_t bytes;
        uint64_t until_usec;                   /* CLOCK_MONOTONIC; then it is given up */
        char for_vm[RESERVATION_NAME_MAX];     /* libvirt's name of the VM that takes it over when it appears; "": nobody's */
        bool met;                              /* as of the last decision: free inside the envelope, after all that were made before it */
};

/* In the order in which they were made. Zero-initialised: none. */
struct reservations {
        struct reservation list[RESERVATIONS_MAX];
        size_t n;
        uint64_t last_id;
};

/* Appends; the id is new. for_vm: "" for nobody. -ENOBUFS: there are RESERVATIONS_MAX already; -EINVAL: the name is too long or has control
 * characters in it. *ret points into the table until it changes. */
int reservations_add(struct reservations *r, uint64_t bytes, uint64_t until_usec, const char *for_vm, struct reservation **ret);

/* By id, or by the VM that it is for; NULL: there is none. */
struct reservation *reservations_find(struct reservations *r, uint64_t id);
struct reservation *reservations_find_vm(struct reservations *r, const char *name);

void reservations_remove(struct reservations *r, struct reservation *one);

/* Takes out the first that has expired, and copies it. False: none has. */
bool reservations_expire(struct reservations *r, uint64_t now_usec, struct reservation *ret);

uint64_t reservations_total(const struct reservations *r);

/* Marks as met, in their order, those that fit into what is free when `liable` of `rule` bytes are taken. */
void reservations_judge(struct reservations *r, uint64_t liable_bytes, uint64_t rule_bytes);

/* Whether it may stand in a reservation and in the state file: not empty, short enough, no control characters. */
bool reservation_name_is_valid(const char *name);
