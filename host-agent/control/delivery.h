/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Tells alerts to the world: to the journal (structured, with a MESSAGE_ID for each phase) and to [alerts] command (JSON on its standard input; see
 * runner.h). Runs the last resort's command the same way, beside them. Keeps what fires, and what is still to be delivered, in the state folder. Main
 * thread; SIGCHLD must be blocked.
 */

#include <systemd/sd-event.h>

#include "host-agent/control/runner.h"
#include "host-agent/manager/view.h"

struct delivery;

/* Takes up what fired before a restart, too. limits: NULL for the default. The manager has to outlive it. */
int delivery_new(struct delivery **ret, sd_event *event, struct manager *manager, const char *state_dir, const struct runner_limits *limits);
struct delivery *delivery_free(struct delivery *delivery); /* saves */
DEFINE_CLEANUP(struct delivery *, delivery_free)

/* What the manager tells its watcher. */
void delivery_handle(struct delivery *delivery, const struct manager_event *event);
