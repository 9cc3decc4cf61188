/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The manager's alerts: once a second its own views become conditions, the engine (policy/alerts.h) makes events of them, and whoever watches
 * hears. */

#include <errno.h>
#include <string.h>

#include "host-agent/manager/alert_conditions.h"
#include "host-agent/manager/internal.h"
#include "protocol/clock.h"
#include "protocol/units.h"

#define ROUND_USEC (USEC_PER_SEC - 50 * USEC_PER_MSEC)  /* decisions come every second at the least */
#define SYNC_USEC (10 * USEC_PER_SEC)
#define RATE_USEC (5 * USEC_PER_SEC)                    /* swap comes in gusts: a rate over less says nothing */

struct round {
        struct alerts *alerts;
        uint64_t now_usec, realtime_usec;
};

void manager_watch(struct manager *m, manager_watcher_t watcher, void *userdata) {
        m->watcher = watcher;
        m->watcher_userdata = userdata;
}

void manager_emit(struct manager *m, const struct manager_event *event) {
        if (m->watcher)
                m->watcher(event, m->watcher_userdata);
}

bool manager_restore_alert(struct manager *m, const struct alert_condition *condition, uint64_t since_realtime_usec, uint64_t told_realtime_usec) {
        return alerts_restore(&m->alerts, condition, since_realtime_usec, u64_sub(clock_realtime_usec(), told_realtime_usec), clock_monotonic_usec());
}

static uint64_t rate(uint64_t now, uint64_t before, uint64_t page, uint64_t usec) {
        if (now == AEROSTAT_UNKNOWN || before == AEROSTAT_UNKNOWN)
                return AEROSTAT_UNKNOWN;
        return u64_mul_div(u64_mul(u64_sub(now, before), page), USEC_PER_SEC, usec);
}

static void measure_swap(struct manager *m, uint64_t now_usec) {
        const struct vmstat *now = &m->sample.vmstat;
        struct swap_rates *s = &m->swap_rates;
        uint64_t page = (uint64_t) sysconf(_SC_PAGESIZE), passed_usec = now_usec - s->taken_usec;

        if (s->taken_usec != 0 && passed_usec < RATE_USEC)
                return;
        s->in_bytes_per_sec = s->taken_usec == 0 ? AEROSTAT_UNKNOWN : rate(now->pswpin, s->pswpin, page, passed_usec);
        s->out_bytes_per_sec = s->taken_usec == 0 ? AEROSTAT_UNKNOWN : rate(now->pswpout, s->pswpout, page, passed_usec);
        s->taken_usec = now_usec;
        s->pswpin = now->pswpin;
        s->pswpout = now->pswpout;
}

static void observe(const struct alert_condition *condition, void *userdata) {
        const struct round *round = userdata;

        alerts_observe(round->alerts, condition, round->now_usec, round->realtime_usec);
}

void manager_watch_alerts(struct manager *m, uint64_t now_usec) {
        struct round round = { .alerts = &m->alerts, .now_usec = now_usec, .realtime_usec = clock_realtime_usec() };
        struct manager_event event = { .type = MANAGER_EVENT_ALERT };
        struct alert_event alert;
        struct host_view host;

        measure_swap(m, now_usec);
        /* Alerts from before a restart may be about VMs that are not heard of yet: wait for them, but not for a libvirtd that is down. */
        if (!m->ready && now_usec - m->started_usec < SYNC_USEC)
                return;
        if (m->alerts_usec != 0 && now_usec - m->alerts_usec < ROUND_USEC)
                return;
        m->alerts_usec = now_usec;
        manager_view_host(m, &host);
        alerts_begin(&m->alerts);
        alert_conditions_host(&host, observe, &round);
        for (size_t i = 0; i < m->n_vms; i++) {
                struct vm_view vm;

                manager_view_vm(m, i, &vm);
                alert_conditions_vm(&host, &vm, observe, &round);
        }
        event.alert = &alert;
        while (alerts_next(&m->alerts, now_usec, round.realtime_usec, m->settings.alert_repeat_usec, &alert))
                manager_emit(m, &event);
        if (m->alerts.dropped > 0 && log_limit_pass(&m->alerts_log, now_usec, USEC_PER_HOUR))
                log_warning("more than %d alerts at once: %llu conditions of VMs are not followed", ALERTS_MAX,
                            (unsigned long long) m->alerts.dropped);
}
