/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The files of the dashboard page (control/dashboard/), built in: `make` generates dashboard.c from them. */

#include <stddef.h>

struct dashboard_file {
        const char *path;       /* "/" */
        const char *type;       /* of its content */
        const char *text;
};

extern const struct dashboard_file dashboard_files[];
extern const size_t n_dashboard_files;
