/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/control/report.h"

#include "host-agent/control/report.h"

#include <stdlib.h>

#include "host-agent/control/explain.h"
#include "host-agent/control/json.h"
#include "host-agent/control/methods.h"
#include "host-agent/control/put.h"
#include "host-agent/control/report_text.h"
#include "protocol/clock.h"
#include "protocol/parse.h"
#include "protocol/units.h"

#define SINCE_DEFAULT_USEC (7 * 24 * USEC_PER_HOUR)

static const char *size_word(enum report_size size) {
        static const char *const words[] = {
                [REPORT_SIZE_FINE] = "fine", [REPORT_SIZE_TOO_LARGE] = "too_large", [REPORT_SIZE_TOO_SMALL] = "too_small",
                [REPORT_SIZE_UNKNOWN] = NULL,
        };

        return words[size];
}

static int compare(const void *a, const void *b) {
        uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;

        return x < y ? -1 : x > y;
}

static uint64_t median(uint64_t *values, size_t n) {
        if (n == 0)
                return AEROSTAT_UNKNOWN;
        qsort(values, n, sizeof(*values), compare);
        return values[n / 2];
}

/* How many more of such VMs fit; all unknown where there is none to go by. */
static void find_fit(const struct report *report, const struct host_view *host, const struct report_sum *sum, uint64_t now_sec, uint64_t since_sec,
                     uint64_t size_bytes, uint64_t *values, struct report_fit *ret) {
        const struct policy_plan *p = host->plan;
        uint64_t *maxes = values, *floors = values + report->n_vms, *demands = values + 2 * report->n_vms, overhead = POLICY_OVERHEAD_DEFAULT;
        size_t n = 0;

        *ret = (struct report_fit) { AEROSTAT_UNKNOWN, AEROSTAT_UNKNOWN, AEROSTAT_UNKNOWN, AEROSTAT_UNKNOWN };
        for (size_t i = 0; i < report->n_vms; i++) {
                struct report_vm_sum vm;

                report_sum_vm(report->vms[i], now_sec, since_sec, &vm);
                if (vm.max_bytes == AEROSTAT_UNKNOWN || !report->vms[i]->runs)
                        continue;
                maxes[n] = vm.max_bytes, floors[n] = vm.floor_bytes, demands[n++] = vm.demand_bytes;
        }
        if (n == 0 || host->decisions == 0)
                return;
        ret->max_bytes = median(maxes, n);
        ret->floor_bytes = median(floors, n);
        ret->demand_bytes = median(demands, n);
        if (size_bytes != AEROSTAT_UNKNOWN) { /* as greedy for its size as those that run */
                ret->floor_bytes = u64_mul_div(ret->floor_bytes, size_bytes, MAX(ret->max_bytes, 1));
                ret->demand_bytes = u64_mul_div(ret->demand_bytes, size_bytes, MAX(ret->max_bytes, 1));
                ret->max_bytes = size_bytes;
        }
        ret->more = report_how_many(p->rule_bytes, u64_mul_div(p->envelope_bytes, host->settings->policy.growth_pool_ppm, PPM_ONE), p->floors_bytes,
                                    sum->demand_bytes, u64_add(ret->max_bytes, overhead), u64_add(ret->floor_bytes, overhead),
                                    u64_add(ret->demand_bytes, overhead));
}

static json_t *json_fit(const struct report_fit *fit) {
        struct put put = put_new();

        put_bytes(&put, "max_bytes", fit->max_bytes);
        put_bytes(&put, "floor_bytes", fit->floor_bytes);
        put_bytes(&put, "demand_bytes", fit->demand_bytes);
        put_count(&put, "more", fit->more);
        return put_end(&put);
}

static void put_msec(struct put *put, const char *key, uint64_t msec) {
        put_usec(put, key, msec * USEC_PER_MSEC);
}

static json_t *json_vms(const struct report *report, uint64_t now_sec, uint64_t since_sec) {
        json_t *list = json_array();
        bool failed = !list;

        for (size_t i = 0; i < report->n_vms && !failed; i++) {
                char sentence[EXPLAIN_MAX];
                struct put put = put_new();
                struct report_vm_sum vm;

                report_sum_vm(report->vms[i], now_sec, since_sec, &vm);
                put_text(&put, "name", report->vms[i]->name);
                put_bool(&put, "runs", report->vms[i]->runs);
                put_msec(&put, "watched_seconds", vm.watched_msec);
                put_bytes(&put, "max_bytes", vm.max_bytes);
                put_bytes(&put, "demand_peak_bytes", vm.demand_bytes);
                put_msec(&put, "near_max_seconds", vm.near_max_msec);
                put_msec(&put, "short_seconds", vm.short_msec);
                put_count(&put, "bursts_at_once", vm.bursts_at_once);
                put_count(&put, "bursts_late", vm.bursts_late);
                put_count(&put, "bursts_unmet", vm.bursts_unmet);
                put_text(&put, "size", size_word(vm.size));
                put_bytes(&put, "suggested_bytes", vm.suggested_bytes);
                put_text(&put, "suggestion", report_text_vm(report->vms[i]->name, &vm, sentence));
                failed = json_array_append_new(list, put_end(&put)) < 0;
        }
        if (!failed)
                return list;
        json_decref(list);
        return NULL;
}

