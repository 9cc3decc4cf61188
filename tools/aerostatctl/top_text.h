/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Geometry and short texts of `top`: pure, no terminal.
 */

#include <stddef.h>
#include <stdint.h>

/* How many of `columns` each part of `whole` takes: in proportion, never more than `columns` together. Ends are rounded, not widths, so
 * that a bar does not get longer or shorter while only its parts move, and the same sum always ends in the same column. */
void top_split(const uint64_t *parts, size_t n, uint64_t whole, unsigned columns, unsigned *ret);

/* "1.92G", "512M", "0", "-": at most five characters up to 1023T. Returns buf. */
#define TOP_SIZE_MAX 16
char *top_size(uint64_t bytes, char buf[static TOP_SIZE_MAX]);

/* Parts per million as "0%", "0.3%", "12%"; "-". Returns buf. */
char *top_percent(uint64_t ppm, char buf[static TOP_SIZE_MAX]);

/* Bytes of the first line of a text from text_safe() that is to be broken at blanks into lines of that many columns (at least one character
 * is taken). *ret_skip: bytes up to where the next line begins. */
size_t top_wrap(const char *text, size_t columns, size_t *ret_skip);
