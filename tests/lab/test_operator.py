#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What an operator does at a terminal, with real guests: each verb's word against what QEMU, libvirt and the kernel say."""

import contextlib
import fcntl
import json
import os
import re
import select
import subprocess
import time
import xml.etree.ElementTree as ElementTree
from typing import Any, Dict, Iterator, List

from aerolab import MIB, LabCase, Options, log, main, mib, size_text, virsh, wait_until
from aerolab.daemon import Aerostatd
from aerolab.follower import Follower
from aerolab.guest import domain_xml
from aerolab.machine import read_text

# 2 GiB of guests, one of which cannot be moved, where all together may have about 1.6.
CONFIG = {"host": {"memory": "1800M", "reserve": "150M"}}
MAX = 512 * MIB
FLOOR = MAX // 4  # the default, 25 %
SVG = "{http://www.w3.org/2000/svg}"


class FullPipe:
    """A pipe that takes no more until it is read."""

    def __init__(self) -> None:
        self.read_end, self.write_end = os.pipe()
        self.filled = os.write(self.write_end, b"\0" * fcntl.fcntl(self.write_end, fcntl.F_SETPIPE_SZ, 4096))

    def read_lines(self, count: int) -> str:
        """What was written: so many lines, or fewer where no more come."""
        data = b""
        while data.count(b"\n") < count and select.select([self.read_end], [], [], 10)[0]:
            data += os.read(self.read_end, 4096)
        return data[self.filled:].decode()


