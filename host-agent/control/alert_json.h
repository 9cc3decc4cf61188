/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Alerts and events as JSON (org.aerostat.Host.varlink). New objects, or NULL when there was no memory for them. */

#include <jansson.h>

#include "host-agent/manager/view.h"

/* One alert: its kind, whom it is about, since when, its numbers and its sentence. */
json_t *json_alert(const struct alert *alert);
json_t *json_alerts_firing(const struct alerts *alerts);       /* an array, the worst first, then the oldest */

/* The reply of Alerts. */
json_t *json_alerts(struct manager *manager);

/* One answer of Watch. */
json_t *json_event(const struct manager_event *event);

/* RFC 3339 in UTC, to the second. */
#define JSON_TIME_MAX sizeof("2000-01-01T00:00:00Z")
const char *json_time(uint64_t realtime_usec, char buf[static JSON_TIME_MAX]); /* NULL: unknown */
