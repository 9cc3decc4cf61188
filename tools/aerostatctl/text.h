/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Text for people: right in UTF-8 and in the C locale, coloured on a terminal only, and never a way for a name to speak to the
 * terminal (names of VMs are chosen by others).
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum style { STYLE_PLAIN, STYLE_HEADER, STYLE_GOOD, STYLE_WARN, STYLE_BAD, STYLE_FAINT };

/* Reads locale and environment; to be called once, first. */
void text_init(void);

/* Columns of the terminal on stdout, or 0 when it is none (nothing is cut then). COLUMNS overrides. */
size_t text_terminal_width(void);

/* A copy that is safe to print and fits the locale: control and format characters, and in the C locale all that is not ASCII,
 * become '?'. text: valid UTF-8 (anything else becomes '?' too). The caller frees it; NULL: out of memory. */
char *text_safe(const char *text);

/* Prints a text from text_safe() in lines of at most 80 columns, or of the terminal's where that is narrower; all but the first are indented. */
void text_print_wrapped(const char *text, size_t indent);

/* Columns that a text from text_safe() takes on the screen. */
size_t text_columns(const char *text);

/* Bytes of the longest beginning of it that takes at most this many columns. */
size_t text_fitting(const char *text, size_t columns);

/* What starts and ends a style: escape sequences, or "" where colour is not wanted (no terminal, NO_COLOR, TERM=dumb). */
const char *text_style(enum style style);
const char *text_end(enum style style);

/* Whether the locale is UTF-8. */
bool text_is_utf8(void);

/* "…", or "..." where the locale has no such thing. */
const char *text_ellipsis(void);

/* One column that stands for value between 0 and most: a block of that height, or a character of that weight. */
const char *text_spark(uint64_t value, uint64_t most);

/* A bar of `width` columns into buf, filled for `part` of `whole`. Returns buf. */
#define TEXT_BAR_MAX 256
char *text_bar(char buf[static TEXT_BAR_MAX], size_t width, double part, double whole);
