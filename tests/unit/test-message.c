/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/unit.h"

#include <errno.h>
#include <string.h>

#include "protocol/base.h"
#include "protocol/endian.h"
#include "protocol/message.h"
#include "protocol/units.h"

static const struct frame header = { .version = FRAME_VERSION, .session_id = 7, .sequence = 1, .boot_id = { 0xb0 }, .time_usec = 5 };

static const uint8_t types[] = {
        MESSAGE_HELLO, MESSAGE_HELLO_ACK, MESSAGE_REPORT, MESSAGE_SET_INTERVAL,
        MESSAGE_PING, MESSAGE_PONG, MESSAGE_ERROR, MESSAGE_GOODBYE,
};

static struct message sample_message(uint8_t type) {
        struct message message = { .type = type };

        switch (type) {
        case MESSAGE_HELLO:
                message.hello = (struct message_hello) { 1, 2, 0xf0f0, "0.1.0" };
                break;
        case MESSAGE_HELLO_ACK:
                message.hello_ack = (struct message_hello_ack) { 1, 3, 4096, GIB, "0.1.0", "6.1.0-38-cloud-amd64" };
                break;
        case MESSAGE_REPORT:
                message_report_init(&message.report);
                message.report.reason = REPORT_PRESSURE;
                message.report.total_bytes = GIB;
                message.report.available_bytes = 100 * MIB;
                message.report.psi_some_avg10_ppm = PPM_ONE;
                message.report.swap_total_bytes = 0;
                break;
        case MESSAGE_SET_INTERVAL:
                message.set_interval = (struct message_set_interval) { 2000, AEROSTAT_UNKNOWN };
                break;
        case MESSAGE_PING:
        case MESSAGE_PONG:
                message.ping.token = AEROSTAT_UNKNOWN - 1;
                break;
        case MESSAGE_ERROR:
                message.error = (struct message_error) { MESSAGE_ERROR_EXPIRED, 12, "too late" };
                break;
        }
        return message;
}

static size_t encode(const struct message *message, uint8_t buf[static FRAME_SIZE_MAX]) {
        size_t n;

        assert_int_equal(message_encode(&header, message, buf, FRAME_SIZE_MAX, &n), 0);
        return n;
}

static int decode(uint8_t type, const uint8_t *payload, size_t size, struct message *ret) {
        struct frame frame = header;

        frame.type = type;
        frame.payload = payload;
        frame.payload_size = size;
        return message_decode(&frame, ret);
}

static void test_round_trip(void **state) {
        for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
                struct message in = sample_message(types[i]), out;
                uint8_t buf[FRAME_SIZE_MAX];
                size_t n = encode(&in, buf);

                memset(&out, 0x5a, sizeof(out));
                assert_int_equal(decode(types[i], buf + FRAME_HEADER_SIZE, n - FRAME_HEADER_SIZE, &out), 0);
                assert_memory_equal(&in, &out, sizeof(in));
        }
}

/* A report in which every field is known, and different. */
static void test_full_report(void **state) {
        struct message in = sample_message(MESSAGE_REPORT), out;
        uint8_t buf[FRAME_SIZE_MAX];
        size_t n;

        for (size_t i = 1; i < n_report_fields; i++)
                *(uint64_t *) (void *) ((char *) &in.report + report_fields[i].offset) = 1000 - i;
        n = encode(&in, buf);
        assert_int_equal(n, FRAME_HEADER_SIZE + n_report_fields * 12);
        assert_int_equal(decode(MESSAGE_REPORT, buf + FRAME_HEADER_SIZE, n - FRAME_HEADER_SIZE, &out), 0);
        assert_memory_equal(&in.report, &out.report, sizeof(in.report));
}

