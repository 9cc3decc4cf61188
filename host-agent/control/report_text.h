/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The report in plain words: an operator decides by it whether to leave the dry run, and what to give VMs. Pure. */

#include <jansson.h>

#include "host-agent/control/explain.h"
#include "host-agent/state/report.h"

/* Of VMs of this maximum, floor and demand at its peak, so many more fit; all unknown where there is none to go by. */
struct report_fit {
        uint64_t max_bytes, floor_bytes, demand_bytes, more;
};

/* A list of sentences, the verdict first; sized: of what size VMs should fit was said by the caller. NULL: no memory. */
json_t *report_text(const struct host_view *host, const struct report_sum *sum, const struct report_fit *fit, bool sized);

/* What to do about the size of one VM; NULL: nothing. Returns buf otherwise. */
char *report_text_vm(const char *name, const struct report_vm_sum *vm, char buf[static EXPLAIN_MAX]);
