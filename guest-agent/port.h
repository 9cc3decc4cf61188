/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The virtio-serial port: finding it by its name, following it when it is plugged and unplugged, reading and writing it without ever
 * waiting. The only file that knows libudev. (Measured facts about these ports are in PROTOCOL.md, "The channel".)
 *
 * The monitor listens to the kernel's own events, not to udevd's: a small guest runs no udevd, and we need neither its links nor its
 * permissions. The node in /dev exists before the event is sent.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PORT_NAME_DEFAULT "org.aerostat.guest.0"

struct port;

/* name_or_path: with a slash in it a device to open (a virtio port, or a terminal in tests), else a port's name. 0 or -ENOMEM.
 * Where events cannot be had (no netlink) port_monitor_fd() is -1 and the caller has to look again now and then. */
int port_new(const char *name_or_path, struct port **ret);

/* With an open, non-blocking descriptor instead, which port_open() then gives out once: for tests. Takes it over unless it fails. */
int port_new_from_fd(int fd, struct port **ret);

struct port *port_free(struct port *port);

/* The monitor's descriptor, to poll for reading; -1: there is none, because of a path or for want of netlink. */
int port_monitor_fd(const struct port *port);

/* Empties the monitor. True when something happened to any virtio port: try port_open() again. */
bool port_monitor_drain(struct port *port);

/* Finds and opens the port, which is closed. 0, -ENOENT when there is none of that name, -EBUSY when somebody else has it open,
 * or another -errno. */
int port_open(struct port *port);
void port_close(struct port *port);

/* The open descriptor, or -1. */
int port_fd(const struct port *port);

/* Where it was found, for the log. */
const char *port_path(const struct port *port);

/* Reads what is there: its size; 0: no host has the other end open (which is not the end: one will come); -EAGAIN: a host is
 * there and has said nothing; anything else: the port is gone, close it. */
ssize_t port_read(struct port *port, uint8_t *buf, size_t size);

/* Writes what fits: its size; -EAGAIN: no room, or no host; anything else: the port is gone. */
ssize_t port_write(struct port *port, const uint8_t *buf, size_t size);
