/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The hub and its workers: how the main thread gets things done by a library that blocks.
 *
 * Threads
 *   main      owns struct virt: which VMs there are, what is wanted of each, what is under way. It never calls libvirt.
 *   workers   detached; each takes a call from the hub, runs it on a connection of its own, hands the answer back. Knows nothing of VMs.
 *   event     one for the process, for ever: runs libvirt's event loop; its callbacks leave notes in the hub and do nothing else.
 *
 * Who owns what
 *   The hub is counted: the main thread, each worker, and each callback that is registered with libvirt hold a reference. So a worker that
 *   hangs in libvirt when the daemon ends, or a callback that libvirt runs late, still finds a hub, though nobody
 *   reads it any more.
 *   A call belongs to one side at a time: hub_submit() hands it over, hub_take_answer() or hub_withdraw() hand it back. A call that a worker
 *   holds when the hub is closed is freed by that worker.
 *   A connection belongs to its worker, the event connection to the CONNECT call's chain (struct call.link): it is opened and closed on
 *   workers, because both can block (only one that arrives while the daemon ends is closed by the main thread).
 *
 * Locks
 *   There is one: hub->lock. It protects the lists, the ring of notes, the counts of workers and call->begun_usec. It is never held while
 *   libvirt is called, nothing is allocated under it, and every critical section is a few instructions (a thread is created under it, at
 *   most 64 times). libvirt may call us with locks of its own held (callbacks, their free functions); we take hub->lock inside and nothing
 *   after it. So the order is always libvirt's locks, then ours: no cycle, no deadlock.
 *
 * Why so many workers
 *   A QEMU that does not answer holds a call without limit (measured: SIGSTOP; for ever for the call that waits on the monitor, 30 s for those
 *   behind it). The main thread allows one call per VM, so n stuck VMs hold n workers; those do not count (hub_allow, at most a tenth of a
 *   second after they got stuck), and others take their place, up to WORKERS_MAX. Measured: a target behind 40 calls that hang at the same
 *   time is set after 50 to 80 ms. libvirtd's own default is 20 workers (max_workers in libvirtd.conf): beyond 20 hung QEMUs it is libvirtd that
 *   answers nobody, and only raising that helps.
 *
 * When memory is short
 *   Submitting, withdrawing, notes and answers allocate nothing. One worker always stays. When no thread can be created, calls wait for those
 *   that exist. When the ring of notes is full, the loss is remembered and the main thread lists everything anew.
 */

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "host-agent/virt/internal.h"
#include "protocol/base.h"
#include "protocol/units.h"

/* The daemon locks its memory, stacks included: the default of 8 MiB each would cost 512 MiB. libxml2's deepest recursion (256 elements,
 * test-domain-xml) needs a fraction of this. */
#define STACK_SIZE (512 * KIB)
#define IDLE_SEC 30
#define CLOSE_WAIT_SEC 2

struct call_list {
        struct call *first, *last;
};

struct hub {
        unsigned references;           /* atomic */
        char *uri;                     /* this and the next two do not change */
        call_runner_t runner;
        int fd;

        pthread_mutex_t lock;
        pthread_cond_t work, ended;    /* CLOCK_MONOTONIC */
        struct call_list urgent, normal, answers;
        size_t n_waiting, n_workers, n_idle, limit;
        uint64_t period_usec;          /* when this period began */
        size_t least_idle, n_spare;    /* workers that idled all through it so far; those that did through the last one, and have not ended yet */
        bool closed;
        bool lost;
        size_t first_note, n_notes;
        struct note notes[NOTES_MAX];
};

static void list_append(struct call_list *list, struct call *call) {
        call->next = NULL;
        call->previous = list->last;
        if (list->last)
                list->last->next = call;
        else
                list->first = call;
        list->last = call;
}

static void list_remove(struct call_list *list, struct call *call) {
        if (call->previous)
                call->previous->next = call->next;
        else
                list->first = call->next;
        if (call->next)
                call->next->previous = call->previous;
        else
                list->last = call->previous;
        call->next = call->previous = NULL;
}

static struct call *list_take(struct call_list *list) {
        struct call *call = list->first;

        if (call)
                list_remove(list, call);
        return call;
}

struct call *call_new(void) {
        return calloc(1, sizeof(struct call));
}

struct call *call_free(struct call *call) {
        if (!call)
                return NULL;
        event_link_free(call->link);
        free(call->uuids);
        free(call);
        return NULL;
}

struct hub *hub_ref(struct hub *hub) {
        __atomic_add_fetch(&hub->references, 1, __ATOMIC_RELEASE);
        return hub;
}

struct hub *hub_unref(struct hub *hub) {
        if (!hub || __atomic_sub_fetch(&hub->references, 1, __ATOMIC_ACQ_REL) > 0)
                return NULL;
        pthread_cond_destroy(&hub->work);
        pthread_cond_destroy(&hub->ended);
        pthread_mutex_destroy(&hub->lock);
        if (hub->fd >= 0)
                close(hub->fd);
        free(hub->uri);
        free(hub);
        return NULL;
}

