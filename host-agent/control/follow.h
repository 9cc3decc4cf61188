/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Clients that follow what happens: calls of Watch, held until the client goes. One that reads too slowly misses events, and is told how many. */

#include <sys/queue.h>

#include "host-agent/control/varlink.h"
#include "host-agent/manager/view.h"

struct follower;
TAILQ_HEAD(follower_list, follower);

/* The answer to Watch. The client is told at once that it follows: what happens after that it gets to know. */
void follow_answer(struct follower_list *followers, struct varlink_call *call, json_t *parameters);

/* Tells all of them. */
void follow_publish(struct follower_list *followers, const struct manager_event *event);
