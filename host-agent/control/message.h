/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * One varlink call, from the bytes that a peer sent (https://varlink.org/Method-Call):
 *   {"method": "org.aerostat.Host.Show", "parameters": {"vm": "web1"}, "more": false, "oneway": false}
 * The bytes are hostile until proved otherwise: size, nesting, duplicate keys, types and unknown keys are checked here, before any
 * method sees them. Nesting is bounded before jansson runs, whose own limit (2048) is deep recursion on the main thread's stack.
 * No I/O, no state; any thread.
 */

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#define VARLINK_DEPTH_MAX 16u        /* brackets within brackets; our own calls need 2 */
#define VARLINK_METHOD_NAME_MAX 255u

struct varlink_message {
        json_t *root;           /* owns everything below */
        const char *method;     /* "org.aerostat.Host.Show": letters, digits, dots and dashes, with at least one dot */
        json_t *parameters;     /* an object, empty where the caller sent none */
        bool more;              /* the caller takes several replies */
        bool oneway;            /* the caller wants no reply at all */
};

/* Parses text[0..size), without the NUL that ended it on the wire. 0; -EBADMSG and a static sentence in *ret_error when it is not a
 * proper call; -ENOMEM. The caller gives the message back with varlink_message_done(). */
int varlink_message_parse(const char *text, size_t size, struct varlink_message *ret, const char **ret_error);

/* Frees what it holds and leaves it empty; may be called on an empty message. */
void varlink_message_done(struct varlink_message *message);

/* A reply as bytes with its final NUL; *ret_size counts that. error: NULL, or the full name of a varlink error. parameters: an
 * object, borrowed; NULL means that there was no memory to build it. continues: more replies to the same call follow. Returns what
 * the caller frees, or NULL. */
char *varlink_reply_format(const char *error, json_t *parameters, bool continues, size_t *ret_size);
