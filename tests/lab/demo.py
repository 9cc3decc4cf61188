#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The demonstration behind tools/demo: three guests of 1 GiB in a budget of 1.9 GB, and memory that goes where it is needed."""

import os
import sys
import time
from typing import Dict, List, Optional, Tuple

from aerolab import GIB, MIB, Aerostatd, Guest, Lab, Options, Sampler, mib, wait_until
from aerolab import sandbox
from aerolab.case import why_not
from aerolab.chart import Chart, Panel, Series
from aerolab.lab import build_image
from aerolab.machine import Machine

BUDGET = 1900 * MIB
BURST = 600 * MIB
RAMP = 80 * MIB         # a second
NAMES = ("alpha", "beta", "gamma")
FLOOR = GIB // 4        # aerostatd's default, 25 %

# Seconds each phase lasts at least, so that one can watch.
CALM, BUSY, AFTER = 6, 12, 25

BAR = 40


class Screen:
    """The live table: in place on a terminal, else a line per guest now and then."""

    def __init__(self) -> None:
        self.live = sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self.lines = 0
        self.last = 0.0

    def say(self, text: str) -> None:
        self.lines = 0
        print(text, flush=True)

    def draw(self, rows: List[str]) -> None:
        if not self.live and time.monotonic() - self.last < 3:
            return
        self.last = time.monotonic()
        if self.live and self.lines:
            print(f"\033[{self.lines}A", end="")
        print("\n".join(f"\033[2K{row}" if self.live else row for row in rows), flush=True)
        self.lines = len(rows)


