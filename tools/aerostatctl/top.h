/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * What the parts of `top` that draw share. ncurses is included by top.c and top_*.c only; they draw on stdscr, and top.c sends it to the terminal.
 */

#include <time.h>

#include "tools/aerostatctl/text.h"
#include "tools/aerostatctl/top_model.h"

enum top_page { TOP_PAGE_LIST, TOP_PAGE_HELP, TOP_PAGE_EXPLAIN };

struct top_view {
        struct top_model model;
        json_t *status;                 /* NULL: nothing has been heard yet */
        json_t *explain;                /* of the VM that is explained; NULL: not yet */
        char explained[UUID_STRING_SIZE];
        enum top_page page;
        size_t text_first;              /* first line shown of a page of text */
        bool filtering;                 /* keys go into the filter */
        const char *error;              /* why the daemon cannot be asked; "": it can */
        time_t heard;                   /* when the daemon was last heard */
        uint64_t interval_usec;
};

/* A place on the screen where text goes on, and where it has to end. */
struct top_pen {
        int row, column, end;
};

/* Writes a text from text_safe(), cut at the pen's end, and moves the pen behind it. */
void top_put(struct top_pen *pen, enum style style, const char *text);
void top_putf(struct top_pen *pen, enum style style, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The host in up to that many rows, the most important first; returns how many it took. */
int top_draw_host(const struct top_view *view, int rows, int columns);

/* The VMs in that many rows, the first of them titles; scrolls the model. legend: whether the row above is free to explain the bar. */
void top_draw_table(struct top_view *view, int row, int rows, bool legend);

/* All of the screen. */
void top_draw(struct top_view *view);

/* Names of the orders, and the key of each; shared by help, footer and keyboard. */
struct top_order {
        char key;
        const char *name;
};
extern const struct top_order top_orders[_TOP_SORTS];
