/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The manager owns all state of the daemon and wires the sources of knowledge (libvirt, channels, /proc, PSI) to the policy and its plan to libvirt.
 * Everything runs in the main thread's event loop; nothing in it waits. What others may see and ask is in view.h.
 */

#include <stdbool.h>
#include <stdint.h>

#include <systemd/sd-event.h>

#include "host-agent/settings/settings.h"
#include "protocol/base.h"

struct manager; /* opaque */

struct manager_options {
        const char *root;              /* "/", or a fixture tree for /proc, /sys and /run/libvirt */
        const char *host_proc;         /* the host's own /proc, where ours does not show kernel threads; or NULL */
        const char *state_dir;         /* where changes to the host are noted, and where pins, limits, reservations and a pause outlive us;
                                        * NULL: nowhere. Borrowed for the manager's life */
        bool dry_run;                  /* on top of the settings' own */
        /* Called with 0, once, when the VMs that run were all found and heard of (or had 3 s to speak): from then on it acts. Called with -ENOTCONN
         * when libvirt could not be reached at all in the first 10 s. May be NULL. */
        void (*ready)(int result, void *userdata);
        void *userdata;
};

/* Begins to manage: connects to libvirt in the background. settings are copied. -errno when the host cannot be sampled at all. */
int manager_new(struct manager **ret, sd_event *event, const struct settings *settings, const struct manager_options *options);
struct manager *manager_free(struct manager *manager);
DEFINE_CLEANUP(struct manager *, manager_free)

/* Puts new settings in force. The URI and the root stay as they are until a restart; says so in the log when the URI differs. */
int manager_reload(struct manager *manager, const struct settings *settings);

/* Before the end: lets VMs run again that the last resort paused, and with give_back (on-exit = release) gives every managed VM its maximum. Calls
 * done, once, when all answered or after 5 s; at once where there is nothing to do. */
void manager_release(struct manager *manager, bool give_back, void (*done)(void *userdata), void *userdata);

/* A line for `systemctl status`: "normal: 5 VMs, 3.2 GiB of 4 GiB". */
void manager_format_status(struct manager *manager, char *buf, size_t size);
