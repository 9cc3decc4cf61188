/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "protocol/message.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "protocol/endian.h"
#include "protocol/units.h"

/* No number on the wire is larger unless its field says so: sums of several do not overflow, and JSON can hold them. */
#define NUMBER_MAX ((uint64_t) INT64_MAX)

/* tag, member of struct message_report, required, min, max. Tags are never used again for something else. */
#define REPORT_FIELDS(X)                                                   \
        X(1, reason, true, REPORT_PERIODIC, REPORT_REQUESTED)              \
        X(2, total_bytes, true, 1, NUMBER_MAX)                             \
        X(3, available_bytes, true, 0, NUMBER_MAX)                         \
        X(4, free_bytes, false, 0, NUMBER_MAX)                             \
        X(5, cache_bytes, false, 0, NUMBER_MAX)                            \
        X(6, shmem_bytes, false, 0, NUMBER_MAX)                            \
        X(7, anon_bytes, false, 0, NUMBER_MAX)                             \
        X(8, dirty_bytes, false, 0, NUMBER_MAX)                            \
        X(9, mlocked_bytes, false, 0, NUMBER_MAX)                          \
        X(10, slab_reclaimable_bytes, false, 0, NUMBER_MAX)                \
        X(11, hugetlb_bytes, false, 0, NUMBER_MAX)                         \
        X(12, swap_total_bytes, false, 0, NUMBER_MAX)                      \
        X(13, swap_free_bytes, false, 0, NUMBER_MAX)                       \
        X(14, balloon_bytes, false, 0, NUMBER_MAX)                         \
        X(15, arc_reclaimable_bytes, false, 0, NUMBER_MAX)                 \
        X(16, zram_disk_bytes, false, 0, NUMBER_MAX)                       \
        X(17, zram_used_bytes, false, 0, NUMBER_MAX)                       \
        X(18, swap_in_bytes, false, 0, NUMBER_MAX)                         \
        X(19, swap_out_bytes, false, 0, NUMBER_MAX)                        \
        X(20, refault_file_bytes, false, 0, NUMBER_MAX)                    \
        X(21, refault_anon_bytes, false, 0, NUMBER_MAX)                    \
        X(22, major_faults, false, 0, NUMBER_MAX)                          \
        X(23, oom_kills, false, 0, NUMBER_MAX)                             \
        X(24, alloc_stalls, false, 0, NUMBER_MAX)                          \
        X(25, psi_some_total_usec, false, 0, NUMBER_MAX)                   \
        X(26, psi_full_total_usec, false, 0, NUMBER_MAX)                   \
        X(27, psi_some_avg10_ppm, false, 0, PPM_ONE)                       \
        X(28, psi_full_avg10_ppm, false, 0, PPM_ONE)

#define REPORT_FIELD(tag, member, ...) { tag, #member, offsetof(struct message_report, member) },
const struct report_field report_fields[] = { REPORT_FIELDS(REPORT_FIELD) };
const size_t n_report_fields = ARRAY_SIZE(report_fields);