static void wake_main(struct hub *hub) {
        uint64_t one = 1;

        /* Can fail only when the counter is full: then it is readable already. */
        if (write(hub->fd, &one, sizeof(one)) < 0)
                return;
}

static void wait_until(pthread_cond_t *condition, pthread_mutex_t *lock, uint64_t until_usec, bool *ret_timed_out) {
        struct timespec until = { .tv_sec = (time_t) (until_usec / USEC_PER_SEC), .tv_nsec = (long) (until_usec % USEC_PER_SEC * 1000) };

        *ret_timed_out = pthread_cond_timedwait(condition, lock, &until) == ETIMEDOUT;
}

/* Under the lock, by a worker that finds nothing to do: whether it is one more than were needed in the last period. Idle workers take calls by turns,
 * so that none of them is without work for long while there is any: those that stood in for others which hung would stay for good. */
static bool is_spare(struct hub *hub) {
        uint64_t now = now_usec();

        if (now - hub->period_usec >= IDLE_SEC * USEC_PER_SEC) {
                hub->n_spare = hub->least_idle;
                hub->least_idle = hub->n_idle;
                hub->period_usec = now;
        }
        if (hub->n_spare == 0 || hub->n_workers == 1)
                return false;
        hub->n_spare--;
        return true;
}

/* Waits for a call; NULL when the worker shall end: the hub is closed, or others were enough for long. */
static struct call *next_call(struct hub *hub) {
        uint64_t until_usec = now_usec() + IDLE_SEC * USEC_PER_SEC;
        struct call *call;
        bool timed_out = false;

        for (;;) {
                call = list_take(&hub->urgent) ?: list_take(&hub->normal);
                if (call) {
                        hub->least_idle = MIN(hub->least_idle, hub->n_idle);
                        hub->n_waiting--;
                        call->waits_in = NULL;
                        call->begun_usec = now_usec();
                        return call;
                }
                if (hub->closed || is_spare(hub))
                        return NULL;
                if (timed_out)
                        until_usec = now_usec() + IDLE_SEC * USEC_PER_SEC;
                hub->n_idle++;
                wait_until(&hub->work, &hub->lock, until_usec, &timed_out);
                hub->n_idle--;
        }
}

static void *worker(void *userdata) {
        struct hub *hub = userdata; /* with a reference */
        struct worker_link link = { .hub = hub };
        struct call *call;

        pthread_mutex_lock(&hub->lock);
        while ((call = next_call(hub))) {
                pthread_mutex_unlock(&hub->lock);
                hub->runner(call, &link);
                pthread_mutex_lock(&hub->lock);
                call->begun_usec = 0;
                if (!hub->closed) {
                        list_append(&hub->answers, call);
                        wake_main(hub);
                        continue;
                }
                pthread_mutex_unlock(&hub->lock);
                call_free(call);
                pthread_mutex_lock(&hub->lock);
        }
        pthread_mutex_unlock(&hub->lock);
        worker_link_close(&link);
        pthread_mutex_lock(&hub->lock);
        hub->n_workers--;
        pthread_cond_signal(&hub->ended);
        pthread_mutex_unlock(&hub->lock);
        hub_unref(hub);
        return NULL;
}

/* Under the lock. Signals are for the main thread: workers block them all. */
static int spawn(struct hub *hub) {
        pthread_attr_t attr;
        pthread_t thread;
        sigset_t all, before;
        int r;

        r = pthread_attr_init(&attr);
        if (r != 0)
                return -r;
        pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
        pthread_attr_setstacksize(&attr, STACK_SIZE);
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        r = pthread_create(&thread, &attr, worker, hub_ref(hub));
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        pthread_attr_destroy(&attr);
        if (r != 0) {
                hub_unref(hub);
                return -r;
        }
        hub->n_workers++;
        return 0;
}

/* Under the lock. Idle workers have been signalled already, though they may not have woken yet. */
static void spawn_as_needed(struct hub *hub) {
        size_t n_new = u64_sub(hub->n_waiting, hub->n_idle);

        while (n_new-- > 0 && hub->n_workers < hub->limit)
                if (spawn(hub) < 0)
                        return; /* those that exist will get there; tried again with the next call */
}