static json_t *json_states(const struct report_sum *s) {
        uint64_t others = s->tight_msec + s->hard_msec + s->critical_msec;
        struct put put = put_new();

        put_msec(&put, "normal", u64_sub(s->watched_msec, others));
        put_msec(&put, "tight", s->tight_msec);
        put_msec(&put, "hard", s->hard_msec);
        put_msec(&put, "critical", s->critical_msec);
        return put_end(&put);
}

static uint64_t if_watched(const struct report_sum *s, uint64_t value) {
        return s->watched_msec > 0 ? value : AEROSTAT_UNKNOWN;
}

static uint64_t if_dry(const struct report_sum *s, uint64_t value) {
        return s->dry_run_msec > 0 ? value : AEROSTAT_UNKNOWN;
}

static void put_sum(struct put *put, const struct report_sum *s, const struct host_view *host) {
        put_msec(put, "watched_seconds", s->watched_msec);
        put_msec(put, "dry_run_seconds", s->dry_run_msec);
        put_value(put, "state_seconds", json_states(s));
        put_msec(put, "unsafe_seconds", s->unsafe_msec);
        put_usec(put, "would_unsafe_seconds", s->dry_run_msec > 0 ? s->would_unsafe_msec * USEC_PER_MSEC : AEROSTAT_UNKNOWN);
        put_bytes(put, "envelope_bytes", s->envelope_bytes);
        put_bytes(put, "committed_peak_bytes", if_watched(s, s->committed_bytes));
        put_ppm(put, "committed_peak_ratio", if_watched(s, s->committed_ppm));
        put_bytes(put, "would_committed_peak_bytes", if_dry(s, s->would_committed_bytes));
        put_ppm(put, "would_committed_peak_ratio", if_dry(s, s->would_committed_ppm));
        put_bytes(put, "demand_peak_bytes", if_watched(s, s->demand_bytes));
        put_bytes(put, "swap_peak_bytes", if_watched(s, s->swap_bytes));
        put_bytes(put, "swap_ceiling_bytes", host->host->swap_total_bytes == AEROSTAT_UNKNOWN ? AEROSTAT_UNKNOWN
                                                     : u64_mul_div(host->host->swap_total_bytes, host->settings->policy.swap_ceiling_ppm, PPM_ONE));
        put_count(put, "moves", s->moves);
        put_bytes(put, "moved_bytes", s->moved_bytes);
        put_count(put, "would_moves", if_dry(s, s->would_moves));
        put_bytes(put, "would_moved_bytes", if_dry(s, s->would_moved_bytes));
        put_count(put, "bursts_at_once", s->bursts_at_once);
        put_count(put, "bursts_late", s->bursts_late);
        put_count(put, "bursts_unmet", s->bursts_unmet);
        put_usec(put, "late_mean_seconds", s->bursts_late > 0 ? s->late_msec / s->bursts_late * USEC_PER_MSEC : AEROSTAT_UNKNOWN);
        put_usec(put, "late_max_seconds", s->bursts_late > 0 ? s->late_max_msec * USEC_PER_MSEC : AEROSTAT_UNKNOWN);
}

json_t *json_report(struct manager *manager, uint64_t now_sec, uint64_t since_sec, uint64_t size_bytes) {
        const struct report *report = manager_report(manager);
        _cleanup_free_ uint64_t *values = calloc(3 * report->n_vms + 1, sizeof(*values));
        struct put put = put_new();
        struct host_view host;
        struct report_sum sum;
        struct report_fit fit;

        if (!values) {
                json_decref(put_end(&put));
                return NULL;
        }
        manager_view_host(manager, &host);
        report_sum_host(report, now_sec, since_sec, &sum);
        find_fit(report, &host, &sum, now_sec, since_sec, size_bytes, values, &fit);
        put_count(&put, "since_seconds", since_sec);
        put_text(&put, "automation", json_automation(host.automation));
        put_value(&put, "sentences", report_text(&host, &sum, &fit, size_bytes != AEROSTAT_UNKNOWN));
        put_sum(&put, &sum, &host);
        put_value(&put, "fit", json_fit(&fit));
        put_value(&put, "vms", json_vms(report, now_sec, since_sec));
        return put_end(&put);
}

void method_report(struct varlink_call *call, json_t *parameters, void *userdata) {
        uint64_t since_usec = SINCE_DEFAULT_USEC, size_bytes = AEROSTAT_UNKNOWN;
        const struct varlink_parameter list[] = {
                { "since_seconds", VARLINK_SECONDS, false, &since_usec },
                { "size_bytes", VARLINK_BYTES, false, &size_bytes },
                {},
        };

        if (varlink_take_parameters(call, parameters, list) < 0)
                return;
        if (size_bytes == 0)
                varlink_error_message(call, "OutOfRange", "any number of VMs of no memory fit");
        else
                varlink_reply(call, json_report(control_manager(userdata), clock_realtime_usec() / USEC_PER_SEC,
                                                since_usec / USEC_PER_SEC, size_bytes));
}
