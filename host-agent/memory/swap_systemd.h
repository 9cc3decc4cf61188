/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Memory limits of units that systemd owns: writing their cgroup files behind its back would last until its next visit. SetUnitProperties with
 * Runtime: gone after a reboot. Main thread.
 */

#include <stdint.h>

#include <systemd/sd-bus.h>

/* result: 0; -ENOENT: no such unit; -errno, also when the bus closes or after 25 s. value: MemorySwapMax where it was asked for,
 * unknown: infinity. */
typedef void (*swap_systemd_done)(int result, uint64_t value, void *userdata);

/* Asks systemd to set MemorySwapMax or MemoryHigh (property) of a unit (unknown: infinity) without waiting. done is called once, unless the slot is
 * released first. ret_slot: the caller's; NULL: nobody wants to know, and done does not matter. */
int swap_systemd_set(sd_bus *bus, const char *unit, const char *property, uint64_t bytes, swap_systemd_done done, void *userdata,
                     sd_bus_slot **ret_slot);

/* Asks what MemorySwapMax of a slice, scope or service is by its configuration, also when it is not running. */
int swap_systemd_get(sd_bus *bus, const char *unit, swap_systemd_done done, void *userdata, sd_bus_slot **ret_slot);

/* As swap_systemd_set, and waits, at most 2 s: at the end of the daemon, when no loop runs any more. */
int swap_systemd_set_wait(sd_bus *bus, const char *unit, const char *property, uint64_t bytes);
