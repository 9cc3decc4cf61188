/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Memory limits of units that systemd owns: writing their cgroup files behind its back would last until its next visit. SetUnitProperties with
 * Runtime: gone after a reboot. Main thread.
 */

#include <stdint.h>

#include <systemd/sd-bus.h>

/* Asks for a property of a unit (MemorySwapMax, MemoryHigh) without waiting; unknown: infinity. done is called once with 0 or -errno (also when the bus closes or after 25 s), unless the slot is
 * released first. ret_slot: the caller's. */
int swap_systemd_set(sd_bus *bus, const char *unit, const char *property, uint64_t bytes, void (*done)(int result, void *userdata), void *userdata,
                     sd_bus_slot **ret_slot);

/* The same, and waits, at most 2 s: at the end of the daemon, when no loop runs any more. */
int swap_systemd_set_wait(sd_bus *bus, const char *unit, const char *property, uint64_t bytes);
