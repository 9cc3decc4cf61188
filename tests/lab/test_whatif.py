#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What `whatif` foresees is what then happens: a VM that fits starts, one that does not is refused, a burst gets what was said. And `report` tells
what has happened or, in a dry run, would have."""

import os
import time

from aerolab import GIB, MIB, LabCase, Options, log, main, mib, wait_until
from aerolab.machine import read_text

CONFIG = {"host": {"memory": "2100M"}, "policy": {"max-shrink-rate": "10%"}}
NEAR = 96 * MIB  # of a balloon's size: guests learn on the way, and QEMU's overhead grows
SIZE = 512 * MIB


class WhatIf(LabCase):
    guests = [Options("a"), Options("b")]

    def start_full(self, config=None, *args):
        daemon = self.start_daemon(config or CONFIG, *args)
        wait_until(lambda: daemon.status()["committed_bytes"] <= daemon.status()["rule_bytes"], 30, "the rule holds")
        self.wait_calm()
        return daemon

    def watch(self, daemon, seconds):
        """The worst of swap and of unsafe within that time."""
        end, swap, unsafe = time.monotonic() + seconds, 0, False
        while time.monotonic() < end:
            status = daemon.status()
            swap, unsafe = max(swap, status["swap"]["used_bytes"]), unsafe or status["unsafe"]
            time.sleep(0.1)
        return swap, unsafe

    def known(self, daemon):
        """All that asking must leave as it is: what QEMU was asked, what the daemon decided, and what it keeps."""
        moves = [[(move["after_bytes"], move["steps"]) for move in daemon.json("explain", guest.name)["decisions"]] for guest in self.lab.guests]
        path = os.path.join(daemon.state_folder, "state")
        kept = read_text(path) if os.path.exists(path) else None
        return [guest.balloon_targets() for guest in self.lab.guests], moves, kept, daemon.json("reservations")["reservations"]

    def test_start(self) -> None:
        daemon = self.start_full()
        before = self.known(daemon)
        for what in ("", "burst all", "start 4G", "burst a start 256M swap 8G host-use 100M"):
            for _ in range(5):
                daemon.json("whatif", *what.split())
        time.sleep(2)
        self.assertEqual(self.known(daemon), before, "asking changed something")

        # What fits and what does not, by the numbers that a reservation is judged by.
        yes = daemon.json("whatif", "start", f"{SIZE // MIB}M")
        self.assertTrue(yes["fits"], yes["sentences"])
        self.assertFalse(yes["then"]["worst_oom_possible"])
        edge = yes["rule_bytes"] - yes["least_bytes"] - yes["start_bytes"] + SIZE  # the most that has room on paper
        for size, fits in ((edge - 64 * MIB, True), (edge + 64 * MIB, False), (4 * GIB, False)):
            said = daemon.json("whatif", "start", f"{size // MIB}M")
            self.assertEqual(said["missing_bytes"] == 0, fits, said["sentences"])
            reserved = daemon.ctl("reserve", f"{size // MIB}M", "--for-vm", "d")
            self.assertEqual(reserved.returncode, 0 if fits else 1, reserved.stderr)
            if fits:
                time.sleep(1.5)  # balloons are seen moving
                daemon.ctl("release", "--for-vm", "d")
            else:
                self.assertIn("is missing", reserved.stderr)
        self.wait_calm()

        # And now really.
        swap = daemon.status()["swap"]["used_bytes"]
        yes = daemon.json("whatif", "start", f"{SIZE // MIB}M")
        self.assertTrue(yes["speed_measured"])
        start = time.monotonic()
        self.assertEqual(daemon.ctl("reserve", f"{SIZE // MIB}M", "--for-vm", "c", "--wait", "20s").returncode, 0)
        took = time.monotonic() - start
        then = {vm["name"]: vm["then_bytes"] for vm in yes["vms"]}
        time.sleep(3)
        for guest in self.lab.guests:
            log(f"{guest.name}: foreseen {mib(then[guest.name])}, is {mib(guest.actual())}")
            self.assertLess(abs(guest.actual() - then[guest.name]), NEAR)
        log(f"balloons: {mib(yes['inflate_bytes_per_second'])}/s; room foreseen after {yes['safe_seconds']:.1f} s, was there after {took:.1f} s")
        self.assertLess(took, 3 * yes["safe_seconds"] + 3)
        self.add_guest(Options("c", memory=SIZE))
        most, unsafe = self.watch(daemon, 5)
        self.assertFalse(unsafe)
        self.assertLessEqual(most, swap + MIB)

    def test_burst(self) -> None:
        daemon = self.start_full()
        said = daemon.json("whatif", "burst", "b")
        then = {vm["name"]: vm["then_bytes"] for vm in said["vms"]}
        self.guest("b").load.hold("burst", 780 * MIB)  # with the kernel's own and headroom, all of 1 GiB
        time.sleep(3)
        self.wait_calm()
        for guest in self.lab.guests:
            log(f"{guest.name}: foreseen {mib(then[guest.name])}, is {mib(guest.actual())}")
            self.assertLess(abs(guest.actual() - then[guest.name]), NEAR)

    def burst(self, size, ramp=0) -> None:
        """More than b has to spare, and it ends."""
        self.guest("b").load.hold("burst", size, ramp)
        time.sleep(4)
        self.guest("b").load.free("burst")
        time.sleep(2)

    def test_report_of_a_dry_run(self) -> None:
        # On so small a host each would have about 700 MiB, and without a growth pool the other has to give first whatever one needs more.
        daemon = self.start_daemon({"host": {"memory": "1700M"}, "policy": {**CONFIG["policy"], "growth-pool": "0%"}}, "--dry-run")
        wait_until(lambda: len(daemon.vms()) == 2 and daemon.json("report")["watched_seconds"] > 3, 20, "the dry run has begun")
        time.sleep(4)
        targets = [guest.balloon_targets() for guest in self.lab.guests]
        for burst in range(5):  # a guest that the machine leaves little time asks for no more than balloons bring meanwhile
            self.burst(600 * MIB)
            said = daemon.json("report")
            if burst > 0 and said["bursts_late"] > 0:
                break
        log(" ".join(said["sentences"]))
        self.assertEqual([guest.balloon_targets() for guest in self.lab.guests], targets, "a dry run moved a balloon")
        self.assertEqual(said["moves"], 0)
        self.assertEqual(said["dry_run_seconds"], said["watched_seconds"])
        # Both have all of their memory, which is more than the host can bear; of that the shadow's takes a part, once, and then moves it to and fro.
        self.assertGreater(said["unsafe_seconds"], 0.9 * said["watched_seconds"])
        self.assertLess(said["would_unsafe_seconds"], 0.3 * said["watched_seconds"])
        self.assertGreater(said["committed_peak_ratio"], 1)
        self.assertGreater(said["would_moves"], 2)
        self.assertGreater(said["would_moved_bytes"], 200 * MIB)
        self.assertLess(said["would_moved_bytes"], 8 * GIB)
        self.assertGreaterEqual(said["bursts_late"], 1)
        self.assertLess(said["late_max_seconds"], 10)
        self.assertIn("would have helped", " ".join(said["sentences"]))
        # It is told again after a restart.
        daemon.stop()
        daemon.start("--dry-run")
        wait_until(lambda: len(daemon.vms()) == 2, 10, "its VMs are known again")
        again = daemon.json("report")
        self.assertGreaterEqual(again["watched_seconds"], said["watched_seconds"])
        self.assertGreaterEqual(again["bursts_late"], said["bursts_late"])

    def test_report_of_what_was_done(self) -> None:
        daemon = self.start_full({**CONFIG, "host": {"memory": "1800M"}})
        before = daemon.json("report")
        asked = [len(guest.balloon_targets()) for guest in self.lab.guests]
        for _ in range(4):  # a report that comes by chance before it is short of memory averts a burst
            self.burst(700 * MIB, 400 * MIB)
            said = daemon.json("report")
            if said["bursts_at_once"] + said["bursts_late"] + said["bursts_unmet"] > 0:
                break
        # Targets that QEMU was given since; one that is on its way just now may be counted on one side only.
        moves = sum(len(guest.balloon_targets()) for guest in self.lab.guests) - sum(asked)
        log(f"{moves} targets seen by QEMU, {said['moves'] - before['moves']} reported; " + " ".join(said["sentences"]))
        self.assertAlmostEqual(said["moves"] - before["moves"], moves, delta=2)
        self.assertGreater(moves, 0)
        self.assertEqual(said["dry_run_seconds"], 0)
        self.assertIsNone(said["would_moves"])
        bursts = [sum(report[f"bursts_{what}"] for what in ("at_once", "late", "unmet")) for report in (before, said)]
        self.assertGreater(bursts[1], bursts[0])
        self.assertLessEqual(said["swap_peak_bytes"], daemon.status()["swap"]["used_bytes"] + MIB)


if __name__ == "__main__":
    main()
