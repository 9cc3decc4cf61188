/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "protocol/base.h"
#include "protocol/endian.h"
#include "protocol/frame.h"

static const uint8_t payload[] = "seventeen bytes!!";

static struct frame sample_frame(void) {
        return (struct frame) {
                .version = FRAME_VERSION, .type = 3, .session_id = 0x1122334455667788, .sequence = 9,
                .boot_id = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 }, .time_usec = 123456789,
                .payload = payload, .payload_size = 17,
        };
}

static size_t encode(const struct frame *frame, uint8_t *buf, size_t size) {
        size_t n;

        assert_int_equal(frame_encode(frame, buf, size, &n), 0);
        return n;
}

/* Puts bytes in as far as there is room, and returns how many frames came out. */
static unsigned feed(struct frame_decoder *decoder, const uint8_t *data, size_t size, struct frame *ret_last) {
        struct frame frame;
        unsigned frames = 0;

        while (size > 0) {
                uint8_t *buf;
                size_t n = frame_decoder_space(decoder, &buf);

                assert_true(n >= 1);
                n = MIN(n, size);
                memcpy(buf, data, n);
                frame_decoder_fill(decoder, n);
                data += n;
                size -= n;
                while (frame_decoder_next(decoder, &frame) > 0) {
                        frames++;
                        if (ret_last)
                                *ret_last = frame;
                }
        }
        return frames;
}

static void test_crc32c(void **state) {
        uint8_t bytes[32];

        /* RFC 3720, appendix B.4 */
        memset(bytes, 0, sizeof(bytes));
        assert_int_equal(crc32c(0, bytes, 32), 0x8a9136aa);
        memset(bytes, 0xff, sizeof(bytes));
        assert_int_equal(crc32c(0, bytes, 32), 0x62a8ab43);
        for (uint8_t i = 0; i < 32; i++)
                bytes[i] = i;
        assert_int_equal(crc32c(0, bytes, 32), 0x46dd794e);
        assert_int_equal(crc32c(crc32c(0, bytes, 7), bytes + 7, 25), 0x46dd794e);
        assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
        assert_int_equal(crc32c(0, NULL, 0), 0);
}

static void test_round_trip(void **state) {
        struct frame_decoder decoder = { 0 };
        struct frame in = sample_frame(), out;
        uint8_t buf[FRAME_SIZE_MAX];
        size_t n = encode(&in, buf, sizeof(buf));

        assert_int_equal(n, FRAME_HEADER_SIZE + 17);
        assert_int_equal(feed(&decoder, buf, n, &out), 1);
        assert_int_equal(out.version, in.version);
        assert_int_equal(out.type, in.type);
        assert_true(out.session_id == in.session_id);
        assert_int_equal(out.sequence, in.sequence);
        assert_memory_equal(out.boot_id, in.boot_id, 16);
        assert_int_equal(out.time_usec, in.time_usec);
        assert_int_equal(out.payload_size, 17);
        assert_memory_equal(out.payload, payload, 17);
        assert_int_equal(decoder.frames, 1);
        assert_int_equal(decoder.skipped_bytes, 0);
}

static void test_sizes(void **state) {
        static uint8_t big[FRAME_PAYLOAD_MAX + 1], buf[FRAME_SIZE_MAX + 1];
        struct frame_decoder decoder = { 0 };
        struct frame frame = sample_frame();
        size_t n = 42;

        frame.payload = big;
        frame.payload_size = sizeof(big);
        assert_int_equal(frame_encode(&frame, buf, sizeof(buf), &n), -EMSGSIZE);
        frame.payload_size = FRAME_PAYLOAD_MAX;
        assert_int_equal(frame_encode(&frame, buf, FRAME_SIZE_MAX - 1, &n), -ENOBUFS);
        assert_int_equal(n, 42);
        n = encode(&frame, buf, sizeof(buf));
        assert_int_equal(n, FRAME_SIZE_MAX);
        assert_int_equal(feed(&decoder, buf, n, NULL), 1);
        frame.payload = NULL;
        frame.payload_size = 0;
        n = encode(&frame, buf, sizeof(buf));
        assert_int_equal(n, FRAME_HEADER_SIZE);
        assert_int_equal(feed(&decoder, buf, n, NULL), 1);
        assert_int_equal(decoder.skipped_bytes, 0);
}

/* The payload may lie in the buffer already, where it belongs. */
static void test_encode_in_place(void **state) {
        uint8_t expected[128], buf[128];
        struct frame frame = sample_frame();
        size_t n = encode(&frame, expected, sizeof(expected));

        memcpy(buf + FRAME_HEADER_SIZE, payload, 17);
        frame.payload = buf + FRAME_HEADER_SIZE;
        assert_int_equal(encode(&frame, buf, sizeof(buf)), n);
        assert_memory_equal(buf, expected, n);
}

static void test_byte_by_byte(void **state) {
        struct frame_decoder decoder = { 0 };
        struct frame frame = sample_frame();
        uint8_t buf[FRAME_SIZE_MAX];
        size_t n = encode(&frame, buf, sizeof(buf));
        unsigned frames = 0;

        for (unsigned round = 0; round < 100; round++)
                for (size_t i = 0; i < n; i++)
                        frames += feed(&decoder, buf + i, 1, NULL);
        assert_int_equal(frames, 100);
        assert_int_equal(decoder.skipped_bytes, 0);
}

