/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Runs a command with a text on its standard input, for each of many texts, without ever waiting for it: never through a shell, with a cleared
 * environment (PATH only), in a process group of its own, for a limited time, a few at once. What fails is tried again, later and later, and given up
 * in the end. Main thread; SIGCHLD must be blocked in all threads.
 */

#include <stddef.h>
#include <stdint.h>

#include <systemd/sd-event.h>

#include "protocol/base.h"

struct runner_limits {
        unsigned running;              /* at once */
        unsigned queued;               /* running and waiting; beyond that the oldest that waits is dropped */
        unsigned tries;                /* of one text, before it is given up */
        uint64_t timeout_usec;         /* of one run; then its process group is killed */
        uint64_t retry_usec;           /* until the second try; four times as long before each further one ... */
        uint64_t retry_max_usec;       /* ... up to this */
};
extern const struct runner_limits runner_limits_default;

struct runner_counters {
        /* texts that were taken; runs that failed; texts without a try left; texts that were pushed out */
        uint64_t delivered, failed, given_up, dropped;
};

struct runner;

/* A text was delivered or given up (not one that runner_run() replaced or dropped). It may not free the runner. */
typedef void (*runner_done_t)(void *userdata);

/* name: what it runs, for the log ("alert command"); borrowed. limits: copied. done: or NULL. -ENOMEM. */
int runner_new(struct runner **ret, sd_event *event, const char *name, const struct runner_limits *limits, runner_done_t done, void *userdata);
struct runner *runner_free(struct runner *runner); /* kills what still runs */
DEFINE_CLEANUP(struct runner *, runner_free)

/* Queues a text. command: an absolute path and arguments, separated by blanks; copied. key: texts of one key are run one after the other; a newer one
 * replaces those that wait, and one that runs is not tried again. 0; -EINVAL: no absolute path, or too many arguments; -ENOMEM. */
int runner_run(struct runner *runner, const char *command, const char *key, const char *text);

/* Calls each for the texts that wait or run, the oldest first; those that a newer one of their key has replaced are left out. */
void runner_undelivered(const struct runner *runner, void (*each)(const char *key, const char *text, void *userdata), void *userdata);

/* Since it was made. */
void runner_get_counters(const struct runner *runner, struct runner_counters *ret);
