/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Who is at the other end of a unix socket, as the kernel recorded it at connect(). The groups come from the kernel too
 * (SO_PEERGROUPS, Linux 4.13), not from getgrouplist(): asking the user database may wait for a directory server, which would let
 * any local user stall the daemon by connecting; and these are the very groups that the mode of the socket was checked against.
 */

#include <sys/types.h>

/* The user id; -errno. */
int peer_uid(int fd, uid_t *ret);

/* 1 when the peer is in the group (its own or a supplementary one), 0 when not; -errno. */
int peer_in_group(int fd, gid_t gid);
