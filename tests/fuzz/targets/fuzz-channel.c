/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a guest may say to the host's side of a conversation, and when. The input is a list of steps: a byte that says what to do, and what
 * that needs. Frames get the right session and checksum where chance would never find them. */

#include "host-agent/virt/channel_session.h"
#include "tests/fuzz/fuzz.h"

struct input {
        const uint8_t *data;
        size_t size;
};

static uint8_t take(struct input *input) {
        if (input->size == 0)
                return 0;
        input->size--;
        return *input->data++;
}

/* What the host says is what a guest can understand. */
static void listen(struct channel_session *session, uint64_t now) {
        uint8_t buf[CHANNEL_SAY_MAX];
        size_t size, n = 0;

        while (channel_session_say(session, now, buf, &size) > 0) {
                struct frame_decoder decoder = { 0 };
                struct message message;
                struct frame frame;
                uint8_t *space;

                CHECK(size <= sizeof(buf) && ++n <= 8);
                CHECK(frame_decoder_space(&decoder, &space) >= size);
                memcpy(space, buf, size);
                frame_decoder_fill(&decoder, size);
                CHECK(frame_decoder_next(&decoder, &frame) == 1 && message_decode(&frame, &message) == 0);
                CHECK(frame.session_id == session->id);
                CHECK(frame.type == MESSAGE_HELLO || frame.time_usec > 0);
        }
}

static enum channel_session_event speak(struct channel_session *session, struct input *input, uint64_t now) {
        uint8_t how = take(input);
        struct frame frame = { .version = FRAME_VERSION, .type = take(input), .sequence = take(input), .payload_size = take(input) };
        struct message message;

        frame.session_id = how & 1 ? session->id : how >> 4;
        frame.boot_id[0] = how & 2 ? 1 : 2;
        frame.time_usec = how & 4 ? now : how & 8 ? UINT64_MAX : take(input);
        frame.payload_size = MIN(frame.payload_size, input->size);
        frame.payload = input->data;
        input->data += frame.payload_size;
        input->size -= frame.payload_size;
        return channel_session_receive(session, &frame, now, &message);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        struct channel_session session = { 0 };
        struct input input = { data, size };
        uint64_t now = USEC_PER_SEC, id = 1;

        channel_session_begin(&session, id, now);
        while (input.size > 0) {
                enum channel_session_event event = CHANNEL_SESSION_NOTHING;
                uint8_t step = take(&input);

                switch (step % 4) {
                case 0:
                        now += (step / 4 + 1) * 100 * USEC_PER_MSEC;
                        event = channel_session_tick(&session, now);
                        break;
                case 1:
                        (void) channel_session_set_interval(&session, &(struct message_set_interval) {
                                .interval_msec = take(&input) * 50u, .pressure_available_bytes = take(&input) });
                        break;
                default:
                        event = speak(&session, &input, now);
                        break;
                }
                CHECK(event != CHANNEL_SESSION_READY || session.ready);
                CHECK(event != CHANNEL_SESSION_REPORT || session.ready);
                CHECK(event != CHANNEL_SESSION_VIOLATION || session.violation);
                if (event == CHANNEL_SESSION_ENDED)
                        channel_session_begin(&session, ++id, now);
                listen(&session, now);
        }
        return 0;
}
