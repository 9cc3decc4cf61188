/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* virt/ over libvirt's test driver, which lives in this process; what it cannot do (hang, reboot, forget a VM) is done by a runner in front of the
 * real calls. */

#include "tests/unit/unit.h"

#include <pthread.h>

#include "host-agent/virt/core.h"
#include "host-agent/virt/internal.h"

extern virConnectPtr driver; /* the test's own connection; keeps the test driver's world alive */

struct virt_test {
        sd_event *loop;
        struct virt *virt;
        struct virt_event *events;
        size_t n_events;
};
extern struct virt_test t;

/* What the runner does to calls; everything under the lock. */
struct runner {
        pthread_mutex_t lock;
        pthread_cond_t released;
        uint8_t hung[64][16];          /* calls on these VMs wait for release */
        size_t n_hung;
        bool hang_answers_late;        /* and then time out */
        bool forget;                   /* listings leave out: */
        uint8_t forgotten[16];
        int add_id;                    /* added to ids in descriptions */
        int fail[CALL_LIST + 1];       /* negative: all calls of a kind answer this, whatever libvirt says */
        unsigned n_calls[CALL_LIST + 1];
        unsigned n_waiting;
};
extern struct runner runner;

/* The runner; calls on a VM (zero: those on none) hang until all are released; calls of a kind fail; how many calls of a kind there were. */
void run_hooked(struct call *call, struct worker_link *link);
void hang(const uint8_t uuid[static 16]);
void release_all(void);
void fail_calls(enum call_kind kind, int result); /* 0: no longer */
unsigned n_calls(enum call_kind kind);

void on_event(const struct virt_event *event, void *userdata);

/* The first event of this type and VM (NULL: any) from position *from on, which then moves behind it. find(): NULL: none yet; await(): waits for
 * it. */
const struct virt_event *find(enum virt_event_type type, const uint8_t *uuid, size_t *from);
const struct virt_event *await(enum virt_event_type type, const uint8_t *uuid, size_t *from);
bool came(enum virt_event_type type, const uint8_t *uuid, size_t from);

/* A state comes as news of its own or with a description that was under way, whichever is first; what is known already is not told again. */
void await_state(enum virt_state state, const uint8_t *uuid, size_t *from);

/* A position: what comes from now on. */
size_t now(void);
void run_for(uint64_t usec);

/* A VM of 1 GiB with a balloon; it is stopped, and the reference given up, by stop_domain(). */
virDomainPtr start_domain(const char *name, uint8_t uuid[static 16]);
void stop_domain(virDomainPtr domain);
void test_uuid(uint8_t uuid[static 16]); /* of the VM that the driver has from its start */

/* Of a cmocka test, and of a group of them. */
int setup(void **state);
int teardown(void **state);
int open_driver(void **state);
int close_driver(void **state);

#define test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
