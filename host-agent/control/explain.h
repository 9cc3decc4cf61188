/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The policy's decisions in plain words, with the numbers that decided. Pure.
 */

#include "host-agent/manager/view.h"

#define EXPLAIN_MAX 640

/* Why a VM has its target, in a few words for a table: "waits for memory". Never NULL. */
const char *explain_briefly(enum policy_reason reason);

/* The same as a sentence. Returns buf. */
char *explain_vm(const struct host_view *host, const struct vm_view *vm, char buf[static EXPLAIN_MAX]);

/* What it needs, in which terms and on whose word; what it is entitled to and why; what would give it more. For a VM that was decided on. Return
 * buf. */
char *explain_need(const struct vm_view *vm, char buf[static EXPLAIN_MAX]);
char *explain_entitlement(const struct host_view *host, const struct vm_view *vm, char buf[static EXPLAIN_MAX]);
char *explain_more(const struct host_view *host, const struct vm_view *vm, char buf[static EXPLAIN_MAX]);

/* What one weakness means for the guarantee, and what mends it. Returns buf. */
char *explain_weakness(const struct host_view *host, enum policy_weakness weakness, char buf[static EXPLAIN_MAX]);
