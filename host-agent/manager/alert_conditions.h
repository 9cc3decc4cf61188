/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the views (view.h) show, as conditions of the alert engine: which alert's level is reached, or at least kept. Levels are set here, times in
 * policy/alert_kinds.c. No state: called with the same views, the same conditions.
 */

#include "host-agent/manager/view.h"
#include "host-agent/policy/alerts.h"

/* More than this many pages a second, in and out at once, is thrashing. */
#define ALERT_THRASHING_PAGES UINT64_C(200)

/* Something that happens in a moment counts as there for so long; longer than between two rounds. */
#define ALERT_MOMENT_USEC (5 * USEC_PER_SEC)

/* How old what an agent said last may be for an alert about it to hold: one that comes late, as in a guest that is short, breaks off nothing; but a single
 * report of an agent that then dies does not hold for long enough to fire. */
uint64_t alert_believed_usec(uint64_t fresh_usec);

typedef void (*alert_observer_t)(const struct alert_condition *condition, void *userdata);

/* Hands each condition that holds, or keeps, to the observer. Nothing before the first decision. */
void alert_conditions_host(const struct host_view *host, alert_observer_t observe, void *userdata);
void alert_conditions_vm(const struct host_view *host, const struct vm_view *vm, alert_observer_t observe, void *userdata);
