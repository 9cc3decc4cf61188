#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Alerts with real guests: guests overrun the host, Prometheus's rule fires, Alertmanager has it, it resolves; each alert about a guest,
and those about the host's swap, fire and resolve with their cause."""

import os
import shutil
import signal
import tempfile
import time

from aerolab import GIB, MIB, Options, log, main, only_long, wait_until
from aerolab.hog import SwapHog
from aerolab.web import AlertCase, Alertmanager, Prometheus

STATES = ("HostTight", "HostHard", "HostCritical")
SWAP = 512 * MIB


class Overrun(AlertCase):
    guests = [Options(name) for name in "abc"]

    def test_guests_overrun_the_host(self) -> None:
        folder = tempfile.mkdtemp(prefix="aerostat-web-")
        self.addCleanup(shutil.rmtree, folder, True)
        alertmanager = Alertmanager(folder)
        self.addCleanup(alertmanager.stop)
        alertmanager.start()
        # Floors that do not fit, on a host of less than the guests have: they may take what the host cannot bear.
        daemon = self.start({"host": {"memory": "1900M"}, "policy": {"floor": "100%"}})
        prometheus = Prometheus(folder, self.port, alertmanager)
        self.addCleanup(prometheus.stop)
        prometheus.start()
        for guest in self.lab.guests:
            guest.load.hold("work", 600 * MIB, ramp=300 * MIB, rate_hz=1)
        wanted = {f"Aerostat{name}" for name in (*STATES, "EnvelopeUnsafe")}
        start = time.monotonic()
        wait_until(lambda: wanted <= set(alertmanager.alerts()), 90, "Alertmanager has the alerts")
        log(f"Alertmanager has {', '.join(sorted(alertmanager.alerts()))} {time.monotonic() - start:.0f} s after the guests began")
        alert = next(alert for alert in daemon.json("alerts")["firing"] if alert["name"] == "EnvelopeUnsafe")
        self.assertIn("floors alone", alert["message"])
        self.assertEqual(daemon.ctl("check").returncode, 2)
        self.reload("policy", floor="20%")
        for guest in self.lab.guests:
            guest.load.free_all()
        start = time.monotonic()
        wait_until(lambda: not wanted & set(alertmanager.alerts()), 150, "Alertmanager has them resolved", every=0.5)
        log(f"and has them resolved {time.monotonic() - start:.0f} s after the guests let go")
        self.assertEqual(daemon.ctl("check").returncode, 0, daemon.ctl("check").stdout)


class Trouble(AlertCase):
    guests = [Options("a", swap=768 * MIB, psi=True), Options("b"), Options("c"), Options("d")]

    def test_guests_in_trouble(self) -> None:
        self.start()
        a, b, c, d = (self.guest(name) for name in "abcd")
        b.load.hold("huge", 2 * GIB)                                    # more than it can have: it kills
        c.load.agent("stop")                                            # and says nothing
        d.load.request("balloon", action="unbind")                      # has all of its memory, and gives nothing back
        self.wait_fired("GuestOomKill", "b")
        os.kill(b.pid, signal.SIGSTOP)
        try:
            self.wait_fired("VmUnresponsive", "b")
        finally:
            os.kill(b.pid, signal.SIGCONT)
        self.wait_fired("GuestUncooperative", "d")
        d.load.request("balloon", action="bind")
        # Into its own swap, over and over; not before others can give, and not faster than it is given: all of that swap would not do, and it would
        # kill.
        a.load.hold("thrash", 1200 * MIB, ramp=60 * MIB, rate_hz=5)
        for name, subject in (("GuestStale", "c"), ("GuestSwapAtCeiling", "a"), ("GuestPressure", "a")):
            self.wait_fired(name, subject)
        c.load.agent("cont")
        a.load.free_all()
        b.load.agent("kill")
        wait_until(lambda: b.load.agent("status")["pid"] == 0, 10, "the agent is gone")
        b.load.request("junk")                                          # bytes that are no frames, in its agent's name
        b.load.agent("start")
        self.wait_fired("ProtocolError", "b")
        c.qmp.execute("object-add", 30, **{"qom-type": "memory-backend-ram", "id": "leak", "size": 700 * MIB, "prealloc": True})
        self.wait_fired("GuestBreaching", "c")
        c.qmp.execute("object-del", 30, id="leak")
        for name, subject in (("VmUnresponsive", "b"), ("GuestStale", "c"), ("GuestPressure", "a"), ("GuestSwapAtCeiling", "a"),
                              ("GuestUncooperative", "d"), ("GuestBreaching", "c")):
            self.wait_fired(name, subject, 150, "resolved")
        fired = [event[2:] for event in self.follower.events if event[1] == "fired"]
        self.assertEqual(len(fired), len(set(fired)), f"each fired once: {fired}")
        self.assertFalse(self.follower.seen("fired", "GuestStale", "a"))
        log(f"fired: {', '.join(f'{name} {subject}' for name, subject in fired)}")


class Swap(AlertCase):
    """The host's swap, filled by a process of its own: up to each level, and thrashing."""

    guests = [Options("a", memory=512 * MIB)]

    @classmethod
    def setUpClass(cls) -> None:
        cls.machine.exclusive()
        cls.machine.add_swap(SWAP)
        super().setUpClass()

    def test_levels(self) -> None:
        daemon = self.start({"host": {"memory": "2G"}})
        hog = SwapHog()
        self.addCleanup(hog.remove)
        for share, name, quiet in ((0.9, "SwapNearCeiling", "SwapAtCeiling"), (0.996, "SwapAtCeiling", "SwapAboveCeiling"),
                                   (1.15, "SwapAboveCeiling", None)):
            hog.fill(int(0.3 * SWAP * share))
            self.wait_fired(name, seconds=20)
            used = daemon.status()["swap"]["used_bytes"] / (0.3 * SWAP)
            log(f"{name} with swap at {100 * used:.0f} % of its ceiling")
            if quiet and used < 1:
                self.assertFalse(self.follower.seen("fired", quiet), quiet)
        hog.stop()
        for name in ("SwapNearCeiling", "SwapAtCeiling", "SwapAboveCeiling"):
            self.wait_fired(name, seconds=90, phase="resolved")

    @only_long
    def test_thrashing(self) -> None:
        self.start({"host": {"memory": "2G"}})
        hog = SwapHog()
        self.addCleanup(hog.remove)
        start = time.monotonic()
        hog.fill(60 * MIB, busy=0.6)
        self.wait_fired("SwapThrashing", seconds=100)
        self.assertGreater(time.monotonic() - start, 60)
        hog.stop()
        self.wait_fired("SwapThrashing", seconds=90, phase="resolved")
        self.assertFalse(self.follower.seen("fired", "SwapNearCeiling"))


if __name__ == "__main__":
    main()
