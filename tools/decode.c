/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * aerostat-decode: prints what was said on a guest channel, from a capture of its bytes (one direction of it: both have frames of
 * their own). Finds frames as the agents do, so it shows what they would have seen.
 */

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "protocol/base.h"
#include "protocol/frame.h"
#include "protocol/message.h"
#include "protocol/parse.h"

struct output {
        bool json;
        uint64_t fed;           /* bytes given to the decoder so far */
        uint64_t frames;
        uint64_t skipped;       /* bytes that belong to no frame */
        uint64_t gap_offset, gap_size; /* of those, the ones not printed yet */
        uint64_t bad;           /* frames whose message was not understood */
};

/* Printing. */

static void print_json(json_t *object) {
        json_dumpf(object, stdout, JSON_COMPACT);
        putchar('\n');
        json_decref(object);
}

static void flush_gap(struct output *output) {
        if (output->gap_size == 0)
                return;
        if (output->json)
                print_json(json_pack("{s:I, s:I}", "offset", (json_int_t) output->gap_offset, "skipped_bytes",
                                     (json_int_t) output->gap_size));
        else
                printf("@%" PRIu64 " %" PRIu64 " byte%s that belong to no frame\n", output->gap_offset, output->gap_size,
                       output->gap_size == 1 ? "" : "s");
        output->gap_size = 0;
}

/* Bytes were skipped; they are printed in one piece, before the next frame. */
static void add_gap(struct output *output, uint64_t offset, uint64_t size) {
        if (output->gap_size == 0)
                output->gap_offset = offset;
        output->gap_size += size;
        output->skipped += size;
}

static bool ends_with(const char *s, const char *end) {
        size_t n = strlen(s), m = strlen(end);

        return n >= m && strcmp(s + n - m, end) == 0;
}

static const char *value_name(uint8_t type, const char *field, uint64_t value) {
        static const char *const reasons[] = { NULL, "periodic", "pressure", "requested" };
        static const char *const codes[] = { NULL, "unknown type", "bad message", "version", "expired" };

        if (type == MESSAGE_REPORT && strcmp(field, "reason") == 0 && value < ARRAY_SIZE(reasons))
                return reasons[value];
        if (type == MESSAGE_ERROR && strcmp(field, "code") == 0 && value < ARRAY_SIZE(codes))
                return codes[value];
        return NULL;
}

static void print_number(uint8_t type, const struct message_field *field, uint64_t value) {
        char text[FORMAT_DURATION_MAX];
        const char *name = value_name(type, field->name, value);

        printf("    %-24s %" PRIu64, field->name, value);
        if (name)
                printf(" (%s)", name);
        else if (ends_with(field->name, "_bytes"))
                printf(" (%s)", format_size(value, text));
        else if (ends_with(field->name, "_usec"))
                printf(" (%s)", format_duration(value, text));
        else if (ends_with(field->name, "_ppm"))
                printf(" (%.2f %%)", (double) value / 10000);
        else if (strcmp(field->name, "features") == 0)
                printf(" (0x%" PRIx64 ")", value);
        putchar('\n');
}

static uint64_t field_number(const struct message *message, const struct message_field *field) {
        const void *p = (const char *) message + field->offset;

        return field->kind == MESSAGE_FIELD_U32 ? *(const uint32_t *) p : *(const uint64_t *) p;
}

static void print_fields(const struct message *message, const struct message_field *fields, size_t n) {
        for (size_t i = 0; i < n; i++) {
                const char *text = (const char *) message + fields[i].offset;

                if (fields[i].kind == MESSAGE_FIELD_TEXT && *text)
                        printf("    %-24s %s\n", fields[i].name, text);
                else if (fields[i].kind != MESSAGE_FIELD_TEXT && field_number(message, &fields[i]) != AEROSTAT_UNKNOWN)
                        print_number((uint8_t) message->type, &fields[i], field_number(message, &fields[i]));
        }
}

/* JSON's integers are signed; what does not fit becomes a string. */
static json_t *json_u64(uint64_t value) {
        char text[24];

        if (value <= INT64_MAX)
                return json_integer((json_int_t) value);
        snprintf(text, sizeof(text), "%" PRIu64, value);
        return json_string(text);
}

static json_t *json_fields(const struct message *message, const struct message_field *fields, size_t n) {
        json_t *object = json_object();

        for (size_t i = 0; i < n; i++) {
                const char *text = (const char *) message + fields[i].offset;

                if (fields[i].kind == MESSAGE_FIELD_TEXT)
                        json_object_set_new(object, fields[i].name, *text ? json_string(text) : json_null());
                else if (field_number(message, &fields[i]) == AEROSTAT_UNKNOWN)
                        json_object_set_new(object, fields[i].name, json_null());
                else
                        json_object_set_new(object, fields[i].name, json_u64(field_number(message, &fields[i])));
        }
        return object;
}

