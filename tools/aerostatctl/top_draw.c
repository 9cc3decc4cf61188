/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The screen as a whole, and its pages of text. Every frame is drawn anew into ncurses' memory; the terminal gets what has changed. */

#include <curses.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "protocol/base.h"
#include "tools/aerostatctl/field.h"
#include "tools/aerostatctl/top.h"
#include "tools/aerostatctl/top_screen.h"
#include "tools/aerostatctl/top_text.h"

#define VMS_MIN 3               /* rows that the list keeps before the host is shown in full */

const struct top_order top_orders[_TOP_SORTS] = {
        [TOP_SORT_PRESSURE] = { 'p', "pressure" }, [TOP_SORT_NAME] = { 'n', "name" }, [TOP_SORT_STATE] = { 'e', "state" },
        [TOP_SORT_ACTUAL] = { 'a', "actual" }, [TOP_SORT_MAX] = { 'm', "max" }, [TOP_SORT_DEMAND] = { 'd', "demand" },
        [TOP_SORT_TARGET] = { 't', "target" }, [TOP_SORT_COMMITTED] = { 'c', "committed" }, [TOP_SORT_RSS] = { 'r', "rss" },
        [TOP_SORT_SWAP] = { 's', "swap" },
};

#define KEYS_WIDTH 12           /* of the left column of help */

static const struct {
        const char *keys, *text;
} help[] = {
        { "", "The host, and a line for each virtual machine, live. Nothing is changed from here." },
        { "", "" },
        { "Up Down j k", "go through the list; so do PgUp, PgDn, Home and End. The selected VM stays selected; "
                         "on the first row it is whatever comes first" },
        { "Enter", "why that VM has what it has" },
        { "/", "show only VMs with this in their name (or with a UUID that begins so); Enter keeps it, Esc shows all" },
        { "< >", "the order before, the order after. Or at once, and twice from the other end:" },
        { "p n e a m", "by pressure, name, state, actual, maximum" },
        { "d t c r s", "by demand, target, committed, RSS, swap" },
        { "? h", "this help" },
        { "^L", "draw the screen anew" },
        { "q Esc ^C", "leave" },
        { "", "" },
        { "Pressure", "first VMs that do not obey or take too much, then those whose guests wait longest for memory, then those that lack most" },
        { "The bar", "is a VM's maximum: what it uses, cache that its guest could do without, what is free in the guest, and what the balloon took. "
                     "What a guest does not tell is drawn as one. Not green (bold without colours): it waits for memory, or lacks some" },
        { "ACTUAL", "what it has" },
        { "DEMAND", "what it needs, with headroom" },
        { "MAX", "its limit" },
        { "TARGET", "what its balloon was asked to leave it" },
        { "COMMIT", "what the host must be able to bear for it" },
        { "RSS, SWAP", "what its QEMU takes on the host" },
        { "PSI", "share of the last 10 s in which something in the guest waited for memory" },
        { "Envelope", "what all VMs together may take, so that the host survives if they take it at once" },
        { "Capacity", "what the host has for VMs; behind it, how many times as much their maximums come to" },
};

void top_put(struct top_pen *pen, enum style style, const char *text) {
        int end = pen->end < 0 || pen->end > COLS ? COLS : pen->end;
        size_t bytes, columns = text_columns(text);

        if (pen->row < 0 || pen->row >= LINES || pen->column < 0 || pen->column >= end)
                return;
        bytes = text_fitting(text, (size_t) (end - pen->column));
        attron(top_screen_style(style));
        (void) mvaddnstr(pen->row, pen->column, text, (int) bytes);
        attroff(top_screen_style(style));
        if (text[bytes]) { /* what is cut says so; a single column stays what it was */
                const char *ellipsis = text_is_utf8() ? text_ellipsis() : "~";

                if (end - pen->column > 1)
                        (void) mvaddstr(pen->row, end - 1, ellipsis);
                pen->column = end;
        } else
                pen->column += (int) columns;
}

void top_putf(struct top_pen *pen, enum style style, const char *format, ...) {
        char text[512];
        va_list ap;

        va_start(ap, format);
        (void) vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);
        top_put(pen, style, text);
}

/* A page of text that is written from its first line on and shows what is scrolled into the window. */
struct page {
        int row, rows;
        size_t first, lines;
};

/* lead: what stands before the first line, in a column of its own of that width. */
static void page_add_led(struct page *page, const char *lead, int width, enum style style, const char *text) {
        do {
                size_t skip, bytes = top_wrap(text, (size_t) MAX(COLS - 1 - width, 1), &skip);

                if (page->lines >= page->first && page->lines < page->first + (size_t) page->rows) {
                        struct top_pen pen = { page->row + (int) (page->lines - page->first), 0, -1 };
                        _cleanup_free_ char *line = strndup(text, bytes);

                        top_put(&pen, STYLE_HEADER, lead);
                        pen.column = width;
                        top_put(&pen, style, line ?: "");
                }
                page->lines++;
                text += skip;
                lead = "";
        } while (*text);
}

static void page_add(struct page *page, enum style style, const char *text) {
        page_add_led(page, "", 0, style, text);
}

static void page_add_field(struct page *page, const json_t *object, const char *key) {
        _cleanup_free_ char *safe = text_safe(field_text(object, key) ?: "");

        if (safe && *safe) {
                page_add(page, STYLE_PLAIN, safe);
                page_add(page, STYLE_PLAIN, "");
        }
}

