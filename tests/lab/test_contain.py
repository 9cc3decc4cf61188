#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Containment on the real files of cgroup v2: a process in place of a QEMU that uses more than it may is kept near memory.high, alive, and let go
afterwards; its stalls are known to be ours, and nothing waits.

As test_swap_groups.py: in a guest's kernel, with no libvirt, no root, and nothing changed on this machine."""

import os
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from aerolab.lab import build_folder, log  # noqa: E402
from test_swap_groups import MIB, boot  # noqa: E402

TARGET = 100 * MIB


class Contain(unittest.TestCase):
    def test_held_near_its_target_and_let_go(self) -> None:
        seen = {one["step"]: one for one in boot("", "psi=1", "contain")}
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
    if not shutil.which("qemu-system-x86_64"):
        print(f"SKIP {os.path.basename(sys.argv[0])}: needs qemu-system-x86_64")
        sys.exit(77)
    if subprocess.run(["make", "-s", "-C", build_folder(), "tests/lab/contain"], check=False).returncode != 0:
        sys.exit(1)
    sys.exit(0 if unittest.main(exit=False, verbosity=2).result.wasSuccessful() else 1)
