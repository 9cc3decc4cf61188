#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The last resort on a host that is critical for long: the VM of the lowest priority is paused, saved, or left to a command; and what was paused runs
again, whatever becomes of the daemon."""

import json
import os
import signal
import stat
import subprocess
import time
from typing import Any, Dict

from aerolab import MIB, Aerostatd, LabCase, Options, log, main, mib, virsh, wait_until
from aerolab.daemon import Config
from aerolab.guest import SOCKETS
from aerolab.load import Load
from aerolab.machine import read_text
from aerolab.qmp import Qmp

RESERVE = 100 * MIB
AFTER = 3
SAVES = "/var/lib/libvirt/qemu/save"


def state(name: str) -> str:
    return virsh("domstate", name)


class LastResort(LabCase):
    guests = [Options("high", memory=512 * MIB, policy={"priority": "500"}), Options("low", memory=512 * MIB, policy={"priority": "10"}),
              Options("mine", memory=256 * MIB, policy={"priority": "0"})]

    def setUp(self) -> None:
        for guest in self.lab.guests:  # whatever an earlier test left
            if state(guest.name) == "paused":
                virsh("resume", guest.name)
        super().setUp()

    def overrun(self, action: str, *args: str, grows: str = "low", ramp: int = 15 * MIB, **keys: str) -> Aerostatd:
        """A daemon whose guests may have all of their memory, on a host with 150 MiB more than they take; then the one that `grows` grows into that.
        `mine` is suspended by its operator, and goes before nobody."""
        grower, other = self.guest(grows), self.guest("high" if grows == "low" else "low")
        for size in (200 * MIB, grower.options.memory):  # what an earlier test filled is the host's again, and growth is growth from its first page
            grower.set_memory(size)
            wait_until(lambda size=size: abs(grower.actual() - size) <= MIB, 30, "its balloon follows")
        other.load.hold("work", 250 * MIB)
        wait_until(lambda: other.load.work("work")["filled_usec"] > 0, 30, "the other has its memory")
        config = {"host": {"reserve": f"{RESERVE >> 20}M"}, "policy": {"floor": "100%"},
                  "last-resort": {"action": action, "after": f"{AFTER}s", **keys}}
        daemon = self.start_daemon(config, *args)
        self.wait_still()
        virsh("suspend", "mine")
        self.daemon_config = config
        self.set_memory(config, sum(guest.resources().rss for guest in self.lab.guests) + 150 * MIB)
        self.began = time.monotonic()
        grower.load.hold("growth", 360 * MIB, ramp=ramp)
        return daemon

    def overrun_with_a_hung_victim(self) -> Aerostatd:
        """As overrun(), but `high` grows, slowly; and low's QEMU hangs just before low is paused."""
        daemon, pid = self.overrun("pause", grows="high", ramp=8 * MIB), self.guest("low").pid
        wait_until(lambda: daemon.status()["state"] == "critical", 60, "the host is critical")
        time.sleep(AFTER - 1)  # the watchdog finds it after more than that, and would spare it
        os.kill(pid, signal.SIGSTOP)
        self.addCleanup(os.kill, pid, signal.SIGCONT)
        wait_until(lambda: self.log_has("low: the last resort: it is paused"), 10, "low is to be paused")
        return daemon

    def give_memory(self) -> None:
        """High is paused, so it cannot free any: the host gets more."""
        self.set_memory(self.daemon_config, 4 * 512 * MIB)

    def set_memory(self, config: Config, size: int) -> None:
        config["host"]["memory"] = f"{size >> 20}M"
        self.daemon.write_config(config)
        self.daemon.process.send_signal(signal.SIGHUP)
        wait_until(lambda: self.daemon.status()["memory_bytes"] == size >> 20 << 20, 5, "the new budget is in force")

    def wait_still(self) -> None:
        """Until the guests have reported what they have freed, and the host has it back."""
        taken = []
        def still() -> bool:
            taken.append(sum(guest.resources().rss for guest in self.lab.guests))
            return len(taken) > 8 and max(taken[-8:]) - min(taken[-8:]) < 4 * MIB
        wait_until(still, 60, "the guests are still", every=0.5)

    def log_has(self, text: str) -> bool:
        return text in self.daemon.log()

    def wait_taken(self, daemon: Aerostatd) -> Dict[str, Any]:
        """Until the alert fires; returns it."""
        def taken() -> bool:
            return any(alert["name"] == "LastResort" for alert in daemon.json("alerts")["firing"])
        wait_until(taken, 60, "the last resort is taken")
        return next(alert for alert in daemon.json("alerts")["firing"] if alert["name"] == "LastResort")

    def test_pause(self) -> None:
        daemon = self.overrun("pause")
        alert = self.wait_taken(daemon)
        wait_until(lambda: state("low") == "paused", 5, "low is paused")
        log(f"paused {time.monotonic() - self.began:.1f} s after it began to grow; {alert['message']}")
        self.assertEqual(alert["subject"], "low")
        self.assertEqual((state("high"), state("mine")), ("running", "paused"))
        self.assertEqual(alert["numbers"]["action"], 1)
        self.assertLess(alert["numbers"]["available_bytes"], RESERVE)
        self.assertIn("last resort", daemon.ctl("explain", "low").stdout)
        rss = self.guest("low").resources().rss
        time.sleep(AFTER + 2)
        self.assertEqual(state("high"), "running", "nothing grows any more")
        self.assertLess(self.guest("low").resources().rss, rss + 8 * MIB)
        self.guest("high").load.free_all()
        took = wait_until(lambda: state("low") == "running", 30, "low runs again")
        log(f"it ran again {took:.1f} s after the host had memory")
        wait_until(lambda: self.log_has("low: it runs again"), 5, "that is said")
        self.assertEqual(state("mine"), "paused")
        undo = f"{daemon.state_folder}/undo"  # swap limits may be noted there, too
        self.assertNotIn("paused:", read_text(undo) if os.path.exists(undo) else "")

    def test_what_was_paused_outlives_no_daemon(self) -> None:
        daemon = self.overrun("pause")
        wait_until(lambda: state("low") == "paused", 60, "low is paused")
        daemon.kill()
        time.sleep(1)
        self.assertEqual(state("low"), "paused")
        daemon.start()
        took = wait_until(lambda: state("low") == "running", 10, "the next daemon lets it run")
        log(f"low ran again {took:.1f} s after the restart")
        self.assertEqual(state("mine"), "paused", "an operator's pause was ended")
        wait_until(lambda: state("low") == "paused", 60, "still critical: low is paused again")
        daemon.kill()
        done = subprocess.run(daemon.command("--undo"), capture_output=True, text=True, timeout=30, check=False)
        self.assertEqual((done.returncode, state("low"), state("mine")), (0, "running", "paused"), done.stderr)
        self.assertIn("1 paused VMs", done.stderr)
        self.guest("low").load.free_all()
        self.guest("low").load.hold("growth", 360 * MIB, ramp=15 * MIB)
        daemon.start()
        wait_until(lambda: state("low") == "paused", 60, "paused once more")
        virsh("resume", "low")  # by its operator, who then has the last word
        wait_until(lambda: self.log_has("somebody has resumed it"), 5, "that is understood")
        virsh("suspend", "low")
        time.sleep(2)
        self.assertEqual((daemon.stop(), state("low"), state("mine")), (0, "paused", "paused"))

    def test_pause_ends_with_the_daemon(self) -> None:
        daemon = self.overrun("pause")
        wait_until(lambda: state("low") == "paused", 60, "low is paused")
        daemon.ctl("pause")
        wait_until(lambda: state("low") == "running", 5, "`aerostatctl pause` lets it run")
        self.guest("low").load.free_all()
        self.guest("low").load.hold("growth", 360 * MIB, ramp=15 * MIB)
        daemon.ctl("resume")
        wait_until(lambda: state("low") == "paused", 60, "it is paused again")
        self.assertEqual((daemon.stop(), state("low"), state("high"), state("mine")), (0, "running", "running", "paused"))

    def test_hung_qemu_stops_nobody_else_from_being_taken(self) -> None:
        daemon, began = self.overrun_with_a_hung_victim(), time.monotonic()
        wait_until(lambda: state("high") == "paused", 40, "the next one is paused")
        log(f"the next was paused {time.monotonic() - began:.1f} s after the one that hung was to be")
        self.assertIn("low: the last resort failed: it cannot be paused: its QEMU does not answer", daemon.log())
        self.assertEqual(state("low"), "running")
        os.kill(self.guest("low").pid, signal.SIGCONT)
        wait_until(lambda: self.log_has("low: the last resort has paused it after all"), 10, "it is known to be paused")
        self.assertEqual(state("low"), "paused")
        self.give_memory()
        wait_until(lambda: (state("low"), state("high")) == ("running", "running"), 30, "both run again")
        self.assertEqual((daemon.stop(), state("mine")), (0, "paused"))

    def test_libvirtd_killed_before_it_answers(self) -> None:
        daemon, low = self.overrun_with_a_hung_victim(), self.guest("low")
        time.sleep(0.5)
        libvirtd = self.lab.libvirtd
        libvirtd.process.kill()
        libvirtd.process.wait()
        os.kill(low.pid, signal.SIGCONT)
        low.qmp.execute("stop")  # as it would have done for libvirtd
        wait_until(lambda: self.log_has("low: the last resort failed: it cannot be paused"), 10, "the answer is lost")
        libvirtd.start()
        self.assertEqual(state("low"), "paused")
        wait_until(lambda: self.log_has("low: the last resort has paused it after all"), 30, "it is known to be paused")
        self.give_memory()
        took = wait_until(lambda: state("low") == "running", 30, "low runs again")
        log(f"paused by a libvirtd that was killed, it ran again {took:.1f} s after the host had memory")
        self.assertEqual(state("mine"), "paused")
        daemon.stop()
        self.assertEqual((state("low"), state("high"), state("mine")), ("running", "running", "paused"))

    def test_save(self) -> None:
        daemon = self.overrun("save")
        wait_until(lambda: self.log_has("cannot be saved"), 60, "a save to a tmpfs is refused")
        self.assertIn("in memory itself", daemon.log())
        self.assertEqual((state("low"), state("high")), ("running", "running"))
        time.sleep(3)  # alerts are looked at once a second
        told = daemon.json("alerts")
        self.assertNotIn("LastResort", [alert["name"] for alert in told["firing"] + told["recent"]], "nothing was done that it could tell of")
        daemon.stop()
        os.makedirs(SAVES, exist_ok=True)
        os.makedirs(f"{self.lab.folder}/save", exist_ok=True)
        subprocess.run(["mount", "--bind", f"{self.lab.folder}/save", SAVES], check=True)
        self.addCleanup(subprocess.run, ["umount", SAVES], check=False)
        low, before = self.guest("low"), self.guest("low").resources().rss
        marks = low.load.guest()
        daemon.start()
        wait_until(lambda: state("low") == "shut off", 60, "low is saved")
        log(f"{mib(before)} saved in a file of {mib(os.stat(f'{SAVES}/low.save').st_size)}")
        alert = self.wait_taken(daemon)
        self.assertEqual((alert["subject"], alert["numbers"]["action"]), ("low", 2))
        self.assertIn("saved to disk", alert["message"])
        wait_until(lambda: "saved to disk: `virsh start`" in daemon.log(), 5, "that is said")
        self.assertEqual((state("high"), state("mine")), ("running", "paused"), "one was enough")
        self.assertEqual(daemon.stop(), 0)
        virsh("start", "low")
        low.load.port.close()
        low.qmp.close()
        low.qmp, low.load = Qmp(f"{SOCKETS}/low.qmp"), Load(low.channel_path("org.aerostat.lab.0"), 60)
        low.load.names.add("growth")
        self.assertGreaterEqual(low.load.guest()["anon_bytes"], marks["anon_bytes"], "it goes on where it was")

    def test_command(self) -> None:
        path, said = f"{self.lab.folder}/resort", f"{self.lab.folder}/resort.json"
        with open(path, "w", encoding="ascii") as file:
            file.write(f"#!/bin/sh\ncat > {said}.new && mv {said}.new {said}\n")
        os.chmod(path, stat.S_IRWXU)
        daemon = self.overrun("command", "--dry-run", command=f"{path} low")
        wait_until(lambda: self.log_has("it would be left to the command"), 60, "a dry run says what it would do")
        time.sleep(1)
        self.assertFalse(os.path.exists(said))
        daemon.stop()
        daemon.start()
        wait_until(lambda: os.path.exists(said), 60, "the command has run")
        with open(said, encoding="utf-8") as file:
            heard = json.load(file)
        self.assertEqual((heard["event"], heard["vm"]["name"], heard["vm"]["priority"], heard["status"]["state"]),
                         ("last_resort", "low", 10, "critical"))
        self.assertEqual((state("low"), state("high")), ("running", "running"))


if __name__ == "__main__":
    main()
