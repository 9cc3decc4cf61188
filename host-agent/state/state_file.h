/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What has to outlive the daemon: what an operator asked of it (pins, limits, reservations, a pause), and whose agent was there. A small text in the
 * state folder, replaced as a whole (written aside, synced, renamed). The reader takes all of it or nothing.
 *
 *      aerostat-state 1
 *      boot 0b7c...                                  the host's boot that the rest is of, but for `paused`
 *      paused
 *      pin UUID RUN BYTES UNTIL                      RUN: libvirt's id of this run of the VM; UNTIL: CLOCK_MONOTONIC in us, or - for no end
 *      limits UUID RUN FLOOR WEIGHT PRIORITY MANAGED FLOOR: 536870912B, 25.5%; - for what is not set
 *      agent UUID RUN                                its guest's agent has spoken
 *      reserve ID BYTES UNTIL [NAME]
 *
 * After a reboot of the host no VM of before runs and no time of before means anything: then only `paused` holds. Main thread, but for the writer's
 * own.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host-agent/state/limits.h"
#include "host-agent/state/reservations.h"
#include "protocol/base.h"
#include "protocol/units.h"

#define STATE_FILE_SIZE_MAX (4u * 1024u * 1024u)

struct state_vm {
        uint8_t uuid[16];
        uint64_t run;                          /* libvirt's id */
        uint64_t pin_bytes, pin_until_usec;    /* unknown: automatic; unknown: no end */
        struct limits limits;                  /* set by hand */
        bool agent_spoke;                      /* in this run */
};

struct state {
        uint8_t boot_id[16];
        bool paused;                           /* automation is */
        struct state_vm *vms;                  /* owned */
        size_t n_vms;
        struct reservations reservations;
};

void state_done(struct state *state);          /* frees what it owns and makes it empty */

/* The text to *ret, which the caller frees. -ENOMEM. */
int state_format(const struct state *state, char **ret);

/* -EBADMSG with the number of the line that is wrong, -ENOMEM. ret: overwritten on success; state_done() frees it. */
int state_parse(const char *text, struct state *ret, unsigned *ret_line);

/* Reads FOLDER/state. What is of another boot than boot_id is left out. 0; -ENOENT: there is none; -EBADMSG: not taken, with the line (0: too large);
 * other errno. */
int state_load(const char *folder, const uint8_t boot_id[static 16], struct state *ret, unsigned *ret_line);

/* The text of FOLDER/NAME, which the caller frees. -ENOENT; -EBADMSG: larger than STATE_FILE_SIZE_MAX, no plain file, or with a NUL; -ENOMEM; other
 * errno. */
int state_read(const char *folder, const char *name, char **ret);

/* Replaces FOLDER/NAME. Blocks until the disk has it. 0 or -errno. */
int state_save(const char *folder, const char *name, const char *text);

/* Saves in a thread of its own: a disk that is busy swapping may take seconds, and decisions do not wait for it. What cannot be written (a full disk)
 * is tried again after retry_usec, or as soon as there is something newer, and once more at the end; the log tells of the first failure of a row. */
struct state_writer;
#define STATE_WRITER_RETRY_USEC (10 * USEC_PER_SEC)
int state_writer_new(struct state_writer **ret, const char *folder, const char *name, uint64_t retry_usec); /* name: borrowed */
void state_writer_put(struct state_writer *writer, char *text); /* takes the text; one that still waits is replaced */
struct state_writer *state_writer_free(struct state_writer *writer); /* waits until all is written, or could not be */
