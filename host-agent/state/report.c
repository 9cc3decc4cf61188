/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/state/report.h"

#include <stdlib.h>
#include <string.h>

#include "protocol/units.h"

#define HOUR_SEC 3600u
#define DAY_SEC 86400u
#define ELAPSED_MAX (10 * USEC_PER_SEC)                /* the daemon decides every 2 s at least: more than this it was stopped */
#define UNMET_USEC USEC_PER_MINUTE
#define NEAR_MAX_PPM 850000
#define NEAR_MAX_LONG_PPM 100000                       /* of the time: too small */
#define WATCHED_LEAST_MSEC (3600u * 1000u)             /* nothing is said of a VM's size before */
#define TOO_LARGE_LEAST (512 * MIB)                    /* that nobody ever needed */
#define SUGGEST_GRAIN (256 * MIB)

static uint32_t to_mib(uint64_t bytes) {
        return bytes == AEROSTAT_UNKNOWN ? 0 : (uint32_t) MIN((bytes + MIB / 2) / MIB, (uint64_t) UINT32_MAX);
}

static void grow(uint32_t *field, uint64_t by) {
        *field = (uint32_t) MIN(u64_add(*field, by), (uint64_t) UINT32_MAX);
}

static void raise(uint32_t *field, uint32_t to) {
        *field = MAX(*field, to);
}

void report_done(struct report *r) {
        for (size_t i = 0; i < r->n_vms; i++)
                free(r->vms[i]);
        free(r->vms);
        *r = (struct report) { 0 };
}

static struct report_hour *hour_at(struct report *r, uint64_t now_sec) {
        uint32_t hour = (uint32_t) (now_sec / HOUR_SEC);
        struct report_hour *h = &r->hours[hour % REPORT_HOURS];

        if (h->hour != hour)
                *h = (struct report_hour) { .hour = hour, .envelope_mib = UINT32_MAX };
        return h;
}

static struct report_day *day_at(struct report_vm *vm, uint64_t now_sec) {
        uint32_t day = (uint32_t) (now_sec / DAY_SEC);
        struct report_day *d = &vm->days[day % REPORT_DAYS];

        if (d->day != day)
                *d = (struct report_day) { .day = day };
        return d;
}

static bool is_over(const struct report_vm *vm, uint64_t now_sec) {
        uint64_t today = now_sec / DAY_SEC;

        if (vm->runs || now_sec == AEROSTAT_UNKNOWN)
                return false;
        for (size_t i = 0; i < REPORT_DAYS; i++) /* a day to come is of a clock that was wrong */
                if (vm->days[i].day <= today && vm->days[i].day + REPORT_DAYS > today)
                        return false;
        return true;
}

struct report_vm *report_vm_of(struct report *r, const uint8_t uuid[static 16], const char *name, uint64_t now_sec) {
        struct report_vm *vm = NULL;
        void *p;

        for (size_t i = 0; i < r->n_vms && !vm; i++)
                if (memcmp(r->vms[i]->uuid, uuid, 16) == 0)
                        vm = r->vms[i];
        for (size_t i = 0; i < r->n_vms && !vm; i++)
                if (is_over(r->vms[i], now_sec)) {
                        vm = r->vms[i];
                        *vm = (struct report_vm) { 0 };
                }
        if (!vm) {
                if (r->n_vms >= REPORT_VMS_MAX)
                        return NULL;
                p = reallocarray(r->vms, r->n_vms + 1, sizeof(*r->vms));
                if (!p)
                        return NULL;
                r->vms = p;
                vm = calloc(1, sizeof(*vm));
                if (!vm)
                        return NULL;
                r->vms[r->n_vms++] = vm;
        }
        memcpy(vm->uuid, uuid, 16);
        strcpy(vm->name, reservation_name_is_valid(name) ? name : "-");
        return vm;
}

/* ---- bursts ---- */

enum burst_outcome report_watch_burst(struct report_burst *b, const struct policy_vm *vm, uint64_t now_usec, uint64_t *ret_late_usec) {
        const struct policy_vm_input *in = &vm->input;
        const struct policy_vm_plan *p = &vm->plan;
        uint64_t band = MAX(in->max_bytes / 100, 16 * MIB), wants = MIN(p->demand_bytes, in->max_bytes), late;
        bool known = p->class == POLICY_MANAGED && in->report_usec != 0 && p->demand_bytes != AEROSTAT_UNKNOWN &&
                     in->actual_bytes != AEROSTAT_UNKNOWN;
        bool has = !known || in->actual_bytes + MIN(band, in->max_bytes) >= wants;
        bool short_of = !has && in->guest_available_bytes < p->pressure_below_bytes;
        enum burst_outcome outcome = BURST_NONE;