static void test_tables(void **state) {
        const struct message_field *fields;
        size_t n;

        /* Every member of the report has its field. */
        assert_int_equal(n_report_fields * sizeof(uint64_t), sizeof(struct message_report));
        fields = message_fields(MESSAGE_REPORT, &n);
        assert_int_equal(n, n_report_fields);
        for (size_t i = 0; i < n; i++) {
                assert_int_equal(fields[i].tag, report_fields[i].tag);
                assert_string_equal(fields[i].name, report_fields[i].name);
                assert_int_equal(fields[i].offset, offsetof(struct message, report) + report_fields[i].offset);
        }
        for (unsigned type = 0; type < 256; type++) {
                fields = message_fields((uint8_t) type, &n);
                assert_true((n > 0) == (fields != NULL));
                for (size_t i = 0; i < n; i++)
                        assert_true(fields[i].tag > (i > 0 ? fields[i - 1].tag : 0));
        }
        assert_string_equal(message_type_to_string(MESSAGE_HELLO_ACK), "hello-ack");
        assert_null(message_type_to_string(0));
        assert_null(message_type_to_string(99));
}

/* Whatever is cut off or put in, a message is taken whole or not at all. */
static void test_truncation(void **state) {
        for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
                struct message in = sample_message(types[i]), out;
                uint8_t buf[FRAME_SIZE_MAX];
                size_t n = encode(&in, buf) - FRAME_HEADER_SIZE;
                size_t n_fields;
                unsigned whole = 0;

                message_fields(types[i], &n_fields);
                for (size_t cut = 0; cut < n; cut++)
                        whole += decode(types[i], buf + FRAME_HEADER_SIZE, cut, &out) == 0;
                /* Only cuts between optional fields at the end are messages of their own. */
                assert_true(whole <= n_fields);
                memset(buf + FRAME_HEADER_SIZE + n, 0, 3);
                for (size_t extra = 1; extra <= 3; extra++)
                        assert_int_equal(decode(types[i], buf + FRAME_HEADER_SIZE, n + extra, &out), -EBADMSG);
        }
}

static void put_u64_field(uint8_t *p, uint16_t tag, uint64_t value) {
        put_le16(p, tag);
        put_le16(p + 2, 8);
        put_le64(p + 4, value);
}

static void test_duplicates_and_order(void **state) {
        uint8_t buf[24];
        struct message out;

        put_u64_field(buf, 1, 5);
        assert_int_equal(decode(MESSAGE_PING, buf, 12, &out), 0);
        assert_int_equal(out.ping.token, 5);
        put_u64_field(buf + 12, 1, 5);
        assert_int_equal(decode(MESSAGE_PING, buf, 24, &out), -EBADMSG);
        /* Unknown tags are skipped, but not twice either, nor out of order. */
        put_u64_field(buf + 12, 900, 5);
        assert_int_equal(decode(MESSAGE_PING, buf, 24, &out), 0);
        put_u64_field(buf, 900, 5);
        assert_int_equal(decode(MESSAGE_GOODBYE, buf, 24, &out), -EBADMSG);
        put_u64_field(buf + 12, 899, 5);
        assert_int_equal(decode(MESSAGE_GOODBYE, buf, 24, &out), -EBADMSG);
        put_u64_field(buf + 12, 901, 5);
        assert_int_equal(decode(MESSAGE_GOODBYE, buf, 24, &out), 0);
        put_u64_field(buf, 0, 5);
        assert_int_equal(decode(MESSAGE_GOODBYE, buf, 12, &out), -EBADMSG);
}

static void test_failure_leaves_output(void **state) {
        struct message out, before;

        memset(&out, 0x5a, sizeof(out));
        before = out;
        assert_int_equal(decode(MESSAGE_PING, NULL, 0, &out), -EBADMSG);
        assert_int_equal(decode(99, NULL, 0, &out), -EOPNOTSUPP);
        assert_memory_equal(&out, &before, sizeof(out));
}

