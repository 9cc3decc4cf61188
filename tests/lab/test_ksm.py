#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""KSM under control: equal guests merge within the CPU budget; scanning ends when there is nothing to find, and starts again with a new guest."""

import os
import time

from aerolab import MIB, Aerostatd, LabCase, Options, log, main, mib, only_long, wait_until
from aerolab.ksm import CONFIG, KSM, knobs, ksmd_seconds, number, saved
from aerolab.machine import read_text, write_text
from aerolab.record import ksm_saved
from aerolab.sandbox import HOST_PROC

MEMORY = 512 * MIB


class Ksm(LabCase):
    guests = [Options("a", memory=MEMORY), Options("b", memory=MEMORY)]

    @classmethod
    def setUpClass(cls) -> None:
        cls.machine.exclusive()
        cls.machine.keep_ksm()
        super().setUpClass()

    def setUp(self) -> None:
        super().setUp()
        write_text(f"{KSM}/run", "2")
        write_text(f"{KSM}/run", "0")
        self.before = knobs()

    def start(self, **ksm: str):
        config = {**CONFIG, "ksm": {**CONFIG["ksm"], **ksm}}
        daemon = self.start_daemon(config, "--host-proc", HOST_PROC)
        wait_until(lambda: daemon.json("ksm")["cpu_budget_ratio"], 20, "the daemon decides")
        return daemon

    def fill(self, name: str, data: str, size: int = 120 * MIB) -> None:
        self.guest(name).load.hold("data", size, ramp=60 * MIB, data=data)
        wait_until(lambda: self.guest(name).load.work("data")["filled_bytes"] == size, 60, "the data is there")

    def phase(self, daemon) -> str:
        return daemon.json("ksm")["phase"]

    def check_budget(self) -> Aerostatd:
        """Two equal guests are scanned for a minute, and ksmd takes what it may."""
        daemon = self.start(mode="on")  # scans all the time, so that a minute of it can be measured
        self.fill("a", "equal")
        self.fill("b", "equal")
        time.sleep(10)
        start, cpu, budget, samples = time.monotonic(), ksmd_seconds(), 0.0, 0
        while time.monotonic() - start < 60:
            budget += daemon.json("ksm")["cpu_budget_ratio"]
            samples += 1
            time.sleep(1)
        took, seconds = ksmd_seconds() - cpu, time.monotonic() - start
        allowed = budget / samples * seconds
        log(f"ksmd took {took:.2f} s in {seconds:.0f} s, allowed {allowed:.2f} s ({100 * took / allowed:.0f} % of the budget of "
            f"{100 * budget / samples:.1f} %); saved {mib(saved())}")
        self.assertTrue(0.8 * allowed <= took <= 1.2 * allowed)
        return daemon

    def test_budget_and_savings(self) -> None:
        daemon = self.check_budget()
        report = daemon.json("ksm")
        log(f"saved {mib(saved())}, profit {report['profit_bytes'] >> 20} MiB; " +
            ", ".join(f"{vm['name']} {vm['saved_bytes'] >> 20} MiB" for vm in report["vms"]))
        self.assertGreater(saved(), 100 * MIB)
        self.assertTrue(report["vms"] and all(vm["saved_bytes"] > 20 * MIB for vm in report["vms"]))
        self.assertEqual(daemon.stop(), 0)
        after = knobs()
        after["run"] = after["run"].replace("2", "0")
        self.assertEqual(after, self.before, "the settings from before are not back")

    @only_long
    def test_random_data_ends_scanning_and_a_new_guest_starts_it(self) -> None:
        self.fill("a", "random")
        self.fill("b", "random")
        daemon = self.start(mode="auto")
        wait_until(lambda: self.phase(daemon) == "scanning", 30, "scanning starts")
        took = wait_until(lambda: self.phase(daemon) == "resting", 300, "scanning ends")
        time.sleep(100)  # it looks again after 20 and 40 s, since the guests might have been booting still
        wait_until(lambda: self.phase(daemon) == "resting", 60, "scanning ends again")
        self.assertEqual(number("run"), 0)
        kept = saved()
        log(f"resting after {took:.0f} s, {daemon.json('ksm')['full_scans']} full scans; {mib(kept)} are merged all the same")
        cpu = ksmd_seconds()
        time.sleep(10)
        self.assertLess(ksmd_seconds() - cpu, 0.01)
        self.add_guest(Options("c", memory=MEMORY))
        took = wait_until(lambda: self.phase(daemon) == "scanning" and number("run") == 1, 20, "scanning starts again")
        # Of the new guest alone: the others' balloons grow to make room for it, and take merged pages with them.
        merged = lambda: next(vm["saved_bytes"] or 0 for vm in daemon.json("ksm")["vms"] if vm["name"] == "c")  # noqa: E731
        wait_until(lambda: merged() > 8 * MIB, 120, "the new guest's equal pages merge")
        log(f"scanning again {took:.1f} s after the new guest was up; it saves {mib(merged())}")

    def test_killed_and_taken_over(self) -> None:
        daemon = self.start(mode="on")
        wait_until(lambda: number("run") == 1, 20, "scanning starts")
        daemon.kill()
        self.assertEqual(number("run"), 1)
        daemon.start("--host-proc", HOST_PROC)
        self.assertIn("taken over", daemon.log())
        daemon.stop()
        self.assertEqual(knobs(), self.before)
        daemon.start("--host-proc", HOST_PROC)
        wait_until(lambda: number("run") == 1, 20, "scanning starts")
        daemon.kill()
        self.assertEqual(os.system(f"{daemon.program} --undo --state-dir {daemon.state_folder}"), 0)
        self.assertEqual(knobs(), self.before)
        daemon.process = None

    def test_a_rival_is_left_alone(self) -> None:
        daemon = self.start(mode="on")
        wait_until(lambda: number("run") == 1, 20, "scanning starts")
        write_text(f"{KSM}/sleep_millisecs", "77")
        wait_until(lambda: self.phase(daemon) == "standing_back", 10, "the change is seen")
        self.assertIn("sleep_millisecs", daemon.json("ksm")["note"])
        time.sleep(5)
        self.assertEqual(number("sleep_millisecs"), 77)
        self.assertEqual(daemon.ctl("ksm", "on").returncode, 0)
        wait_until(lambda: number("sleep_millisecs") != 77, 10, "the operator's word ends it")
        daemon.stop()
        self.assertEqual(number("sleep_millisecs"), 77)  # what the rival had set
        write_text(f"{KSM}/sleep_millisecs", self.before["sleep_millisecs"])

    def test_operator(self) -> None:
        daemon = self.start(mode="on", **{"cpu-normal": "30%"})  # how soon pages merge is not the matter here
        self.fill("a", "equal")
        self.fill("b", "equal")
        wait_until(lambda: saved() > 50 * MIB, 120, "pages merge")
        self.assertEqual(daemon.ctl("ksm", "off").returncode, 0)
        wait_until(lambda: number("run") == 0, 10, "off")
        self.assertGreater(saved(), 40 * MIB)
        self.assertEqual(daemon.ctl("ksm", "unmerge").returncode, 0)
        took = wait_until(lambda: saved() == 0 and self.phase(daemon) == "off", 60, "everything is taken apart")
        log(f"unmerged within {took:.1f} s")
        self.assertEqual(daemon.ctl("ksm", "leave").returncode, 0)
        wait_until(lambda: knobs()["sleep_millisecs"] == self.before["sleep_millisecs"], 10, "left")

    @only_long
    def test_a_vm_that_has_ended_saves_nothing(self) -> None:
        daemon = self.start(mode="on", **{"cpu-normal": "30%"})
        third = self.add_guest(Options("c", memory=MEMORY))

        def merged() -> int:
            return int(read_text(f"/proc/{third.pid}/ksm_merging_pages")) * 4096

        def told() -> int:
            return daemon.status()["ksm"]["saved_bytes"]
        for name in ("a", "b", "c"):
            self.fill(name, "equal")
        wait_until(lambda: saved() > 200 * MIB and merged() > 60 * MIB, 120, "pages merge")
        self.wait_calm()  # a balloon that grows takes merged pages with it
        self.assertEqual(daemon.ctl("ksm", "off").returncode, 0)
        wait_until(lambda: number("run") == 0, 10, "off")
        before, own = ksm_saved(self.lab.guests), merged()
        wait_until(lambda: abs(told() - before) < 4 * MIB, 15, f"the daemon knows that {mib(before)} are saved")
        self.lab.remove(third)
        wait_until(lambda: told() < before - own + 8 * MIB, 20, f"of {mib(before)}, {mib(own)} do not count any more")
        log(f"{mib(before)} saved by three, of which one had merged {mib(own)}; when it has ended {mib(saved())} by the kernel's count, "
            f"{mib(told())} by the daemon's")
        self.assertGreater(saved(), before - 16 * MIB, "the kernel has let go by itself: this test shows nothing")
        self.assertGreater(told(), before - own - 16 * MIB, "what two others save does count")

    def start_where(self, mounts: str) -> Aerostatd:
        """A daemon that sees the machine through some mounts of its own."""
        daemon = Aerostatd(self.lab.folder, {**CONFIG, "ksm": {"mode": "on"}}, self.id().split(".")[-1])
        wrapper = f"{self.lab.folder}/wrapper"
        with open(wrapper, "w", encoding="ascii") as file:
            file.write(f"#!/bin/sh\nexec unshare -m sh -ec 'mount --make-rprivate /; {mounts}; exec \"$0\" \"$@\"' {daemon.program} \"$@\"\n")
        os.chmod(wrapper, 0o755)
        daemon.program = wrapper
        self.addCleanup(daemon.stop)
        return daemon.start()

    def test_read_only_sysfs(self) -> None:
        daemon = self.start_where("mount --bind /sys/kernel/mm/ksm /sys/kernel/mm/ksm; mount -o remount,bind,ro /sys/kernel/mm/ksm")
        wait_until(lambda: self.phase(daemon) == "standing_back", 20, "it stands back")
        self.assertIn("Read-only file system", daemon.json("ksm")["note"])
        self.assertEqual(knobs(), self.before)
        done = daemon.ctl("ksm", "off")
        self.assertEqual(done.returncode, 1)
        self.assertIn("Read-only file system", done.stderr)

    def test_no_ksm(self) -> None:
        daemon = self.start_where("mount -t tmpfs none /sys/kernel/mm/ksm")
        report = daemon.json("ksm")
        self.assertFalse(report["present"])
        for name in ("saved_bytes", "phase", "cpu_ratio", "cpu_budget_ratio", "gain_bytes", "ksmd_cpu_seconds", "cow_pages_per_second"):
            self.assertIsNone(report[name], name)
        self.assertIsNone(daemon.status()["ksm"]["cpu_ratio"])
        wait_until(lambda: "no KSM" in (daemon.json("ksm")["note"] or ""), 10, "it says so")
        self.assertIn("no KSM", daemon.ctl("ksm", "on").stderr)
        self.assertIn("not in this kernel", daemon.ctl("status").stdout)

    @only_long
    def test_with_the_advisor(self) -> None:
        if not os.path.exists(f"{KSM}/advisor_mode"):
            self.skipTest("this kernel has no advisor")
        write_text(f"{KSM}/advisor_mode", "scan-time")
        self.addCleanup(lambda: write_text(f"{KSM}/advisor_mode", "none"))
        before = knobs()
        daemon = self.check_budget()
        self.assertTrue(daemon.json("ksm")["advisor"])
        daemon.stop()
        self.assertEqual({k: v for k, v in knobs().items() if k != "pages_to_scan"}, {k: v for k, v in before.items() if k != "pages_to_scan"})


if __name__ == "__main__":
    main()
