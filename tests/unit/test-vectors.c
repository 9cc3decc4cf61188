/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The golden vectors of protocol/vectors, both ways. Their format is described in PROTOCOL.md; their hex was made by another
 * program than ours, so that this is a check against the specification and not against ourselves. */

#include "tests/unit/unit.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "protocol/base.h"
#include "protocol/message.h"
#include "protocol/parse.h"

#define VECTORS TOP_SRCDIR "/protocol/vectors"

struct vector {
        char expect[32];
        struct frame frame;
        struct message message;
        uint8_t hex[2 * FRAME_SIZE_MAX];
        size_t size;
};

static const char *file; /* the one in hand, for messages */

static uint8_t type_from_string(const char *name) {
        for (unsigned type = 1; type < 256; type++)
                if (message_type_to_string((uint8_t) type) && strcmp(message_type_to_string((uint8_t) type), name) == 0)
                        return (uint8_t) type;
        fail_msg("%s: unknown type %s", file, name);
        return 0;
}

static uint64_t number(const char *value, int base) {
        char *end;
        uint64_t n = strtoull(value, &end, base);

        if (*end || !*value)
                fail_msg("%s: '%s' is no number", file, value);
        return n;
}

static void set_type(struct vector *vector, const char *value) {
        const struct message_field *fields;
        size_t n;

        vector->frame.version = FRAME_VERSION;
        vector->frame.type = type_from_string(value);
        vector->message.type = vector->frame.type;
        fields = message_fields(vector->frame.type, &n);
        for (size_t i = 0; i < n; i++)
                if (fields[i].kind == MESSAGE_FIELD_U64)
                        *(uint64_t *) (void *) ((char *) &vector->message + fields[i].offset) = AEROSTAT_UNKNOWN;
}

static void set_field(struct vector *vector, const char *name, const char *value) {
        const struct message_field *fields;
        size_t n;

        fields = message_fields(vector->frame.type, &n);
        for (size_t i = 0; i < n; i++) {
                void *to = (char *) &vector->message + fields[i].offset;

                if (strcmp(fields[i].name, name) != 0)
                        continue;
                if (fields[i].kind == MESSAGE_FIELD_TEXT)
                        strcpy(to, value);
                else if (fields[i].kind == MESSAGE_FIELD_U32)
                        *(uint32_t *) to = (uint32_t) number(value, 10);
                else
                        *(uint64_t *) to = number(value, 10);
                return;
        }
        fail_msg("%s: no field %s", file, name);
}

static void set(struct vector *vector, const char *key, const char *value) {
        if (strcmp(key, "expect") == 0)
                snprintf(vector->expect, sizeof(vector->expect), "%s", value);
        else if (strcmp(key, "type") == 0)
                set_type(vector, value);
        else if (strcmp(key, "session_id") == 0)
                vector->frame.session_id = number(value, 16);
        else if (strcmp(key, "sequence") == 0)
                vector->frame.sequence = number(value, 10);
        else if (strcmp(key, "boot_id") == 0)
                assert_int_equal(parse_uuid(value, vector->frame.boot_id), 0);
        else if (strcmp(key, "time_usec") == 0)
                vector->frame.time_usec = number(value, 10);
        else
                set_field(vector, strcmp(key, "of_sequence") == 0 ? "sequence" : key, value);
}

static void add_hex(struct vector *vector, const char *line) {
        for (; *line; line += line[2] ? 3 : 2) {
                unsigned byte;

                assert_int_equal(sscanf(line, "%2x", &byte), 1);
                assert_true(vector->size < sizeof(vector->hex));
                vector->hex[vector->size++] = (uint8_t) byte;
        }
}

static void read_vector(const char *path, struct vector *vector) {
        char line[256];
        bool hex = false;
        FILE *f = fopen(path, "re");

        assert_non_null(f);
        memset(vector, 0, sizeof(*vector));
        while (fgets(line, sizeof(line), f)) {
                char *colon;

                line[strcspn(line, "\n")] = 0;
                if (hex) {
                        add_hex(vector, line);
                        continue;
                }
                if (*line == '#')
                        continue;
                if (strcmp(line, "hex:") == 0) {
                        hex = true;
                        continue;
                }
                colon = strstr(line, ": ");
                if (!colon)
                        fail_msg("%s: '%s'?", file, line);
                else {
                        *colon = 0;
                        set(vector, line, colon + 2);
                }
        }
        fclose(f);
        assert_true(hex);
}

