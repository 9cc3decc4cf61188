/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Calls to the daemon, over its varlink socket.
 */

#include <jansson.h>

#include "tools/aerostatctl/ctl.h"

/* Calls org.aerostat.Host.METHOD and waits for its reply, at most 10 s and context->wait_usec. parameters: an object whose reference is taken, or
 * NULL for none. CTL_DONE and the reply's parameters, which the caller gives back with json_decref(); otherwise an exit code, and stderr has the
 * reason and what to do next. */
int client_call(const struct context *context, const char *method, json_t *parameters, json_t **ret);

/* The same without parameters, and without a word where it fails: for what is good to know, but can be done without. */
bool client_ask(const struct context *context, const char *method, json_t **ret);

/* The same, and with --json prints the reply: then *ret is NULL, and there is nothing left to do. */
int client_call_or_print(const struct context *context, const char *method, json_t *parameters, json_t **ret);

/* The same for a method that takes one VM, by name or UUID. */
int client_call_vm(const struct context *context, const char *method, const char *vm, json_t **ret);

/* Calls a method that answers again and again, and hands each answer to the handler until that returns negative (CTL_DONE) or the daemon goes
 * away. */
typedef int (*client_handler_t)(const struct context *context, const json_t *answer);
int client_follow(const struct context *context, const char *method, json_t *parameters, client_handler_t handler);
