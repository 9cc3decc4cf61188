/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "tools/sim/run.h"

/* Once a simulated second: one JSON object on a line, the host and a list of guests, in bytes. */
int timeline_write(struct run *run);
