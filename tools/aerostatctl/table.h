/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Aligned tables. On a terminal that is too narrow, the columns with the highest `rank` go first, and the last one is cut; into a
 * file or pipe all is printed. Cells are made safe for the terminal. Running out of memory ends the program with a message: there
 * is nothing to undo.
 */

#include <stddef.h>

#include "tools/aerostatctl/text.h"

struct column {
        const char *title;
        bool right;             /* numbers */
        unsigned rank;          /* 0: always shown, like the first and the last */
};

struct table;

/* columns: borrowed. */
struct table *table_new(const struct column *columns, size_t n_columns);
struct table *table_free(struct table *table);

/* The next cell, row by row. */
void table_add(struct table *table, const char *text, enum style style);

void table_print(struct table *table, FILE *to);
