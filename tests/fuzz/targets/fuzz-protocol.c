/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A byte stream into the frame decoder, and what comes out into the message decoder and back. The first byte says in which pieces it
 * arrives. A fuzzer cannot guess checksums, so that each input is also tried as the payload of a frame of every type. */

#include "protocol/base.h"
#include "protocol/message.h"
#include "tests/fuzz/fuzz.h"

/* What is understood can be said again, and means the same then. */
static void check_round_trip(const struct frame *frame) {
        static struct frame_decoder decoder;
        struct message message, again;
        struct frame second;
        uint8_t *buf;
        size_t n;

        if (message_decode(frame, &message) < 0)
                return;
        memset(&decoder, 0, sizeof(decoder));
        n = frame_decoder_space(&decoder, &buf);
        CHECK(message_encode(frame, &message, buf, n, &n) == 0);
        CHECK(n <= FRAME_HEADER_SIZE + frame->payload_size); /* without unknown fields */
        frame_decoder_fill(&decoder, n);
        CHECK(frame_decoder_next(&decoder, &second) == 1);
        CHECK(second.type == frame->type && second.session_id == frame->session_id && second.sequence == frame->sequence);
        CHECK(second.time_usec == frame->time_usec && memcmp(second.boot_id, frame->boot_id, 16) == 0);
        CHECK(message_decode(&second, &again) == 0);
        CHECK(memcmp(&message, &again, sizeof(message)) == 0);
}

static void try_stream(const uint8_t *data, size_t size, size_t piece) {
        static struct frame_decoder decoder;
        struct frame frame;
        uint64_t bytes = 0;

        memset(&decoder, 0, sizeof(decoder));
        for (size_t done = 0; done < size;) {
                uint8_t *buf;
                size_t n = frame_decoder_space(&decoder, &buf);

                CHECK(n >= 1);
                n = MIN(MIN(n, piece), size - done);
                memcpy(buf, data + done, n);
                frame_decoder_fill(&decoder, n);
                done += n;
                while (frame_decoder_next(&decoder, &frame) > 0) {
                        CHECK(frame.payload_size <= FRAME_PAYLOAD_MAX);
                        bytes += FRAME_HEADER_SIZE + frame.payload_size;
                        check_round_trip(&frame);
                }
        }
        /* Every byte is in a frame, skipped, or still waiting. */
        CHECK(bytes + decoder.skipped_bytes + decoder.fill - decoder.taken == size);
        /* The work that junk causes is bounded (frame.c). */
        CHECK(decoder.bad_checksums <= (9 * size) / FRAME_HEADER_SIZE + 1024);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        if (size == 0)
                return 0;
        try_stream(data + 1, size - 1, data[0] == 0 ? FRAME_SIZE_MAX : data[0]);
        for (unsigned type = 0; type <= MESSAGE_GOODBYE + 1; type++) {
                const struct frame frame = {
                        .version = FRAME_VERSION, .type = (uint8_t) type, .session_id = 1, .sequence = 2, .time_usec = 3,
                        .payload = data, .payload_size = MIN(size, FRAME_PAYLOAD_MAX),
                };
                check_round_trip(&frame);
        }
        return 0;
}
