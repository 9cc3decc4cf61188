#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Guests that are not as one would like them: no agent, no channel, no balloon, a policy of their own."""

import time

from aerolab import GIB, MIB, LabCase, Options, log, main, mib, wait_until

# 5 GiB of guests in a budget of 3.5; the two without a balloon keep their 1 GiB each whatever happens.
CONFIG = {"host": {"memory": "3500M"}}


class Kinds(LabCase):
    guests = [
        Options("full"),
        Options("agentless", agent=False, channel=False, stats_period=0),
        Options("deaf", agent=False, stats_period=30),
        Options("fixed", balloon=False),
        Options("own", policy={"floor": "400MiB", "weight": "2000", "priority": "10"}),
    ]

    def test_states_and_sources(self) -> None:
        daemon = self.start_daemon(CONFIG)
        wait_until(lambda: daemon.vm("full")["source"] == "agent" and daemon.vm("agentless")["source"] == "balloon_stats" and
                   daemon.vm("deaf")["source"] == "balloon_stats", 30, "all guests are heard of")
        vms = daemon.vms()
        self.assertEqual(sorted(vms), sorted(guest.name for guest in self.lab.guests))
        for name in ("full", "agentless", "deaf", "own"):
            self.assertEqual(vms[name]["state"], "managed", name)
        self.assertEqual(vms["fixed"]["state"], "fixed")
        self.assertEqual(vms["own"]["floor_bytes"], 400 * MIB)
        self.assertEqual(vms["own"]["weight"], 2000)
        self.assertEqual(vms["own"]["priority"], 10)
        self.assertEqual(vms["full"]["floor_bytes"], GIB // 4)
        self.assertGreaterEqual(vms["fixed"]["committed_bytes"], GIB)
        for name, vm in vms.items():
            self.assertEqual(vm["max_bytes"], GIB, name)
        self.assertLess(vms["full"]["report_age_seconds"], 10)

    def test_slow_statistics_are_asked_for_more_often(self) -> None:
        daemon = self.start_daemon(CONFIG)
        wait_until(lambda: daemon.vm("deaf")["source"] == "balloon_stats", 40, "its statistics come")
        wait_until(lambda: daemon.vm("deaf")["report_age_seconds"] < 3, 10, "they come anew")
        ages = []
        for _ in range(50):
            ages.append(daemon.vm("deaf")["report_age_seconds"])
            time.sleep(0.3)
        log(f"statistics of a guest whose domain has a period of 30 s: {max(ages):.0f} s old at most")
        self.assertLess(max(ages), 10)

    def test_guest_without_agent_follows_demand(self) -> None:
        daemon = self.start_daemon(CONFIG)
        guest = self.guest("agentless")
        self.wait_calm()
        before = guest.actual()
        self.assertLess(before, 900 * MIB)
        guest.load.hold("burst", guest.load.guest()["available_bytes"] - 40 * MIB, ramp=60 * MIB)
        took = wait_until(lambda: guest.actual() > before + 32 * MIB, 60, "it is given some back when it needs it")
        log(f"guest without an agent: {mib(before)} -> {mib(guest.actual())} {took:.1f} s after its burst began")
        self.assertEqual(guest.load.guest()["oom_kills"], 0)
        self.assertEqual(daemon.vm("agentless")["source"], "balloon_stats")

    def test_fixed_guest_is_counted_and_left_alone(self) -> None:
        daemon = self.start_daemon(CONFIG)
        self.guest("fixed").load.hold("burst", 500 * MIB)
        wait_until(lambda: daemon.status()["committed_bytes"] <= daemon.status()["envelope_bytes"], 30, "the rule holds")
        done = daemon.ctl("set", "fixed", "512M")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, "balloon|fixed")

    def test_own_floor_is_kept(self) -> None:
        self.start_daemon(dict(CONFIG, host={"memory": "3100M"}))
        end = time.monotonic() + 10
        while time.monotonic() < end:
            self.assertGreaterEqual(self.guest("own").actual(), 400 * MIB)
            time.sleep(0.2)
        self.assertTrue(all(size >= 400 * MIB for _, size in self.guest("own").balloon_targets()))

    def test_guest_that_arrives_later(self) -> None:
        daemon = self.start_daemon(CONFIG)
        wait_until(lambda: daemon.status()["committed_bytes"] <= daemon.status()["envelope_bytes"], 30, "the rule holds")
        self.add_guest(Options("late", memory=512 * MIB))
        wait_until(lambda: daemon.vm("late")["source"] == "agent", 20, "the newcomer's agent is heard")
        took = wait_until(lambda: daemon.status()["committed_bytes"] <= daemon.status()["envelope_bytes"], 30, "the rule holds again")
        log(f"a newcomer of 512 MiB is inside the envelope {took:.1f} s after its agent spoke")


class Autodeflate(LabCase):
    guests = [Options("auto", autodeflate=True), Options("strict", reporting=False), Options("swapping", swap=256 * MIB)]

    def test_demand_is_read_right_with_autodeflate(self) -> None:
        """MemTotal does not shrink with the balloon there; what is needed must come out the same."""
        daemon = self.start_daemon({"host": {"memory": "1900M"}})
        wait_until(lambda: daemon.status()["committed_bytes"] <= daemon.status()["envelope_bytes"], 30, "the rule holds")
        time.sleep(5)
        vms = daemon.vms()
        log("demand: " + ", ".join(f"{name} {mib(vm['demand_bytes'])}" for name, vm in sorted(vms.items())))
        self.assertLess(abs(vms["auto"]["demand_bytes"] - vms["strict"]["demand_bytes"]), 60 * MIB)
        self.assertEqual(daemon.status()["guarantee"], "conditional")
        self.assertGreater(vms["swapping"]["guest"]["swap_total_bytes"], 250 * MIB)


if __name__ == "__main__":
    main()
