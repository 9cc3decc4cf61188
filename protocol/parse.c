/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "protocol/parse.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "protocol/base.h"
#include "protocol/units.h"

static bool is_digit(char c) {
        return c >= '0' && c <= '9';
}

static bool append_digit(uint64_t *value, unsigned digit) {
        return !__builtin_mul_overflow(*value, 10, value) && !__builtin_add_overflow(*value, digit, value);
}

/* Takes digits from *s: at least one. */
static int take_digits(const char **s, uint64_t *ret) {
        uint64_t value = 0;
        const char *p = *s;

        if (!is_digit(*p))
                return -EINVAL;
        for (; is_digit(*p); p++)
                if (!append_digit(&value, (unsigned) (*p - '0')))
                        return -ERANGE;
        *s = p;
        *ret = value;
        return 0;
}

/* Takes "123" or "123.45" from *s as value * 10^decimals; at most `decimals` digits may follow the point. */
static int take_decimal(const char **s, unsigned decimals, uint64_t *ret_scaled) {
        const char *p = *s;
        uint64_t value;
        bool fraction = false;
        int r;

        r = take_digits(&p, &value);
        if (r < 0)
                return r;
        if (*p == '.') {
                p++;
                if (!is_digit(*p))
                        return -EINVAL;
                fraction = true;
        }
        for (unsigned i = 0; i < decimals; i++) {
                unsigned digit = fraction && is_digit(*p) ? (unsigned) (*p++ - '0') : 0;
                if (!append_digit(&value, digit))
                        return -ERANGE;
        }
        if (is_digit(*p))
                return -EINVAL;
        *s = p;
        *ret_scaled = value;
        return 0;
}

int parse_u64(const char *s, uint64_t *ret) {
        uint64_t value;
        int r;

        r = take_digits(&s, &value);
        if (r < 0)
                return r;
        if (*s)
                return -EINVAL;
        *ret = value;
        return 0;
}

int parse_size(const char *s, uint64_t *ret_bytes) {
        static const struct {
                const char *suffix;
                uint64_t bytes;
        } units[] = {
                { "B", 1 },
                { "K", KIB }, { "KB", KIB }, { "KiB", KIB },
                { "M", MIB }, { "MB", MIB }, { "MiB", MIB },
                { "G", GIB }, { "GB", GIB }, { "GiB", GIB },
                { "T", TIB }, { "TB", TIB }, { "TiB", TIB },
        };
        uint64_t milli, bytes;
        int r;

        if (strcmp(s, "0") == 0) {
                *ret_bytes = 0;
                return 0;
        }
        r = take_decimal(&s, 3, &milli);
        if (r < 0)
                return r;
        for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
                if (strcmp(s, units[i].suffix) != 0)
                        continue;
                bytes = u64_mul_div(milli, units[i].bytes, 1000);
                if (bytes > INT64_MAX)
                        return -ERANGE;
                *ret_bytes = bytes;
                return 0;
        }
        return -EINVAL;
}

int parse_percent(const char *s, uint64_t *ret_ppm) {
        uint64_t ppm;
        int r;

        r = take_decimal(&s, 4, &ppm);
        if (r < 0)
                return r;
        if (strcmp(s, "%") != 0)
                return -EINVAL;
        if (ppm > 10 * PPM_ONE)
                return -ERANGE;
        *ret_ppm = ppm;
        return 0;
}

int parse_factor(const char *s, uint64_t *ret_ppm) {
        uint64_t ppm;
        int r;

        r = take_decimal(&s, 6, &ppm);
        if (r < 0)
                return r;
        if (*s)
                return -EINVAL;
        if (ppm > 1000 * PPM_ONE)
                return -ERANGE;
        *ret_ppm = ppm;
        return 0;
}

int parse_duration(const char *s, uint64_t *ret_usec) {
        static const struct {
                const char *suffix;
                uint64_t usec;
        } units[] = {
                { "ms", USEC_PER_MSEC }, { "s", USEC_PER_SEC }, { "m", USEC_PER_MINUTE },
                { "min", USEC_PER_MINUTE }, { "h", USEC_PER_HOUR }, { "d", USEC_PER_DAY },
        };
        uint64_t value, usec;
        int r;

        r = take_digits(&s, &value);
        if (r < 0)
                return r;
        for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
                if (strcmp(s, units[i].suffix) != 0)
                        continue;
                if (__builtin_mul_overflow(value, units[i].usec, &usec) || usec > INT64_MAX)
                        return -ERANGE;
                *ret_usec = usec;
                return 0;
        }
        return -EINVAL;
}

int parse_bool(const char *s, bool *ret) {
        static const char *const yes[] = { "yes", "true", "on", "1", NULL };
        static const char *const no[] = { "no", "false", "off", "0", NULL };

        if (parse_choice(s, yes) >= 0)
                *ret = true;
        else if (parse_choice(s, no) >= 0)
                *ret = false;
        else
                return -EINVAL;
        return 0;
}

