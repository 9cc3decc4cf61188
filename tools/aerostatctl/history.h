/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* A reply of History as a picture: axes with units, a legend, light or dark as the viewer wants it. Whether `out` took it is for the caller to
 * look. */

#include <stdio.h>

#include <jansson.h>

void history_draw(json_t *reply, FILE *out);
