/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Varlink as it goes over the socket: JSON objects with a NUL, on a connection that never blocks longer than it is told. No word on stderr.
 * deadline_usec is of CLOCK_MONOTONIC: 0 takes what can be had at once, UINT64_MAX waits for ever; where it passes, -ETIMEDOUT.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#define WIRE_INTERFACE "org.aerostat.Host."

/* What has been read of a connection and not been used yet; starts as {}. */
struct wire_input {
        char *text;
        size_t size, fill;
};
void wire_input_done(struct wire_input *input);

/* The connection, for the caller to close, or -errno. */
int wire_connect(const char *path, uint64_t deadline_usec);

/* All of the bytes, or -errno. */
int wire_send(int fd, const char *bytes, size_t size, uint64_t deadline_usec);

/* Reads one message, up to its NUL; what comes behind it is kept in input. 0 and an object, which the caller gives back with json_decref();
 * -ECONNRESET: the other side has closed; -EBADMSG, -EMSGSIZE: that is not a daemon of ours; -ETIMEDOUT; -errno. */
int wire_receive(int fd, struct wire_input *input, uint64_t deadline_usec, json_t **ret);

/* A call of org.aerostat.Host.METHOD as it is sent, without its NUL; the caller frees it. Takes the reference of parameters, NULL for none.
 * NULL: a text of ours is not UTF-8. */
char *wire_format_call(const char *method, json_t *parameters, bool more);
