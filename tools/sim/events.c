/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <string.h>

#include "protocol/units.h"
#include "tools/sim/run.h"

/* What the scenario lets happen, and the book of reservations. */

#define RESERVATION_TTL_USEC (5 * USEC_PER_MINUTE)

uint64_t run_reserved_bytes(const struct run *run) {
        uint64_t bytes = 0;

        for (size_t i = 0; i < run->n_reservations; i++)
                if (run->reservations[i].state != RESERVATION_GONE)
                        bytes = u64_add(bytes, run->reservations[i].bytes);
        return bytes;
}

/* As the daemon judges it: with everybody at the least that they hold for good. */
static bool could_be_met(const struct run *run, uint64_t bytes) {
        uint64_t reserved = u64_add(run_reserved_bytes(run), bytes);

        return u64_add(policy_least_bytes(run->vms, run->n_vms, SIZE_MAX, 0), reserved) <= run->plan.rule_bytes &&
               u64_add(run->plan.resident_least_bytes, reserved) <= run->plan.resident_rule_bytes;
}

static void reserve(struct run *run, const struct event *e) {
        struct reservation *r = &run->reservations[run->n_reservations];

        *r = (struct reservation) {
                .id = ++run->n_reservations, .bytes = e->bytes, .asked_usec = run->now_usec, .state = RESERVATION_GONE,
                .expires_usec = u64_add(run->now_usec, e->for_usec == AEROSTAT_UNKNOWN ? RESERVATION_TTL_USEC : e->for_usec),
        };
        snprintf(r->for_vm, sizeof(r->for_vm), "%s", e->who);
        if (run->account.decisions == 0 || could_be_met(run, e->bytes)) /* what the host can bear is known from the first decision on */
                r->state = RESERVATION_WAITS;
        else
                run->account.reservations_refused++;
}

/* Whether it is for a VM that `who` means. */
static bool is_for(const struct run *run, const struct reservation *r, const char *who) {
        for (size_t i = 0; i < run->scenario->n_guests; i++)
                if (strcmp(run->scenario->guests[i].name, r->for_vm) == 0 && guest_is_meant(&run->scenario->guests[i], who))
                        return true;
        return strcmp(r->for_vm, who) == 0;
}

static void release(struct run *run, const struct event *e) {
        for (size_t i = 0; i < run->n_reservations; i++) {
                struct reservation *r = &run->reservations[i];

                if (e->id != 0 ? r->id == e->id : e->who[0] == 0 || is_for(run, r, e->who))
                        r->state = RESERVATION_GONE;
        }
}

void run_reservations(struct run *run) {
        uint64_t taken = run->plan.liable_bytes;

        for (size_t i = run->n_reservations; i-- > 0 && run->account.decisions == 1 && !could_be_met(run, 0);)
                if (run->reservations[i].state == RESERVATION_WAITS) {
                        run->reservations[i].state = RESERVATION_GONE;
                        run->account.reservations_refused++;
                }
        for (size_t i = 0; i < run->n_reservations; i++) {
                struct reservation *r = &run->reservations[i];

                if (r->state != RESERVATION_GONE)
                        taken = u64_add(taken, r->bytes);
                if (r->state == RESERVATION_WAITS && taken <= run->plan.rule_bytes) { /* the earlier first, as the daemon judges them */
                        uint64_t wait = run->now_usec - r->asked_usec;

                        r->state = RESERVATION_MET;
                        run->account.reservations_met++;
                        run->account.reservation_wait_usec = MAX(run->account.reservation_wait_usec, wait);
                }
                if (run->now_usec >= r->expires_usec)
                        r->state = RESERVATION_GONE;
        }
}