int parse_choice(const char *s, const char *const *choices) {
        for (int i = 0; choices[i]; i++)
                if (strcmp(s, choices[i]) == 0)
                        return i;
        return -EINVAL;
}

#define NEAREST_MAX 48u /* longer words are not worth a guess */

static unsigned levenshtein(const char *a, size_t na, const char *b, size_t nb) {
        unsigned row[NEAREST_MAX + 1];

        for (size_t j = 0; j <= nb; j++)
                row[j] = (unsigned) j;
        for (size_t i = 1; i <= na; i++) {
                unsigned diagonal = row[0];
                row[0] = (unsigned) i;
                for (size_t j = 1; j <= nb; j++) {
                        unsigned substitute = diagonal + (a[i - 1] != b[j - 1]);
                        diagonal = row[j];
                        row[j] = MIN(substitute, MIN(row[j], row[j - 1]) + 1);
                }
        }
        return row[nb];
}

const char *parse_nearest(const char *s, const char *const *choices) {
        size_t length = strlen(s);
        unsigned best = MIN(3u, (unsigned) (length / 2)) + 1;
        const char *nearest = NULL;

        if (length > NEAREST_MAX)
                return NULL;
        for (size_t i = 0; choices[i]; i++) {
                size_t n = strlen(choices[i]);
                unsigned distance;

                if (n > NEAREST_MAX)
                        continue;
                distance = levenshtein(s, length, choices[i], n);
                if (distance < best) {
                        best = distance;
                        nearest = choices[i];
                }
        }
        return nearest;
}

static int hex_value(char c) {
        if (is_digit(c))
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        if (c >= 'A' && c <= 'F')
                return c - 'A' + 10;
        return -EINVAL;
}

int parse_uuid(const char *s, uint8_t ret[static 16]) {
        uint8_t uuid[16];

        for (size_t i = 0; i < sizeof(uuid); i++) {
                int high, low;

                if ((i == 4 || i == 6 || i == 8 || i == 10) && *s++ != '-')
                        return -EINVAL;
                high = hex_value(s[0]);
                if (high < 0)
                        return -EINVAL;
                low = hex_value(s[1]);
                if (low < 0)
                        return -EINVAL;
                uuid[i] = (uint8_t) (high << 4 | low);
                s += 2;
        }
        if (*s)
                return -EINVAL;
        memcpy(ret, uuid, sizeof(uuid));
        return 0;
}

char *format_uuid(const uint8_t uuid[static 16], char buf[static UUID_STRING_SIZE]) {
        char *p = buf;

        for (size_t i = 0; i < 16; i++) {
                if (i == 4 || i == 6 || i == 8 || i == 10)
                        *p++ = '-';
                *p++ = "0123456789abcdef"[uuid[i] >> 4];
                *p++ = "0123456789abcdef"[uuid[i] & 15];
        }
        *p = 0;
        return buf;
}

char *format_size(uint64_t bytes, char buf[static FORMAT_SIZE_MAX]) {
        static const char *const names[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
        uint64_t unit = 1;
        size_t i = 0;

        if (bytes == AEROSTAT_UNKNOWN) {
                snprintf(buf, FORMAT_SIZE_MAX, "-");
                return buf;
        }
        while (i + 1 < ARRAY_SIZE(names) && bytes / unit >= 1024) {
                unit *= 1024;
                i++;
        }
        if (i == 0 || bytes / unit >= 100 || bytes % unit == 0)
                snprintf(buf, FORMAT_SIZE_MAX, "%" PRIu64 " %s", bytes / unit, names[i]);
        else if (bytes / unit >= 10)
                snprintf(buf, FORMAT_SIZE_MAX, "%.1f %s", (double) bytes / (double) unit, names[i]);
        else
                snprintf(buf, FORMAT_SIZE_MAX, "%.2f %s", (double) bytes / (double) unit, names[i]);
        return buf;
}

char *format_duration(uint64_t usec, char buf[static FORMAT_DURATION_MAX]) {
        uint64_t sec = usec / USEC_PER_SEC;

        if (usec == AEROSTAT_UNKNOWN)
                snprintf(buf, FORMAT_DURATION_MAX, "-");
        else if (usec < USEC_PER_SEC)
                snprintf(buf, FORMAT_DURATION_MAX, "%" PRIu64 " ms", usec / USEC_PER_MSEC);
        else if (sec < 60)
                snprintf(buf, FORMAT_DURATION_MAX, "%" PRIu64 ".%" PRIu64 " s", sec, usec % USEC_PER_SEC / (USEC_PER_SEC / 10));
        else if (sec < 3600)
                snprintf(buf, FORMAT_DURATION_MAX, "%" PRIu64 " min %" PRIu64 " s", sec / 60, sec % 60);
        else if (sec < 86400)
                snprintf(buf, FORMAT_DURATION_MAX, "%" PRIu64 " h %" PRIu64 " min", sec / 3600, sec % 3600 / 60);
        else
                snprintf(buf, FORMAT_DURATION_MAX, "%" PRIu64 " d %" PRIu64 " h", sec / 86400, sec % 86400 / 3600);
        return buf;
}
