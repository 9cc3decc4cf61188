/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "guest-agent/port.h"

#include <errno.h>
#include <fcntl.h>
#include <libudev.h>
#include <stdio.h>
#include <string.h>

#include "protocol/base.h"

#define SUBSYSTEM "virtio-ports"

struct port {
        char *name;                     /* of the port, or the path of a device */
        struct udev *udev;              /* NULL with a path */
        struct udev_monitor *monitor;   /* NULL: none to be had */
        int fd;
        int given_fd;                   /* what port_open() will give out first, for tests; else -1 */
        char path[64];
};

static void udev_enumerate_unrefp(struct udev_enumerate **enumerate) {
        udev_enumerate_unref(*enumerate);
}

static void udev_device_unrefp(struct udev_device **device) {
        udev_device_unref(*device);
}

/* NULL when there is no netlink, or none for us. */
static struct udev_monitor *monitor_new(struct udev *udev) {
        struct udev_monitor *monitor = udev_monitor_new_from_netlink(udev, "kernel");

        if (!monitor)
                return NULL;
        if (udev_monitor_filter_add_match_subsystem_devtype(monitor, SUBSYSTEM, NULL) < 0 ||
            udev_monitor_enable_receiving(monitor) < 0) {
                udev_monitor_unref(monitor);
                return NULL;
        }
        return monitor;
}

int port_new(const char *name_or_path, struct port **ret) {
        struct port *port = calloc(1, sizeof(*port));

        if (!port)
                return -ENOMEM;
        port->fd = port->given_fd = -1;
        port->name = strdup(name_or_path);
        if (!port->name) {
                port_free(port);
                return -ENOMEM;
        }
        if (!strchr(name_or_path, '/')) {
                port->udev = udev_new();
                if (!port->udev) {
                        port_free(port);
                        return -ENOMEM;
                }
                port->monitor = monitor_new(port->udev);
        }
        *ret = port;
        return 0;
}

int port_new_from_fd(int fd, struct port **ret) {
        int r;

        r = port_new("/", ret); /* which nobody can open once this one is closed */
        if (r < 0)
                return r;
        (*ret)->given_fd = fd;
        return 0;
}

struct port *port_free(struct port *port) {
        if (!port)
                return NULL;
        port_close(port);
        closep(&port->given_fd);
        udev_monitor_unref(port->monitor);
        udev_unref(port->udev);
        free(port->name);
        free(port);
        return NULL;
}

int port_monitor_fd(const struct port *port) {
        return port->monitor ? udev_monitor_get_fd(port->monitor) : -1;
}

bool port_monitor_drain(struct port *port) {
        bool any = false;

        for (;;) {
                _cleanup_(udev_device_unrefp) struct udev_device *device = NULL;

                errno = 0;
                device = udev_monitor_receive_device(port->monitor);
                /* Events were lost: there may have been one for us. */
                if (!device && errno == ENOBUFS) {
                        any = true;
                        continue;
                }
                if (!device)
                        return any;
                /* The name comes with a "change" after the "add"; all of them are worth another look. */
                any = true;
        }
}

/* Finds the device node of the port called name. */
static int find_node(struct port *port, char *ret_path, size_t size) {
        _cleanup_(udev_enumerate_unrefp) struct udev_enumerate *enumerate = udev_enumerate_new(port->udev);
        struct udev_list_entry *entry;

        if (!enumerate)
                return -ENOMEM;
        if (udev_enumerate_add_match_subsystem(enumerate, SUBSYSTEM) < 0 || udev_enumerate_scan_devices(enumerate) < 0)
                return -ENOENT; /* no such class: no virtio console driver */
        udev_list_entry_foreach(entry, udev_enumerate_get_list_entry(enumerate)) {
                _cleanup_(udev_device_unrefp) struct udev_device *device =
                        udev_device_new_from_syspath(port->udev, udev_list_entry_get_name(entry));
                const char *name, *node;
                int n;

                if (!device)
                        continue; /* unplugged since */
                name = udev_device_get_sysattr_value(device, "name");
                node = udev_device_get_devnode(device);
                if (!name || !node || strcmp(name, port->name) != 0)
                        continue;
                n = snprintf(ret_path, size, "%s", node);
                return n < 0 || (size_t) n >= size ? -ENAMETOOLONG : 0;
        }
        return -ENOENT;
}

int port_open(struct port *port) {
        const char *path = port->name;
        char node[sizeof(port->path)];
        int fd, r;

        if (port->given_fd >= 0) {
                port->fd = TAKE_FD(port->given_fd);
                return 0;
        }
        if (port->udev) {
                r = find_node(port, node, sizeof(node));
                if (r < 0)
                        return r;
                path = node;
        }
        fd = open(path, O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        snprintf(port->path, sizeof(port->path), "%s", path);
        port->fd = fd;
        return 0;
}

void port_close(struct port *port) {
        closep(&port->fd);
        port->fd = -1;
}

int port_fd(const struct port *port) {
        return port->fd;
}

const char *port_path(const struct port *port) {
        return port->path;
}

ssize_t port_read(struct port *port, uint8_t *buf, size_t size) {
        ssize_t n;

        do
                n = read(port->fd, buf, size);
        while (n < 0 && errno == EINTR);
        return n < 0 ? -errno : n;
}

ssize_t port_write(struct port *port, const uint8_t *buf, size_t size) {
        ssize_t n;

        do
                n = write(port->fd, buf, size);
        while (n < 0 && errno == EINTR);
        return n < 0 ? -errno : n;
}
