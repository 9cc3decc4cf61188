/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Reservations (view.h): the policy squeezes the others by their sum (policy_host.reserved_bytes); here they are made, judged after each decision,
 * and handed over to the VM when it appears: from then on its maximum counts instead.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "host-agent/manager/internal.h"
#include "protocol/clock.h"
#include "protocol/parse.h"
#include "protocol/units.h"

static void view(const struct reservation *one, struct reservation_view *ret) {
        *ret = (struct reservation_view) {
                .id = one->id, .bytes = one->bytes, .left_usec = u64_sub(one->until_usec, clock_monotonic_usec()), .for_vm = one->for_vm,
                .met = one->met,
        };
}

size_t manager_view_reservations(struct manager *m, struct reservation_view ret[static RESERVATIONS_MAX]) {
        for (size_t i = 0; i < m->reservations.n; i++)
                view(&m->reservations.list[i], &ret[i]);
        return m->reservations.n;
}

static void remove_waiter(struct manager *m, size_t index) {
        if (m->waiters[index].hook)
                virt_hold_enumeration(m->virt, false);
        m->waiters[index] = m->waiters[--m->n_waiters];
}

/* Ends the wait for a reservation, if anybody waits for it. one: NULL with a negative result. */
static void answer_waiter(struct manager *m, uint64_t id, int result, const struct reservation *one, const char *error) {
        struct reservation_view v;

        for (size_t i = 0; i < m->n_waiters; i++) {
                struct reserve_waiter waiter = m->waiters[i];

                if (waiter.id != id)
                        continue;
                remove_waiter(m, i);
                if (one)
                        view(one, &v);
                waiter.done(result, one ? &v : NULL, error, waiter.userdata);
                return;
        }
}

static void drop(struct manager *m, struct reservation *one, int result, const char *error) {
        uint64_t id = one->id;

        reservations_remove(&m->reservations, one);
        answer_waiter(m, id, result, NULL, error);
        manager_keep_changed(m);
}

/* Whether it could be met at all: everybody at the least that they can have. counted: it is among our reservations already. */
static int check_fit(struct manager *m, uint64_t bytes, bool counted, char error[static VIEW_ERROR_MAX]) {
        uint64_t ours = counted ? bytes : 0, least = u64_sub(manager_least_bytes(m, SIZE_MAX, 0), ours), needed = u64_add(least, bytes);
        char a[FORMAT_SIZE_MAX], b[FORMAT_SIZE_MAX], c[FORMAT_SIZE_MAX], d[FORMAT_SIZE_MAX];

        if (needed > m->plan.rule_bytes) {
                snprintf(error, VIEW_ERROR_MAX, "%s cannot be reserved: %s is missing. The host can bear %s, and the VMs need %s at least (floors, "
                                                "fixed VMs, other reservations and overhead)",
                         format_size(bytes, a), format_size(needed - m->plan.rule_bytes, b), format_size(m->plan.rule_bytes, c),
                         format_size(least, d));
                return -ENOSPC;
        }
        /* The second bound: what is reserved has to be memory, whatever swap backs. */
        least = u64_add(m->plan.resident_least_bytes, u64_sub(reservations_total(&m->reservations), ours));
        needed = u64_add(least, bytes);
        if (needed > m->plan.resident_rule_bytes) {
                snprintf(error, VIEW_ERROR_MAX, "%s cannot be reserved: %s of memory is missing, which swap cannot stand in for. The host has %s for "
                                                "VMs, and %s has to stay in it (floors, VMs that cannot swap, other reservations and overhead)",
                         format_size(bytes, a),
                         format_size(needed - m->plan.resident_rule_bytes, b), format_size(m->plan.resident_rule_bytes, c), format_size(least, d));
                return -ENOSPC;
        }
        if ((m->paused || m->settings.dry_run || m->options.dry_run) && bytes > m->plan.free_bytes) {
                snprintf(error, VIEW_ERROR_MAX, "%s cannot be reserved: %s is free, and automation is %s, so that nobody gives any",
                         format_size(bytes, a),
                         format_size(m->plan.free_bytes, b), m->paused ? "paused" : "off (dry run)");
                return -ENOSPC;
        }
        return 0;
}

static bool vm_runs(struct manager *m, const char *name) {
        for (size_t i = 0; i < m->n_vms; i++)
                if (strcmp(m->vms[i]->name, name) == 0)
                        return true;
        return false;
}

