/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The agent: joins port, session, pace and sampler in one epoll loop of one thread. Nothing in it waits but epoll_wait(), and
 * nothing on the way of a report allocates.
 *
 * Wake-ups: without a host the timer is off and the PSI trigger is not polled, so nothing wakes us but the port or its hot-plug
 * events. With a session the timer runs at the pace that pace.h decides.
 */

#include <stdint.h>

#include "guest-agent/config.h"
#include "guest-agent/port.h"

struct agent;

/* What happened in it so far; for tests and the log. */
struct agent_stats {
        uint64_t wakeups;      /* returns of epoll_wait() */
        uint64_t reports;      /* queued */
        uint64_t sessions;     /* begun */
        uint64_t opens;        /* of the port */
};

/* Takes the port over (also on failure). root: where proc and sys are ("/", or a fixture tree). quit_fd: readable when the loop
 * should end (a signalfd; borrowed), or -1. The first agent_step() opens the port. 0, or -errno with the reason logged. */
int agent_new(const struct config *config, const char *root, struct port *port, int quit_fd, struct agent **ret);

/* Says goodbye to the host if there is a session, and frees everything. */
struct agent *agent_free(struct agent *agent);

/* Makes hello-acks say from now on that the memory is locked. */
void agent_set_locked(struct agent *agent);

/* Waits for at most timeout_msec (-1: without limit) and handles what came. 0, 1 when quit_fd became readable, or -errno when the
 * loop itself is broken. */
int agent_step(struct agent *agent, int timeout_msec);

const struct agent_stats *agent_get_stats(const struct agent *agent);
