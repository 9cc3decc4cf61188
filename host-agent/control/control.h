/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The control socket: interface org.aerostat.Host (org.aerostat.Host.varlink) over the varlink server. Root and the members of
 * `[control] group` may do everything; everybody else may look where `[control] read = everyone`, and is kept out otherwise.
 * Main thread.
 */

#include <systemd/sd-event.h>

#include "host-agent/manager/view.h"

#define CONTROL_ERROR_MAX 512

struct control;

/* Listens on the path and answers from then on; the manager has to outlive it. 0; 1 and a sentence in error: it listens, but the web server
 * ([metrics] listen) cannot be had, or the configured group does not exist, so only root has access; or -errno and a sentence:
 * -EADDRINUSE another aerostatd is running. */
int control_new(struct control **ret, sd_event *event, struct manager *manager, const char *socket_path,
                char error[static CONTROL_ERROR_MAX]);

/* Applies [control] of the settings now in force to the socket's owner and mode; to be called after a reload. Returns as
 * control_new(). */
int control_reload(struct control *control, char error[static CONTROL_ERROR_MAX]);

/* Tells the clients that follow. */
void control_publish(struct control *control, const struct manager_event *event);

struct control *control_free(struct control *control);
