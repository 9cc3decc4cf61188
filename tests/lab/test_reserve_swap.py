#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The same start into a full host with the hook and without, on a host that really has no more memory, and really swaps."""

import time
import unittest

from aerolab import GIB, MIB, LabCase, Options, log, main, mib, virsh, wait_until
from aerolab.guest import domain_xml
from aerolab.hook import prepare_hooks, write_hook
from aerolab.machine import meminfo

SWAP = GIB
LEFT = 140 * MIB            # available beside two guests of 1 GiB, with the daemon's reserve in it: a third does not fit
# Without the brake on swapping: with that the kernel drops what it has of cache, and QEMU waits until balloons bring what it takes (10 MiB swapped).
CONFIG = {"host": {"reserve": "100M"}, "policy": {"floor": "128M"}, "ksm": {"mode": "off"}, "swap": {"enforce": "no"}, "hook": {"on-error": "refuse"}}
TOUCHED = 820 * MIB
CACHE = 600 * MIB
AT_ONCE = "<allocation mode='immediate'/>"  # QEMU takes all of its memory when it starts: the worst that a start can do


class ReserveSwap(LabCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.machine.exclusive()
        if meminfo()["SwapTotal"] > 0:
            raise unittest.SkipTest("this machine swaps already")
        prepare_hooks()
        super().setUpClass()

    def fill(self) -> None:
        """Both guests have touched nearly all that they have, and use none of it: without free page reporting the host still holds it."""
        for guest in self.lab.guests:
            guest.set_memory(guest.options.memory)
        for guest in self.lab.guests:
            wait_until(lambda guest=guest: guest.actual() == guest.options.memory, 30, f"{guest.name} has all of its memory")
            guest.load.hold("touched", TOUCHED)
        for guest in self.lab.guests:
            wait_until(lambda guest=guest: guest.load.work("touched")["filled_usec"] > 0, 60, "it is touched")
            guest.load.free_all()
        # What they have to give back is cache for the most part, as in guests that have run for long: that takes a balloon longer than free pages.
        for guest in self.lab.guests:
            guest.load.cache("file", CACHE, ramp=500 * MIB)
        for guest in self.lab.guests:
            wait_until(lambda guest=guest: guest.load.work("file")["filled_usec"] > 0, 60, "the file is read")

    def start_third(self, daemon) -> "tuple[float, int]":
        """Seconds until it ran, and the most swap in use until 10 s after, less what was before."""
        def swapped() -> int:
            return meminfo()["SwapTotal"] - meminfo()["SwapFree"]

        before, start, worst = swapped(), time.monotonic(), 0
        virsh("start", "c")
        took = time.monotonic() - start
        while time.monotonic() < start + took + 10:
            worst = max(worst, swapped() - before)
            time.sleep(0.05)
        self.assertIn("c", daemon.vms())
        virsh("destroy", "c")
        return took, worst

    def test_the_same_start_with_and_without_the_hook(self) -> None:
        self.lab.add(Options("a", reporting=False), Options("b", reporting=False), will_use=0)
        path = f"{self.lab.folder}/c.xml"
        with open(path, "w", encoding="utf-8") as file:
            file.write(domain_xml(Options("c", agent=False, memory_backing=AT_ONCE), self.image, self.lab.folder))
        virsh("define", path)
        peaks = {}
        for hook in (True, False):
            write_hook(None)
            self.fill()
            self.machine.leave_available(LEFT)
            swap = self.machine.add_swap(SWAP)
            rss = sum(guest.resources().rss for guest in self.lab.guests)
            log(f"{mib(rss)} of two guests are resident, {mib(meminfo()['MemAvailable'])} available")
            daemon = self.start_daemon(CONFIG)
            wait_until(lambda: daemon.status()["unsafe"] is False and daemon.ctl("reserve", "1M", "--ttl", "1s").returncode == 0, 60, "it knows all VMs")
            time.sleep(2)
            self.assertLess(daemon.status()["free_bytes"], GIB, "the envelope is not full")
            available = meminfo()["MemAvailable"]
            self.assertLess(available, LEFT + 300 * MIB, "guests were squeezed further than the host needs")
            if hook:
                write_hook(daemon)
            took, peaks[hook] = self.start_third(daemon)
            log(f"{'with' if hook else 'without'} the hook: {mib(available)} were available; a VM that takes 1 GiB at once ran after {took:.1f} s; "
                f"swap grew by {mib(peaks[hook])} at most")
            daemon.stop()
            self.machine.remove_swap(swap)
        self.assertLessEqual(peaks[True], 8 * MIB, "the start pushed others into swap, hook and all")
        self.assertGreater(peaks[False], 64 * MIB, "the comparison compares nothing")


if __name__ == "__main__":
    main()
