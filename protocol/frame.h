/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Frames: how messages travel over a byte stream that may lose, cut and join (virtio-serial does all three:
 * PROTOCOL.md, "The channel"). Header and payload are little-endian and covered by one CRC-32C. A reader that has lost its place
 * looks for the next marker whose checksum holds.
 * No allocation, no I/O, no clock; any thread, one thread per object at a time.
 *
 * History. The version is raised only when an old reader would misread a new frame; new fields and new message types do not raise it.
 *   1  first version
 */

#include <stddef.h>
#include <stdint.h>

#define FRAME_VERSION 1
#define FRAME_SIZE_MAX 4096u   /* header + payload; nothing longer is ever sent or accepted */
#define FRAME_HEADER_SIZE 64u
#define FRAME_PAYLOAD_MAX (FRAME_SIZE_MAX - FRAME_HEADER_SIZE)

/* Header fields; see PROTOCOL.md for the byte layout. */
struct frame {
        uint8_t version;       /* FRAME_VERSION */
        uint8_t type;          /* enum message_type; values not known are for the reader to answer politely */
        uint64_t session_id;   /* random, chosen by the host for each connection, echoed by the guest; 0 = no session yet */
        uint64_t sequence;     /* counts the sender's frames within the session, from 1 */
        uint8_t boot_id[16];   /* the guest's boot id: of the sender (guest), or of the guest that is meant (host; all zero: not known yet) */
        uint64_t time_usec;    /* the guest's CLOCK_MONOTONIC: when sampled (guest to host), or when the request expires (host to
                                  guest; 0: does not expire) */
        const uint8_t *payload; /* borrowed: points into the buffer that it was decoded from, or that the caller supplies */
        size_t payload_size;   /* 0 .. FRAME_PAYLOAD_MAX */
};

/* CRC-32C (Castagnoli, RFC 3720 appendix B.4) of data, continuing from crc (0 to begin). */
uint32_t crc32c(uint32_t crc, const void *data, size_t size);

/* Writes the frame into buf. Returns 0 and the size written; -EMSGSIZE when the payload is too long, -ENOBUFS when buf is too
 * small. */
int frame_encode(const struct frame *frame, uint8_t *buf, size_t size, size_t *ret_size);

/* Decoder of one direction of one stream. Zero-initialise it (or frame_decoder_reset). About 4 KiB. */
struct frame_decoder {
        uint8_t buf[FRAME_SIZE_MAX];
        size_t fill;           /* bytes in buf */
        size_t taken;          /* bytes at the start of buf that are done with; the last frame returned may still point into them */
        size_t debt;           /* bytes summed in vain and not yet paid for by bytes received: bounds the work that junk can cause */
        uint64_t frames;       /* good frames since the start */
        uint64_t skipped_bytes; /* bytes thrown away while looking for a frame */
        uint64_t bad_checksums; /* a marker and a plausible length, but a wrong checksum */
        uint64_t bad_versions; /* whole, but of a version that we do not speak: skipped as a whole */
};

/* Forgets what is buffered (after a reconnect or a timeout); counters stay. */
void frame_decoder_reset(struct frame_decoder *decoder);

/* Where to read() to next: returns the free space, at least 1 byte provided that frame_decoder_next() was called until it returned 0.
 * Frames returned earlier become invalid. */
size_t frame_decoder_space(struct frame_decoder *decoder, uint8_t **ret_buf);

/* Says that size bytes were put there. */
void frame_decoder_fill(struct frame_decoder *decoder, size_t size);

/* 1 and the next good frame (valid until the next call on this decoder), or 0 when more bytes are needed. Never fails: junk is
 * skipped and counted. Work is bounded by a small multiple of the buffer, whatever the bytes. */
int frame_decoder_next(struct frame_decoder *decoder, struct frame *ret);
