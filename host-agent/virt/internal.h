/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Between the files of virt/ and their tests; the public side is virt.h. Who runs where, and why nothing deadlocks: the essay on top of
 * workers.c.
 *
 *   core.h     main thread: which VMs there are, what is wanted of them, what the handler is told (with its files)
 *   workers.c  the hub: the only thing that threads share
 *   calls.c    worker threads: the calls themselves
 *   events.c   event thread: callbacks become notes
 *   states.c   what libvirt's numbers mean; pure
 */

#include <time.h>

#include <libvirt/libvirt.h>

#include "host-agent/virt/virt.h"
#include "protocol/units.h"

static inline uint64_t now_usec(void) {
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t) ts.tv_sec * USEC_PER_SEC + (uint64_t) ts.tv_nsec / 1000;
}

/* A call's kind; also the order in which what waits for one VM is done. */
enum call_kind {
        CALL_PAUSE,
        CALL_SAVE,
        CALL_TARGET,
        CALL_DESCRIBE,
        CALL_JOB,                      /* does a job move the memory of a VM that runs? */
        CALL_PERIOD,
        CALL_METADATA,
        CALL_STATS,
        CALL_CONNECT,                  /* this one and the next are of no VM */
        CALL_LIST,
};

/* One call to libvirt: question and answer. Belongs to whoever may touch it: the main thread; from hub_submit() on the hub and its workers;
 * from hub_take_answer() on the main thread again. Allocated when a VM is found, so that asking allocates nothing. */
struct call {
        struct call *next, *previous;  /* the hub's, as are the next two, under its lock */
        struct call_list *waits_in;    /* NULL: no worker is needed for it any more */
        uint64_t begun_usec;           /* CLOCK_MONOTONIC when a worker took it; 0: it waits, or is done */

        enum call_kind kind;
        uint8_t uuid[16];
        uint64_t bytes;                /* TARGET */
        uint32_t seconds;              /* PERIOD */
        bool flag;                     /* PAUSE: pause or resume; CONNECT: close only; JOB: the answer */
        struct virt_metadata metadata; /* METADATA */
        uint64_t run;                  /* machines.h: which run of the VM it was asked of */
        uint64_t serial;               /* machines.h: of the VM when it was asked */

        struct virt_event event;       /* the answer: result, text, and what belongs to the kind */
        struct event_link *link;       /* CONNECT: in: closed first; out: the new one, or NULL */
        uint8_t (*uuids)[16];          /* LIST; freed with the call */
        size_t n_uuids;
};

struct call *call_new(void);
struct call *call_free(struct call *call);

/* What the event thread has to say; small and of fixed size. */
enum note_kind {
        NOTE_STARTED,                  /* describe it */
        NOTE_CHANGED,                  /* describe it if it is known */
        NOTE_STATE,                    /* state */
        NOTE_MIGRATING,                /* runs, and an outgoing migration copies its memory */
        NOTE_GONE,
        NOTE_REBOOT,
        NOTE_BALLOON,                  /* bytes */
        NOTE_CLOSED,                   /* of no VM: the event connection is lost; reason: virConnectCloseReason */
};

struct note {
        enum note_kind kind;
        uint8_t uuid[16];
        union {
                enum virt_state state;
                uint64_t bytes;
                int reason;
        };
};

/* A worker's own connection, opened when first needed. */
struct worker_link {
        struct hub *hub;
        virConnectPtr connection;
};

typedef void (*call_runner_t)(struct call *call, struct worker_link *link);

/* workers.c. "any" thread or the "main" thread. */
#define WORKERS_BASE 8u                /* responsive workers: a call takes about 2 ms */
#define WORKERS_MAX 64u                /* with those that are stuck */
#define NOTES_MAX 2048u

struct hub;
int hub_new(struct hub **ret, const char *uri, call_runner_t runner); /* main; -ENOMEM, -EAGAIN: no thread */
struct hub *hub_ref(struct hub *hub);                                 /* any */
struct hub *hub_unref(struct hub *hub);                               /* any */
const char *hub_uri(const struct hub *hub);                           /* any */
int hub_fd(const struct hub *hub);                                    /* main: readable when there are notes or answers */
void hub_submit(struct hub *hub, struct call *call, bool urgent);     /* main; urgent ones overtake the others */
bool hub_withdraw(struct hub *hub, struct call *call);                /* main; true: no worker had taken it; it is yours again */
uint64_t hub_call_age(struct hub *hub, const struct call *call);      /* main: microseconds since a worker took it; 0: it waits, or is done */
void hub_allow(struct hub *hub, size_t n_stuck);                      /* main: how many workers do not count as responsive */
void hub_clear_wakeup(struct hub *hub);                               /* main: before taking notes and answers */
bool hub_take_note(struct hub *hub, struct note *ret);                /* main */
bool hub_take_lost(struct hub *hub);                                  /* main: true once after notes were lost */
struct call *hub_take_answer(struct hub *hub);                        /* main */
void hub_push_note(struct hub *hub, const struct note *note);         /* any; never blocks, never allocates */
void hub_close(struct hub *hub, struct call *last);                   /* main: ends workers after `last` (may be NULL), frees calls */

/* calls.c, on workers. */
void call_run(struct call *call, struct worker_link *link);
virConnectPtr connection_open(const char *uri); /* with keepalive; NULL: libvirt's error is set */
void worker_link_close(struct worker_link *link);

/* events.c */
int events_start_thread(void);         /* main; once for the process, later calls do nothing */
int event_link_open(struct event_link **ret, struct hub *hub, char *text, size_t size); /* worker; on failure text says why */
struct event_link *event_link_free(struct event_link *link);          /* worker */

/* states.c */
bool note_from_lifecycle(int event, int detail, struct note *ret);    /* false: of no interest */
enum virt_state state_from_libvirt(int state, int reason);
bool job_moves_memory(int operation);                                 /* virDomainJobOperation */
const char *close_reason_text(int reason);                            /* a sentence */

/* virt.c: virt_new() with another runner, for tests. */
int virt_new_with_runner(struct virt **ret, sd_event *event, const char *uri, virt_handler_t handler, void *userdata, call_runner_t runner);
struct hub *virt_get_hub(struct virt *virt);