/* Encoder and decoder agree on what is out of range: what the one refuses is put on the wire by hand for the other. */
static void check_range(uint8_t type, const char *name, uint64_t value, int expected) {
        struct message message = sample_message(type), out;
        const struct message_field *fields;
        uint8_t buf[FRAME_SIZE_MAX], *p = buf + FRAME_HEADER_SIZE;
        size_t n, size = encode(&message, buf) - FRAME_HEADER_SIZE;
        int r;

        fields = message_fields(type, &n);
        for (size_t i = 0; i < n; i++) {
                void *to = (char *) &message + fields[i].offset;

                if (strcmp(fields[i].name, name) != 0)
                        continue;
                if (fields[i].kind == MESSAGE_FIELD_U32)
                        memcpy(to, &(uint32_t) { (uint32_t) value }, 4);
                else
                        memcpy(to, &value, 8);
                while (get_le16(p) != fields[i].tag)
                        p += 4 + get_le16(p + 2);
                if (fields[i].kind == MESSAGE_FIELD_U32)
                        put_le32(p + 4, (uint32_t) value);
                else
                        put_le64(p + 4, value);
                r = decode(type, buf + FRAME_HEADER_SIZE, size, &out);
                if (r != (expected < 0 ? -EBADMSG : 0))
                        fail_msg("decoding %s = %llu: %d", name, (unsigned long long) value, r);
                r = message_encode(&header, &message, buf, sizeof(buf), &size);
                if (r != expected)
                        fail_msg("encoding %s = %llu: %d", name, (unsigned long long) value, r);
                return;
        }
        fail_msg("no field %s", name);
}

static void test_ranges(void **state) {
        check_range(MESSAGE_HELLO, "version_min", 0, -EINVAL);
        check_range(MESSAGE_HELLO, "version_min", 2, 0);
        check_range(MESSAGE_HELLO, "version_min", 3, -EINVAL); /* above version_max */
        check_range(MESSAGE_HELLO, "version_max", 255, 0);
        check_range(MESSAGE_HELLO, "version_max", 256, -EINVAL);
        check_range(MESSAGE_HELLO, "features", INT64_MAX, 0);
        check_range(MESSAGE_HELLO, "features", AEROSTAT_UNKNOWN, -EINVAL);
        check_range(MESSAGE_HELLO_ACK, "page_size_bytes", 4096, 0);
        check_range(MESSAGE_HELLO_ACK, "page_size_bytes", 65536, 0);
        check_range(MESSAGE_HELLO_ACK, "page_size_bytes", 2048, -EINVAL);
        check_range(MESSAGE_HELLO_ACK, "page_size_bytes", 5000, -EINVAL);
        check_range(MESSAGE_HELLO_ACK, "page_size_bytes", 2 * MIB, -EINVAL);
        check_range(MESSAGE_HELLO_ACK, "memory_total_bytes", 0, -EINVAL);
        check_range(MESSAGE_REPORT, "reason", 0, -EINVAL);
        check_range(MESSAGE_REPORT, "reason", 4, -EINVAL);
        check_range(MESSAGE_REPORT, "reason", AEROSTAT_UNKNOWN, -EINVAL);
        check_range(MESSAGE_REPORT, "total_bytes", INT64_MAX, 0);
        check_range(MESSAGE_REPORT, "total_bytes", (uint64_t) INT64_MAX + 1, -EINVAL);
        check_range(MESSAGE_REPORT, "total_bytes", AEROSTAT_UNKNOWN, -EINVAL);
        check_range(MESSAGE_REPORT, "available_bytes", GIB, 0);
        check_range(MESSAGE_REPORT, "available_bytes", GIB + 1, -EINVAL); /* above the total */
        check_range(MESSAGE_REPORT, "psi_some_avg10_ppm", PPM_ONE + 1, -EINVAL);
        check_range(MESSAGE_SET_INTERVAL, "interval_msec", 99, -EINVAL);
        check_range(MESSAGE_SET_INTERVAL, "interval_msec", 100, 0);
        check_range(MESSAGE_SET_INTERVAL, "interval_msec", 3600000, 0);
        check_range(MESSAGE_SET_INTERVAL, "interval_msec", 3600001, -EINVAL);
        check_range(MESSAGE_PING, "token", AEROSTAT_UNKNOWN, -EINVAL);
        check_range(MESSAGE_ERROR, "code", 0, -EINVAL);
        check_range(MESSAGE_ERROR, "code", 77, 0);
}

