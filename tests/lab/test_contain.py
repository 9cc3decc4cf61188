#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Containment on the real files of cgroup v2: a process in place of a QEMU that uses more than it may is kept near memory.high, alive, and let go
afterwards; its stalls are known to be ours, and nothing waits."""

import unittest

from aerolab import MIB, alone, log

SWAP = 512 * MIB
TARGET = 100 * MIB


class Contain(unittest.TestCase):
    def test_held_near_its_target_and_let_go(self) -> None:
        seen = {one["step"]: one for one in alone.boot("contain", swap=SWAP, command_line="psi=1")}
        for name, one in seen.items():
            if name != "end":
                log(f"{name}: memory.high {one['high'] / MIB:.0f} MiB, in memory {one['current'] / MIB:.0f} MiB, swapped {one['swapped'] / MIB:.0f} "
                    f"MiB; pressure of the "
                    f"host {one['host_some']:.2f}, of it ours {one['our_some']:.2f}; slowest step {one['slowest_tick_usec'] / 1000:.0f} ms")
        free, held, after = seen["free"], seen["held"], seen["next run"]
        self.assertEqual((free["high"], free["held"]), (-1, -1))
        self.assertGreater(free["current"], 195 * MIB)
        self.assertEqual((held["high"], held["held"], held["why_not"]), (TARGET, TARGET, ""))
        self.assertLess(held["current"], TARGET + 16 * MIB)
        self.assertGreater(held["swapped"], 80 * MIB)
        self.assertGreater(held["our_some"], 0.02, "this load stalls nobody")
        self.assertGreater(held["our_some"], 0.8 * held["host_some"], "whose stalls are they?")
        self.assertEqual(after["high"], -1, "what a killed run left stays")
        again, obeys, free = seen["held again"], seen["obeys"], seen["let go"]
        self.assertLess(again["current"], TARGET + 16 * MIB)
        self.assertLess(obeys["rss"] + obeys["swapped"], TARGET)
        self.assertEqual((free["high"], free["held"]), (-1, -1))
        self.assertLess(max(one["slowest_tick_usec"] for one in seen.values() if "slowest_tick_usec" in one), 500_000,
                        "the daemon's loop waited for the kernel's reclaim")
        self.assertEqual((seen["end"]["high"], seen["end"]["alive"], seen["end"]["notes"]), (-1, True, False))


if __name__ == "__main__":
    alone.main()