int manager_reserve(struct manager *m, const struct reserve_request *request, struct reservation_view *ret, char error[static VIEW_ERROR_MAX]) {
        uint64_t now_usec = clock_monotonic_usec(), bytes = request->bytes;
        const char *for_vm = request->for_vm ?: "";
        struct reservation *one;
        char size[FORMAT_SIZE_MAX];
        bool unchecked;
        int r;

        if (vm_runs(m, for_vm)) {
                snprintf(error, VIEW_ERROR_MAX, "\"%.128s\" runs already, and its memory is counted: nothing has to be reserved for it", for_vm);
                return -EEXIST;
        }
        if (*for_vm) /* as much as will count for it from its start */
                bytes = u64_add(bytes, POLICY_OVERHEAD_DEFAULT);
        one = reservations_find_vm(&m->reservations, for_vm);
        if (one) /* a start that is tried again */
                drop(m, one, -ECANCELED, "another reservation for this VM has taken its place");
        /* A start that waits may wait for the agents, too; not for the listing of VMs, which waits for the lock that a hook's VM holds. */
        unchecked = !m->ready && m->synced_usec != 0 && request->wait_usec > 0;
        if (!unchecked && (m->decisions == 0 || !m->ready)) {
                snprintf(error, VIEW_ERROR_MAX, "aerostatd has just started and %s; try again in a few seconds",
                         m->connected ? "does not know all VMs of this host yet" : "has not reached libvirt yet (`systemctl status libvirtd`)");
                r = -EAGAIN;
        } else
                r = unchecked ? 0 : check_fit(m, bytes, false, error);
        if (r < 0) {
                log_message(LOG_NOTICE, "reservation%s%s refused: %s", *for_vm ? " for " : "", for_vm, error);
                return r;
        }
        r = reservations_add(&m->reservations, bytes, u64_add(now_usec, request->ttl_usec), for_vm, &one);
        if (r < 0) {
                snprintf(error, VIEW_ERROR_MAX, r == -ENOBUFS ? "there are too many reservations already; release some first"
                                                              : "the name of the VM is too long or has control characters in it");
                return r;
        }
        log_message(LOG_INFO, "reservation %" PRIu64 ": %s%s%s", one->id, format_size(bytes, size), *for_vm ? " for " : "", for_vm);
        manager_keep_changed(m);
        view(one, ret);
        if (request->wait_usec == 0)
                return 0;
        m->waiters[m->n_waiters++] = (struct reserve_waiter) {
                .id = one->id, .deadline_usec = u64_add(now_usec, request->wait_usec), .wait_usec = request->wait_usec,
                .unchecked = unchecked, .hook = request->hook, .done = request->done, .userdata = request->userdata,
        };
        /* A hook that waits has its domain's lock, and a listing would wait for it. Nobody else has: they may wait for hours, and VMs that come and
         * go meanwhile are to be found. */
        if (request->hook)
                virt_hold_enumeration(m->virt, true);
        return 1;
}

void manager_reserve_abandon(struct manager *m, void *userdata) {
        for (size_t i = 0; i < m->n_waiters; i++)
                if (m->waiters[i].userdata == userdata) {
                        struct reservation *one = reservations_find(&m->reservations, m->waiters[i].id);

                        /* Nobody knows its id. */
                        remove_waiter(m, i);
                        if (one)
                                drop(m, one, -ECANCELED, "nobody waits any more");
                        return;
                }
}

int manager_unreserve(struct manager *m, uint64_t id, const char *for_vm, char error[static VIEW_ERROR_MAX]) {
        struct reservation *one = for_vm ? reservations_find_vm(&m->reservations, for_vm) : reservations_find(&m->reservations, id);

        if (!one) {
                if (for_vm)
                        snprintf(error, VIEW_ERROR_MAX, "there is no reservation for \"%.128s\"; `aerostatctl reservations` lists them", for_vm);
                else
                        snprintf(error, VIEW_ERROR_MAX, "there is no reservation %" PRIu64 "; `aerostatctl reservations` lists them", id);
                return -ENOENT;
        }
        log_message(LOG_INFO, "reservation %" PRIu64 " released", one->id);
        drop(m, one, -ECANCELED, "the reservation was released");
        return 0;
}

void manager_reservations_hand_over(struct manager *m, const char *name) {
        struct reservation *one = reservations_find_vm(&m->reservations, name);

        if (!one)
                return;
        log_vm(LOG_INFO, name, "took over reservation %" PRIu64, one->id);
        drop(m, one, -EEXIST, "the VM runs already");
}

void manager_reservations_expire(struct manager *m, uint64_t now_usec) {
        struct reservation gone;

        while (reservations_expire(&m->reservations, now_usec, &gone)) {
                log_message(LOG_INFO, "reservation %" PRIu64 " was not used in time: given up", gone.id);
                answer_waiter(m, gone.id, -ETIMEDOUT, NULL, "the reservation's time was over before it was free");
                m->changed = true;
        }
        m->host.reserved_bytes = reservations_total(&m->reservations);
        for (size_t i = 0; i < m->n_waiters; i++) /* nobody is squeezed for what may not fit at all */
                if (m->waiters[i].unchecked)
                        m->host.reserved_bytes = u64_sub(m->host.reserved_bytes, reservations_find(&m->reservations, m->waiters[i].id)->bytes);
}

void manager_reservations_judge(struct manager *m, uint64_t now_usec) {
        uint64_t taken = m->plan.liable_bytes;

        reservations_judge(&m->reservations, m->plan.liable_bytes, m->plan.rule_bytes);
        for (size_t i = 0; i < m->reservations.n;) {
                struct reservation *one = &m->reservations.list[i];
                struct reserve_waiter *waiter = NULL;
                char error[VIEW_ERROR_MAX], a[FORMAT_SIZE_MAX], b[FORMAT_SIZE_MAX], c[FORMAT_DURATION_MAX];

                taken = u64_add(taken, one->bytes);
                for (size_t w = 0; w < m->n_waiters; w++)
                        if (m->waiters[w].id == one->id)
                                waiter = &m->waiters[w];
                if (waiter && waiter->unchecked && m->ready) {
                        int r = check_fit(m, one->bytes, true, error);

                        waiter->unchecked = false;
                        if (r < 0) {
                                log_message(LOG_NOTICE, "reservation %" PRIu64 " refused: %s", one->id, error);
                                taken -= one->bytes;
                                drop(m, one, r, error);
                                continue;
                        }
                }
                if (waiter && !waiter->unchecked && one->met)
                        answer_waiter(m, one->id, 0, one, NULL);
                else if (waiter && waiter->deadline_usec <= now_usec) {
                        snprintf(error, sizeof(error), "not free within %s: of %s, %s is still missing", format_duration(waiter->wait_usec, c),
                                 format_size(one->bytes, a), format_size(MIN(u64_sub(taken, m->plan.rule_bytes), one->bytes), b));
                        log_message(LOG_NOTICE, "reservation %" PRIu64 ": %s", one->id, error);
                        taken -= one->bytes;
                        drop(m, one, -ETIMEDOUT, error);
                        continue;
                }
                i++;
        }
}
