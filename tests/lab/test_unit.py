#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The daemon with what its systemd unit leaves it: these capabilities, and a file system that is read-only but for a few folders."""

import os
import re
import shlex
import subprocess

from aerolab import MIB, Aerostatd, LabCase, Options, log, main, wait_until
from aerolab.guest import SOCKETS
from aerolab.ksm import CONFIG, knobs, number
from aerolab.machine import read_text

UNIT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../data/aerostatd.service.in")


def setting(name: str) -> list:
    """All words of a setting of the unit."""
    return [word for line in re.findall(rf"^{name}=(.*)$", read_text(UNIT), re.MULTILINE) for word in line.split()]


def mounts() -> list:
    """Mount points as ProtectSystem=strict makes them read-only: all but the kernel's own."""
    points = [line.split()[4].encode().decode("unicode_escape") for line in read_text("/proc/self/mountinfo").splitlines()]
    return [point for point in points if not re.match(r"/(proc|sys|dev)(/|$)", point) and "/host-proc" not in point]


class Unit(LabCase):
    guests = [Options("a", memory=512 * MIB), Options("b", memory=512 * MIB)]

    @classmethod
    def setUpClass(cls) -> None:
        cls.machine.exclusive()
        cls.machine.keep_ksm()
        super().setUpClass()

    def confine(self, daemon: Aerostatd) -> None:
        self.assertEqual(setting("ProtectSystem"), ["strict"])
        writable = [daemon.state_folder, SOCKETS] + [path.lstrip("-") for path in setting("ReadWritePaths")]
        capabilities = ",".join(["-all"] + ["+" + word[4:].lower() for word in setting("CapabilityBoundingSet")])
        script = ["mount --make-rprivate /"]
        script += [f"mount --bind {shlex.quote(path)} {shlex.quote(path)}" for path in writable if os.path.exists(path)]
        script += [f"mount -o remount,bind,ro {shlex.quote(path)} 2> /dev/null || true" for path in mounts()]
        script += ["! touch /etc/aerostat-test 2> /dev/null", f'exec setpriv --bounding-set={capabilities} "$0" "$@"']
        wrapper = f"{self.lab.folder}/confined"
        with open(wrapper, "w", encoding="ascii") as file:
            file.write(f"#!/bin/sh\nexec unshare -m sh -ec {shlex.quote('; '.join(script))} {daemon.program} \"$@\"\n")
        os.chmod(wrapper, 0o755)
        daemon.program = wrapper

    def test_all_that_it_does(self) -> None:
        before = knobs()
        daemon = Aerostatd(self.lab.folder, {**CONFIG, "ksm": {"mode": "on"}}, "confined")
        os.makedirs(daemon.state_folder, exist_ok=True)
        self.confine(daemon)
        self.addCleanup(daemon.stop)
        daemon.start()
        status = read_text(f"/proc/{daemon.process.pid}/status")
        log(re.search(r"CapEff:\s*\S+", status)[0])
        wait_until(lambda: number("run") == 1, 20, "KSM is steered")
        wait_until(lambda: all(guest.actual() < 512 * MIB for guest in self.lab.guests), 30, "memory moves")
        for vm in daemon.vms().values():
            self.assertGreater(vm["rss_bytes"], 50 * MIB)
        wait_until(lambda: "memory.swap" in read_text(f"{daemon.state_folder}/undo"), 10, "the groups' swap is noted")
        other = Aerostatd(self.lab.folder, CONFIG, "other")
        with self.assertRaisesRegex(RuntimeError, "another aerostatd is running"):
            other.start()
        done = subprocess.run([other.program, "--undo", "--state-dir", daemon.state_folder], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 1, "undone under a daemon that runs")
        self.assertEqual(number("run"), 1)
        for trouble in ("Permission denied", "Operation not permitted", "Read-only file system", "error:"):
            self.assertNotIn(trouble, daemon.log())
        self.assertEqual(daemon.stop(), 0)
        self.assertEqual(knobs(), before)


if __name__ == "__main__":
    main()
