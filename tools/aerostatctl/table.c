/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/aerostatctl/table.h"

#include <string.h>

#include "protocol/base.h"

#define GAP 2u          /* spaces between columns */
#define LAST_MIN 20u    /* what the last column keeps, if it has it, before others are dropped */

struct cell {
        char *text;
        size_t columns;
        enum style style;
};

struct table {
        const struct column *columns;
        size_t n_columns;
        struct cell *cells;
        size_t n_cells, n_allocated;
        size_t *widths;         /* 0: not shown */
};

static void *check(void *memory) {
        if (!memory) {
                fprintf(stderr, "aerostatctl: out of memory\n");
                exit(EXIT_FAILURE);
        }
        return memory;
}

struct table *table_new(const struct column *columns, size_t n_columns) {
        struct table *table = check(calloc(1, sizeof(*table)));

        table->columns = columns;
        table->n_columns = n_columns;
        table->widths = check(calloc(n_columns, sizeof(*table->widths)));
        for (size_t i = 0; i < n_columns; i++)
                table_add(table, columns[i].title, STYLE_HEADER);
        return table;
}

struct table *table_free(struct table *table) {
        if (!table)
                return NULL;
        for (size_t i = 0; i < table->n_cells; i++)
                free(table->cells[i].text);
        free(table->cells);
        free(table->widths);
        free(table);
        return NULL;
}

void table_add(struct table *table, const char *text, enum style style) {
        size_t column = table->n_cells % table->n_columns;
        struct cell *cell;

        if (table->n_cells == table->n_allocated) {
                table->n_allocated = MAX(table->n_allocated * 2, (size_t) 64);
                table->cells = check(reallocarray(table->cells, table->n_allocated, sizeof(*table->cells)));
        }
        cell = &table->cells[table->n_cells++];
        *cell = (struct cell) { .text = check(text_safe(text)), .style = style };
        cell->columns = text_columns(cell->text);
        table->widths[column] = MAX(table->widths[column], cell->columns);
}

/* last_width: what to take for the last column instead of its own width. */
static size_t total_width(const struct table *table, size_t last_width) {
        size_t total = last_width;

        for (size_t i = 0; i + 1 < table->n_columns; i++)
                if (table->widths[i] > 0)
                        total += table->widths[i] + GAP;
        return total;
}

/* Drops columns until the table fits with the last one cut, and then cuts that no further than needed. */
static void fit(struct table *table, size_t width) {
        size_t last = table->n_columns - 1, least = MIN(table->widths[last], LAST_MIN), total;

        while (total_width(table, least) > width) {
                size_t victim = 0;

                for (size_t i = 0; i < last; i++)
                        if (table->widths[i] > 0 && table->columns[i].rank > table->columns[victim].rank)
                                victim = i;
                if (table->columns[victim].rank == 0)
                        break;
                table->widths[victim] = 0;
        }
        total = total_width(table, table->widths[last]);
        if (total > width)
                table->widths[last] -= MIN(total - width, table->widths[last] - least);
}

static void print_cell(const struct cell *cell, const struct column *column, size_t width, bool last, FILE *to) {
        const char *ellipsis = "";
        size_t bytes = strlen(cell->text), columns = cell->columns;
        size_t padding;

        if (columns > width) {
                ellipsis = width > text_columns(text_ellipsis()) ? text_ellipsis() : "";
                bytes = text_fitting(cell->text, width - text_columns(ellipsis));
                columns = width;
        }
        padding = width - columns;
        if (column->right)
                fprintf(to, "%*s", (int) padding, "");
        fprintf(to, "%s%.*s%s%s", text_style(cell->style), (int) bytes, cell->text, ellipsis, text_end(cell->style));
        if (!last)
                fprintf(to, "%*s", (int) ((column->right ? 0 : padding) + GAP), "");
}

void table_print(struct table *table, FILE *to) {
        size_t width = text_terminal_width();

        if (width > 0)
                fit(table, width);
        for (size_t i = 0; i < table->n_cells; i++) {
                size_t column = i % table->n_columns;

                bool last = column + 1 == table->n_columns;

                if (table->widths[column] > 0)
                        print_cell(&table->cells[i], &table->columns[column], table->widths[column], last, to);
                if (last)
                        fputc('\n', to);
        }
}
