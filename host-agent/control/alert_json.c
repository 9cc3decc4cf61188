/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/control/alert_json.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "host-agent/control/alert_text.h"
#include "host-agent/control/explain.h"
#include "host-agent/control/put.h"
#include "protocol/clock.h"
#include "protocol/parse.h"
#include "protocol/units.h"

const char *json_time(uint64_t realtime_usec, char buf[static JSON_TIME_MAX]) {
        time_t seconds = (time_t) (realtime_usec / USEC_PER_SEC);
        struct tm tm;

        if (realtime_usec == AEROSTAT_UNKNOWN || !gmtime_r(&seconds, &tm))
                return NULL;
        return strftime(buf, JSON_TIME_MAX, "%Y-%m-%dT%H:%M:%SZ", &tm) > 0 ? buf : NULL;
}

static bool ends_with(const char *text, const char *end) {
        size_t n = strlen(text), m = strlen(end);

        return n >= m && strcmp(text + n - m, end) == 0;
}

static json_t *json_numbers(const struct alert *a) {
        struct put put = put_new();

        for (size_t i = 0; i < ALERT_NUMBERS; i++) {
                const char *key = alert_kinds[a->name].numbers[i];

                if (!key)
                        break;
                if (ends_with(key, "_ratio"))
                        put_ppm(&put, key, a->numbers[i]);
                else if (ends_with(key, "_seconds"))
                        put_usec(&put, key, a->numbers[i]);
                else
                        put_count(&put, key, a->numbers[i]);
        }
        return put_end(&put);
}

json_t *json_alert(const struct alert *a) {
        const struct alert_kind *kind = &alert_kinds[a->name];
        char text[ALERT_TEXT_MAX], time[JSON_TIME_MAX], uuid[UUID_STRING_SIZE];
        bool is_vm = a->name >= _ALERT_HOST_NAMES;
        struct put put = put_new();

        put_text(&put, "name", kind->name);
        put_text(&put, "severity", alert_severity_to_string(kind->severity));
        put_text(&put, "subject", a->subject);
        put_text(&put, "uuid", is_vm ? format_uuid(a->uuid, uuid) : NULL);
        put_text(&put, "since", json_time(a->since_realtime_usec, time) ?: "1970-01-01T00:00:00Z");
        put_text(&put, "until", json_time(a->until_realtime_usec, time));
        put_text(&put, "message", alert_message(a, text));
        put_text(&put, "advice", alert_advice(a->name));
        put_value(&put, "numbers", json_numbers(a));
        return put_end(&put);
}

static int compare(const void *left, const void *right) {
        const struct alert *a = *(const struct alert *const *) left, *b = *(const struct alert *const *) right;
        enum alert_severity x = alert_kinds[a->name].severity, y = alert_kinds[b->name].severity;

        if (x != y)
                return x > y ? -1 : 1;
        return a->since_realtime_usec < b->since_realtime_usec ? -1 : a->since_realtime_usec > b->since_realtime_usec;
}

json_t *json_alerts_firing(const struct alerts *alerts) {
        const struct alert *firing[ALERTS_MAX];
        json_t *array = json_array();
        size_t n = 0;
        int r = 0;

        for (size_t i = 0; i < ALERTS_MAX; i++)
                if (alerts->table[i].used && alerts->table[i].firing)
                        firing[n++] = &alerts->table[i];
        qsort(firing, n, sizeof(*firing), compare);
        for (size_t i = 0; i < n; i++)
                r |= json_array_append_new(array, json_alert(firing[i]));
        if (r != 0) {
                json_decref(array);
                return NULL;
        }
        return array;
}

static json_t *recent(const struct alerts *alerts) {
        uint64_t n = MIN(alerts->n_resolved, (uint64_t) ALERTS_RECENT_MAX);
        json_t *array = json_array();
        int r = 0;

        for (uint64_t i = 1; i <= n; i++)
                r |= json_array_append_new(array, json_alert(&alerts->recent[(alerts->n_resolved - i) % ALERTS_RECENT_MAX]));
        if (r != 0) {
                json_decref(array);
                return NULL;
        }
        return array;
}

json_t *json_alerts(struct manager *manager) {
        struct put put = put_new();
        struct host_view h;

        manager_view_host(manager, &h);
        put_value(&put, "firing", json_alerts_firing(h.alerts));
        put_value(&put, "recent", recent(h.alerts));
        return put_end(&put);
}

json_t *json_event(const struct manager_event *e) {
        static const char *const types[] = {
                [MANAGER_EVENT_ALERT] = "alert", [MANAGER_EVENT_MOVE] = "move", [MANAGER_EVENT_HOST] = "host", [MANAGER_EVENT_VM] = "vm",
                [MANAGER_EVENT_LAST_RESORT] = "last_resort",
        };
        const struct alert *alert = e->alert ? e->alert->alert : NULL;
        bool move = e->type == MANAGER_EVENT_MOVE, done = move || e->type == MANAGER_EVENT_LAST_RESORT;
        char text[ALERT_TEXT_MAX], time[JSON_TIME_MAX];
        struct put put = put_new();

        put_text(&put, "time", json_time(clock_realtime_usec(), time));
        put_text(&put, "type", types[e->type]);
        put_text(&put, "vm", alert && alert->name >= _ALERT_HOST_NAMES ? alert->subject : e->vm);
        put_text(&put, "text", alert ? alert_message(alert, text) : move ? explain_briefly(e->reason) : e->text);
        put_text(&put, "phase", alert ? alert_event_type_to_string(e->alert->type) : NULL);
        put_value(&put, "alert", alert ? json_alert(alert) : json_null());
        put_bytes(&put, "before_bytes", move ? e->before_bytes : AEROSTAT_UNKNOWN);
        put_bytes(&put, "after_bytes", move ? e->after_bytes : AEROSTAT_UNKNOWN);
        put_text(&put, "reason_code", move ? policy_reason_to_string(e->reason) : NULL);
        put_value(&put, "done", done ? json_boolean(!e->would) : json_null());
        return put_end(&put);
}