class Operator(LabCase):
    guests = [
        Options("good", memory=MAX, autodeflate=True),
        Options("bare", memory=MAX, agent=False, channel=False, reporting=False),
        Options("deaf", memory=MAX, agent=False, autodeflate=True),
        Options("fixed", memory=MAX, balloon=False),
    ]

    def start(self) -> Aerostatd:
        daemon = self.start_daemon(CONFIG)
        wait_until(lambda: [daemon.vms().get(name, {}).get("source") for name in ("good", "fixed", "bare", "deaf")] ==
                   ["agent", "agent", "balloon_stats", "balloon_stats"], 30, "all are heard of")
        return daemon

    def restart(self, daemon: Aerostatd) -> None:
        daemon.kill()
        daemon.start()
        wait_until(lambda: len(daemon.vms()) == 4 and daemon.vm("good")["source"] == "agent", 20, "all are known again")

    def start_small(self, name: str) -> None:
        """A VM for which nobody waits."""
        path = f"{self.lab.folder}/{name}.xml"
        with open(path, "w", encoding="utf-8") as file:
            file.write(domain_xml(Options(name, memory=64 * MIB, agent=False), self.image, self.lab.folder))
        virsh("create", path)

    @contextlib.contextmanager
    def slow_follower(self, daemon: Aerostatd) -> Iterator[FullPipe]:
        """`alerts --follow` that cannot go on at the first it has to say, until its pipe is read."""
        pipe = FullPipe()
        process = subprocess.Popen([daemon.ctl_program, "-s", daemon.socket, "alerts", "--follow"], stdin=subprocess.DEVNULL, stdout=pipe.write_end)
        os.close(pipe.write_end)
        try:
            wait_until(lambda: read_text(f"/proc/{process.pid}/wchan") in ("pipe_write", "anon_pipe_write"), 10, "it waits for its reader")
            yield pipe
        finally:
            process.kill()
            process.wait()
            os.close(pipe.read_end)

    def refused(self, daemon: Aerostatd, *args: str) -> str:
        done = daemon.ctl(*args)
        self.assertEqual(done.returncode, 1, f"{args}: {done.stdout}")
        self.assertEqual(done.stdout, "")
        return done.stderr

    def test_set_holds_until_its_time_is_over(self) -> None:
        daemon = self.start()
        self.wait_calm()
        for size in ("100M", "600M"):
            said = self.refused(daemon, "set", "good", size)
            self.assertIn("128 MiB", said)
            self.assertIn("512 MiB", said)
        self.assertIn("balloon", self.refused(daemon, "set", "fixed", "300M"))

        done = daemon.ctl("set", "good", "300M", "--for", "8s")
        self.assertEqual(done.stdout.strip(), "good is held at 300 MiB for 8.0 s.")
        start = time.monotonic()
        took = wait_until(lambda: abs(self.guest("good").actual() - 300 * MIB) <= 4096, 8, "it has what was set")
        self.assertEqual(daemon.vm("good")["state"], "pinned")
        self.assertIn("set by hand", next(line for line in daemon.ctl("list").stdout.splitlines() if line.startswith("good")))
        self.assertRegex(daemon.ctl("explain", "good").stdout, r"An operator set it to 300 MiB, which holds for another \d")
        self.restart(daemon)  # it holds on, and ends when it would have
        self.assertEqual((daemon.vm("good")["state"], daemon.vm("good")["target_bytes"]), ("pinned", 300 * MIB))
        ends = wait_until(lambda: daemon.vm("good")["state"] == "managed", 12, "it is automatic again") + 0
        self.assertAlmostEqual(time.monotonic() - start, 8, delta=2)
        log(f"held {took:.1f} s after it was set; automatic again after {time.monotonic() - start:.1f} s of 8 ({ends:.1f} s after a restart)")

        daemon.json("set", "good", "128M")
        wait_until(lambda: abs(self.guest("good").actual() - 128 * MIB) <= 4096, 10, "it has what was set")
        self.assertEqual(daemon.ctl("auto", "good").stdout, "good is automatic again.\n")
        wait_until(lambda: daemon.vm("good")["state"] == "managed" and self.guest("good").actual() > 132 * MIB, 20, "it is given what it needs")

    def test_set_beyond_the_envelope_says_what_it_risks(self) -> None:
        daemon = self.start_daemon({"host": {"memory": "1500M", "reserve": "150M"}})
        wait_until(lambda: len(daemon.vms()) == 4 and daemon.vm("good")["source"] == "agent", 20, "all are known")
        wait_until(lambda: daemon.status()["rule_bytes"] > 0, 10, "a decision")
        before, said = daemon.status()["rule_bytes"], self.refused(daemon, "set", "good", "512M")
        self.assertIn("beyond the envelope", said)
        self.assertTrue(any(size_text(rule) in said for rule in (before, daemon.status()["rule_bytes"])), said)
        self.assertNotEqual(daemon.vm("good")["state"], "pinned")
        done = daemon.ctl("set", "good", "512M", "--force")
        self.assertEqual(done.returncode, 0, done.stderr)
        log(f"--force: {done.stdout.strip()}")
        self.assertRegex(done.stdout, r"Risk: .*the VMs need \d.* the host can bear \d.*swap")
        self.assertEqual(daemon.vm("good")["state"], "pinned")
        daemon.json("auto", "good")

    def test_limits_by_hand_and_for_good(self) -> None:
        daemon = self.start()
        self.assertIn("floor 128 MiB, weight 1000", daemon.ctl("limits", "bare").stdout)
        daemon.json("limits", "bare", "--floor", "200M", "--weight", "500")
        self.assertEqual((daemon.vm("bare")["floor_bytes"], daemon.vm("bare")["weight"]), (200 * MIB, 500))
        self.assertNotIn("urn:aerostat", virsh("dumpxml", "bare"))
        said = self.refused(daemon, "limits", "bare", "--floor", "513M")
        self.assertIn("512 MiB", said)
        self.restart(daemon)
        self.assertEqual((daemon.vm("bare")["floor_bytes"], daemon.vm("bare")["weight"]), (200 * MIB, 500))
        self.assertTrue(daemon.vm("bare")["limits_by_hand"])

        done = daemon.ctl("limits", "bare", "--priority", "7", "--persist")
        self.assertIn("Written to the domain's metadata", done.stdout, done.stderr)
        for arguments in (("dumpxml", "bare"), ("dumpxml", "bare", "--inactive")):
            policy = ElementTree.fromstring(virsh(*arguments)).find("metadata/{urn:aerostat:policy:1}policy")
            self.assertEqual({key: policy.get(key) for key in ("weight", "priority")}, {"weight": "500", "priority": "7"})
            self.assertEqual(policy.get("floor").replace("iB", ""), "200M")
        vm = daemon.vm("bare")
        self.assertEqual((vm["floor_bytes"], vm["weight"], vm["priority"], vm["limits_by_hand"]), (200 * MIB, 500, 7, False))
        daemon.json("limits", "bare", "--reset")
        self.assertEqual(daemon.vm("bare")["priority"], 7, "--reset is for what was set by hand")
        virsh("metadata", "bare", "urn:aerostat:policy:1", "--remove", "--live", "--config")
        wait_until(lambda: daemon.vm("bare")["floor_bytes"] == FLOOR, 10, "metadata that is removed is noticed")

    def test_pause_stops_everything_until_resume(self) -> None:
        daemon = self.start()
        self.wait_calm()
        self.assertIn("no VM is moved", daemon.ctl("pause").stdout)
        wait_until(lambda: "paused" in read_text(f"{daemon.state_folder}/state"), 5, "it is written")
        self.restart(daemon)
        self.assertEqual(daemon.status()["automation"], "paused")
        self.assertIn("automation paused", daemon.ctl("status").stdout)
        self.assertIn("automation is paused", daemon.ctl("check").stdout)
        before = [len(guest.balloon_targets()) for guest in self.lab.guests]
        good = self.guest("good")
        good.load.hold("burst", max(40 * MIB, good.load.guest()["available_bytes"] - 40 * MIB), ramp=200 * MIB)
        time.sleep(4)
        self.assertEqual([len(guest.balloon_targets()) for guest in self.lab.guests], before, "a paused daemon moved a guest")
        self.assertIn("Running again", daemon.ctl("resume").stdout)
        took = wait_until(lambda: len(good.balloon_targets()) > before[0], 10, "the guest in need is given memory")
        log(f"paused, nothing moved for 4 s; {took:.1f} s after resume it did")

    def test_explain_agrees_with_list(self) -> None:
        daemon = self.start()
        good = self.guest("good")
        daemon.json("limits", "good", "--weight", "1")  # so that it is short while others are not
        good.load.hold("burst", 330 * MIB, ramp=200 * MIB, rate_hz=1)
        self.wait_calm()

        def agree(name: str) -> bool:
            """False where it has just decided anew: then it is asked again."""
            vm, said, after = daemon.vm(name), daemon.json("explain", name), daemon.vm(name)
            same = all(vm[key] == after[key] for key in ("demand_bytes", "entitled_bytes", "target_bytes", "reason"))
            if vm["state"] == "fixed":
                return same and "counts in full" in said["entitlement"] and said["reason"] == vm["reason"]
            return (same and said["target_bytes"] == vm["target_bytes"] and said["reason"] == vm["reason"] and
                    f"It needs {size_text(vm['demand_bytes'])}:" in said["need"] and
                    ("its agent" if vm["source"] == "agent" else "its balloon's statistics") in said["need"] and
                    f"entitled to {size_text(vm['entitled_bytes'])}" in said["entitlement"])

        for name in ("good", "bare", "deaf", "fixed"):
            try:
                wait_until(lambda name=name: agree(name), 20, "the sentences and the list agree")
            except TimeoutError:
                self.fail(f"{name}: {daemon.vm(name)}\n{daemon.ctl('explain', name).stdout}")
        vm, text = daemon.vm("good"), daemon.ctl("explain", "good").stdout
        log(f"good: demand {mib(vm['demand_bytes'])}, target {mib(vm['target_bytes'])}, {vm['reason']}")
        self.assertGreater(vm["demand_bytes"], vm["target_bytes"], "it is not short")
        self.assertIn("`aerostatctl limits good", text)
        self.assertRegex(text, r"(?m)^\d[\w. ]* ago .*MiB", "no last moves")
        self.assertIn("no balloon device", daemon.ctl("explain", "fixed").stdout)

    def test_history_is_what_was(self) -> None:
        daemon = self.start()
        self.wait_calm()
        daemon.json("set", "good", "200M")
        wait_until(lambda: abs(self.guest("good").actual() - 200 * MIB) <= 4096, 10, "it has what was set")
        time.sleep(4)  # two points of 2 s
        self.check_history(daemon, 2)
        points = len(daemon.json("history", "good")["age_seconds"])
        self.assertEqual(daemon.stop(), 0)
        daemon.start()
        wait_until(lambda: len(daemon.vms()) == 4, 20, "all are known again")
        wait_until(lambda: len(daemon.json("history", "good")["age_seconds"]) > points, 10, "it goes on")
        self.check_history(daemon, points)

    def check_history(self, daemon: Aerostatd, points: int) -> None:
        said = daemon.json("history", "good")
        actual, ages = said["series_bytes"]["actual"], said["age_seconds"]
        self.assertGreaterEqual(len(ages), points)
        self.assertEqual(ages, sorted(ages, reverse=True))
        self.assertEqual(actual[-1], 200 * MIB)
        self.assertGreater(max(actual), 200 * MIB, "what was before is forgotten")
        host = daemon.json("history")
        self.assertAlmostEqual(host["series_bytes"]["envelope"][-1], daemon.status()["envelope_bytes"], delta=64 * MIB)

        path = f"{self.lab.folder}/history.svg"
        self.assertEqual(daemon.ctl("history", "good", "--svg", path).returncode, 0)
        picture = ElementTree.parse(path).getroot()
        texts = [text.text for text in picture.iter(f"{SVG}text")]
        self.assertIn("Memory of good", texts)
        for series in ("actual", "demand", "rss", "swap"):
            self.assertIn(series, texts)
        self.assertTrue(any(text.endswith(" MiB") for text in texts) and any(text.endswith((" s", " min")) for text in texts), texts)
        self.assertIn("prefers-color-scheme:dark", picture.find(f"{SVG}style").text)
        lines = [path.get("d") for path in picture.iter(f"{SVG}path") if path.get("stroke")]
        self.assertEqual(len(lines), 4)
        self.assertGreater(len(re.findall("[ML]", lines[0])), 1, "no line is drawn")

    def test_doctor_tells_good_guests_from_bad(self) -> None:
        daemon = self.start()

        def findings(*args: str) -> Dict[str, Dict[str, str]]:
            done = daemon.ctl("--json", "doctor", *args)
            found = json.loads(done.stdout)["findings"]
            self.assertEqual(done.returncode, int(any(one["level"] == "bad" for one in found)), args)
            for one in found:
                self.assertTrue(one["level"] == "ok" or (one["why"] and one["remedy"]), one)
            return {one["check"]: one for one in found if not args or one["vm"] == args[0]}

        levels = {name: {check: one["level"] for check, one in findings(name).items()} for name in ("good", "bare", "deaf", "fixed")}
        log("; ".join(f"{name}: " + (", ".join(f"{check} {level}" for check, level in found.items() if level != "ok") or "all well")
                      for name, found in levels.items()))
        self.assertEqual(set(levels["good"].values()), {"ok"})
        self.assertEqual(levels["good"]["agent"], "ok")
        self.assertEqual([levels["bare"][check] for check in ("balloon", "autodeflate", "free_page_reporting", "channel")],
                         ["ok", "warn", "warn", "warn"])
        self.assertEqual((levels["deaf"]["channel"], levels["deaf"]["agent"]), ("ok", "warn"))
        self.assertEqual(levels["fixed"]["balloon"], "bad")
        self.assertIn("<memballoon model='virtio'", findings("fixed")["balloon"]["remedy"])
        self.assertIn("org.aerostat.guest.0", findings("bare")["channel"]["remedy"])
        host = findings()
        for check in ("kvm", "vcpus", "numa", "psi", "cgroup", "overcommit_memory", "thp", "huge_pages", "libvirt", "swap", "ksm",
                      "tuners", "daemon"):
            self.assertIn(check, host)
        self.assertEqual((host["daemon"]["level"], host["libvirt"]["level"], host["vms"]["text"]), ("ok", "ok", "4 examined"))

        daemon.stop()
        self.assertEqual(findings()["daemon"]["level"], "warn")
        self.assertEqual(findings("fixed")["balloon"]["level"], "bad")
        self.assertNotIn("agent", findings("good"))

    def test_watch_streams_what_happens_and_check_sums_it_up(self) -> None:
        daemon = self.start()
        self.wait_calm()
        done = daemon.ctl("check")
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertRegex(done.stdout, r"^AEROSTAT OK: host is \w+, 4 VMs \| committed=\d+B envelope=\d+B .*alerts=0\n$")
        self.assertEqual(daemon.ctl("alerts").stdout, "No alert fires.\n")
        follower = Follower(daemon)
        self.addCleanup(follower.stop)
        only_alerts = subprocess.Popen([daemon.ctl_program, "-s", daemon.socket, "--json", "alerts", "--follow"], stdout=subprocess.PIPE,
                                       stderr=subprocess.DEVNULL, text=True)
        self.addCleanup(only_alerts.kill)
        daemon.json("set", "good", "200M")
        move = follower.wait(lambda event: event["type"] == "move" and event["vm"] == "good", "good is moved")
        self.assertEqual(move["after_bytes"], 200 * MIB)
        self.start_small("late")
        follower.wait(lambda event: event["type"] == "vm" and event["vm"] == "late", "late has come")
        seen = len(follower.told)
        virsh("destroy", "late")
        follower.wait(lambda event: event["type"] == "vm" and event["vm"] == "late", "late has gone", seen)
        with self.slow_follower(daemon) as slow:
            self.guest("fixed").load.hold("huge", 2 * MAX)  # more than it can ever have: its kernel kills
            alert = follower.wait(lambda event: event["type"] == "alert" and event["alert"]["name"] == "GuestOomKill", "GuestOomKill")
            self.assertEqual((alert["phase"], alert["alert"]["subject"], alert["alert"]["severity"]), ("fired", "fixed", "warning"))
            self.assertRegex(slow.read_lines(3), r"^No alert fires\.\n\n[-0-9]+ [0-9:]+  warning GuestOomKill fired: .*fixed.*\n$")
        done = daemon.ctl("check")
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertRegex(done.stdout, "^AEROSTAT WARNING: .*fixed")
        self.assertIn("GuestOomKill", daemon.ctl("alerts").stdout)
        daemon.stop()
        said = only_alerts.communicate(timeout=10)[0]
        self.assertEqual([json.loads(line) for line in said.splitlines()], [event for event in follower.told if event["type"] == "alert"])
        self.assertEqual(only_alerts.returncode, 3)
        done = daemon.ctl("check")
        self.assertEqual((done.returncode, done.stdout), (3, "AEROSTAT UNKNOWN: aerostatd does not answer\n"))
        self.assertEqual(daemon.ctl("list").returncode, 3)

    def test_config_is_checked_and_shown(self) -> None:
        daemon = self.start()
        shown = daemon.ctl("config", "show").stdout
        self.assertRegex(shown, r"(?m)^memory = 1800M")
        path = f"{self.lab.folder}/shown.conf"
        with open(path, "w", encoding="utf-8") as file:
            file.write(shown)
        environment = {"PATH": f"{daemon.program.rsplit('/', 1)[0]}:/usr/bin:/bin"}
        self.assertEqual(daemon.ctl("config", "check", path, env=environment).returncode, 0)
        with open(path, "a", encoding="utf-8") as file:
            file.write("\n[policy]\nfloor = 500\n")
        done = daemon.ctl("config", "check", path, env=environment)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, rf"{re.escape(path)}:\d+")


if __name__ == "__main__":
    main()
