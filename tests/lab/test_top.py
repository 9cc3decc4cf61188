#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""`aerostatctl top` on real guests: it shows what `list` says, a burst in a guest is seen in its bar, and the terminal is given back."""

import os
import re
import sys
import tempfile
import time
from typing import List, NamedTuple, Tuple

from aerolab import MIB, LabCase, Options, log, main, mib, wait_until

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "terminal"))
from aeroterm import Terminal  # noqa: E402

CONFIG = {"host": {"memory": "1900M"}}
SETTLE = 30  # see test_targets.py
BURST = 400 * MIB
UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


class Row(NamedTuple):
    state: str
    parts: Tuple[int, ...]  # columns of the bar: used, cache, free, balloon
    actual: float
    max: float
    demand: float


def size(text: str) -> float:
    return float(text[:-1]) * UNITS[text[-1]]


class Top(LabCase):
    guests = [Options("a"), Options("b"), Options("c")]

    def row(self, name: str) -> Row:
        line = next(line for line in self.terminal.lines() if line[1:].split()[:1] == [name])
        bar = re.search("(█*)(▓*)(░*)(·*) +([0-9.]+[KMG]) +([0-9.]+[KMG]) +([0-9.]+[KMG]) ", line)
        self.assertIsNotNone(bar, line)
        return Row(line.split()[1], tuple(len(part) for part in bar.groups()[:4]), size(bar[5]), size(bar[6]), size(bar[7]))

    def differences(self, name: str) -> List[str]:
        """What top and list say differently; a moment lies between them."""
        row, vm = self.row(name), self.daemon.vm(name)
        has, available = vm["actual_bytes"], vm["guest"]["available_bytes"]
        free = min(vm["guest"]["free_bytes"], available)  # the kernel keeps some of what is free to itself
        width = sum(row.parts)
        cells = [part / vm["max_bytes"] * width for part in (has - available, available - free, free, vm["max_bytes"] - has)]
        different = [f"{key}: {mib(shown)}, not {mib(vm[key])}"
                     for shown, key in ((row.actual, "actual_bytes"), (row.max, "max_bytes"), (row.demand, "demand_bytes"))
                     if abs(shown - vm[key]) > 0.006 * vm[key] + MIB]
        if row.state != vm["state"]:
            different.append(f"state: {row.state}, not {vm['state']}")
        if width < 20 or any(abs(shown - right) > 1 for shown, right in zip(row.parts, cells)):
            different.append(f"bar: {row.parts}, not {[round(right, 1) for right in cells]}")
        return different

    def wait_agrees(self, name: str) -> None:
        try:
            wait_until(lambda: not self.differences(name), 20, "", every=0.1)
        except TimeoutError:
            self.fail(f"top does not agree with list about {name}: {self.differences(name)}\n{self.terminal.screen()}")

    def names(self) -> List[str]:
        lines = self.terminal.lines()
        titles = next(i for i, line in enumerate(lines) if line.startswith(" NAME"))
        return [line[1:].split()[0] for line in lines[titles + 1:-1] if line.strip()]

    def test_a_burst_is_seen(self) -> None:
        Terminal.require_tmux()
        daemon = self.start_daemon(CONFIG)
        wait_until(lambda: daemon.status()["committed_bytes"] <= daemon.status()["envelope_bytes"], SETTLE, "the rule holds")
        self.wait_managed()  # what a guest uses is known once it has said so
        folder = tempfile.mkdtemp(dir=self.lab.folder)
        self.terminal = Terminal(folder, [daemon.ctl_program, "-s", daemon.socket, "top", "--interval", "200ms"], width=110)
        self.addCleanup(self.terminal.close)
        wait_until(lambda: sorted(self.names()) == ["a", "b", "c"], 10, "all guests are shown")
        for name in "abc":
            self.wait_agrees(name)
        before = self.row("a")
        start = time.monotonic()
        self.guest("a").load.hold("burst", BURST, ramp=150 * MIB, rate_hz=5)
        grown = BURST / before.max * sum(before.parts)
        wait_until(lambda: self.row("a").parts[0] >= before.parts[0] + 0.8 * grown, 30, "the burst is seen in the bar", every=0.1)
        took, after = time.monotonic() - start, self.row("a")
        log(f"a used {before.parts[0]} of {sum(before.parts)} columns, then {after.parts[0]}, {took:.1f} s after its burst began")
        self.wait_agrees("a")
        self.terminal.type("a")  # by actual: who has most comes first
        wait_until(lambda: self.names()[0] == "a", 10, "the burster has most")
        self.guest("a").load.free("burst")
        wait_until(lambda: self.row("a").parts[0] <= before.parts[0] + 2, 30, "it is seen to end", every=0.1)
        self.terminal.keys("q")
        self.assertEqual(self.terminal.ended(), 0)
        self.terminal.check_restored(self)


if __name__ == "__main__":
    main()
