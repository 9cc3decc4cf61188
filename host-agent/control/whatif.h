/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What would happen if, in sentences and as the JSON of org.aerostat.Host.WhatIf. */

#include <jansson.h>

#include "host-agent/manager/view.h"

/* NULL: no memory. */
json_t *json_whatif(struct manager *manager, const struct whatif_question *request, const struct whatif_answer *what);
