/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What would happen if, in sentences and as the JSON of org.aerostat.Host.WhatIf. */

#include <jansson.h>

#include "host-agent/view.h"

/* NULL: no memory. */
json_t *json_what_if(struct manager *manager, const struct what_if_request *request, const struct what_if *what);
