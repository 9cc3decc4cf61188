/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "tools/sim/run.h"

/* Draws a run: the host above, its guests below, over time. */
struct svg;

int svg_new(struct svg **ret, const struct run *run);
struct svg *svg_free(struct svg *svg);
DEFINE_CLEANUP(struct svg *, svg_free)

int svg_sample(struct svg *svg, const struct run *run);        /* in every step; keeps what the picture can show */
int svg_write(const struct svg *svg, FILE *out);
