#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Under contention hot page cache stays and cold cache goes; and what a guest with PSI says of itself reaches the host.

Both `hot` and `cold` have read a file of 300 MiB; `hot` reads it again once a second, open loop, so that a pass that has to wait for the disk is
late. Then `burst` wants memory for good, and there is not enough for it and two caches. What the page cache holds is what the guest's kernel says
(Buffers, for the file is a disk), what was read again from the disk what the reader's /proc/self/io says."""

import time
from typing import Dict, NamedTuple

from aerolab import MIB, Aerostatd, Guest, LabCase, Options, log, main, mib, wait_until

FILE = 300 * MIB
BURST = 400 * MIB
# Needs: three guests with about 120 MiB of QEMU each, some 90 MiB in each guest, the burst, one cache and headroom. Not for two caches.
CONFIG = {"host": {"memory": "2000M"}}
SETTLE = 60
WINDOW = 20


class Cache(NamedTuple):
    cached: int         # bytes
    passes: float       # a second
    disk: float         # bytes a second read from the disk
    p99: int            # lateness of a pass in us


def look(guest: Guest, seconds: float) -> Cache:
    before = guest.load.work("file", reset=True)
    time.sleep(seconds)
    after = guest.load.work("file")
    inside = guest.load.guest()
    return Cache(inside["buffers_bytes"], (after["passes"] - before["passes"]) / seconds,
                 (after["disk_read_bytes"] - before["disk_read_bytes"]) / seconds, after["p99_usec"])


def tell(when: str, seen: Dict[str, Cache]) -> None:
    hot, cold = seen["hot"], seen["cold"]
    log(f"{when}: hot has {mib(hot.cached)} of cache and reads it {hot.passes:.2f} times a second ({mib(hot.disk)}/s of that from the disk, p99 "
        f"{hot.p99 / 1000:.0f} ms); cold has {mib(cold.cached)}")


class Contention:
    """The same for guests with and without the agent."""

    guests = []
    ramp = 100 * MIB    # bytes a second

    def contend(self) -> Dict[str, Dict[str, Cache]]:
        hot, cold, burst = self.lab.guests
        daemon = self.start_daemon(CONFIG)
        wait_until(lambda: daemon.status()["committed_bytes"] <= daemon.status()["envelope_bytes"], 60, "the rule holds")
        for guest in (hot, cold):
            guest.load.cache("file", FILE, rate_hz=1 if guest is hot else 0)
            wait_until(lambda guest=guest: guest.load.work("file")["filled_usec"] > 0, 60, f"{guest.name} has read the file")
        time.sleep(15)
        before = {name: look(guest, 5) for name, guest in (("hot", hot), ("cold", cold))}
        tell("before", before)
        burst.load.hold("burst", BURST, ramp=self.ramp, rate_hz=2)
        wait_until(lambda: burst.load.work("burst")["filled_usec"] > 0, 60, "the burst is filled")
        tell("at the burst", {name: look(guest, 5) for name, guest in (("hot", hot), ("cold", cold))})
        time.sleep(SETTLE)
        after = {name: look(guest, WINDOW) for name, guest in (("hot", hot), ("cold", cold))}
        tell(f"{SETTLE + 5} s later", after)
        self.show(daemon)
        for guest in self.lab.guests:
            self.assertEqual(guest.load.guest()["oom_kills"], 0, f"{guest.name} killed a process")
        self.assertTrue(burst.load.work("burst")["running"])
        self.assertGreater(burst.load.guest()["available_bytes"], 32 * MIB, "the burst has headroom")
        return {"before": before, "after": after}

    def show(self, daemon: Aerostatd) -> None:
        for name, vm in sorted(daemon.vms().items()):
            log(f"{name}: actual {mib(vm['actual_bytes'])}, demand {mib(vm['demand_bytes'])}, entitled {mib(vm['entitled_bytes'])} ({vm['source']})")