/* Every cut of one frame, joined to two whole ones: both come out, but for the bytes that the stump still claims at the end. */
static void test_cut_and_joined(void **state) {
        struct frame frame = sample_frame();
        uint8_t buf[FRAME_SIZE_MAX];
        size_t n = encode(&frame, buf, sizeof(buf));

        for (size_t cut = 1; cut < n; cut++) {
                uint8_t stream[3 * FRAME_SIZE_MAX];

                for (unsigned tail = 0; tail < 2; tail++) {
                        struct frame_decoder decoder = { 0 };
                        size_t size = tail ? n - cut : cut;

                        memcpy(stream, tail ? buf + cut : buf, size);
                        memcpy(stream + size, buf, n);
                        memcpy(stream + size + n, buf, n);
                        assert_int_equal(feed(&decoder, stream, size + 2 * n, NULL), 2);
                        assert_int_equal(decoder.skipped_bytes, size);
                }
        }
}

static void test_every_bit_matters(void **state) {
        struct frame frame = sample_frame();
        uint8_t buf[FRAME_SIZE_MAX];
        size_t n = encode(&frame, buf, sizeof(buf));

        for (size_t bit = 0; bit < n * 8; bit++) {
                struct frame_decoder decoder = { 0 };

                buf[bit / 8] ^= (uint8_t) (1 << bit % 8);
                assert_int_equal(feed(&decoder, buf, n, NULL), 0);
                buf[bit / 8] ^= (uint8_t) (1 << bit % 8);
        }
}

static void test_other_version(void **state) {
        struct frame_decoder decoder = { 0 };
        struct frame frame = sample_frame(), out;
        uint8_t buf[FRAME_SIZE_MAX];
        size_t n;

        frame.version = FRAME_VERSION + 1;
        n = encode(&frame, buf, sizeof(buf));
        frame.version = FRAME_VERSION;
        n += encode(&frame, buf + n, sizeof(buf) - n);
        assert_int_equal(feed(&decoder, buf, n, &out), 1);
        assert_int_equal(out.version, FRAME_VERSION);
        assert_int_equal(decoder.bad_versions, 1);
        assert_int_equal(decoder.bad_checksums, 0);
}

/* What is reserved is covered by the checksum, but its value is for later versions to define. */
static void test_reserved_is_ignored(void **state) {
        struct frame_decoder decoder = { 0 };
        struct frame frame = sample_frame();
        uint8_t buf[FRAME_SIZE_MAX];
        size_t n = encode(&frame, buf, sizeof(buf));

        buf[12] = buf[63] = 0x5a;
        put_le32(buf + 8, crc32c(crc32c(0, buf, 8), buf + 12, n - 12));
        assert_int_equal(feed(&decoder, buf, n, NULL), 1);
}

static void test_reset_and_long_claims(void **state) {
        struct frame_decoder decoder = { 0 };
        struct frame frame = sample_frame();
        uint8_t buf[FRAME_SIZE_MAX], claim[FRAME_HEADER_SIZE];
        size_t n = encode(&frame, buf, sizeof(buf));

        /* A length that nothing has is no frame at all ... */
        memcpy(claim, buf, sizeof(claim));
        put_le16(claim + 6, FRAME_PAYLOAD_MAX + 1);
        feed(&decoder, claim, sizeof(claim), NULL);
        assert_int_equal(feed(&decoder, buf, n, NULL), 1);
        /* ... one that might be waits for its bytes, unless it is told that they will not come. */
        put_le16(claim + 6, FRAME_PAYLOAD_MAX);
        feed(&decoder, claim, sizeof(claim), NULL);
        assert_int_equal(feed(&decoder, buf, n, NULL), 0);
        frame_decoder_reset(&decoder);
        assert_int_equal(feed(&decoder, buf, n, NULL), 1);
}

/* A hostile stream full of headers that claim 4 KiB each, all with a wrong checksum: the work stays a small multiple of the
 * bytes, and an honest frame is found again soon after it ends. */
static void test_hostile_stream_is_bounded(void **state) {
        static uint8_t junk[1 << 20];
        struct frame_decoder decoder = { 0 };
        struct frame frame = sample_frame();
        uint8_t buf[FRAME_SIZE_MAX];
        size_t n = encode(&frame, buf, sizeof(buf));
        unsigned found = 0;

        for (size_t i = 0; i + 8 <= sizeof(junk); i += 8) {
                memcpy(junk + i, buf, 4);
                put_le16(junk + i + 4, 0x0301);
                put_le16(junk + i + 6, FRAME_PAYLOAD_MAX);
        }
        assert_int_equal(feed(&decoder, junk, sizeof(junk), NULL), 0);
        /* Each wrong checksum is 4 KiB summed. */
        assert_in_range(decoder.bad_checksums * FRAME_SIZE_MAX, 1, 16 * sizeof(junk));
        for (unsigned i = 0; i < 2 * FRAME_SIZE_MAX / n; i++)
                found += feed(&decoder, buf, n, NULL);
        assert_true(found > 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_crc32c), cmocka_unit_test(test_round_trip), cmocka_unit_test(test_sizes),
                cmocka_unit_test(test_encode_in_place), cmocka_unit_test(test_byte_by_byte), cmocka_unit_test(test_cut_and_joined),
                cmocka_unit_test(test_every_bit_matters), cmocka_unit_test(test_other_version), cmocka_unit_test(test_reserved_is_ignored),
                cmocka_unit_test(test_reset_and_long_claims), cmocka_unit_test(test_hostile_stream_is_bounded),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
