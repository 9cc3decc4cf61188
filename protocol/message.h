/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Messages: what a frame's payload means. A payload is a list of fields (u16 tag, u16 length, value), so that either side
 * may be newer: unknown tags are skipped, unknown types are answered with an error message. Tags ascend; a tag twice, a length that
 * does not fit its tag, a field cut short and a value out of range are refused as a whole (-EBADMSG).
 * No allocation, no I/O; any thread. All sizes are bytes, all times microseconds; AEROSTAT_UNKNOWN: the sender does not know,
 * and the field is not on the wire at all.
 *
 * One table (message_fields) says what each type carries; encoder, decoder, printers and tests all work from it. PROTOCOL.md
 * has it for people.
 *
 * Who says what:
 *   host  -> guest  HELLO, SET_INTERVAL, PING, GOODBYE, ERROR
 *   guest -> host   HELLO_ACK, REPORT, PONG, GOODBYE, ERROR
 */

#include <stddef.h>
#include <stdint.h>

#include "protocol/base.h"
#include "protocol/frame.h"

enum message_type {
        MESSAGE_HELLO = 1,
        MESSAGE_HELLO_ACK = 2,
        MESSAGE_REPORT = 3,
        MESSAGE_SET_INTERVAL = 4,
        MESSAGE_PING = 5,
        MESSAGE_PONG = 6,
        MESSAGE_ERROR = 7,
        MESSAGE_GOODBYE = 8,
};

/* The lower-case name ("hello-ack"), or NULL for a type that is not known. */
const char *message_type_to_string(uint8_t type);

#define MESSAGE_TEXT_MAX 64 /* bytes of a text field with its NUL; printable ASCII on the wire */

/* Optional abilities, a bit mask in HELLO and HELLO_ACK; bits not known are kept and ignored. */
enum message_feature {
        MESSAGE_FEATURE_PSI = 1 << 0,          /* the guest's kernel has /proc/pressure/memory */
        MESSAGE_FEATURE_PSI_TRIGGER = 1 << 1,  /* and a trigger is armed there */
        MESSAGE_FEATURE_BALLOON = 1 << 2,      /* the guest can count its balloon's pages */
        MESSAGE_FEATURE_LOCKED = 1 << 3,       /* the agent's memory is locked */
};

struct message_hello {
        uint32_t version_min, version_max;     /* frame versions that the host speaks */
        uint64_t features;                     /* enum message_feature */
        char host_version[MESSAGE_TEXT_MAX];   /* of aerostatd; "" unknown */
};

struct message_hello_ack {
        uint32_t version;                      /* chosen from the host's range; the highest that both speak */
        uint64_t features;                     /* enum message_feature */
        uint64_t page_size_bytes;              /* 4096 .. 1 MiB, a power of two */
        uint64_t memory_total_bytes;           /* /proc/meminfo MemTotal at start */
        char agent_version[MESSAGE_TEXT_MAX];  /* "0.1.0" */
        char kernel_version[MESSAGE_TEXT_MAX]; /* uname release */
};

enum report_reason {
        REPORT_PERIODIC = 1,
        REPORT_PRESSURE = 2,                   /* a PSI trigger fired, or MemAvailable fell below the threshold of SET_INTERVAL */
        REPORT_REQUESTED = 3,                  /* first report after hello */
};