        if (b->since_usec == 0) {
                if (!short_of)
                        return BURST_NONE;
                *b = (struct report_burst) { .since_usec = MAX(now_usec, 1) };
        }
        b->waits = !has && MIN(p->target_bytes, in->max_bytes) + band < wants;
        b->waited |= b->waits;
        late = now_usec - b->since_usec;
        if (has || (!short_of && !b->waits)) {
                if (!b->unmet)
                        outcome = b->waited ? BURST_LATE : BURST_AT_ONCE;
                *b = (struct report_burst) { 0 };
        } else if (late >= UNMET_USEC && b->waited && !b->unmet) {
                b->unmet = true;
                outcome = BURST_UNMET;
        }
        if (outcome != BURST_NONE)
                *ret_late_usec = late;
        return outcome;
}

void report_add_burst(struct report *r, struct report_vm *record, uint64_t now_sec, enum burst_outcome outcome, uint64_t late_usec) {
        struct report_hour *h = hour_at(r, now_sec);
        struct report_day *d = record ? day_at(record, now_sec) : NULL;

        switch (outcome) {
        case BURST_NONE:
                return;
        case BURST_AT_ONCE:
                grow(&h->bursts_at_once, 1);
                if (d)
                        grow(&d->bursts_at_once, 1);
                return;
        case BURST_LATE:
                grow(&h->bursts_late, 1);
                grow(&h->late_msec, late_usec / USEC_PER_MSEC);
                raise(&h->late_max_msec, (uint32_t) MIN(late_usec / USEC_PER_MSEC, (uint64_t) UINT32_MAX));
                if (d)
                        grow(&d->bursts_late, 1);
                return;
        case BURST_UNMET:
                grow(&h->bursts_unmet, 1);
                if (d)
                        grow(&d->bursts_unmet, 1);
                return;
        }
}

/* ---- adding up ---- */

void report_add_host(struct report *r, const struct report_sample *s) {
        struct report_hour *h = hour_at(r, s->now_sec);
        uint64_t msec = MIN(s->elapsed_usec, ELAPSED_MAX) / USEC_PER_MSEC;

        grow(&h->watched_msec, msec);
        switch (s->plan->host_state) {
        case POLICY_NORMAL:
                break;
        case POLICY_TIGHT:
                grow(&h->tight_msec, msec);
                break;
        case POLICY_HARD:
                grow(&h->hard_msec, msec);
                break;
        case POLICY_CRITICAL:
                grow(&h->critical_msec, msec);
                break;
        }
        if (s->plan->unsafe)
                grow(&h->unsafe_msec, msec);
        h->envelope_mib = MIN(h->envelope_mib, to_mib(s->plan->envelope_bytes));
        raise(&h->committed_mib, to_mib(s->plan->committed_bytes));
        raise(&h->demand_mib, to_mib(s->demand_bytes));
        raise(&h->swap_mib, to_mib(s->swap_used_bytes));
        grow(&h->moves, s->moves);
        grow(&h->moved_mib, to_mib(s->moved_bytes));
        if (!s->would)
                return;
        grow(&h->dry_run_msec, msec);
        if (s->would->unsafe)
                grow(&h->would_unsafe_msec, msec);
        raise(&h->would_committed_mib, to_mib(s->would->committed_bytes));
        grow(&h->would_moves, s->would_moves);
        grow(&h->would_moved_mib, to_mib(s->would_moved_bytes));
}

void report_add_vm(struct report_vm *record, uint64_t now_sec, uint64_t elapsed_usec, const struct policy_vm *vm, const struct report_burst *burst) {
        const struct policy_vm_plan *p = &vm->plan;
        uint64_t msec = MIN(elapsed_usec, ELAPSED_MAX) / USEC_PER_MSEC, max = vm->input.max_bytes;
        struct report_day *d;

        if (vm->input.report_usec == 0 || p->demand_bytes == AEROSTAT_UNKNOWN)
                return;
        d = day_at(record, now_sec);
        grow(&d->watched_msec, msec);
        d->max_mib = to_mib(max);
        d->floor_mib = to_mib(MIN(vm->input.floor_bytes, max));
        raise(&d->demand_mib, to_mib(p->demand_bytes));
        if (u64_add(p->need_bytes, p->hot_bytes) >= u64_mul_div(max, NEAR_MAX_PPM, PPM_ONE))
                grow(&d->near_max_msec, msec);
        if (burst->waits)
                grow(&d->short_msec, msec);
}

/* ---- summing up ---- */

static uint64_t bytes(uint32_t mib) {
        return mib * MIB;
}

