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

/* What methods work on: both are the control's. */
struct follower_list *control_followers(struct control *control);
struct manager *control_manager(struct control *control);

/* For the files that hold methods. Refuse: with the error that the manager's errno (view.h) stands for. Find: by name or UUID; negative: the call has
 * been answered. */
void method_refuse(struct varlink_call *call, int r, const char *sentence);
int method_find_vm(struct varlink_call *call, struct manager *manager, const char *name, size_t *ret_index);

/* limits.c */
void method_limits(struct varlink_call *call, json_t *parameters, void *userdata);
bool method_limits_only_looks(const json_t *parameters);

void method_whatif(struct varlink_call *call, json_t *parameters, void *userdata); /* whatif.c */

void method_report(struct varlink_call *call, json_t *parameters, void *userdata); /* report.c */

/* reserve.c */
void method_reserve(struct varlink_call *call, json_t *parameters, void *userdata);
void method_release(struct varlink_call *call, json_t *parameters, void *userdata);
void method_reservations(struct varlink_call *call, json_t *parameters, void *userdata);
