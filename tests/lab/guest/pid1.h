/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What programs need that are the only process of a guest: the first one, which must not end. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/reboot.h>
#include <unistd.h>

/* Says what failed, as a line of JSON like all the others, and switches the guest off. */
__attribute__((noreturn)) static inline void die(const char *what) {
        printf("{\"error\": \"%s: %s\"}\n", what, strerror(errno));
        fflush(stdout);
        reboot(RB_POWER_OFF);
        _exit(1);
}

static inline void put(const char *path, const char *text) {
        int fd = open(path, O_WRONLY | O_CLOEXEC);

        if (fd < 0 || write(fd, text, strlen(text)) < 0)
                die(path);
        close(fd);
}
