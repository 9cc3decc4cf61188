/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/aerostatctl/top_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "protocol/base.h"
#include "protocol/units.h"
#include "tools/aerostatctl/text.h"

void top_split(const uint64_t *parts, size_t n, uint64_t whole, unsigned columns, unsigned *ret) {
        uint64_t sum = 0;
        unsigned begin = 0;

        for (size_t i = 0; i < n; i++) {
                uint64_t end;

                sum = MIN(u64_add(sum, parts[i]), whole);
                end = u64_mul_div(sum, (uint64_t) columns * 2, whole);
                end = MIN((end + 1) / 2, (uint64_t) columns);
                ret[i] = (unsigned) end - begin;
                begin = (unsigned) end;
        }
}

char *top_size(uint64_t bytes, char buf[static TOP_SIZE_MAX]) {
        static const char units[] = "KMGT";
        double value = (double) bytes / 1024;
        size_t unit = 0;

        if (bytes == AEROSTAT_UNKNOWN || bytes == 0)
                return strcpy(buf, bytes == 0 ? "0" : "-");
        /* 1023.6M would be written 1024M: the next unit begins where rounding would reach it. */
        while (value >= 1023.5 && unit + 2 < sizeof(units)) {
                value /= 1024;
                unit++;
        }
        snprintf(buf, TOP_SIZE_MAX, unit < 2 || value >= 99.95 ? "%.0f%c" : value >= 9.995 ? "%.1f%c" : "%.2f%c", value, units[unit]);
        return buf;
}

char *top_percent(uint64_t ppm, char buf[static TOP_SIZE_MAX]) {
        if (ppm == AEROSTAT_UNKNOWN)
                return strcpy(buf, "-");
        snprintf(buf, TOP_SIZE_MAX, ppm == 0 || ppm >= 99500 ? "%.0f%%" : "%.1f%%", (double) ppm / 1e4);
        return buf;
}

size_t top_wrap(const char *text, size_t columns, size_t *ret_skip) {
        size_t fits = text_fitting(text, columns), end = fits;

        if (text[fits]) {
                while (end > 0 && text[end] != ' ')
                        end--;
                if (end == 0) { /* a word longer than the line */
                        end = fits > 0 ? fits : 1;
                        while (((unsigned char) text[end] & 0xc0) == 0x80)
                                end++;
                }
        }
        *ret_skip = end;
        while (text[*ret_skip] == ' ')
                ++*ret_skip;
        return end;
}