static void add_moves(struct page *page, const json_t *moves) {
        const json_t *move;
        size_t i;

        page_add(page, STYLE_HEADER,
                 json_array_size(moves) > 0 ? "Its last moves, newest first:" : "It has not been moved since the daemon started.");
        json_array_foreach(moves, i, move) {
                char age[FORMAT_DURATION_MAX], when[FORMAT_DURATION_MAX + 8], before[TOP_SIZE_MAX], after[TOP_SIZE_MAX], line[256];
                _cleanup_free_ char *reason = text_safe(field_text(move, "reason") ?: "-");

                snprintf(when, sizeof(when), "%s ago", field_duration(move, "last_age_seconds", age));
                snprintf(line, sizeof(line), "%16s  %5s -> %-5s  %s%s", when, top_size(field_count(move, "before_bytes"), before),
                         top_size(field_count(move, "after_bytes"), after), reason ?: "-",
                         field_is_true(move, "applied") ? "" : " (dry run: not done)");
                page_add(page, STYLE_PLAIN, line);
        }
}

static void add_explanation(struct page *page, const json_t *e) {
        char target[FORMAT_SIZE_MAX], title[256];
        _cleanup_free_ char *name = text_safe(field_text(e, "name") ?: ""), *reason = text_safe(field_text(e, "reason") ?: "");

        if (!e)
                page_add(page, STYLE_PLAIN, "Asking aerostatd...");
        else if (!field_text(e, "name")) /* an error: it is gone */
                page_add(page, STYLE_PLAIN, field_text(e, "message") ? "It does not run any more." : "aerostatd cannot explain it.");
        if (!e || !field_text(e, "name"))
                return;
        snprintf(title, sizeof(title), "%s: %s, %s", name ?: "-", field_size(e, "target_bytes", target),
                 reason && *reason ? reason : "nothing decided yet");
        page_add(page, STYLE_HEADER, title);
        page_add(page, STYLE_PLAIN, "");
        page_add_field(page, e, "need");
        page_add_field(page, e, "entitlement");
        page_add_field(page, e, "explanation");
        page_add_field(page, e, "more");
        page_add_field(page, e, "note");
        add_moves(page, json_object_get(e, "decisions"));
}

/* Help or explanation over those rows; clamps text_first. */
static void draw_text(struct top_view *view, int row, int rows) {
        struct page page = { .row = row, .rows = rows, .first = view->text_first };

        if (view->page == TOP_PAGE_EXPLAIN)
                add_explanation(&page, view->explain);
        else
                for (size_t i = 0; i < ARRAY_SIZE(help); i++)
                        page_add_led(&page, help[i].keys, *help[i].keys ? KEYS_WIDTH : 0, STYLE_PLAIN, help[i].text);
        if (rows > 0 && view->text_first > 0 && view->text_first + (size_t) rows > page.lines) {
                /* It is scrolled beyond the end, or the window has grown. */
                view->text_first = page.lines > (size_t) rows ? page.lines - (size_t) rows : 0;
                for (int i = row; i < row + rows; i++) {
                        (void) move(i, 0);
                        (void) clrtoeol();
                }
                draw_text(view, row, rows);
        }
}

static void draw_footer(const struct top_view *view) {
        const struct top_model *model = &view->model;
        struct top_pen pen = { LINES - 1, 0, -1 };
        char right[64], interval[FORMAT_DURATION_MAX];
        _cleanup_free_ char *filter = text_safe(model->filter);

        if (view->filtering) {
                top_putf(&pen, STYLE_HEADER, "Name contains: %s_", filter ?: "");
                top_putf(&pen, STYLE_FAINT, "   %zu of %zu   Enter keep, Esc show all", model->n_shown, model->n_vms);
                return;
        }
        if (view->page != TOP_PAGE_LIST) {
                top_put(&pen, STYLE_FAINT, "Esc back   Up Down scroll   ^C leave");
                return;
        }
        if (*model->filter)
                snprintf(right, sizeof(right), "%zu of %zu VMs", model->n_shown, model->n_vms);
        else
                snprintf(right, sizeof(right), "%zu VM%s, every %s", model->n_vms, model->n_vms == 1 ? "" : "s",
                         format_duration(view->interval_usec, interval));
        pen.end = MAX(COLS - (int) strlen(right) - 1, 0);
        top_put(&pen, STYLE_FAINT, "? help  q quit  / filter");
        if (*model->filter)
                top_putf(&pen, STYLE_WARN, " \"%s\"", filter ?: "");
        top_putf(&pen, STYLE_FAINT, "  < > sort: %s%s  Enter explain", top_orders[model->sort].name, model->reverse ? ", reversed" : "");
        pen = (struct top_pen) { LINES - 1, MAX(COLS - (int) strlen(right), 0), -1 };
        if (COLS > 40)
                top_put(&pen, STYLE_FAINT, right);
}

void top_draw(struct top_view *view) {
        bool list = view->page == TOP_PAGE_LIST, gap = !list || LINES >= 14;
        int footer = LINES >= 4, row, left;

        (void) erase();
        row = top_draw_host(view, list ? MAX(LINES - footer - 1 - VMS_MIN, 1) : 1, COLS) + gap;
        left = LINES - footer - row;
        if (list)
                top_draw_table(view, row, left, gap);
        else
                draw_text(view, row, left);
        if (footer)
                draw_footer(view);
        (void) move(LINES - 1, COLS - 1); /* where a cursor that cannot be hidden disturbs least */
}
