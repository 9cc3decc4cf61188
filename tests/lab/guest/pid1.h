/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What programs need that are the only process of a guest (aerolab/alone.py): the first one, which must not end. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/reboot.h>
#include <unistd.h>

/* Switches the guest off; outside of one (ksm-series), it just ends. */
__attribute__((noreturn)) static inline void leave(int status) {
        fflush(stdout);
        sync();
        if (getpid() == 1)
                reboot(RB_POWER_OFF);
        _exit(status);
}

/* Says what failed, as a line of JSON like all the others. */
__attribute__((noreturn)) static inline void die(const char *what) {
        printf("{\"error\": \"%s: %s\"}\n", what, strerror(errno));
        leave(1);
}

/* Says that all of it was done. */
__attribute__((noreturn)) static inline void done(void) {
        printf("{\"end\": true}\n");
        leave(0);
}

static inline void put(const char *path, const char *text) {
        int fd = open(path, O_WRONLY | O_CLOEXEC);

        if (fd < 0 || write(fd, text, strlen(text)) < 0)
                die(path);
        close(fd);
}
