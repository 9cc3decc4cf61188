/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * aerostatctl: what its verbs share. To add a verb: a struct verb in the file of its group, and its place in the table in main.c;
 * help comes from the struct, and a test compares it with the man page.
 */

#include <stdbool.h>
#include <stdint.h>

/* Exit codes; part of the public interface. */
enum {
        CTL_DONE = 0,
        CTL_FAILED = 1,         /* the reason is on stderr */
        CTL_USAGE = 2,
        CTL_UNREACHABLE = 3,    /* no daemon, or no permission to connect */
};

struct context {
        const char *socket;
        uint64_t wait_usec;     /* how much longer than usual the reply may take */
        bool json;              /* print the daemon's reply as it is */
};

#define VERB_OPTIONS_MAX 8
#define VERB_OPERANDS_MAX 64

struct verb_option {
        const char *name;       /* "--for"; NULL ends the list */
        const char *value;      /* what its value is called in help: "DURATION"; NULL: it takes none */
};

/* The command line of one verb, taken apart. */
struct args {
        const char *operands[VERB_OPERANDS_MAX];
        unsigned n_operands;
        const char *values[VERB_OPTIONS_MAX]; /* by the index of the option; NULL: not given; "" for one that takes no value */
};

struct verb {
        const char *name;
        const char *operands;   /* as in help: "VM SIZE"; "" for none */
        const char *summary;    /* one line */
        const char *help;       /* paragraphs for `aerostatctl VERB --help`, or NULL */
        unsigned min_operands, max_operands;
        const char *extra_hint; /* said, followed by the operand, when there is one too many; or NULL */
        struct verb_option options[VERB_OPTIONS_MAX + 1];
        int (*run)(const struct context *context, const struct args *args); /* an exit code; has said why on stderr */
};

extern const struct verb verb_status, verb_list, verb_show, verb_set, verb_auto, verb_pause, verb_resume, verb_ksm, verb_swap, verb_alerts,
        verb_watch, verb_check, verb_version;

extern const struct verb verb_explain;
extern const struct verb verb_doctor;
extern const struct verb verb_config;
extern const struct verb verb_history;
extern const struct verb verb_top;

extern const struct verb verb_limits;
extern const struct verb verb_report, verb_whatif;
extern const struct verb verb_reserve, verb_release, verb_reservations;

/* Says "aerostatctl: ..." on stderr, with everything made harmless for a terminal. Returns code. */
int complain(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));
