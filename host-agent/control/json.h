/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the manager shows, as the JSON of the public interface (org.aerostat.Host.varlink): *_bytes whole numbers, *_ratio
 * fractions, *_seconds, times as RFC 3339; what is not known is null, never 0. New objects, or NULL when there was no memory for
 * them.
 */

#include <jansson.h>

#include "host-agent/manager/view.h"

/* "running", "paused" or "dry_run". */
const char *json_automation(enum automation automation);

/* The replies of Status and List. */
json_t *json_status(struct manager *manager);
json_t *json_list(struct manager *manager);

/* The NUMA nodes of a host that has several, and sets of them that VMs are bound to; empty where there is but one. */
json_t *json_nodes(const struct host_view *host);

/* One VM as in the list, and all that is known about it besides. */
json_t *json_show(struct manager *manager, size_t index);

/* Memory over the last since_usec, of a VM, or of the host where index is SIZE_MAX. */
json_t *json_history(struct manager *manager, size_t index, uint64_t since_usec);

/* Why one VM has what it has, in sentences, and its last moves. */
json_t *json_explain(struct manager *manager, size_t index);
/* Limits set by hand; what is not is null. */
json_t *json_limits(const struct limits *limits, uint64_t max_bytes);
