#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A VM that starts into a full host: the hook has its memory set aside first."""

import os
import threading
import time

from aerolab import GIB, LabCase, Options, log, main, mib, wait_until
from aerolab.guest import domain_xml
from aerolab.hook import prepare_hooks, write_hook
from aerolab.libvirtd import VirshError, virsh
from aerolab.machine import read_text

CONFIG = {"host": {"memory": "2600M"}, "hook": {"on-error": "refuse"}}


class Reserve(LabCase):
    guests = [Options("a"), Options("b")]

    @classmethod
    def setUpClass(cls) -> None:
        prepare_hooks()
        super().setUpClass()

    def start_full(self):
        daemon = self.start_daemon(CONFIG)
        write_hook(daemon)
        wait_until(lambda: daemon.status()["committed_bytes"] <= daemon.status()["rule_bytes"], 30, "the rule holds")
        self.wait_calm()
        self.assertLess(daemon.status()["free_bytes"], GIB, "the envelope is not full")
        return daemon

    def define(self, name: str, memory: int) -> None:
        path = f"{self.lab.folder}/{name}.xml"
        with open(path, "w", encoding="utf-8") as file:
            file.write(domain_xml(Options(name, memory=memory), self.image, self.lab.folder))
        virsh("define", path)
        self.addCleanup(virsh, "undefine", name)

    def test_room_is_made_before_the_start(self) -> None:
        daemon = self.start_full()
        swap = daemon.status()["swap"]["used_bytes"]
        free = daemon.status()["free_bytes"]
        start = time.monotonic()
        self.define("c", GIB)
        virsh("start", "c")
        took = time.monotonic() - start
        self.addCleanup(virsh, "destroy", "c")
        wait_until(lambda: "c" in daemon.vms(), 10, "the daemon has seen it")
        end, worst = time.monotonic() + 10, swap
        while time.monotonic() < end:
            status = daemon.status()
            self.assertFalse(status["unsafe"], status)
            worst = max(worst, status["swap"]["used_bytes"])
            time.sleep(0.1)
        log(f"{mib(free)} were free; a VM of 1 GiB started after {took:.1f} s; host swap {mib(swap)} -> {mib(worst)} at most")
        self.assertLessEqual(worst, swap + (1 << 20))
        self.assertEqual(daemon.json("reservations")["reservations"], [], "the reservation was not handed over")
        self.assertIn("took over reservation", daemon.log())

    def test_what_cannot_fit_is_refused_at_once(self) -> None:
        daemon = self.start_full()
        self.define("d", 4 * GIB)
        start = time.monotonic()
        with self.assertRaises(VirshError) as refused:
            virsh("start", "d")
        took = time.monotonic() - start
        log(f"refused after {1000 * took:.0f} ms: {refused.exception}")
        self.assertLess(took, 1)
        self.assertIn("is missing", str(refused.exception))
        self.assertEqual(daemon.json("reservations")["reservations"], [])

    def test_the_hook_never_deadlocks(self) -> None:
        """libvirtd holds the VM's lock while its hook runs, and listing VMs waits for all locks: nothing of ours may wait for that."""
        daemon = self.start_full()
        write_hook(daemon, linger=9)
        self.define("c", GIB // 2)
        starter = threading.Thread(target=virsh, args=("start", "c"))
        start = time.monotonic()
        starter.start()
        self.addCleanup(virsh, "destroy", "c")
        wait_until(lambda: daemon.json("reservations")["reservations"], 5, "the hook has asked")
        targets = len(self.guest("a").balloon_targets())
        daemon.json("set", "a", "400M")
        wait_until(lambda: len(self.guest("a").balloon_targets()) > targets, 3, "a VM is moved while a hook runs")
        wait_until(lambda: daemon.json("reservations")["reservations"][0]["met"], 10, "the others have made room")
        # A daemon that starts now cannot list the VMs until the hook has ended; it answers all the same.
        daemon.kill()
        daemon.start(timeout=3)
        slowest = 0.0
        while starter.is_alive() and time.monotonic() - start < 30:
            before = time.monotonic()
            daemon.status()
            slowest = max(slowest, time.monotonic() - before)
            time.sleep(0.1)
        took = time.monotonic() - start
        starter.join()
        log(f"a start of {took:.1f} s with a daemon that was killed in it: its slowest answer meanwhile took {1000 * slowest:.0f} ms")
        self.assertLess(slowest, 1)
        self.assertLess(took, 20)
        wait_until(lambda: sorted(daemon.vms()) == ["a", "b", "c"], 10, "the new daemon has found all")
        self.assertEqual(daemon.json("show", "a")["pin_bytes"], 400 << 20)

    def test_without_a_daemon_on_error_says(self) -> None:
        daemon = self.start_daemon({**CONFIG, "hook": {"on-error": "allow"}})
        write_hook(daemon)
        daemon.stop()
        self.define("e", GIB // 4)
        virsh("start", "e")
        virsh("destroy", "e")
        daemon.write_config(CONFIG)
        with self.assertRaises(VirshError) as refused:
            virsh("start", "e")
        self.assertIn("aerostatd is not running", str(refused.exception))
        self.assertIn("on-error = refuse", str(refused.exception))

    def test_a_daemon_that_has_just_started(self) -> None:
        """Whether it knows enough to promise, or not yet, the answer comes soon, and a few seconds later all is as ever."""
        for attempt in range(3):
            daemon = self.start_daemon(CONFIG)
            write_hook(daemon)
            self.define(f"f{attempt}", GIB)  # more than half of what the floors of the others leave
            start, refusal = time.monotonic(), ""
            try:
                virsh("start", f"f{attempt}")
            except VirshError as error:
                refusal = str(error)
                self.assertIn("has just started", refusal)
                wait_until(lambda: daemon.ctl("reserve", "1M", "--ttl", "1s").returncode == 0, 10, "it knows all VMs")
                virsh("start", f"f{attempt}")
            log(f"attempt {attempt + 1}: {'first refused, ' if refusal else ''}started after {time.monotonic() - start:.1f} s")
            self.assertLess(time.monotonic() - start, 20)
            virsh("destroy", f"f{attempt}")
            daemon.stop()

    def test_autostarted_before_the_daemon(self) -> None:
        self.define("g", GIB // 4)
        virsh("autostart", "g")
        write_hook(None)
        # libvirtd starts those marked so once in a boot of the host, which it notes here.
        self.lab.libvirtd.stop()
        os.unlink("/run/libvirt/qemu/autostarted")
        self.lab.libvirtd.start()
        wait_until(lambda: "running" in virsh("domstate", "g"), 10, "libvirtd has started it")
        self.addCleanup(virsh, "destroy", "g")
        daemon = self.start_daemon(CONFIG)
        wait_until(lambda: sorted(daemon.vms()) == ["a", "b", "g"], 10, "all are taken over")
        self.assertGreaterEqual(daemon.vm("g")["committed_bytes"], GIB // 8)
        wait_until(lambda: daemon.status()["committed_bytes"] <= daemon.status()["rule_bytes"], 30, "the rule holds with it")

    def test_what_was_set_by_hand_survives_a_restart(self) -> None:
        daemon = self.start_daemon(CONFIG)
        wait_until(lambda: len(daemon.vms()) == 2, 10, "both are known")
        daemon.json("limits", "a", "--weight", "3000")
        daemon.json("limits", "b", "--floor", "30%", "--persist")
        daemon.json("set", "a", "700M", "--for", "1h")
        wait_until(lambda: daemon.ctl("reserve", "64M").returncode == 0, 10, "its VMs are all heard of")
        wait_until(lambda: "reserve" in read_text(f"{daemon.state_folder}/state"), 5, "the state is written")
        daemon.kill()
        daemon.start()
        wait_until(lambda: len(daemon.vms()) == 2, 10, "both are known again")
        self.assertEqual(daemon.vm("a")["weight"], 3000)
        self.assertEqual(daemon.json("show", "a")["pin_bytes"], 700 << 20)
        self.assertEqual(daemon.vm("b")["floor_bytes"], GIB * 3 // 10)
        self.assertIn("floor=", virsh("dumpxml", "b"))
        self.assertEqual(len(daemon.json("reservations")["reservations"]), 1)


if __name__ == "__main__":
    main()
