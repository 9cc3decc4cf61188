/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/aerostatctl/text.h"

#include <langinfo.h>
#include <locale.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>
#include <wctype.h>

#include "protocol/base.h"
#include "protocol/parse.h"

static bool utf8, colour;

void text_init(void) {
        const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

        (void) setlocale(LC_CTYPE, "");
        utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
        colour = isatty(STDOUT_FILENO) && !(no_color && *no_color) && !(term && strcmp(term, "dumb") == 0);
}

size_t text_terminal_width(void) {
        const char *columns = getenv("COLUMNS");
        struct winsize size;
        uint64_t value;

        if (!isatty(STDOUT_FILENO))
                return 0;
        if (columns && parse_u64(columns, &value) >= 0 && value > 0 && value < 10000)
                return (size_t) value;
        return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

/* Bytes of the character at text; *ret is its code point, or 0 when it is not UTF-8. */
static size_t decode(const char *text, uint32_t *ret) {
        const unsigned char *s = (const unsigned char *) text;
        size_t length = s[0] < 0x80                   ? 1
                        : s[0] >= 0xc2 && s[0] < 0xe0 ? 2
                        : s[0] >= 0xe0 && s[0] < 0xf0 ? 3
                        : s[0] >= 0xf0 && s[0] < 0xf5 ? 4
                                                      : 0;
        uint32_t value;

        *ret = 0;
        if (length == 0)
                return 1;
        value = length == 1 ? s[0] : s[0] & (0x7fu >> length);
        for (size_t i = 1; i < length; i++) {
                if ((s[i] & 0xc0) != 0x80)
                        return 1;
                value = value << 6 | (s[i] & 0x3f);
        }
        *ret = value;
        return length;
}

/* Characters that show nothing, but change what others look like: joiners, marks and overrides of direction, byte order mark. */
static bool is_format(uint32_t c) {
        return (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) || c == 0xfeff ||
               c == 0xad;
}

static bool is_safe(uint32_t c) {
        if (c < 0x80)
                return c >= 0x20 && c != 0x7f;
        return utf8 && !is_format(c) && iswprint((wint_t) c);
}

char *text_safe(const char *text) {
        char *copy = malloc(strlen(text) + 1), *p = copy;

        if (!copy)
                return NULL;
        while (*text) {
                uint32_t c;
                size_t length = decode(text, &c);

                if (is_safe(c))
                        p = mempcpy(p, text, length);
                else
                        *p++ = '?';
                text += length;
        }
        *p = 0;
        return copy;
}

static size_t width_of(uint32_t c) {
        int width = c < 0x80 ? 1 : wcwidth((wchar_t) c);

        return width < 0 ? 1 : (size_t) width;
}

size_t text_columns(const char *text) {
        size_t columns = 0;

        while (*text) {
                uint32_t c;

                text += decode(text, &c);
                columns += width_of(c);
        }
        return columns;
}

size_t text_fitting(const char *text, size_t columns) {
        size_t used = 0, bytes = 0;

        while (text[bytes]) {
                uint32_t c;
                size_t length = decode(text + bytes, &c);

                used += width_of(c);
                if (used > columns)
                        break;
                bytes += length;
        }
        return bytes;
}

void text_print_wrapped(const char *text, size_t indent) {
        size_t terminal = text_terminal_width(), width = terminal > 0 ? MIN(terminal, (size_t) 80) : 80, used = 0;

        while (*text) {
                size_t bytes = strcspn(text, " "), columns;
                _cleanup_free_ char *word = strndup(text, bytes);

                if (!word)
                        return;
                columns = text_columns(word);
                if (used > 0 && used + 1 + columns > width) {
                        printf("\n%*s", (int) indent, "");
                        used = indent;
                } else if (used > 0) {
                        putchar(' ');
                        used++;
                }
                fputs(word, stdout);
                used += columns;
                text += bytes;
                text += strspn(text, " ");
        }
        putchar('\n');
}

const char *text_style(enum style style) {
        static const char *const codes[] = {
                [STYLE_PLAIN] = "", [STYLE_HEADER] = "\033[1m", [STYLE_GOOD] = "\033[32m",
                [STYLE_WARN] = "\033[33m", [STYLE_BAD] = "\033[1;31m", [STYLE_FAINT] = "\033[2m",
        };

        return colour ? codes[style] : "";
}

const char *text_end(enum style style) {
        return colour && style != STYLE_PLAIN ? "\033[0m" : "";
}

bool text_is_utf8(void) {
        return utf8;
}

const char *text_ellipsis(void) {
        return utf8 ? "\u2026" : "...";
}

const char *text_spark(uint64_t value, uint64_t most) {
        static const char *const blocks[] = { "\u2581", "\u2582", "\u2583", "\u2584", "\u2585", "\u2586", "\u2587", "\u2588" };
        static const char *const weights[] = { "_", ".", ":", "-", "=", "+", "*", "#" };
        size_t level = (size_t) MIN(u64_mul_div(value, ARRAY_SIZE(blocks), most), (uint64_t) ARRAY_SIZE(blocks) - 1);

        return utf8 ? blocks[level] : weights[level];
}

char *text_bar(char buf[static TEXT_BAR_MAX], size_t width, double part, double whole) {
        const char *full = utf8 ? "\u2588" : "#", *empty = utf8 ? "\u2591" : ".";
        double share = whole > 0 ? CLAMP(part / whole, 0.0, 1.0) : part > 0;
        size_t filled;
        char *p = buf;

        width = MIN(width, (TEXT_BAR_MAX - 1) / strlen(full));
        filled = (size_t) (share * (double) width + 0.5);
        for (size_t i = 0; i < width; i++)
                p = stpcpy(p, i < filled ? full : empty);
        return buf;
}
