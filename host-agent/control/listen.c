/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/control/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "protocol/base.h"

#define BACKLOG 64 /* connections that the kernel holds for us while we are busy elsewhere */

#define REFUSE(code, ...)                                           \
        ({                                                          \
                int _code = (code);                                 \
                snprintf(error, LISTENER_ERROR_MAX, __VA_ARGS__);   \
                _code;                                              \
        })

static int make_folder(const char *path, char error[static LISTENER_ERROR_MAX]) {
        char copy[sizeof(((struct listener *) NULL)->path)];
        const char *folder;

        snprintf(copy, sizeof(copy), "%s", path);
        folder = dirname(copy);
        if (mkdir(folder, 0755) < 0 && errno != EEXIST)
                return REFUSE(-errno, "cannot create the folder %s: %s", folder, strerror(-_code));
        return 0;
}

static int take_lock(const char *path, int *ret_fd, char error[static LISTENER_ERROR_MAX]) {
        char name[sizeof(((struct listener *) NULL)->path) + sizeof(".lock")];
        _cleanup_close_ int fd = -1;

        snprintf(name, sizeof(name), "%s.lock", path);
        fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
        if (fd < 0)
                return REFUSE(-errno, "cannot open the lock %s: %s", name, strerror(-_code));
        if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
                if (errno == EWOULDBLOCK)
                        return REFUSE(-EADDRINUSE, "another aerostatd is running: it holds %s", name);
                return REFUSE(-errno, "cannot lock %s: %s", name, strerror(-_code));
        }
        *ret_fd = TAKE_FD(fd);
        return 0;
}

/* Removes a socket that nobody answers on. */
static int remove_stale(const struct sockaddr_un *address, char error[static LISTENER_ERROR_MAX]) {
        const char *path = address->sun_path;
        _cleanup_close_ int fd = -1;
        struct stat st;

        if (lstat(path, &st) < 0)
                return errno == ENOENT ? 0 : REFUSE(-errno, "cannot look at %s: %s", path, strerror(-_code));
        if (!S_ISSOCK(st.st_mode))
                return REFUSE(-EEXIST, "%s exists and is not a socket: remove it, or give another path", path);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return REFUSE(-errno, "cannot create a socket: %s", strerror(-_code));
        /* EAGAIN: somebody listens, with a full backlog. */
        if (connect(fd, (const struct sockaddr *) address, sizeof(*address)) == 0 || errno == EAGAIN)
                return REFUSE(-EADDRINUSE, "another aerostatd is running: it answers on %s", path);
        if (errno != ECONNREFUSED)
                return REFUSE(-errno, "cannot tell whether anybody answers on %s: %s", path, strerror(-_code));
        if (unlink(path) < 0 && errno != ENOENT)
                return REFUSE(-errno, "cannot remove the leftover socket %s: %s", path, strerror(-_code));
        return 0;
}

int listener_set_access(const struct listener *listener, mode_t mode, gid_t gid) {
        /* Of the two orders, this one never lets the wrong group in: the mode is opened last and narrowed first. */
        if (chmod(listener->path, mode & 0600) < 0)
                return -errno;
        if (gid != (gid_t) -1 && lchown(listener->path, (uid_t) -1, gid) < 0)
                return -errno;
        return chmod(listener->path, mode) < 0 ? -errno : 0;
}

int listener_open(const char *path, mode_t mode, gid_t gid, struct listener *ret, char error[static LISTENER_ERROR_MAX]) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_close_ int fd = -1, lock_fd = -1;
        struct listener listener = {};
        int r;

        if (strlen(path) >= sizeof(address.sun_path))
                return REFUSE(-ENAMETOOLONG, "the socket path is longer than the %zu characters that the kernel allows: %s",
                              sizeof(address.sun_path) - 1, path);
        strcpy(address.sun_path, path);
        strcpy(listener.path, path);
        r = make_folder(path, error);
        if (r < 0)
                return r;
        r = take_lock(path, &lock_fd, error);
        if (r < 0)
                return r;
        r = remove_stale(&address, error);
        if (r < 0)
                return r;
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0 || bind(fd, (const struct sockaddr *) &address, sizeof(address)) < 0)
                return REFUSE(-errno, "cannot create the socket %s: %s", path, strerror(-_code));
        /* Nobody can connect before listen(), so mode and owner are right from the first connection on. */
        r = listener_set_access(&listener, mode, gid);
        if (r < 0 || listen(fd, BACKLOG) < 0) {
                r = r < 0 ? r : -errno;
                unlink(path);
                return REFUSE(r, "cannot set up the socket %s: %s", path, strerror(-_code));
        }
        listener.fd = TAKE_FD(fd);
        listener.lock_fd = TAKE_FD(lock_fd);
        *ret = listener;
        return 0;
}

void listener_close(struct listener *listener) {
        unlink(listener->path);
        closep(&listener->fd);
        closep(&listener->lock_fd);
        listener->fd = listener->lock_fd = -1;
}
