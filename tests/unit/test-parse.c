/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/unit.h"

#include <errno.h>
#include <string.h>

#include "protocol/base.h"
#include "protocol/parse.h"
#include "protocol/units.h"

static void test_size(void **state) {
        static const struct {
                const char *text;
                int r;
                uint64_t bytes;
        } cases[] = {
                { "0", 0, 0 }, { "512M", 0, 512 * MIB }, { "4G", 0, 4 * GIB }, { "1.5GiB", 0, GIB + GIB / 2 },
                { "64KiB", 0, 64 * KIB }, { "2T", 0, 2 * TIB }, { "7B", 0, 7 }, { "0.001K", 0, 1 }, { "1.25MB", 0, MIB + MIB / 4 },
                { "0M", 0, 0 }, { "8388607T", 0, 8388607 * TIB },
                { "512", -EINVAL, 0 }, { "", -EINVAL, 0 }, { "M", -EINVAL, 0 }, { "-1G", -EINVAL, 0 }, { "+1G", -EINVAL, 0 },
                { " 1G", -EINVAL, 0 }, { "1G ", -EINVAL, 0 }, { "1 G", -EINVAL, 0 }, { "1e9", -EINVAL, 0 }, { "1.G", -EINVAL, 0 },
                { ".5G", -EINVAL, 0 }, { "1.2345G", -EINVAL, 0 }, { "1..5G", -EINVAL, 0 }, { "1g", -EINVAL, 0 }, { "1Gi", -EINVAL, 0 },
                { "0x10M", -EINVAL, 0 }, { "00", -EINVAL, 0 }, { "1P", -EINVAL, 0 },
                { "99999999999G", -ERANGE, 0 }, { "8388608T", -ERANGE, 0 }, { "99999999999999999999999G", -ERANGE, 0 },
        };
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
                uint64_t bytes = 42;
                int r = parse_size(cases[i].text, &bytes);
                if (r != cases[i].r || bytes != (r < 0 ? 42 : cases[i].bytes))
                        fail_msg("parse_size(\"%s\") = %d, %llu", cases[i].text, r, (unsigned long long) bytes);
        }
}

static void test_percent_factor_duration(void **state) {
        uint64_t v = 42;

        assert_int_equal(parse_percent("30%", &v), 0);
        assert_int_equal(v, 300000);
        assert_int_equal(parse_percent("0.5%", &v), 0);
        assert_int_equal(v, 5000);
        assert_int_equal(parse_percent("1000%", &v), 0);
        assert_int_equal(parse_percent("1001%", &v), -ERANGE);
        assert_int_equal(parse_percent("30", &v), -EINVAL);
        assert_int_equal(parse_percent("%", &v), -EINVAL);
        assert_int_equal(parse_percent("-1%", &v), -EINVAL);
        assert_int_equal(parse_percent("1%%", &v), -EINVAL);
        assert_int_equal(parse_factor("1.5", &v), 0);
        assert_int_equal(v, 1500000);
        assert_int_equal(parse_factor("1,5", &v), -EINVAL);
        assert_int_equal(parse_factor("1001", &v), -ERANGE);
        assert_int_equal(parse_duration("500ms", &v), 0);
        assert_int_equal(v, 500000);
        assert_int_equal(parse_duration("2h", &v), 0);
        assert_int_equal(v, 2 * USEC_PER_HOUR);
        assert_int_equal(parse_duration("1d", &v), 0);
        assert_int_equal(v, USEC_PER_DAY);
        assert_int_equal(parse_duration("10", &v), -EINVAL);
        assert_int_equal(parse_duration("-10s", &v), -EINVAL);
        assert_int_equal(parse_duration("1.5s", &v), -EINVAL);
        assert_int_equal(parse_duration("99999999999999d", &v), -ERANGE);
}

static void test_choices(void **state) {
        static const char *const keys[] = { "ceiling", "warn", "enforce", "per-vm-limits", NULL };
        bool b = false;

        assert_int_equal(parse_bool("yes", &b), 0);
        assert_true(b);
        assert_int_equal(parse_bool("off", &b), 0);
        assert_false(b);
        assert_int_equal(parse_bool("maybe", &b), -EINVAL);
        assert_int_equal(parse_choice("warn", keys), 1);
        assert_int_equal(parse_choice("Warn", keys), -EINVAL);
        assert_string_equal(parse_nearest("cieling", keys), "ceiling");
        assert_string_equal(parse_nearest("per_vm_limits", keys), "per-vm-limits");
        assert_null(parse_nearest("colour", keys));
        assert_null(parse_nearest("", keys));
}

static void test_uuid(void **state) {
        uint8_t uuid[16];
        char buf[UUID_STRING_SIZE];

        assert_int_equal(parse_uuid("c7A5fdbd-edaf-9455-926a-d65c16db1809", uuid), 0);
        assert_string_equal(format_uuid(uuid, buf), "c7a5fdbd-edaf-9455-926a-d65c16db1809");
        assert_int_equal(parse_uuid("c7a5fdbdedaf9455926ad65c16db1809", uuid), -EINVAL);
        assert_int_equal(parse_uuid("c7a5fdbd-edaf-9455-926a-d65c16db180", uuid), -EINVAL);
        assert_int_equal(parse_uuid("c7a5fdbd-edaf-9455-926a-d65c16db1809 ", uuid), -EINVAL);
        assert_int_equal(parse_uuid("", uuid), -EINVAL);
}

static void test_format(void **state) {
        char s[FORMAT_SIZE_MAX], d[FORMAT_DURATION_MAX];

        assert_string_equal(format_size(0, s), "0 B");
        assert_string_equal(format_size(612 * KIB, s), "612 KiB");
        assert_string_equal(format_size(GIB + GIB / 2, s), "1.50 GiB");
        assert_string_equal(format_size(AEROSTAT_UNKNOWN, s), "-");
        assert_string_equal(format_size(AEROSTAT_UNKNOWN - 1, s), "16.0 EiB");
        assert_string_equal(format_duration(350 * USEC_PER_MSEC, d), "350 ms");
        assert_string_equal(format_duration(4250 * USEC_PER_MSEC, d), "4.2 s");
        assert_string_equal(format_duration(185 * USEC_PER_SEC, d), "3 min 5 s");
        assert_string_equal(format_duration(130 * USEC_PER_MINUTE, d), "2 h 10 min");
}

static void test_saturation(void **state) {
        assert_int_equal(u64_add(UINT64_MAX, 1), UINT64_MAX);
        assert_int_equal(u64_sub(1, 2), 0);
        assert_int_equal(u64_mul(UINT64_MAX / 2, 3), UINT64_MAX);
        assert_int_equal(u64_mul_div(UINT64_MAX, UINT64_MAX, 1), UINT64_MAX);
        assert_int_equal(u64_mul_div(UINT64_MAX, 1, 3), UINT64_MAX / 3);
        assert_int_equal(u64_mul_div(5, 5, 0), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_size), cmocka_unit_test(test_percent_factor_duration), cmocka_unit_test(test_choices),
                cmocka_unit_test(test_uuid), cmocka_unit_test(test_format), cmocka_unit_test(test_saturation),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
