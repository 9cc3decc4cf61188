/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/system/parsers.h"

#include <errno.h>
#include <string.h>

#include "protocol/units.h"

uint64_t number_parse(const char *text) {
        uint64_t value;

        return procfs_take_u64(&text, &value) && (!*text || strcmp(text, "\n") == 0) ? value : AEROSTAT_UNKNOWN;
}

bool pageset_count_parse(const char *line, uint64_t *ret_pages) {
        static const char name[] = "count:";

        line += strspn(line, " ");
        if (strncmp(line, name, sizeof(name) - 1) != 0)
                return false;
        line += sizeof(name) - 1;
        line += strspn(line, " ");
        return procfs_take_u64(&line, ret_pages) && *ret_pages != AEROSTAT_UNKNOWN && !*line;
}

/* Walks "0-1,3\n"; false when malformed. */
static bool take_list(const char *text, uint64_t *ret_count, uint64_t *ret_mask) {
        uint64_t first, last, n = 0, mask = 0;

        do {
                if (!procfs_take_u64(&text, &first))
                        return false;
                last = first;
                if (*text == '-') {
                        text++;
                        if (!procfs_take_u64(&text, &last))
                                return false;
                }
                if (last < first || last > UINT16_MAX) /* Linux knows 1024 nodes at most */
                        return false;
                n += last - first + 1;
                for (; first <= last && first < 64; first++)
                        mask |= UINT64_C(1) << first;
        } while (*text++ == ',');
        *ret_count = n;
        *ret_mask = mask;
        return true;
}

uint32_t list_count(const char *text) {
        uint64_t n, mask;

        return take_list(text, &n, &mask) ? (uint32_t) MIN(n, UINT16_MAX) : 0;
}

uint64_t list_mask(const char *text) {
        uint64_t n, mask;

        return take_list(text, &n, &mask) ? mask : 0;
}

bool choice_is(const char *text, const char *choice) {
        const char *bracket = strchr(text, '[');
        size_t n = strlen(choice);

        return bracket && strncmp(bracket + 1, choice, n) == 0 && bracket[1 + n] == ']';
}

void unescape_octal(char *s) {
        char *to = s;

        for (; *s; s++) {
                if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' && s[3] >= '0' && s[3] <= '7') {
                        char c = (char) ((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
                        *to++ = c ? c : '?';
                        s += 3;
                } else
                        *to++ = *s;
        }
        *to = 0;
}

static const char *skip_blanks(const char *s) {
        return s + strspn(s, " \t");
}

static const char *next_line(const char *s) {
        s += strcspn(s, "\n");
        return *s ? s + 1 : s;
}

/* Whether a name from /proc/swaps (n characters) is a zram device: /dev/zram0. */
static bool is_zram(const char *name, size_t n) {
        static const char zram[] = "/zram";
        const char *slash = memrchr(name, '/', n), *end = name + n;

        if (!slash || (size_t) (end - slash) <= strlen(zram) || strncmp(slash, zram, strlen(zram)) != 0)
                return false;
        slash += strlen(zram);
        return slash + strspn(slash, "0123456789") >= end; /* what follows the name is a blank */
}

/* "Filename Type Size Used Priority", sizes in KiB. Blanks within a name are escaped, so that the first blank ends it. */
void swaps_parse(const char *text, struct host_sample *sample) {
        uint64_t disk_total = 0, disk_used = 0, zram_total = 0, zram_used = 0;

        for (text = next_line(text); *text; text = next_line(text)) {
                size_t name = strcspn(text, " \t\n");
                uint64_t total, used;
                const char *p;

                p = skip_blanks(text + name);
                p = skip_blanks(p + strcspn(p, " \t\n"));
                if (!procfs_take_u64(&p, &total))
                        continue;
                p = skip_blanks(p);
                if (!procfs_take_u64(&p, &used))
                        continue;
                if (is_zram(text, name)) {
                        zram_total = u64_add(zram_total, u64_mul(total, KIB));
                        zram_used = u64_add(zram_used, u64_mul(used, KIB));
                } else {
                        disk_total = u64_add(disk_total, u64_mul(total, KIB));
                        disk_used = u64_add(disk_used, u64_mul(used, KIB));
                }
        }
        sample->swap_disk_total_bytes = disk_total;
        sample->swap_disk_used_bytes = disk_used;
        sample->swap_zram_total_bytes = zram_total;
        sample->swap_zram_used_bytes = zram_used;
}

/* "name type data"; type 4 is a 64-bit number. */
void arcstats_parse(const char *text, struct host_sample *sample) {
        for (; *text; text = next_line(text)) {
                size_t n = strcspn(text, " \t\n");
                uint64_t type, value;
                const char *p = skip_blanks(text + n);

                if (!procfs_take_u64(&p, &type))
                        continue;
                p = skip_blanks(p);
                if (!procfs_take_u64(&p, &value))
                        continue;
                if (n == 4 && strncmp(text, "size", n) == 0)
                        sample->arc_size_bytes = value;
                else if (n == 5 && strncmp(text, "c_min", n) == 0)
                        sample->arc_min_bytes = value;
        }
}