class WithAgent(Contention, LabCase):
    guests = [Options("hot"), Options("cold"), Options("burst")]

    def test_hot_cache_stays_and_cold_cache_goes(self) -> None:
        seen = self.contend()
        hot, cold = seen["after"]["hot"], seen["after"]["cold"]
        self.assertGreater(hot.cached, 0.9 * FILE)
        self.assertGreater(hot.passes, 0.9 * min(seen["before"]["hot"].passes, 1))
        self.assertLess(hot.disk, 0.1 * FILE, "it still reads from the disk what it had")
        self.assertLess(cold.cached, 0.6 * FILE)


class WithoutAgent(Contention, LabCase):
    """The balloon's statistics know need (what is in use) and usable memory, but neither refaults nor stalls: they cannot tell one cache from the
    other, and what can hold is that need is met, nobody is killed, and neither is taken for the other's sake."""

    guests = [Options("hot-mute", agent=False), Options("cold-mute", agent=False), Options("burst-mute", agent=False)]
    ramp = 10 * MIB     # statistics come every 2 s, and it has no swap to wait in

    def test_need_is_met_and_caches_are_alike(self) -> None:
        seen = self.contend()
        hot, cold = seen["after"]["hot"], seen["after"]["cold"]
        self.assertLess(abs(hot.cached - cold.cached), 0.25 * FILE)


class Pressure(LabCase):
    """A guest whose kernel measures pressure, and one as Debian has it; both read a file that does not quite fit. Their MemAvailable stays high all
    the while, for cache counts as available, so nothing but the PSI trigger makes an agent speak before its time. (The guest's root has all
    capabilities: there a trigger with a window of half a second works, unlike on a host without CAP_SYS_RESOURCE.)"""

    guests = [Options("stalls", memory=256 * MIB, psi=True), Options("blind", memory=256 * MIB)]

    def reports(self, daemon: Aerostatd, seconds: float) -> Dict[str, int]:
        """How many came from each guest."""
        count, last = {guest.name: 0 for guest in self.lab.guests}, {guest.name: 0.0 for guest in self.lab.guests}
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for name, vm in daemon.vms().items():
                came = time.monotonic() - vm["report_age_seconds"]
                count[name] += last[name] != 0 and came > last[name] + 0.1
                last[name] = came
            time.sleep(0.1)
        return count

    def test_psi_reaches_the_host(self) -> None:
        daemon = self.start_daemon({"policy": {"report-interval": "1m"}})
        wait_until(lambda: [vm["source"] for vm in daemon.vms().values()] == ["agent", "agent"], 30, "both report")
        stalls, blind = self.guest("stalls"), self.guest("blind")
        self.assertIsNone(daemon.vm("blind")["guest"]["psi_some_ratio"])
        self.assertEqual(daemon.vm("stalls")["guest"]["psi_some_ratio"], 0)
        calm = self.reports(daemon, 5)
        began = stalls.load.guest()["psi_some_usec"]
        for guest in (stalls, blind):
            guest.load.cache("file", guest.load.guest()["available_bytes"] + 24 * MIB, rate_hz=2)
        time.sleep(10)
        busy = self.reports(daemon, 20)
        vm, inside = daemon.vm("stalls")["guest"], stalls.load.guest()
        stalled = (inside["psi_some_usec"] - began) / 1e6
        log(f"reports in 5 s of calm: {calm}; in 20 s of stalls: {busy}; {stalled:.1f} s stalled inside; some {vm['psi_some_ratio']:.2f}, full "
            f"{vm['psi_full_ratio']:.2f}, "
            f"available {mib(vm['available_bytes'])} on the host")
        self.assertGreater(stalled, 2, "this load stalls nobody")
        self.assertGreater(vm["psi_some_ratio"], 0.02)
        self.assertGreater(vm["refault_bytes_per_second"], 0)
        self.assertEqual(calm["stalls"], 0)
        self.assertGreaterEqual(busy["stalls"], 5, "the trigger's reports do not come")
        self.assertLessEqual(busy["blind"], 2)
        self.assertGreater(blind.load.guest()["refault_pages"], 1000, "the other one only has no word for it")


if __name__ == "__main__":
    main()
