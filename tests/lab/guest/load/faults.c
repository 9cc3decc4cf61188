/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What goes wrong in a guest on request: its balloon driver goes and comes back, and bytes that are no frames arrive in the agent's name. */

#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "load.h"

#define DRIVER "/sys/bus/virtio/drivers/virtio_balloon"
#define JUNK_SIZE 16384 /* more than the host forgives as the tail of an old session */

static char balloon[64]; /* "virtio0", once its driver was taken from it */

static bool find_balloon(void) {
        DIR *dir = opendir(DRIVER);
        struct dirent *entry;
        bool found = false;

        while (dir && !found && (entry = readdir(dir)))
                if (strncmp(entry->d_name, "virtio", 6) == 0) {
                        snprintf(balloon, sizeof balloon, "%.60s", entry->d_name);
                        found = true;
                }
        if (dir)
                closedir(dir);
        return found;
}

/* Without its driver the guest has all of its memory, and gives nothing back. */
void balloon_request(const struct request *request) {
        const char *action = request_get(request, "action");
        bool unbind = action && strcmp(action, "unbind") == 0;
        int fd;
        ssize_t n;

        if (!action || (!unbind && strcmp(action, "bind") != 0))
                return refuse(request, "action= is unbind or bind");
        if (unbind ? !find_balloon() : balloon[0] == 0)
                return refuse(request, unbind ? "no balloon has its driver" : "no balloon was unbound");
        fd = open(unbind ? DRIVER "/unbind" : DRIVER "/bind", O_WRONLY | O_CLOEXEC);
        n = fd >= 0 ? write(fd, balloon, strlen(balloon)) : -1;
        if (fd >= 0)
                close(fd);
        if (n < 0)
                return refuse(request, "the kernel did not do it");
        if (!unbind)
                balloon[0] = 0;
        answer(request, "%s", "");
}

/* Junk of well-formed size in the place of a frame. The agent holds the port: it has to be gone. */
void junk_request(const struct request *request) {
        static char junk[JUNK_SIZE];
        int fd = open_port(AGENT_PORT_NAME);
        ssize_t n;

        if (fd < 0)
                return refuse(request, "the agent's port cannot be opened");
        memset(junk, '#', sizeof junk);
        n = write(fd, junk, sizeof junk);
        close(fd);
        if (n < 0)
                return refuse(request, "the agent's port takes nothing");
        answer(request, ",\"written\":%d", (int) n);
}
