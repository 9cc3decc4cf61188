/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What others do, from their published rules, over the same models; to compare with. */

#include <stdint.h>

enum baseline { BASELINE_NONE, BASELINE_STATIC, BASELINE_MOM, BASELINE_PROXMOX };
extern const char *const baseline_names[]; /* by enum baseline; [0] is "aerostat"; NULL-terminated */

struct run;
struct baseline_state;

int baseline_new(struct baseline_state **ret, const struct run *run);
struct baseline_state *baseline_free(struct baseline_state *state);

/* Sets targets, if the rule's own interval has passed. */
void baseline_decide(struct run *run);