/* The only frame in the bytes: 1, or 0 when there is none. */
static int decode(const struct vector *vector, struct frame_decoder *decoder, struct frame *ret) {
        uint8_t *buf;
        int found = 0;

        for (size_t done = 0; done < vector->size;) {
                size_t n = MIN(frame_decoder_space(decoder, &buf), vector->size - done);

                memcpy(buf, vector->hex + done, n);
                frame_decoder_fill(decoder, n);
                done += n;
                assert_int_equal(found, 0);
                found = frame_decoder_next(decoder, ret);
        }
        return found;
}

static void check_meaning(const struct vector *vector, const struct frame *frame) {
        struct message message;

        assert_int_equal(frame->type, vector->frame.type);
        assert_true(frame->session_id == vector->frame.session_id);
        assert_true(frame->sequence == vector->frame.sequence);
        assert_memory_equal(frame->boot_id, vector->frame.boot_id, 16);
        assert_true(frame->time_usec == vector->frame.time_usec);
        assert_int_equal(message_decode(frame, &message), 0);
        if (memcmp(&message, &vector->message, sizeof(message)) != 0)
                fail_msg("%s: decoded to something else", file);
}

/* Prints what our encoder makes of it when that differs, ready to compare. */
static void check_bytes(const struct vector *vector) {
        uint8_t buf[FRAME_SIZE_MAX];
        size_t n;

        assert_int_equal(message_encode(&vector->frame, &vector->message, buf, sizeof(buf), &n), 0);
        if (n == vector->size && memcmp(buf, vector->hex, n) == 0)
                return;
        for (size_t i = 0; i < n; i++)
                printf("%02x%c", buf[i], i % 16 == 15 || i + 1 == n ? '\n' : ' ');
        fail_msg("%s: encoded to something else", file);
}

static void check(const struct vector *vector) {
        static struct frame_decoder decoder;
        struct message message;
        struct frame frame;
        int found, r;

        memset(&decoder, 0, sizeof(decoder));
        found = decode(vector, &decoder, &frame);
        if (strcmp(vector->expect, "no-frame") == 0) {
                if (found)
                        fail_msg("%s: there is a frame", file);
                return;
        }
        if (!found)
                fail_msg("%s: there is no frame", file);
        assert_int_equal(decoder.skipped_bytes, 0);
        r = message_decode(&frame, &message);
        if (strcmp(vector->expect, "unknown-type") == 0)
                assert_int_equal(r, -EOPNOTSUPP);
        else if (strcmp(vector->expect, "bad-message") == 0) {
                if (r != -EBADMSG)
                        fail_msg("%s: taken as good", file);
        } else {
                check_meaning(vector, &frame);
                if (strcmp(vector->expect, "message") == 0)
                        check_bytes(vector);
                else
                        assert_string_equal(vector->expect, "message-decode-only");
        }
}

static void test_vectors(void **state) {
        static struct vector vector;
        unsigned good[256] = { 0 }, bad = 0;
        struct dirent *entry;
        char path[512];
        DIR *dir = opendir(VECTORS);

        assert_non_null(dir);
        while ((entry = readdir(dir))) {
                if (!strstr(entry->d_name, ".txt"))
                        continue;
                file = entry->d_name;
                snprintf(path, sizeof(path), "%s/%s", VECTORS, file);
                read_vector(path, &vector);
                check(&vector);
                if (strncmp(vector.expect, "message", 7) == 0)
                        good[vector.frame.type]++;
                else
                        bad++;
        }
        closedir(dir);
        for (unsigned type = 1; message_type_to_string((uint8_t) type); type++)
                assert_true(good[type] >= 1);
        assert_true(bad >= 20);
}

int main(void) {
        const struct CMUnitTest tests[] = { cmocka_unit_test(test_vectors) };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