static void test_texts(void **state) {
        struct message message = sample_message(MESSAGE_ERROR), out;
        uint8_t buf[FRAME_SIZE_MAX], *text;
        size_t n;

        /* The longest that fits. */
        memset(message.error.text, '~', MESSAGE_TEXT_MAX - 1);
        n = encode(&message, buf) - FRAME_HEADER_SIZE;
        assert_int_equal(decode(MESSAGE_ERROR, buf + FRAME_HEADER_SIZE, n, &out), 0);
        assert_memory_equal(&message, &out, sizeof(out));
        text = buf + FRAME_HEADER_SIZE + n - (MESSAGE_TEXT_MAX - 1);
        text[5] = '\n';
        assert_int_equal(decode(MESSAGE_ERROR, buf + FRAME_HEADER_SIZE, n, &out), -EBADMSG);
        text[5] = 0;
        assert_int_equal(decode(MESSAGE_ERROR, buf + FRAME_HEADER_SIZE, n, &out), -EBADMSG);
        text[5] = 0xc3;
        assert_int_equal(decode(MESSAGE_ERROR, buf + FRAME_HEADER_SIZE, n, &out), -EBADMSG);
        text[5] = ' ';
        put_le16(text - 2, MESSAGE_TEXT_MAX); /* one too long */
        text[MESSAGE_TEXT_MAX - 1] = 'x';
        assert_int_equal(decode(MESSAGE_ERROR, buf + FRAME_HEADER_SIZE, n + 1, &out), -EBADMSG);
        put_le16(text - 2, 0); /* an empty text is left out instead */
        assert_int_equal(decode(MESSAGE_ERROR, buf + FRAME_HEADER_SIZE, n - (MESSAGE_TEXT_MAX - 1), &out), -EBADMSG);
        /* Without its NUL, or not printable. */
        message.error.text[MESSAGE_TEXT_MAX - 1] = '~';
        assert_int_equal(message_encode(&header, &message, buf, sizeof(buf), &n), -EINVAL);
        strcpy(message.error.text, "a\tb");
        assert_int_equal(message_encode(&header, &message, buf, sizeof(buf), &n), -EINVAL);
        message.error.text[0] = 0;
        assert_int_equal(message_encode(&header, &message, buf, sizeof(buf), &n), 0);
        assert_int_equal(n, FRAME_HEADER_SIZE + 8 + 12);
}

static void test_encode_errors(void **state) {
        struct message message = sample_message(MESSAGE_PING);
        uint8_t buf[FRAME_SIZE_MAX];
        size_t n = 42;

        assert_int_equal(message_encode(&header, &message, buf, FRAME_HEADER_SIZE + 11, &n), -ENOBUFS);
        assert_int_equal(message_encode(&header, &message, buf, 0, &n), -ENOBUFS);
        message.type = 0;
        assert_int_equal(message_encode(&header, &message, buf, sizeof(buf), &n), -EINVAL);
        message.type = 9;
        assert_int_equal(message_encode(&header, &message, buf, sizeof(buf), &n), -EINVAL);
        message.type = 256 + MESSAGE_PING;
        assert_int_equal(message_encode(&header, &message, buf, sizeof(buf), &n), -EINVAL);
        assert_int_equal(n, 42);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_round_trip), cmocka_unit_test(test_full_report), cmocka_unit_test(test_tables),
                cmocka_unit_test(test_truncation), cmocka_unit_test(test_duplicates_and_order),
                cmocka_unit_test(test_failure_leaves_output), cmocka_unit_test(test_ranges), cmocka_unit_test(test_texts),
                cmocka_unit_test(test_encode_errors),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
