/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/unit.h"

#include <ini.h>
#include <stdio.h>
#include <string.h>

#include "protocol/ini_lines.h"

static char buf[256];

static struct ini_lines lines_of(const char *text) {
        return (struct ini_lines) { .next = text };
}

static void test_lines(void **state) {
        struct ini_lines lines = lines_of("one\n\ntwo = 2\n   \t\n# last");

        assert_string_equal(ini_lines_read(buf, 200, &lines), "one\n");
        assert_string_equal(ini_lines_read(buf, 200, &lines), "\n");
        assert_string_equal(ini_lines_read(buf, 200, &lines), "two = 2\n");
        assert_int_equal(lines.line, 3);
        assert_string_equal(ini_lines_read(buf, 200, &lines), "   \t\n");
        assert_string_equal(ini_lines_read(buf, 200, &lines), "# last\n");
        assert_null(ini_lines_read(buf, 200, &lines));
        assert_int_equal(lines.line, 5);
        assert_null(lines.error);
}

static void check_error(const char *text, unsigned line, const char *part) {
        struct ini_lines lines = lines_of(text);

        while (ini_lines_read(buf, 200, &lines))
                ;
        assert_int_equal(lines.error_line, line);
        if (!part)
                assert_null(lines.error);
        else if (!lines.error || !strstr(lines.error, part))
                fail_msg("'%s' gives '%s'", text, lines.error ? lines.error : "no error");
        /* It stays at its end. */
        assert_null(ini_lines_read(buf, 200, &lines));
        assert_int_equal(lines.error_line, line);
}

static void test_errors(void **state) {
        char text[400];

        check_error("", 0, NULL);
        check_error("a = b\n c = d\n", 2, "indented");
        check_error("\tc = d\n", 1, "indented");
        check_error("a = b\r\nc = d\r\n", 1, "Unix line ends");
        check_error("a = \x01\n", 1, "control character");
        check_error("a = \x7f\n", 1, "control character");
        check_error("\xef\xbb\xbf[a]\n", 1, "byte order mark");
        check_error("a =\tb\n# gr\xc3\xbc\xc3\x9f dich\n", 0, NULL);
        memset(text, 'x', sizeof(text));
        text[INI_LINE_MAX] = 0;
        check_error(text, 0, NULL);
        text[INI_LINE_MAX] = 'x';
        text[INI_LINE_MAX + 1] = '\n';
        text[INI_LINE_MAX + 2] = 0;
        check_error(text, 1, "too long");
        check_error("[1234567890123456789012345678901234567890123456789]\n", 0, NULL);
        check_error("\n[12345678901234567890123456789012345678901234567890]\n", 2, "section name is too long");
}

static void test_small_buffer(void **state) {
        struct ini_lines lines = lines_of("123456\n");
        char small[8];

        assert_string_equal(ini_lines_read(small, 8, &lines), "123456\n");
        lines = lines_of("1234567\n");
        assert_null(ini_lines_read(small, 8, &lines));
        assert_int_equal(lines.error_line, 1);
        lines = lines_of("1");
        assert_null(ini_lines_read(small, 0, &lines));
}

static int count_key(void *userdata, const char *section, const char *name, const char *value) {
        unsigned *count = userdata;

        if (strcmp(name, "swap_limit") == 0)
                ++*count;
        return 1;
}

/* The trap itself (inih issue #145): libinih's own reader takes the tail of a long comment for a setting. Ours does not let it. */
static void test_long_comment_sets_nothing(void **state) {
        char text[512];
        struct ini_lines lines;
        unsigned count = 0;

        snprintf(text, sizeof(text), "[swap]\n# %0*d\nswap_limit=99\n", 197, 0);
        memcpy(strchr(text, '#') + 199, "swap_limit=1\n", 14); /* begins just behind what the buffer holds */
        lines = lines_of(text);
        (void) ini_parse_stream(ini_lines_read, &lines, count_key, &count);
        assert_int_equal(count, 0);
        assert_int_equal(lines.error_line, 2);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_lines), cmocka_unit_test(test_errors), cmocka_unit_test(test_small_buffer),
                cmocka_unit_test(test_long_comment_sets_nothing),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
