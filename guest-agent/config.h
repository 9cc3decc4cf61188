/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The agent's settings: aerostat-guest.conf(5). Everything in the file has to be understood, or the file is refused as a whole with a
 * sentence that names the place; a setting that is silently not in force would be found out in an emergency.
 */

#include <stdbool.h>
#include <stdint.h>

#include "guest-agent/log.h"

#define CONFIG_PATH_DEFAULT "/etc/aerostat/aerostat-guest.conf"
#define CONFIG_PORT_MAX 128
#define CONFIG_ERROR_MAX 512

struct config {
        char port[CONFIG_PORT_MAX];    /* a port's name, or a path */
        uint64_t psi_stall_usec;       /* a report at once when memory stalled somebody for this long; 0: no trigger */
        uint64_t psi_window_usec;      /* within this time: 500 ms .. 10 s, as the kernel wants it */
        int oom_score_adj;             /* -1000 .. 1000 */
        bool lock_memory;
        bool zram_enabled;             /* provide compressed swap where there is none */
        uint64_t zram_size_bytes;      /* if zram_size_ppm is unknown; 1 MiB at least */
        uint64_t zram_size_ppm;        /* of the guest's memory: 1 % .. 200 %; or unknown */
        enum log_level log_level;
};

void config_init(struct config *config);

/* Parses the text of a file; `name` is for messages. 0, or -EINVAL and a sentence in error. On failure *ret is untouched. */
int config_parse(const char *text, const char *name, struct config *ret, char error[static CONFIG_ERROR_MAX]);

/* Reads a file. 0; -ENOENT: it is not there (the caller knows whether that matters); others: with a sentence in error, also for
 * -ENOENT. */
int config_load(const char *path, struct config *ret, char error[static CONFIG_ERROR_MAX]);
