/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the manager shows, as Prometheus text (version 0.0.4). What is not known is left out: a missing series, never a 0. No state. */

#include <stddef.h>
#include <stdio.h>

#include "host-agent/manager/view.h"

/* 0 and a text, which the caller frees; -ENOMEM. */
int metrics_format(struct manager *manager, char **ret, size_t *ret_size);

/* Its part about the NUMA nodes of a host that has several. */
void metrics_format_nodes(FILE *f, const struct host_view *host);