int hub_new(struct hub **ret, const char *uri, call_runner_t runner) {
        struct hub *hub = calloc(1, sizeof(*hub));
        pthread_condattr_t attr;
        int r;

        if (!hub)
                return -ENOMEM;
        hub->references = 1;
        hub->uri = strdup(uri);
        hub->runner = runner;
        hub->limit = WORKERS_BASE;
        pthread_mutex_init(&hub->lock, NULL);
        pthread_condattr_init(&attr);
        pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        pthread_cond_init(&hub->work, &attr);
        pthread_cond_init(&hub->ended, &attr);
        pthread_condattr_destroy(&attr);
        hub->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (!hub->uri || hub->fd < 0) {
                r = !hub->uri ? -ENOMEM : -errno;
                hub_unref(hub);
                return r;
        }
        pthread_mutex_lock(&hub->lock);
        r = spawn(hub);
        pthread_mutex_unlock(&hub->lock);
        if (r < 0) {
                hub_unref(hub);
                return r;
        }
        *ret = hub;
        return 0;
}

const char *hub_uri(const struct hub *hub) {
        return hub->uri;
}

int hub_fd(const struct hub *hub) {
        return hub->fd;
}

void hub_submit(struct hub *hub, struct call *call, bool urgent) {
        pthread_mutex_lock(&hub->lock);
        call->waits_in = urgent ? &hub->urgent : &hub->normal;
        list_append(call->waits_in, call);
        hub->n_waiting++;
        spawn_as_needed(hub);
        pthread_cond_signal(&hub->work);
        pthread_mutex_unlock(&hub->lock);
}

bool hub_withdraw(struct hub *hub, struct call *call) {
        bool withdrawn;

        pthread_mutex_lock(&hub->lock);
        withdrawn = call->waits_in;
        if (withdrawn) {
                list_remove(call->waits_in, call);
                call->waits_in = NULL;
                hub->n_waiting--;
        }
        pthread_mutex_unlock(&hub->lock);
        return withdrawn;
}

uint64_t hub_call_age(struct hub *hub, const struct call *call) {
        uint64_t begun_usec;

        pthread_mutex_lock(&hub->lock);
        begun_usec = call->begun_usec;
        pthread_mutex_unlock(&hub->lock);
        return begun_usec == 0 ? 0 : u64_sub(now_usec(), begun_usec);
}

void hub_allow(struct hub *hub, size_t n_stuck) {
        pthread_mutex_lock(&hub->lock);
        hub->limit = MIN(WORKERS_BASE + n_stuck, WORKERS_MAX);
        spawn_as_needed(hub);
        pthread_mutex_unlock(&hub->lock);
}

void hub_clear_wakeup(struct hub *hub) {
        uint64_t count;

        if (read(hub->fd, &count, sizeof(count)) < 0)
                return; /* EAGAIN: nothing to clear */
}

void hub_push_note(struct hub *hub, const struct note *note) {
        /* The pointer came through libvirt, which orders it by means that ThreadSanitizer does not see: pair with hub_ref() instead. */
        (void) __atomic_load_n(&hub->references, __ATOMIC_ACQUIRE);
        pthread_mutex_lock(&hub->lock);
        if (hub->n_notes < NOTES_MAX)
                hub->notes[(hub->first_note + hub->n_notes++) % NOTES_MAX] = *note;
        else
                hub->lost = true;
        wake_main(hub);
        pthread_mutex_unlock(&hub->lock);
}

bool hub_take_note(struct hub *hub, struct note *ret) {
        bool taken;

        pthread_mutex_lock(&hub->lock);
        taken = hub->n_notes > 0;
        if (taken) {
                *ret = hub->notes[hub->first_note];
                hub->first_note = (hub->first_note + 1) % NOTES_MAX;
                hub->n_notes--;
        }
        pthread_mutex_unlock(&hub->lock);
        return taken;
}

bool hub_take_lost(struct hub *hub) {
        bool lost;

        pthread_mutex_lock(&hub->lock);
        lost = hub->lost;
        hub->lost = false;
        pthread_mutex_unlock(&hub->lock);
        return lost;
}

struct call *hub_take_answer(struct hub *hub) {
        struct call *call;

        pthread_mutex_lock(&hub->lock);
        call = list_take(&hub->answers);
        pthread_mutex_unlock(&hub->lock);
        return call;
}

void hub_close(struct hub *hub, struct call *last) {
        struct call_list unwanted = { 0 };
        uint64_t until_usec = now_usec() + CLOSE_WAIT_SEC * USEC_PER_SEC;
        struct call *call;
        bool timed_out = false;

        pthread_mutex_lock(&hub->lock);
        while ((call = list_take(&hub->urgent) ?: list_take(&hub->normal) ?: list_take(&hub->answers)))
                list_append(&unwanted, call);
        hub->n_waiting = 0;
        if (last) {
                list_append(&hub->urgent, last);
                hub->n_waiting = 1;
                hub->limit = WORKERS_MAX;
                spawn_as_needed(hub);
        }
        hub->closed = true;
        pthread_cond_broadcast(&hub->work);
        while (hub->n_workers > 0 && !timed_out)
                wait_until(&hub->ended, &hub->lock, until_usec, &timed_out);
        pthread_mutex_unlock(&hub->lock);
        while ((call = list_take(&unwanted)))
                call_free(call);
}
