/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The methods of org.aerostat.Host. To add one: a function here, a row in the table, and its declaration in
 * org.aerostat.Host.varlink. The userdata of each is the struct control.
 */

#include "host-agent/control/control.h"
#include "host-agent/control/follow.h"
#include "host-agent/control/varlink.h"

extern const struct varlink_method control_methods[];
extern const size_t control_n_methods;

/* The text of org.aerostat.Host.varlink; generated. */
extern const char control_interface_description[];

struct follower_list *control_followers(struct control *control);
struct manager *control_manager(struct control *control);
