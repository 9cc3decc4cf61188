#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""KSM by Aerostat against fixed settings as ksmtuned makes them, on equal guests: what each saves for a second of ksmd's CPU time, and how soon.

AEROLAB_SECONDS=N: length of each run (240).
"""

import os
import time
from typing import Callable, List, NamedTuple

from aerolab import MIB, LabCase, Options, log, main, wait_until
from aerolab.ksm import CONFIG, KSM, knobs, ksmd_seconds, saved
from aerolab.machine import write_text
from aerolab.sandbox import HOST_PROC

SECONDS = float(os.environ.get("AEROLAB_SECONDS", "240"))
GUESTS, SIZE, DATA = 3, 512 * MIB, 120 * MIB


class Point(NamedTuple):
    seconds: float
    saved: int
    cpu: float


class Run(NamedTuple):
    name: str
    points: List[Point]

    @property
    def most(self) -> int:
        return max(point.saved for point in self.points)

    def seconds_to(self, amount: float) -> float:
        return next((point.seconds for point in self.points if point.saved >= amount), float("inf"))

    @property
    def per_cpu_second(self) -> float:
        return self.points[-1].saved / MIB / max(self.points[-1].cpu, 1e-3)


class BenchKsm(LabCase):
    guests = [Options(f"g{i}", memory=SIZE) for i in range(GUESTS)]

    @classmethod
    def setUpClass(cls) -> None:
        cls.machine.exclusive()
        cls.machine.keep_ksm()
        super().setUpClass()

    def measure(self, name: str, start: Callable[[], object]) -> Run:
        write_text(f"{KSM}/run", "2")
        write_text(f"{KSM}/run", "0")
        begin, cpu = time.monotonic(), ksmd_seconds()
        start()
        points = []
        while time.monotonic() - begin < SECONDS:
            points.append(Point(time.monotonic() - begin, saved(), ksmd_seconds() - cpu))
            time.sleep(0.5)
        return Run(name, points)

    def fixed(self, pages: int, sleep: int) -> Run:
        def start() -> None:
            write_text(f"{KSM}/pages_to_scan", str(pages))
            write_text(f"{KSM}/sleep_millisecs", str(sleep))
            write_text(f"{KSM}/run", "1")
        return self.measure(f"{pages} pages / {sleep} ms", start)

    def aerostat(self) -> Run:
        run = self.measure("Aerostat (auto)", lambda: self.start_daemon({**CONFIG, "host": {"memory": "1500M"}}, "--host-proc", HOST_PROC))
        return run

    def test_bench(self) -> None:
        for guest in self.lab.guests:
            guest.load.hold("data", DATA, ramp=60 * MIB, data="equal")
        for guest in self.lab.guests:
            wait_until(lambda guest=guest: guest.load.work("data")["filled_bytes"] == DATA, 60, "the data is there")
        time.sleep(20)
        before = knobs()
        # The balloon moves only with Aerostat: it comes last, so that all fixed settings see the same guests.
        slow, fast = self.fixed(64, 10), self.fixed(1250, 10)
        for name in ("pages_to_scan", "sleep_millisecs", "run"):
            write_text(f"{KSM}/{name}", before[name])
        own = self.aerostat()
        most = max(run.most for run in (slow, fast, own))
        log(f"{GUESTS} equal guests, {SECONDS:.0f} s for each; the most that any saved: {most / MIB:.0f} MiB")
        log(f"{'':>18}  saved  90 % after  ksmd CPU  saved per CPU second")
        for run in (slow, fast, own):
            log(f"{run.name:>18}  {run.points[-1].saved / MIB:4.0f} MiB  {run.seconds_to(0.9 * most):6.1f} s  {run.points[-1].cpu:6.2f} s  "
                f"{run.per_cpu_second:8.0f} MiB/s")
        self.assertGreater(own.per_cpu_second, slow.per_cpu_second)
        self.assertGreater(own.per_cpu_second, fast.per_cpu_second)
        self.assertLess(own.seconds_to(0.9 * most), slow.seconds_to(0.9 * most))


if __name__ == "__main__":
    main()
