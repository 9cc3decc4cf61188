/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The listening unix socket at a path: made so that two daemons cannot both believe that it is theirs, and so that nobody but those
 * meant can connect at any moment. A lock on PATH.lock, held until listener_close(), decides between daemons that start at once; a
 * socket that is there and that nobody answers on is a leftover and is replaced.
 */

#include <sys/types.h>

#define LISTENER_ERROR_MAX 512

struct listener {
        int fd;                 /* listening, non-blocking, close-on-exec; the caller may take it (then sets -1) */
        int lock_fd;
        char path[108];         /* as in sockaddr_un */
};

/* Makes the socket with this mode and owner (gid (gid_t) -1: unchanged); a missing last folder is created with mode 0755. 0; on
 * failure -errno, a sentence in error, and nothing made: -EADDRINUSE another daemon is there, -EEXIST the path is no socket,
 * -ENAMETOOLONG, -EACCES, ... */
int listener_open(const char *path, mode_t mode, gid_t gid, struct listener *ret, char error[static LISTENER_ERROR_MAX]);

/* Changes mode and group. 0 or -errno. */
int listener_set_access(const struct listener *listener, mode_t mode, gid_t gid);

/* Removes the socket, which is still ours as long as we hold the lock, and then gives that up. */
void listener_close(struct listener *listener);
