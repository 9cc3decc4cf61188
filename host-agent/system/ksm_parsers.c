/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/system/ksm_parsers.h"

#include <errno.h>
#include <string.h>

#include "host-agent/system/parsers.h"

int ksm_parse_signed(const char *text, int64_t *ret) {
        bool negative = *text == '-';
        uint64_t value;

        text += negative;
        if (!procfs_take_u64(&text, &value) || (*text && *text != '\n'))
                return -EBADMSG;
        if (value > INT64_MAX)
                return -ERANGE;
        *ret = negative ? -(int64_t) value : (int64_t) value;
        return 0;
}

uint64_t ksm_parse_advisor(const char *text) {
        const char *chosen = strchr(text, '[');

        if (!chosen)
                return AEROSTAT_UNKNOWN;
        if (strncmp(chosen, "[none]", 6) == 0)
                return 0;
        return strncmp(chosen, "[scan-time]", 11) == 0 ? 1 : AEROSTAT_UNKNOWN;
}

/* The value of a line "key 123" or "key: 123", as text; NULL when there is no such line. */
static const char *find_line(const char *text, const char *key) {
        size_t n = strlen(key);

        for (const char *line = text; line && *line; line = strchr(line, '\n'), line = line ? line + 1 : NULL)
                if (strncmp(line, key, n) == 0 && (line[n] == ' ' || line[n] == ':'))
                        return line + n + strspn(line + n, ": ");
        return NULL;
}

/* The number on a line of its own, or unknown. */
static uint64_t line_number(const char *text, const char *key) {
        const char *value = find_line(text, key);
        uint64_t number;

        return value && procfs_take_u64(&value, &number) && (*value == '\n' || !*value) ? number : AEROSTAT_UNKNOWN;
}

void ksm_parse_process(const char *text, uint64_t page_size, struct ksm_process *process) {
        uint64_t zero = line_number(text, "ksm_zero_pages"), merged = line_number(text, "ksm_merging_pages");
        const char *profit = find_line(text, "ksm_process_profit");
        char line[32];

        if (zero != AEROSTAT_UNKNOWN)
                process->zero_bytes = u64_mul(zero, page_size);
        if (merged != AEROSTAT_UNKNOWN)
                process->merged_bytes = u64_mul(merged, page_size);
        if (profit && strcspn(profit, "\n") < sizeof(line)) {
                memcpy(line, profit, strcspn(profit, "\n"));
                line[strcspn(profit, "\n")] = 0;
                (void) ksm_parse_signed(line, &process->profit_bytes);
        }
}

bool ksm_parse_thread(const char *text, uint64_t *ret_ticks) {
        const char *p = strstr(text, "(ksmd) ");
        uint64_t parent, utime, stime;

        if (!p || p != strchr(text, '(')) /* the first parenthesis, so that nobody is called "x (ksmd) " */
                return false;
        p += strlen("(ksmd) ");
        if (!*p || p[1] != ' ')
                return false;
        p += 2;
        if (!procfs_take_u64(&p, &parent) || parent != 2)
                return false;
        /* parent is field 4; utime and stime are 14 and 15 */
        for (int field = 4; field < 14; field++) {
                p = strchr(p, ' ');
                if (!p)
                        return false;
                p++;
        }
        if (!procfs_take_u64(&p, &utime) || *p++ != ' ' || !procfs_take_u64(&p, &stime))
                return false;
        *ret_ticks = u64_add(utime, stime);
        return true;
}

uint64_t ksm_parse_schedstat(const char *text) {
        uint64_t value;

        return procfs_take_u64(&text, &value) && *text == ' ' ? value : AEROSTAT_UNKNOWN;
}
