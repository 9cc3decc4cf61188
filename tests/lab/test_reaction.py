#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""How soon a burst is answered: from the moment MemAvailable in the guest falls under half its headroom to setMemory.

The first moment is the guest's own (its clock aligned with the host's), the second QEMU's (its trace of the balloon target)."""

import statistics
import time
from typing import List

from aerolab import MIB, Guest, LabCase, Options, log, main, mib, wait_until

CONFIG = {"host": {"memory": "1900M"}}
BURSTS = 10                             # to be measured
TRIES = 16                              # slow ones are often met before memory is short
RAMPS = (120 * MIB, 0, 240 * MIB, 0)    # bytes a second; 0: as fast as it can
MEDIAN_MAX = 0.250  # seconds


class Reaction(LabCase):
    guests = [Options(name, swap=256 * MIB) for name in "abc"]

    def burst(self, guest: Guest, ramp: int) -> "tuple[float | None, str]":
        """One burst; returns the reaction in seconds, or None where memory came before it was short, and a description."""
        uncertainty = guest.load.align_clocks()
        inside = guest.load.guest()
        before = guest.actual()
        since = len(guest.load.port.events)
        start = time.time()
        guest.load.watch_headroom(reserved=before - inside["total_bytes"])
        # More than there is; the guest's own swap takes what comes too fast. Where that is not enough the burst is killed inside its guest: how
        # soon it was answered can be told all the same.
        guest.load.hold("burst", inside["available_bytes"] + 100 * MIB, ramp=ramp)
        wait_until(lambda: guest.load.work("burst")["filled_usec"] > 0 or not guest.load.work("burst")["running"], 60, "the burst is over")
        crossed = guest.load.crossed(since)

        def answers() -> List[float]:
            """When it was given more: since it crossed, or since the burst began where it never did."""
            return [t for t, size in guest.balloon_targets() if t > (crossed or start) and size > before]
        wait_until(answers, 10, f"{guest.name} is given more after its burst", every=0.02)
        guest.load.free_all()
        text = f"{guest.name} at {mib(before)}, {mib(ramp) + '/s' if ramp else 'at once'}: "
        if crossed is None:
            return None, text + f"given more {1000 * (answers()[0] - start):.0f} ms after the burst began, never under half its headroom"
        return answers()[0] - crossed, text + f"{1000 * (answers()[0] - crossed):.0f} ms (clocks within {1000 * uncertainty:.1f} ms)"

    def test_bursts_are_answered_at_once(self) -> None:
        self.start_daemon(CONFIG)
        reactions = []
        for i in range(TRIES):
            self.wait_calm()
            reaction, text = self.burst(self.lab.guests[i % len(self.lab.guests)], RAMPS[i % len(RAMPS)])
            log(f"burst {i + 1}: {text}")
            if reaction is not None:
                reactions.append(reaction)
            if len(reactions) == BURSTS:
                break
        self.assertEqual(len(reactions), BURSTS, "too few bursts outran the daemon to say how soon it answers")
        median = statistics.median(reactions)
        log(f"{i + 1 - len(reactions)} of {i + 1} bursts were met before memory was short; reaction to the rest: "
            f"median {1000 * median:.0f} ms, least {1000 * min(reactions):.0f}, most {1000 * max(reactions):.0f}")
        self.assertLess(median, MEDIAN_MAX)


if __name__ == "__main__":
    main()
