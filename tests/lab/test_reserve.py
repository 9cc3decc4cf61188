#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""A VM that starts into a full host: the hook has its memory set aside first."""

import os
import shlex
import time

from aerolab import GIB, LabCase, Options, log, main, mib, wait_until
from aerolab.daemon import require
from aerolab.guest import domain_xml
from aerolab.lab import SOURCE
from aerolab.libvirtd import VirshError, virsh

HOOK = "/etc/libvirt/hooks/qemu"
CONFIG = {"host": {"memory": "2600M"}, "hook": {"on-error": "refuse"}}


class Reserve(LabCase):
    guests = [Options("a"), Options("b")]

    @classmethod
    def setUpClass(cls) -> None:
        # libvirtd looks for hooks when it starts.
        os.makedirs(os.path.dirname(HOOK), exist_ok=True)
        cls.write_hook("/nowhere")
        super().setUpClass()

    @staticmethod
    def write_hook(socket: str) -> None:
        with open(HOOK, "w", encoding="ascii") as file:
            file.write(f"#!/bin/sh\nAEROSTATCTL={shlex.quote(require('aerostatctl'))} AEROSTAT_SOCKET={shlex.quote(socket)} "
                       f"exec {shlex.quote(os.path.join(SOURCE, 'tools/hooks/qemu'))} \"$@\"\n")
        os.chmod(HOOK, 0o755)

    def start_full(self):
        daemon = self.start_daemon(CONFIG)
        self.write_hook(daemon.socket)
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

    def test_without_a_daemon_it_starts(self) -> None:
        self.write_hook("/nowhere")
        self.define("e", GIB // 4)
        virsh("start", "e")
        virsh("destroy", "e")

    def test_what_was_set_by_hand_survives_a_restart(self) -> None:
        daemon = self.start_daemon(CONFIG)
        wait_until(lambda: len(daemon.vms()) == 2, 10, "both are known")
        daemon.json("limits", "a", "--weight", "3000")
        daemon.json("limits", "b", "--floor", "30%", "--persist")
        daemon.json("set", "a", "700M", "--for", "1h")
        wait_until(lambda: daemon.ctl("reserve", "64M").returncode == 0, 10, "its VMs are all heard of")
        wait_until(lambda: "reserve" in open(f"{daemon.state_folder}/state", encoding="utf-8").read(), 5, "the state is written")
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
