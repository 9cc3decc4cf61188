/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The list of VMs. Columns come in the order of their worth as long as the bar keeps the width that each must leave it. */

#include <curses.h>
#include <string.h>

#include "protocol/base.h"
#include "tools/aerostatctl/top.h"
#include "tools/aerostatctl/top_screen.h"
#include "tools/aerostatctl/top_text.h"

#define NAME_MIN 8
#define NAME_MAX_COLUMNS 24
#define BAR_MIN 10
#define REASON_WIDTH 27

enum column { NAME, STATE, BAR, ACTUAL, MAX_SIZE, DEMAND, TARGET, COMMITTED, RSS, SWAP, PSI, REASON, _COLUMNS };

static const struct {
        const char *title;
        int width;
        size_t field;           /* offset of a size in struct top_vm, or 0 */
        int leaves;             /* what it must leave the bar, or it is not shown */
        enum top_sort sort;     /* by it */
} columns[_COLUMNS] = {
        [NAME] = { "NAME", NAME_MIN, 0, 0, TOP_SORT_NAME },
        [STATE] = { "STATE", 7, 0, BAR_MIN, TOP_SORT_STATE },
        [BAR] = { "MEMORY", BAR_MIN, 0, 0, _TOP_SORTS },
        [ACTUAL] = { "ACTUAL", 6, offsetof(struct top_vm, actual_bytes), 0, TOP_SORT_ACTUAL },
        [MAX_SIZE] = { "MAX", 5, offsetof(struct top_vm, max_bytes), BAR_MIN, TOP_SORT_MAX },
        [DEMAND] = { "DEMAND", 6, offsetof(struct top_vm, demand_bytes), BAR_MIN, TOP_SORT_DEMAND },
        [TARGET] = { "TARGET", 6, offsetof(struct top_vm, target_bytes), 24, TOP_SORT_TARGET },
        [COMMITTED] = { "COMMIT", 6, offsetof(struct top_vm, committed_bytes), 24, TOP_SORT_COMMITTED },
        [RSS] = { "RSS", 5, offsetof(struct top_vm, rss_bytes), 28, TOP_SORT_RSS },
        [SWAP] = { "SWAP", 5, offsetof(struct top_vm, swap_bytes), BAR_MIN, TOP_SORT_SWAP },
        [PSI] = { "PSI", 5, 0, BAR_MIN, TOP_SORT_PRESSURE },
        [REASON] = { "REASON", REASON_WIDTH, 0, 30, _TOP_SORTS },
};

static const enum column by_worth[] = { ACTUAL, DEMAND, PSI, MAX_SIZE, STATE, SWAP, TARGET, COMMITTED, RSS, REASON };

/* Widths of the columns; 0: not shown. */
static void fit(const struct top_model *model, int ret[static _COLUMNS]) {
        int name = NAME_MIN, state = columns[STATE].width, room;

        for (size_t i = 0; i < model->n_vms; i++) {
                name = MAX(name, (int) MIN(text_columns(model->vms[i].name), (size_t) NAME_MAX_COLUMNS));
                state = MAX(state, (int) strlen(model->vms[i].state));
        }
        for (size_t i = 0; i < _COLUMNS; i++)
                ret[i] = 0;
        ret[NAME] = MIN(name, MAX(COLS / 4, NAME_MIN));
        room = COLS - 1 - ret[NAME] - 1; /* a mark before the name, a blank before the bar */
        for (size_t turn = 0; turn < 2; turn++) /* first the one that the list is sorted by, whatever it costs */
                for (size_t i = 0; i < ARRAY_SIZE(by_worth); i++) {
                        enum column c = by_worth[i];
                        int width = c == STATE ? state : columns[c].width;
                        bool sorted = columns[c].sort == model->sort;

                        if (ret[c] > 0 || (turn == 0 && !sorted) || room - width - 1 < (sorted ? 0 : columns[c].leaves))
                                continue;
                        ret[c] = width;
                        room -= width + 1;
                }
        ret[BAR] = room >= 3 ? room : 0;
}

static const char *glyph(enum top_part part) {
        static const char *const utf8[] = { "\u2588", "\u2593", "\u2591", "\u2592", "\u00b7" }, *const ascii[] = { "#", "=", "-", "?", "." };

        return text_is_utf8() ? utf8[part] : ascii[part];
}

static enum style severity_style(const struct top_vm *vm) {
        static const enum style styles[] = { STYLE_GOOD, STYLE_WARN, STYLE_BAD };

        return styles[top_vm_severity(vm)];
}