static char *format_hex(const uint8_t *data, size_t size, char buf[static 2 * FRAME_PAYLOAD_MAX + 1]) {
        for (size_t i = 0; i < size; i++)
                snprintf(buf + 2 * i, 3, "%02x", data[i]);
        buf[2 * size] = 0;
        return buf;
}

static void print_frame_text(uint64_t offset, const struct frame *frame, const char *name, const struct message *message,
                             const char *error) {
        static char hex[2 * FRAME_PAYLOAD_MAX + 1];
        const struct message_field *fields;
        char uuid[UUID_STRING_SIZE];
        size_t n;

        printf("@%" PRIu64 " %s  session %016" PRIx64 "  sequence %" PRIu64 "  boot %s  time %" PRIu64 ".%06" PRIu64 " s\n", offset, name,
               frame->session_id, frame->sequence, format_uuid(frame->boot_id, uuid), frame->time_usec / 1000000, frame->time_usec % 1000000);
        if (error) {
                printf("    %s, payload: %s\n", error,
                       frame->payload_size == 0 ? "none" : format_hex(frame->payload, frame->payload_size, hex));
                return;
        }
        fields = message_fields(frame->type, &n);
        print_fields(message, fields, n);
}

static void print_frame_json(uint64_t offset, const struct frame *frame, const char *name, const struct message *message,
                             const char *error) {
        static char hex[2 * FRAME_PAYLOAD_MAX + 1];
        const struct message_field *fields;
        char uuid[UUID_STRING_SIZE], session[17];
        json_t *object;
        size_t n;

        snprintf(session, sizeof(session), "%016" PRIx64, frame->session_id);
        object = json_pack("{s:I, s:s, s:s, s:o, s:s, s:o}", "offset", (json_int_t) offset, "type", name, "session_id", session, "sequence",
                           json_u64(frame->sequence), "boot_id", format_uuid(frame->boot_id, uuid), "time_usec", json_u64(frame->time_usec));
        if (error) {
                json_object_set_new(object, "error", json_string(error));
                json_object_set_new(object, "payload", json_string(format_hex(frame->payload, frame->payload_size, hex)));
        } else {
                fields = message_fields(frame->type, &n);
                json_object_set_new(object, "fields", json_fields(message, fields, n));
        }
        print_json(object);
}

static void print_frame(struct output *output, uint64_t offset, const struct frame *frame) {
        const char *name = message_type_to_string(frame->type), *error;
        struct message message;
        char number[16];
        int r;

        r = message_decode(frame, &message);
        error = r == -EOPNOTSUPP ? "unknown type" : r < 0 ? "malformed message" : NULL;
        if (!name) {
                snprintf(number, sizeof(number), "type %u", frame->type);
                name = number;
        }
        flush_gap(output);
        output->frames++;
        output->bad += error != NULL;
        (output->json ? print_frame_json : print_frame_text)(offset, frame, name, &message, error);
}

/* Reading. */

/* Prints the frames that the decoder holds. */
static void drain(struct frame_decoder *decoder, struct output *output) {
        uint64_t skipped = decoder->skipped_bytes;
        struct frame frame;
        int r;

        do {
                uint64_t begin, gap;

                r = frame_decoder_next(decoder, &frame);
                begin = output->fed - (decoder->fill - decoder->taken);
                if (r > 0)
                        begin -= FRAME_HEADER_SIZE + frame.payload_size;
                gap = decoder->skipped_bytes - skipped;
                skipped = decoder->skipped_bytes;
                if (gap > 0)
                        add_gap(output, begin - gap, gap);
                if (r > 0)
                        print_frame(output, begin, &frame);
        } while (r > 0);
}

/* The input has ended inside what looked like a frame: behind its first byte there may still be whole ones. */
static void drain_rest(struct frame_decoder *decoder, struct output *output) {
        size_t left;

        while ((left = decoder->fill - decoder->taken) > 0) {
                uint8_t rest[FRAME_SIZE_MAX], *buf;

                add_gap(output, output->fed - left, 1);
                memcpy(rest, decoder->buf + decoder->taken, left);
                frame_decoder_reset(decoder);
                frame_decoder_space(decoder, &buf);
                memcpy(buf, rest + 1, left - 1);
                frame_decoder_fill(decoder, left - 1);
                drain(decoder, output);
        }
        flush_gap(output);
}

static int decode_raw(FILE *input, struct frame_decoder *decoder, struct output *output) {
        for (;;) {
                uint8_t *buf;
                size_t space = frame_decoder_space(decoder, &buf);
                ssize_t n = read(fileno(input), buf, space); /* what is there: it may be a live channel */

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return n < 0 ? -EIO : 0;
                frame_decoder_fill(decoder, (size_t) n);
                output->fed += (size_t) n;
                drain(decoder, output);
                fflush(stdout);
        }
}

static int hex_value(int c) {
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        if (c >= 'A' && c <= 'F')
                return c - 'A' + 10;
        return -1;
}

