/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the last days were like, in sentences and as the JSON of org.aerostat.Host.Report. */

#include <jansson.h>

#include "host-agent/manager/view.h"

/* size_bytes: of the VMs of which it is asked how many more fit; unknown: such as run here. NULL: no memory. */
json_t *json_report(struct manager *manager, uint64_t now_sec, uint64_t since_sec, uint64_t size_bytes);
