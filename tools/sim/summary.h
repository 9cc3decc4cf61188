/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "tools/sim/run.h"

/* What --json prints, without "expect". The caller owns the result; NULL without memory. */
json_t *summary_new(const struct run *run);

/* Adds "expect" to the summary: each key with what was expected, got, and whether it held. Returns 1 when all held, 0 when not, -EINVAL for an
 * expectation that names nothing in the summary, with a sentence in error. */
int summary_expect(json_t *summary, json_t *expect, const char *file, char error[static READER_ERROR_MAX]);

/* The same for people. */
void summary_print(const json_t *summary, const struct run *run, FILE *out);