class Demo:
    def __init__(self, lab: Lab, picture: str) -> None:
        self.lab, self.picture = lab, picture
        self.screen = Screen()
        self.start = time.time()
        self.used: Dict[str, List[Tuple[float, int]]] = {name: [] for name in NAMES}
        self.events: List[Tuple[float, str]] = []
        self.broken: List[str] = []

    def run(self) -> int:
        self.screen.say(f"Booting {len(NAMES)} guests of 1 GiB (emulated CPU: some seconds) ...")
        self.lab.start()
        guests = self.lab.add(*(Options(name) for name in NAMES))
        daemon = Aerostatd(self.lab.folder, {"host": {"memory": f"{BUDGET // MIB}M"}}).start()
        self.screen.say(f"aerostatd is up: {len(NAMES)} GiB promised on a budget of {mib(BUDGET)}, its defaults otherwise.")
        wait_until(lambda: daemon.hears(guests), 30, "all guest agents are heard")
        wait_until(lambda: daemon.status()["committed_bytes"] <= daemon.status()["envelope_bytes"], 30, "the guests fit the envelope")
        self.start = time.time()
        with Sampler(guests, daemon, BUDGET) as seen:
            crossed = self.story(guests, daemon, seen)
        kills = sum(guest.load.guest()["oom_kills"] for guest in guests)
        daemon.stop()
        self.summary(guests, seen, crossed, kills)
        with open(self.picture, "w", encoding="utf-8") as file:
            file.write(self.chart(seen).svg())
        print(f"  picture                  {self.picture}")
        for text in self.broken:
            print(f"NOT AS PROMISED: {text}")
        return 1 if self.broken else 0

    def story(self, guests: List[Guest], daemon: Aerostatd, seen: Sampler) -> Optional[float]:
        """Calm, burst, free; returns when the burst crossed half of the guest's headroom, in the host's time."""
        burster = guests[0]
        self.watch("all calm", daemon, guests, CALM)
        calm = self.sizes(guests)
        burster.load.align_clocks()
        since = len(burster.load.port.events)
        burster.load.watch_headroom(reserved=burster.actual() - burster.load.guest()["total_bytes"])
        burster.load.hold("burst", BURST, ramp=RAMP, rate_hz=5)
        self.watch(f"{burster.name} needs {mib(BURST)} more, {mib(RAMP)} a second", daemon, guests, BURST / RAMP + BUSY)
        busy = self.sizes(guests)
        self.expect(burster.load.work("burst")["running"] and burster.load.work("burst")["filled_bytes"] == BURST, "the burst was served")
        self.expect(busy[burster.name] > calm[burster.name] + 100 * MIB, f"memory moved to {burster.name}")
        burster.load.free("burst")
        self.watch(f"{burster.name} has freed it", daemon, guests, AFTER)
        after = self.sizes(guests)
        self.expect(after[burster.name] < busy[burster.name] - 100 * MIB, "memory moved back")
        try:
            return burster.load.wait_crossed(0, since)
        except TimeoutError:
            return None

    @staticmethod
    def sizes(guests: List[Guest]) -> Dict[str, int]:
        return {guest.name: guest.actual() for guest in guests}

    def watch(self, phase: str, daemon: Aerostatd, guests: List[Guest], seconds: float) -> None:
        self.events.append((time.time() - self.start, phase))
        self.screen.say("")
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            status = daemon.status()
            rows = [f"{time.time() - self.start:4.0f} s  {phase}; committed {mib(status['committed_bytes'])} of an envelope of "
                    f"{mib(status['envelope_bytes'])}, host {status['state']}"]
            for guest in guests:
                actual = guest.actual()
                used = actual - guest.load.guest()["available_bytes"]
                self.used[guest.name].append((time.time() - self.start, used))
                rows.append(self.row(guest, used, actual))
            self.screen.draw(rows)
            time.sleep(0.25)

    @staticmethod
    def row(guest: Guest, used: int, actual: int) -> str:
        full, has = (round(BAR * min(size, guest.options.memory) / guest.options.memory) for size in (used, actual))
        bar = "#" * full + "-" * max(0, has - full) + " " * (BAR - max(full, has))
        return f"        {guest.name:<6} [{bar}] uses {mib(used):>8} of {mib(actual):>8}"

    def expect(self, held: object, what: str) -> None:
        if not held:
            self.broken.append(what)

    def summary(self, guests: List[Guest], seen: Sampler, crossed: Optional[float], kills: int) -> None:
        def moved(name: str) -> str:
            sizes = [sample.guests[name].actual for sample in seen.samples]
            return f"{mib(sizes[0])}, {'up to ' + mib(max(sizes)) if name == NAMES[0] else 'down to ' + mib(min(sizes))}, {mib(sizes[-1])}"

        grants = [t for t, _ in guests[0].balloon_targets() if crossed and t > crossed]
        ceiling = max(sample.status["swap"]["allowance_bytes"] or 0 for sample in seen.samples if sample.status)
        swapped = max(sum(guest.swap for guest in sample.guests.values()) for sample in seen.samples)
        broken = seen.broken()
        self.screen.say("\nWhat happened:")
        for guest in guests:
            print(f"  {guest.name:<24} {moved(guest.name)}")
        if grants:
            print(f"  reaction                 {1000 * (grants[0] - crossed):.0f} ms from {NAMES[0]}'s available memory under half its headroom "
                  "to setMemory")
        else:
            self.broken.append("a reaction was measured")
        print(f"  committed                at most {100 * seen.peak_ratio():.1f} % of the envelope in {len(seen.samples)} looks from outside")
        print(f"  guests in host swap      at most {mib(swapped)}, ceiling {mib(ceiling)}")
        print(f"  OOM kills in guests      {kills}")
        self.expect(not broken, f"committed stays inside the envelope ({len(broken)} samples outside, the first at {broken[:1]})")
        self.expect(kills == 0, "no OOM kill")
        self.expect(swapped <= max(ceiling, 0), "swap stays under its ceiling")
        self.expect(all(seen.least_actual(guest.name) >= FLOOR for guest in guests), "no floor is broken")

    def chart(self, seen: Sampler) -> Chart:
        first = self.start
        panels = [Panel(guest, [
            Series("has", "have", [(s.time - first, s.guests[guest].actual / MIB) for s in seen.samples], area=True),
            Series("uses", "use", [(t, used / MIB) for t, used in self.used[guest]]),
        ], 1024) for guest in NAMES]
        known = [s for s in seen.samples if s.status]
        panels.append(Panel("host", [
            Series("envelope", "limit", [(s.time - first, s.status["envelope_bytes"] / MIB) for s in known]),
            Series("committed", "committed", [(s.time - first, s.committed / MIB) for s in known], area=True),
        ], 2048))
        return Chart("Memory moves to who needs it", f"{len(NAMES)} guests of 1 GiB on a budget of {mib(BUDGET)}, aerostatd's defaults otherwise",
                     panels, self.events)


def main() -> int:
    picture = os.path.abspath(sys.argv[1])
    reason = why_not()
    if reason:
        print(f"the demo cannot run here: {reason}", file=sys.stderr)
        return 1
    image = build_image()
    machine = Machine()
    try:
        return sandbox.run(lambda: Demo(Lab(machine, image), picture).run())
    finally:
        machine.cleanup()


if __name__ == "__main__":
    sys.exit(main())
