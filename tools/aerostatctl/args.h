/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The command line. Options may stand anywhere, before the verb or after it, except that a verb's own come after it. Not getopt:
 * `set web1 -1G` has to be answered with a sentence about sizes, and a mistyped option with the nearest one.
 */

#include <stdint.h>

#include "tools/aerostatctl/ctl.h"

struct command {
        const struct verb *verb;        /* NULL: none was given */
        struct args args;
        bool help, version;
};

/* Takes argv apart; fills in what it says of context, too. verbs: ended by NULL. CTL_DONE or CTL_USAGE (it has said why). */
int args_parse(int argc, char **argv, const struct verb *const *verbs, struct context *context, struct command *ret);

/* What people write, with a sentence on stderr where it is wrong. CTL_DONE or CTL_USAGE. */
int args_size(const char *text, uint64_t *ret_bytes);
int args_duration(const char *text, uint64_t *ret_usec);