/* A line of hex digits, in pairs, with blanks between them as one likes. "00000010: a541 ...  .AST" as xxd prints it, and a comment behind
 * '#', are understood. Returns the number of bytes, or -EINVAL. */
static ssize_t parse_hex_line(char *line, uint8_t *ret, size_t size) {
        char *p = line, *colon = strchr(line, ':');
        size_t n = 0;

        line[strcspn(line, "#\r\n")] = 0;
        if (colon && strspn(line, "0123456789abcdefABCDEF") == (size_t) (colon - line)) {
                char *text;

                p = colon + 1;
                p += *p == ' ';
                text = strstr(p, "  ");
                if (text)
                        *text = 0;
        }
        for (;; p += 2) {
                p += strspn(p, " \t");
                if (!*p)
                        return (ssize_t) n;
                if (hex_value(p[0]) < 0 || hex_value(p[1]) < 0 || n == size)
                        return -EINVAL;
                ret[n++] = (uint8_t) (hex_value(p[0]) << 4 | hex_value(p[1]));
        }
}

static int decode_hex(FILE *input, const char *name, struct frame_decoder *decoder, struct output *output) {
        char line[2 * FRAME_SIZE_MAX + 256];

        for (unsigned number = 1; fgets(line, sizeof(line), input); number++) {
                uint8_t bytes[sizeof(line) / 2];
                ssize_t n = strlen(line) + 1 == sizeof(line) ? -EINVAL : parse_hex_line(line, bytes, sizeof(bytes));

                if (n < 0) {
                        fprintf(stderr, "aerostat-decode: %s:%u: no pairs of hex digits, or a line too long\n", name, number);
                        return -EINVAL;
                }
                for (size_t done = 0; done < (size_t) n;) {
                        uint8_t *buf;
                        size_t part = MIN(frame_decoder_space(decoder, &buf), (size_t) n - done);

                        memcpy(buf, bytes + done, part);
                        frame_decoder_fill(decoder, part);
                        output->fed += part;
                        done += part;
                        drain(decoder, output);
                }
        }
        return ferror(input) ? -EIO : 0;
}

static void help(void) {
        printf("Usage: aerostat-decode [--hex] [--json] [FILE]\n"
               "Prints the messages in a capture of one direction of a guest channel (standard input: no FILE, or '-').\n\n"
               "  --hex      the capture is hex digits: plain, or as xxd prints them\n"
               "  --json     one JSON object for each frame, one to a line\n"
               "  -h, --help print this and exit\n"
               "  --version  print the version and exit\n\n"
               "Exit status: 0 all was understood; 1 something was not, or could not be read; 2 wrong usage.\n");
}

int main(int argc, char **argv) {
        enum { OPTION_HEX = 256, OPTION_JSON, OPTION_VERSION };
        static const struct option longs[] = {
                { "hex", no_argument, NULL, OPTION_HEX },   { "json", no_argument, NULL, OPTION_JSON },
                { "help", no_argument, NULL, 'h' }, { "version", no_argument, NULL, OPTION_VERSION },
                { NULL, 0, NULL, 0 },
        };
        static struct frame_decoder decoder;
        struct output output = { 0 };
        const char *name = "-";
        FILE *input = stdin;
        bool hex = false;
        int c, r;

        while ((c = getopt_long(argc, argv, "h", longs, NULL)) >= 0)
                switch (c) {
                case OPTION_HEX:
                        hex = true;
                        break;
                case OPTION_JSON:
                        output.json = true;
                        break;
                case 'h':
                        help();
                        return 0;
                case OPTION_VERSION:
                        printf("aerostat-decode %s\n", PACKAGE_VERSION);
                        return 0;
                default:
                        fprintf(stderr, "Try 'aerostat-decode --help'.\n");
                        return 2;
                }
        if (argc - optind > 1) {
                fprintf(stderr, "aerostat-decode: one file at a time, not also '%s'\n", argv[optind + 1]);
                return 2;
        }
        if (optind < argc)
                name = argv[optind];
        if (strcmp(name, "-") != 0)
                input = fopen(name, "re");
        if (!input) {
                fprintf(stderr, "aerostat-decode: cannot open %s: %s\n", name, strerror(errno));
                return 1;
        }
        r = hex ? decode_hex(input, name, &decoder, &output) : decode_raw(input, &decoder, &output);
        if (r == -EIO)
                fprintf(stderr, "aerostat-decode: cannot read %s\n", name);
        drain_rest(&decoder, &output);
        if (input != stdin)
                fclose(input);
        if (!output.json)
                printf("%" PRIu64 " frame%s, %" PRIu64 " not understood; %" PRIu64 " bytes skipped\n", output.frames,
                       output.frames == 1 ? "" : "s", output.bad, output.skipped);
        if (fflush(stdout) != 0 || ferror(stdout)) {
                fprintf(stderr, "aerostat-decode: cannot write: %s\n", strerror(errno));
                return 1;
        }
        return r < 0 || output.bad > 0 || output.skipped > 0;
}