static void happen_to(struct run *run, size_t index, const struct event *e) {
        struct guest *g = &run->guests[index];
        struct guest_account *a = &run->accounts[index];

        switch (e->kind) {
        case EVENT_SET:
                a->pin_bytes = CLAMP(e->bytes, a->floor_bytes, MAX(a->floor_bytes, g->spec->memory_bytes));
                a->pin_until_usec = u64_add(run->now_usec, e->for_usec);
                break;
        case EVENT_AUTO:
                a->pin_bytes = a->pin_until_usec = AEROSTAT_UNKNOWN;
                break;
        case EVENT_LIMITS:
                if (e->floor_bytes != AEROSTAT_UNKNOWN)
                        a->floor_bytes = MIN(e->floor_bytes, g->spec->memory_bytes);
                if (e->floor_ppm != AEROSTAT_UNKNOWN)
                        a->floor_bytes = u64_mul_div(g->spec->memory_bytes, e->floor_ppm, PPM_ONE);
                if (e->weight != AEROSTAT_UNKNOWN)
                        a->weight = e->weight;
                break;
        case EVENT_REBOOT:
                if (g->running)
                        guest_reboot(g, run->now_usec, run->scenario->settings.report_interval_usec);
                break;
        case EVENT_VM_PAUSE:
                g->vm_paused = true;
                break;
        case EVENT_VM_RESUME:
                g->vm_paused = false;
                break;
        default:
                break;
        }
}

static void happen(struct run *run, const struct event *e) {
        switch (e->kind) {
        case EVENT_RESERVE:
                reserve(run, e);
                break;
        case EVENT_RELEASE:
                release(run, e);
                break;
        case EVENT_HOST_USE:
                if (e->node < 0)
                        run->host.others_bytes = u64_add(run->scenario->base_use_bytes, e->bytes);
                else
                        run->host.nodes[e->node].use_bytes = e->bytes;
                break;
        case EVENT_SWAP:
                run->host.swap_total_bytes = e->bytes;
                break;
        case EVENT_PAUSE:
                run->paused = true;
                break;
        case EVENT_RESUME:
                run->paused = false;
                break;
        default:
                for (size_t i = 0; i < run->scenario->n_guests; i++)
                        if (guest_is_meant(&run->scenario->guests[i], e->who))
                                happen_to(run, i, e);
        }
        run->decide_now = true;
}

static void start(struct run *run, size_t index) {
        struct guest *g = &run->guests[index];

        /* Those that are there at the start have booted; others take their time. */
        guest_start(g, run->now_usec, run->now_usec == 0 ? 0 : 3 * USEC_PER_SEC, run->scenario->settings.report_interval_usec);
        run_add_vm(run, index);
        for (size_t i = 0; i < run->n_reservations; i++) {
                struct reservation *r = &run->reservations[i];

                if (r->state == RESERVATION_GONE || !guest_is_meant(g->spec, r->for_vm))
                        continue;
                r->state = RESERVATION_GONE; /* handed over */
                if (strcmp(r->for_vm, g->spec->name) != 0)
                        break; /* for a group: one for each of them */
        }
        run->decide_now = true;
}

void run_events(struct run *run) {
        const struct scenario *s = run->scenario;

        for (; run->next_event < s->n_events && s->events[run->next_event].at_usec <= run->now_usec; run->next_event++)
                happen(run, &s->events[run->next_event]);
        for (size_t i = 0; i < s->n_guests; i++) {
                struct guest *g = &run->guests[i];
                bool due = run->now_usec >= g->spec->start_usec && run->now_usec < g->spec->stop_usec;

                if (due && !g->running && !g->lost)
                        start(run, i);
                else if (!due && g->running)
                        guest_stop(g);
                if (run->accounts[i].pin_until_usec <= run->now_usec)
                        run->accounts[i].pin_bytes = run->accounts[i].pin_until_usec = AEROSTAT_UNKNOWN;
        }
        for (size_t k = run->n_vms; k > 0; k--)
                if (!run->guests[run->guest_of[k - 1]].running) {
                        run_remove_vm(run, run->guest_of[k - 1]);
                        run->decide_now = true;
                }
}