static void draw_bar(const struct top_vm *vm, struct top_pen *pen) {
        static const enum style styles[] = {
                [TOP_USED] = STYLE_GOOD, [TOP_CACHE] = STYLE_PLAIN, [TOP_FREE] = STYLE_PLAIN, [TOP_UNTOLD] = STYLE_PLAIN, [TOP_BALLOON] = STYLE_FAINT,
        };
        unsigned widths[_TOP_PARTS];

        top_split(vm->parts_bytes, _TOP_PARTS, vm->max_bytes, (unsigned) MAX(pen->end - pen->column, 0), widths);
        for (enum top_part part = 0; part < _TOP_PARTS; part++)
                for (unsigned i = 0; i < widths[part]; i++)
                        top_put(pen, part == TOP_USED ? severity_style(vm) : styles[part], glyph(part));
}

static void draw_titles(const struct top_model *model, const int widths[static _COLUMNS], int row) {
        int column = 0;

        for (enum column c = 0; c < _COLUMNS; c++) {
                const char *title = columns[c].title;
                bool right = columns[c].field != 0 || c == PSI, sorted = columns[c].sort == model->sort;
                struct top_pen pen = { row, column + (c == NAME), column + widths[c] + (c == NAME) };

                if (widths[c] == 0)
                        continue;
                if (right)
                        pen.column += widths[c] - (int) strlen(title);
                if (sorted)
                        attron(A_REVERSE);
                top_put(&pen, STYLE_HEADER, title);
                attroff(A_REVERSE);
                column += widths[c] + 1 + (c == NAME);
        }
}

static void draw_legend(const int widths[static _COLUMNS], int row) {
        struct top_pen pen = { row, 1 + widths[NAME] + 1 + (widths[STATE] > 0 ? widths[STATE] + 1 : 0), -1 };

        top_putf(&pen, STYLE_FAINT, "%s used  %s cache  %s free  %s balloon", glyph(TOP_USED), glyph(TOP_CACHE), glyph(TOP_FREE), glyph(TOP_BALLOON));
}

static void draw_cell(const struct top_vm *vm, enum column c, int width, struct top_pen *pen) {
        uint64_t bytes = columns[c].field != 0 ? *(const uint64_t *) (const void *) ((const char *) vm + columns[c].field) : 0;
        enum style style = STYLE_PLAIN;
        char buf[TOP_SIZE_MAX];

        switch (c) {
        case NAME:
                top_put(pen, STYLE_PLAIN, vm->name);
                break;
        case STATE:
                style = strcmp(vm->state, "breaching") == 0 || strcmp(vm->state, "uncooperative") == 0 ? STYLE_BAD : STYLE_PLAIN;
                top_put(pen, style, vm->state);
                break;
        case BAR:
                draw_bar(vm, pen);
                break;
        case REASON:
                top_put(pen, STYLE_FAINT, vm->reason);
                break;
        case PSI:
                style = vm->psi_ppm != AEROSTAT_UNKNOWN && vm->psi_ppm >= 10000 ? severity_style(vm) : STYLE_PLAIN;
                top_putf(pen, style, "%*s", width, top_percent(vm->psi_ppm, buf));
                break;
        default:
                if (c == DEMAND && bytes != AEROSTAT_UNKNOWN && vm->actual_bytes != AEROSTAT_UNKNOWN && bytes > vm->actual_bytes)
                        style = STYLE_WARN;
                else if (c == SWAP && bytes != AEROSTAT_UNKNOWN && bytes > 0)
                        style = STYLE_WARN;
                top_putf(pen, style, "%*s", width, top_size(bytes, buf));
        }
}

static void draw_vm(const struct top_vm *vm, bool selected, const int widths[static _COLUMNS], int row) {
        struct top_pen mark = { row, 0, 1 };
        int column = 1;

        if (selected)
                top_put(&mark, STYLE_HEADER, ">");
        for (enum column c = 0; c < _COLUMNS; c++) {
                struct top_pen pen = { row, column, column + widths[c] };

                if (widths[c] == 0)
                        continue;
                if (selected && c == NAME)
                        attron(A_REVERSE);
                draw_cell(vm, c, widths[c], &pen);
                attroff(A_REVERSE);
                column += widths[c] + 1;
        }
}

void top_draw_table(struct top_view *view, int row, int rows, bool legend) {
        struct top_model *model = &view->model;
        struct top_pen pen = { row + 1, 1, -1 };
        int widths[_COLUMNS];

        if (rows < 2)
                return;
        fit(model, widths);
        if (legend && widths[BAR] > 0)
                draw_legend(widths, row - 1);
        draw_titles(model, widths, row);
        top_model_scroll(model, (size_t) rows - 1);
        for (int i = 0; i < rows - 1 && model->first + (size_t) i < model->n_shown; i++) {
                size_t vm = model->first + (size_t) i;

                draw_vm(model->shown[vm], vm == model->selected, widths, row + 1 + i);
        }
        if (model->n_shown == 0)
                top_put(&pen, STYLE_PLAIN, *model->filter ? "No VM has that in its name." : "No VM is running.");
}
