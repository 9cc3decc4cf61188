/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "host-agent/control/peer.h"

#include <errno.h>
#include <sys/socket.h>

#include "protocol/base.h"

static int peer_credentials(int fd, struct ucred *ret) {
        socklen_t size = sizeof(*ret);

        return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, ret, &size) < 0 ? -errno : 0;
}

int peer_uid(int fd, uid_t *ret) {
        struct ucred credentials;
        int r;

        r = peer_credentials(fd, &credentials);
        if (r < 0)
                return r;
        *ret = credentials.uid;
        return 0;
}

int peer_in_group(int fd, gid_t gid) {
        _cleanup_free_ gid_t *groups = NULL;
        struct ucred credentials;
        socklen_t size = 0;
        int r;

        r = peer_credentials(fd, &credentials);
        if (r < 0)
                return r;
        if (credentials.gid == gid)
                return 1;
        /* With no room given, the kernel says with ERANGE how much it takes. */
        if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &size) == 0)
                return 0;
        if (errno != ERANGE)
                return -errno;
        groups = malloc(size);
        if (!groups)
                return -ENOMEM;
        if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) < 0)
                return -errno;
        for (size_t i = 0; i < size / sizeof(gid_t); i++)
                if (groups[i] == gid)
                        return 1;
        return 0;
}