#define U32(tag, of, member, min, max) { tag, MESSAGE_FIELD_U32, true, #member, offsetof(struct message, of.member), min, max }
#define U64(tag, of, member, required, min, max) \
        { tag, MESSAGE_FIELD_U64, required, #member, offsetof(struct message, of.member), min, max }
#define TEXT(tag, of, member) { tag, MESSAGE_FIELD_TEXT, false, #member, offsetof(struct message, of.member), 0, 0 }
#define REPORT_U64(tag, member, required, min, max) U64(tag, report, member, required, min, max),

static const struct message_field hello_fields[] = {
        U32(1, hello, version_min, 1, UINT8_MAX),
        U32(2, hello, version_max, 1, UINT8_MAX),
        U64(3, hello, features, true, 0, NUMBER_MAX),
        TEXT(4, hello, host_version),
};
static const struct message_field hello_ack_fields[] = {
        U32(1, hello_ack, version, 1, UINT8_MAX),
        U64(2, hello_ack, features, true, 0, NUMBER_MAX),
        U64(3, hello_ack, page_size_bytes, true, 4 * KIB, MIB),
        U64(4, hello_ack, memory_total_bytes, true, 1, NUMBER_MAX),
        TEXT(5, hello_ack, agent_version),
        TEXT(6, hello_ack, kernel_version),
};
static const struct message_field report_message_fields[] = { REPORT_FIELDS(REPORT_U64) };
static const struct message_field set_interval_fields[] = {
        U32(1, set_interval, interval_msec, 100, 3600000),
        U64(2, set_interval, pressure_available_bytes, false, 0, NUMBER_MAX),
};
static const struct message_field ping_fields[] = {
        U64(1, ping, token, true, 0, AEROSTAT_UNKNOWN - 1),
};
static const struct message_field error_fields[] = {
        U32(1, error, code, 1, UINT32_MAX),
        U64(2, error, sequence, true, 0, AEROSTAT_UNKNOWN - 1),
        TEXT(3, error, text),
};

static const struct {
        const char *name;
        const struct message_field *fields;
        size_t n_fields;
} message_types[] = {
        [MESSAGE_HELLO] = { "hello", hello_fields, ARRAY_SIZE(hello_fields) },
        [MESSAGE_HELLO_ACK] = { "hello-ack", hello_ack_fields, ARRAY_SIZE(hello_ack_fields) },
        [MESSAGE_REPORT] = { "report", report_message_fields, ARRAY_SIZE(report_message_fields) },
        [MESSAGE_SET_INTERVAL] = { "set-interval", set_interval_fields, ARRAY_SIZE(set_interval_fields) },
        [MESSAGE_PING] = { "ping", ping_fields, ARRAY_SIZE(ping_fields) },
        [MESSAGE_PONG] = { "pong", ping_fields, ARRAY_SIZE(ping_fields) },
        [MESSAGE_ERROR] = { "error", error_fields, ARRAY_SIZE(error_fields) },
        [MESSAGE_GOODBYE] = { "goodbye", NULL, 0 },
};

#define FIELD_HEADER_SIZE 4u

const char *message_type_to_string(uint8_t type) {
        return type < ARRAY_SIZE(message_types) ? message_types[type].name : NULL;
}

const struct message_field *message_fields(uint8_t type, size_t *ret_n) {
        bool known = message_type_to_string(type);

        *ret_n = known ? message_types[type].n_fields : 0;
        return known ? message_types[type].fields : NULL;
}

void message_report_init(struct message_report *report) {
        /* All ones in every u64 is AEROSTAT_UNKNOWN. */
        memset(report, 0xff, sizeof(*report));
}

static void *field_pointer(const struct message_field *field, struct message *message) {
        return (uint8_t *) message + field->offset;
}

static const void *field_pointer_const(const struct message_field *field, const struct message *message) {
        return (const uint8_t *) message + field->offset;
}

static bool text_is_valid(const uint8_t *text, size_t length) {
        for (size_t i = 0; i < length; i++)
                if (text[i] < 0x20 || text[i] > 0x7e)
                        return false;
        return length > 0 && length < MESSAGE_TEXT_MAX;
}

/* Rules between fields; those on a single one are in the tables. */
static bool message_is_consistent(const struct message *message) {
        switch (message->type) {
        case MESSAGE_HELLO:
                return message->hello.version_min <= message->hello.version_max;
        case MESSAGE_HELLO_ACK:
                return (message->hello_ack.page_size_bytes & (message->hello_ack.page_size_bytes - 1)) == 0;
        case MESSAGE_REPORT:
                return message->report.available_bytes <= message->report.total_bytes;
        default:
                return true;
        }
}

/* Appends one field at p, which has room for the longest. Returns its size, 0 when it is absent, or -EINVAL. */
static int encode_field(const struct message_field *field, const struct message *message, uint8_t *p) {
        const void *value = field_pointer_const(field, message);
        uint64_t number;
        size_t length;

        if (field->kind == MESSAGE_FIELD_TEXT) {
                length = strnlen(value, MESSAGE_TEXT_MAX);
                if (length == 0)
                        return 0;
                if (!text_is_valid(value, length))
                        return -EINVAL;
                memcpy(p + FIELD_HEADER_SIZE, value, length);
        } else {
                number = field->kind == MESSAGE_FIELD_U32 ? *(const uint32_t *) value : *(const uint64_t *) value;
                if (number == AEROSTAT_UNKNOWN && !field->required)
                        return 0;
                if (number < field->min || number > field->max)
                        return -EINVAL;
                length = field->kind == MESSAGE_FIELD_U32 ? 4 : 8;
                if (length == 4)
                        put_le32(p + FIELD_HEADER_SIZE, (uint32_t) number);
                else
                        put_le64(p + FIELD_HEADER_SIZE, number);
        }
        put_le16(p, field->tag);
        put_le16(p + 2, (uint16_t) length);
        return (int) (FIELD_HEADER_SIZE + length);
}

int message_encode(const struct frame *frame, const struct message *message, uint8_t *buf, size_t size, size_t *ret_size) {
        uint8_t payload[ARRAY_SIZE(report_message_fields) * (FIELD_HEADER_SIZE + 8)];
        const struct message_field *fields;
        struct frame out = *frame;
        size_t n, used = 0;
        int r;

        /* The report is the longest message; three texts are shorter. */
        static_assert(sizeof(payload) >= 4 * (FIELD_HEADER_SIZE + MESSAGE_TEXT_MAX), "room for every message");
        static_assert(sizeof(payload) <= FRAME_PAYLOAD_MAX, "every message fits a frame");

        if ((unsigned) message->type > UINT8_MAX || !message_type_to_string((uint8_t) message->type) || !message_is_consistent(message))
                return -EINVAL;
        fields = message_fields((uint8_t) message->type, &n);
        for (size_t i = 0; i < n; i++) {
                r = encode_field(&fields[i], message, payload + used);
                if (r < 0)
                        return r;
                used += (size_t) r;
        }
        out.version = FRAME_VERSION;
        out.type = (uint8_t) message->type;
        out.payload = payload;
        out.payload_size = used;
        return frame_encode(&out, buf, size, ret_size);
}

static int decode_field(const struct message_field *field, const uint8_t *value, size_t length, struct message *message) {
        void *to = field_pointer(field, message);
        uint64_t number;

        if (field->kind == MESSAGE_FIELD_TEXT) {
                if (!text_is_valid(value, length))
                        return -EBADMSG;
                memcpy(to, value, length);
                return 0; /* the rest is zero since init_message() */
        }
        if (length != (field->kind == MESSAGE_FIELD_U32 ? 4 : 8))
                return -EBADMSG;
        number = length == 4 ? get_le32(value) : get_le64(value);
        if (number < field->min || number > field->max)
                return -EBADMSG;
        if (length == 4)
                *(uint32_t *) to = (uint32_t) number;
        else
                *(uint64_t *) to = number;
        return 0;
}

static void init_message(struct message *message, uint8_t type, const struct message_field *fields, size_t n) {
        memset(message, 0, sizeof(*message));
        message->type = type;
        for (size_t i = 0; i < n; i++)
                if (fields[i].kind == MESSAGE_FIELD_U64)
                        *(uint64_t *) field_pointer(&fields[i], message) = AEROSTAT_UNKNOWN;
}

int message_decode(const struct frame *frame, struct message *ret) {
        const uint8_t *p = frame->payload;
        const struct message_field *fields;
        size_t n, next = 0, left = frame->payload_size;
        struct message message;
        unsigned last_tag = 0;
        int r;

        if (!message_type_to_string(frame->type))
                return -EOPNOTSUPP;
        fields = message_fields(frame->type, &n);
        init_message(&message, frame->type, fields, n);

        /* Tags ascend both on the wire and in the table, so one pass over both finds duplicates and what is missing. */
        while (left > 0) {
                unsigned tag;
                size_t length;

                if (left < FIELD_HEADER_SIZE)
                        return -EBADMSG;
                tag = get_le16(p);
                length = get_le16(p + 2);
                if (tag <= last_tag || length > left - FIELD_HEADER_SIZE)
                        return -EBADMSG;
                last_tag = tag;
                for (; next < n && fields[next].tag < tag; next++)
                        if (fields[next].required)
                                return -EBADMSG;
                if (next < n && fields[next].tag == tag) {
                        r = decode_field(&fields[next++], p + FIELD_HEADER_SIZE, length, &message);
                        if (r < 0)
                                return r;
                }
                p += FIELD_HEADER_SIZE + length;
                left -= FIELD_HEADER_SIZE + length;
        }
        for (; next < n; next++)
                if (fields[next].required)
                        return -EBADMSG;
        if (!message_is_consistent(&message))
                return -EBADMSG;
        *ret = message;
        return 0;
}