/* One sample of a guest. Every u64 may be AEROSTAT_UNKNOWN unless it says otherwise. */
struct message_report {
        uint64_t reason;                       /* enum report_reason; always known */
        uint64_t total_bytes;                  /* meminfo MemTotal; always known; shrinks with the balloon unless autodeflate is on */
        uint64_t available_bytes;              /* meminfo MemAvailable; always known, <= total */
        uint64_t free_bytes;                   /* meminfo MemFree */
        uint64_t cache_bytes;                  /* meminfo Cached + Buffers - Shmem: file cache */
        uint64_t shmem_bytes;                  /* meminfo Shmem */
        uint64_t anon_bytes;                   /* meminfo AnonPages */
        uint64_t dirty_bytes;                  /* meminfo Dirty + Writeback */
        uint64_t mlocked_bytes;                /* meminfo Mlocked */
        uint64_t slab_reclaimable_bytes;       /* meminfo SReclaimable */
        uint64_t hugetlb_bytes;                /* meminfo Hugetlb: taken by huge page pools */
        uint64_t swap_total_bytes;             /* meminfo SwapTotal; 0: no swap */
        uint64_t swap_free_bytes;              /* meminfo SwapFree */
        uint64_t balloon_bytes;                /* held by the balloon: meminfo Balloon (newer kernels), or vmstat balloon_inflate - balloon_deflate */
        uint64_t arc_reclaimable_bytes;        /* ZFS arcstats: size - c_min, 0 where ARC is smaller; unknown: no ZFS */
        uint64_t zram_disk_bytes;              /* sum of /sys/block/zram<n>/disksize */
        uint64_t zram_used_bytes;              /* sum of mm_stat mem_used_total: RAM that zram takes */
        /* Counters since boot, from /proc/vmstat (pages times page size); the host forms rates. */
        uint64_t swap_in_bytes;                /* pswpin */
        uint64_t swap_out_bytes;               /* pswpout */
        uint64_t refault_file_bytes;           /* workingset_refault_file: cache that was missed */
        uint64_t refault_anon_bytes;           /* workingset_refault_anon */
        uint64_t major_faults;                 /* pgmajfault: a count */
        uint64_t oom_kills;                    /* oom_kill: a count */
        uint64_t alloc_stalls;                 /* sum of allocstall_*: direct reclaim, a count */
        /* /proc/pressure/memory */
        uint64_t psi_some_total_usec;          /* some total= */
        uint64_t psi_full_total_usec;          /* full total= */
        uint64_t psi_some_avg10_ppm;           /* some avg10, 0 .. 1000000 */
        uint64_t psi_full_avg10_ppm;           /* full avg10, 0 .. 1000000 */
};

struct message_set_interval {
        uint32_t interval_msec;                /* 100 .. 3600000: how often to report when calm */
        uint64_t pressure_available_bytes;     /* report at once when MemAvailable falls below; 0: never; unknown: the agent's own rule
                                                  (half of max(64 MiB, 20 % of what is in use)) */
};

struct message_ping {                          /* PING and PONG; the pong carries the ping's token */
        uint64_t token;
};

enum message_error_code {
        MESSAGE_ERROR_UNKNOWN_TYPE = 1,
        MESSAGE_ERROR_BAD_MESSAGE = 2,
        MESSAGE_ERROR_VERSION = 3,
        MESSAGE_ERROR_EXPIRED = 4,             /* the request's time had passed, or it was meant for an earlier boot */
};

struct message_error {
        uint32_t code;                         /* enum message_error_code; others are allowed */
        uint64_t sequence;                     /* of the frame that caused it */
        char text[MESSAGE_TEXT_MAX];           /* for a log */
};

struct message {
        enum message_type type;
        union {
                struct message_hello hello;
                struct message_hello_ack hello_ack;
                struct message_report report;
                struct message_set_interval set_interval;
                struct message_ping ping;      /* PING and PONG */
                struct message_error error;
        };                                     /* GOODBYE has no fields of its own */
};

/* A report with every field unknown. */
void message_report_init(struct message_report *report);

/* Writes header and payload: `frame` gives the header fields (its version, type and payload are ignored). Returns 0 and the size;
 * -EINVAL when a field is out of its range (our own bug or a bad caller), -ENOBUFS when buf is smaller than needed. FRAME_SIZE_MAX
 * always suffices. */
int message_encode(const struct frame *frame, const struct message *message, uint8_t *buf, size_t size, size_t *ret_size);

/* Understands a frame's payload. 0; -EBADMSG (refuse, perhaps answer MESSAGE_ERROR_BAD_MESSAGE); -EOPNOTSUPP: type not known (answer
 * MESSAGE_ERROR_UNKNOWN_TYPE, unless it is itself an error). */
int message_decode(const struct frame *frame, struct message *ret);

/* A field of a message, for printers and tests. */
enum message_field_kind {
        MESSAGE_FIELD_U32,                     /* uint32_t; always required */
        MESSAGE_FIELD_U64,                     /* uint64_t; AEROSTAT_UNKNOWN where it is absent */
        MESSAGE_FIELD_TEXT,                    /* char[MESSAGE_TEXT_MAX]; "" where it is absent */
};

struct message_field {
        uint16_t tag;                          /* unique within its type, ascending on the wire */
        enum message_field_kind kind;
        bool required;                         /* a message without it is refused */
        const char *name;                      /* as in JSON: "available_bytes" */
        size_t offset;                         /* in struct message */
        uint64_t min, max;                     /* of numbers */
};

/* The fields of a type in wire order; none (and *ret_n 0) for GOODBYE and for types that are not known. */
const struct message_field *message_fields(uint8_t type, size_t *ret_n);

/* The same for reports only, with the `offset` of the u64 in struct message_report. */
struct report_field {
        uint16_t tag;
        const char *name;                      /* as in JSON: "available_bytes" */
        size_t offset;
};
extern const struct report_field report_fields[];
extern const size_t n_report_fields;
