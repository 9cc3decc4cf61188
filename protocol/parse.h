/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Strict parsers and formatters for what people write: sizes, shares, durations, numbers, names of choices.
 * They take a NUL-terminated string and accept it only whole: no leading or trailing blanks, no sign, no junk.
 * -EINVAL: not in the form; -ERANGE: in the form, but too large for the type or outside the stated range.
 * No allocation, no locale, no state; any thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A decimal unsigned integer, 1 to 20 digits. */
int parse_u64(const char *s, uint64_t *ret);

/* A size with its unit: "512M", "4G", "1.5GiB", "64KiB", "2T"; units K M G T, optionally followed by "iB" or "B", are powers of
 * 1024; "B" alone is bytes. At most 3 decimal places; the result is rounded down to bytes. A bare number is -EINVAL because a unit
 * was forgotten, except "0". Range 0 .. 2^63-1 bytes (so that it fits JSON's signed integers). */
int parse_size(const char *s, uint64_t *ret_bytes);

/* A percentage "30%", "0.5%", at most 4 decimal places -> parts per million (30% = 300000). Range 0 .. 1000%. */
int parse_percent(const char *s, uint64_t *ret_ppm);

/* A plain non-negative decimal fraction "1.5", at most 6 decimal places -> parts per million. Range 0 .. 1000. */
int parse_factor(const char *s, uint64_t *ret_ppm);

/* A duration with its unit: "500ms", "10s", "5m", "2h", "1d" -> microseconds. Whole numbers only. */
int parse_duration(const char *s, uint64_t *ret_usec);

/* "yes" "no" "true" "false" "on" "off" "1" "0". */
int parse_bool(const char *s, bool *ret);

/* The index of s in the NULL-terminated list of choices, or -EINVAL. */
int parse_choice(const char *s, const char *const *choices);

/* The entry of the NULL-terminated list nearest to s (Levenshtein distance at most 3 and under half of its length), or NULL. For "did you mean". */
const char *parse_nearest(const char *s, const char *const *choices);

/* 16 bytes as 8-4-4-4-12 lower-case hex, and back (either case). */
#define UUID_STRING_SIZE 37
int parse_uuid(const char *s, uint8_t ret[static 16]);
char *format_uuid(const uint8_t uuid[static 16], char buf[static UUID_STRING_SIZE]);

/* Bytes as people read them: "0 B", "612 KiB", "1.50 GiB"; three significant digits or more; AEROSTAT_UNKNOWN is "-". Returns buf. */
#define FORMAT_SIZE_MAX 24
char *format_size(uint64_t bytes, char buf[static FORMAT_SIZE_MAX]);

/* Microseconds as people read them: "350 ms", "4.2 s", "3 min 5 s", "2 h 10 min"; AEROSTAT_UNKNOWN is "-". Returns buf. */
#define FORMAT_DURATION_MAX 32
char *format_duration(uint64_t usec, char buf[static FORMAT_DURATION_MAX]);
