#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""How soon a burst is answered: from the moment MemAvailable in the guest falls under half its headroom to setMemory.

The first moment is the guest's own (its clock aligned with the host's), the second QEMU's (its trace of the balloon target)."""

import statistics
from typing import Optional

from aerolab import MIB, Guest, LabCase, Options, log, main, mib, wait_until

CONFIG = {"host": {"memory": "1900M"}}
BURSTS = 10
MEDIAN_MAX = 0.250  # seconds


class Reaction(LabCase):
    guests = [Options(name, swap=256 * MIB) for name in "abc"]

    def burst(self, guest: Guest) -> Optional[float]:
        """One burst; returns the reaction in seconds, or None where memory came before the guest fell under half its headroom."""
        uncertainty = guest.load.align_clocks()
        inside = guest.load.guest()
        before = guest.actual()
        since = len(guest.load.port.events)
        guest.load.watch_headroom(reserved=before - inside["total_bytes"])
        # All at once and more than there is, since aerostatd keeps ahead of a slow burst; the guest's own swap takes what comes too fast.
        guest.load.hold("burst", inside["available_bytes"] + 100 * MIB)
        wait_until(lambda: guest.load.work("burst")["filled_usec"] > 0, 60, "the burst is filled")
        try:
            crossed = guest.load.wait_crossed(0.1, since)
        except TimeoutError:
            log(f"{guest.name} at {mib(before)}: answered before half of its headroom was gone")
            return None
        finally:
            guest.load.free_all()
        answered = next(stamp for stamp, size in guest.balloon_targets() if stamp > crossed and size > before)
        log(f"{guest.name} at {mib(before)}: {1000 * (answered - crossed):.0f} ms (clocks within {1000 * uncertainty:.1f} ms)")
        return answered - crossed

    def test_bursts_are_answered_at_once(self) -> None:
        self.start_daemon(CONFIG)
        reactions = []
        for turn in range(2 * BURSTS):
            self.wait_calm()
            reaction = self.burst(self.lab.guests[turn % len(self.lab.guests)])
            if reaction is not None:
                reactions.append(reaction)
            if len(reactions) == BURSTS:
                break
        self.assertGreaterEqual(len(reactions), BURSTS, "too few bursts were late enough to be measured")
        median = statistics.median(reactions)
        log(f"reaction to {BURSTS} bursts: median {1000 * median:.0f} ms, least {1000 * min(reactions):.0f}, most {1000 * max(reactions):.0f}")
        self.assertLess(median, MEDIAN_MAX)


if __name__ == "__main__":
    main()