void report_sum_host(const struct report *r, uint64_t now_sec, uint64_t since_sec, struct report_sum *ret) {
        uint64_t first = u64_sub(now_sec, since_sec) / HOUR_SEC, last = now_sec / HOUR_SEC;
        struct report_sum s = { .envelope_bytes = AEROSTAT_UNKNOWN };

        first = MAX(first, u64_sub(last + 1, REPORT_HOURS));
        for (size_t i = 0; i < REPORT_HOURS; i++) {
                const struct report_hour *h = &r->hours[i];
                uint64_t envelope = bytes(h->envelope_mib);

                if (h->hour == 0 || h->hour < first || h->hour > last || h->watched_msec == 0)
                        continue;
                s.watched_msec += h->watched_msec, s.dry_run_msec += h->dry_run_msec;
                s.tight_msec += h->tight_msec, s.hard_msec += h->hard_msec, s.critical_msec += h->critical_msec;
                s.unsafe_msec += h->unsafe_msec, s.would_unsafe_msec += h->would_unsafe_msec;
                s.envelope_bytes = MIN(s.envelope_bytes, envelope);
                s.committed_bytes = MAX(s.committed_bytes, bytes(h->committed_mib));
                s.would_committed_bytes = MAX(s.would_committed_bytes, bytes(h->would_committed_mib));
                s.committed_ppm = MAX(s.committed_ppm, u64_mul_div(bytes(h->committed_mib), PPM_ONE, MAX(envelope, 1)));
                s.would_committed_ppm = MAX(s.would_committed_ppm, u64_mul_div(bytes(h->would_committed_mib), PPM_ONE, MAX(envelope, 1)));
                s.demand_bytes = MAX(s.demand_bytes, bytes(h->demand_mib));
                s.swap_bytes = MAX(s.swap_bytes, bytes(h->swap_mib));
                s.moves += h->moves, s.moved_bytes += bytes(h->moved_mib);
                s.would_moves += h->would_moves, s.would_moved_bytes += bytes(h->would_moved_mib);
                s.bursts_at_once += h->bursts_at_once, s.bursts_late += h->bursts_late, s.bursts_unmet += h->bursts_unmet;
                s.late_msec += h->late_msec;
                s.late_max_msec = MAX(s.late_max_msec, (uint64_t) h->late_max_msec);
        }
        *ret = s;
}

/* Too large where half of it was never needed; too small where it lived near its end for a tenth of the time. */
static void judge_size(struct report_vm_sum *s) {
        if (s->watched_msec < WATCHED_LEAST_MSEC)
                return;
        s->size = REPORT_SIZE_FINE;
        if (s->near_max_msec >= u64_mul_div(s->watched_msec, NEAR_MAX_LONG_PPM, PPM_ONE)) {
                s->size = REPORT_SIZE_TOO_SMALL;
                s->suggested_bytes = s->max_bytes + s->max_bytes / 2;
        } else if (s->demand_bytes <= s->max_bytes / 2 && s->max_bytes - s->demand_bytes >= TOO_LARGE_LEAST) {
                s->size = REPORT_SIZE_TOO_LARGE;
                s->suggested_bytes = s->demand_bytes + s->demand_bytes / 4;
        } else
                return;
        s->suggested_bytes = (s->suggested_bytes + SUGGEST_GRAIN - 1) / SUGGEST_GRAIN * SUGGEST_GRAIN;
}

void report_sum_vm(const struct report_vm *record, uint64_t now_sec, uint64_t since_sec, struct report_vm_sum *ret) {
        uint64_t first = u64_sub(now_sec, since_sec) / DAY_SEC, last = now_sec / DAY_SEC, newest = 0;
        struct report_vm_sum s = {
                .max_bytes = AEROSTAT_UNKNOWN, .floor_bytes = AEROSTAT_UNKNOWN, .demand_bytes = AEROSTAT_UNKNOWN, .size = REPORT_SIZE_UNKNOWN,
                .suggested_bytes = AEROSTAT_UNKNOWN,
        };

        first = MAX(first, u64_sub(last + 1, REPORT_DAYS));
        for (size_t i = 0; i < REPORT_DAYS; i++) {
                const struct report_day *d = &record->days[i];

                if (d->day == 0 || d->day < first || d->day > last || d->watched_msec == 0)
                        continue;
                s.watched_msec += d->watched_msec, s.near_max_msec += d->near_max_msec, s.short_msec += d->short_msec;
                s.bursts_at_once += d->bursts_at_once, s.bursts_late += d->bursts_late, s.bursts_unmet += d->bursts_unmet;
                s.demand_bytes = s.demand_bytes == AEROSTAT_UNKNOWN ? bytes(d->demand_mib) : MAX(s.demand_bytes, bytes(d->demand_mib));
                if (d->day > newest) {
                        newest = d->day;
                        s.max_bytes = bytes(d->max_mib);
                        s.floor_bytes = bytes(d->floor_mib);
                }
        }
        judge_size(&s);
        *ret = s;
}

uint64_t report_how_many(uint64_t rule, uint64_t pool, uint64_t least, uint64_t demand_peak, uint64_t max, uint64_t floor, uint64_t demand) {
        uint64_t by_demand = u64_sub(rule, u64_add(demand_peak, pool)) / MAX(MAX(demand, floor), 1);
        uint64_t before_last = u64_sub(rule, least), by_start;

        if (max > before_last)
                return 0;
        by_start = u64_add(1, (before_last - max) / MAX(floor, 1));
        return MIN(by_demand, by_start);
}
