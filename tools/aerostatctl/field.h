/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Members of the daemon's replies. A member that is missing or null (a daemon of another version, or a value that is not known) is
 * AEROSTAT_UNKNOWN or NULL, and shown as "-".
 */

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "protocol/parse.h"
#include "tools/aerostatctl/text.h"

uint64_t field_count(const json_t *object, const char *key);           /* also bytes */
uint64_t field_usec(const json_t *object, const char *key);            /* of *_seconds */
const char *field_text(const json_t *object, const char *key);         /* or NULL */
bool field_is_true(const json_t *object, const char *key);
bool field_automation_is(const json_t *reply, const char *what);       /* running, paused, dry_run; missing: running */
bool field_ratio(const json_t *object, const char *key, double *ret);  /* false: not known */

/* As people read them; return buf. */
char *field_size(const json_t *object, const char *key, char buf[static FORMAT_SIZE_MAX]);
char *field_duration(const json_t *object, const char *key, char buf[static FORMAT_DURATION_MAX]);
#define FIELD_PERCENT_MAX 16
char *field_percent(const json_t *object, const char *key, char buf[static FIELD_PERCENT_MAX]);

/* [swap] warn, of the ceiling, where the daemon does not say. */
#define FIELD_SWAP_WARN_DEFAULT 0.8

/* How swap in use looks against its ceiling, of the host's swap: STYLE_BAD from the ceiling on, STYLE_WARN from [swap] warn on, else, also where
 * something is not known, STYLE_PLAIN. */
enum style field_swap_style(const json_t *swap);
