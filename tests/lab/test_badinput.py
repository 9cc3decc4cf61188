#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Bad input gets a clear sentence and a non-zero exit, and changes nothing."""

import os
import signal
import subprocess
import time

from aerolab import MIB, Aerostatd, LabCase, Options, main, wait_until

CONFIG = {"host": {"memory": "1900M"}}
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]


class BadInput(LabCase):
    guests = [Options("a"), Options("b")]

    def run_program(self, *command: str) -> subprocess.CompletedProcess:
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20, check=False)

    def assert_refused(self, done: subprocess.CompletedProcess, code: int, says: str) -> None:
        what = f"{' '.join(done.args)}: exit {done.returncode}, says {done.stderr!r}"
        self.assertEqual(done.returncode, code, what)
        self.assertRegex(done.stderr, says, what)
        self.assertGreater(len(done.stderr.split()), 2, f"not a sentence: {what}")

    def settled(self) -> Aerostatd:
        """Σ max fits this budget, so nothing moves unless it is told to."""
        daemon = self.start_daemon({"host": {"memory": "4G"}})
        self.wait_heard()
        return daemon

    def test_set(self) -> None:
        daemon = self.settled()
        before = {name: (vm["target_bytes"], vm["state"]) for name, vm in daemon.vms().items()}
        for words, code, says in (
            (("a", "512"), 2, "(?i)unit"),
            (("a", "-1G"), 2, "-1G"),
            (("a", "1e9"), 2, "1e9"),
            (("a", "99999999999G"), 2, "99999999999G"),
            (("a", ""), 2, "(?i)empty"),
            (("a",), 2, "(?i)size|usage"),
            (("nosuch", "512M"), 1, "nosuch"),
            (("a", "2G"), 1, "(?i)max"),
            (("a", "100M"), 1, "(?i)floor"),
            (("a", "512M", "--for", "5"), 2, "(?i)unit|duration"),
            (("a", "512M", "--bogus"), 2, "--bogus"),
        ):
            with self.subTest(set=words):
                self.assert_refused(daemon.ctl("set", *words), code, says)
        self.assertEqual({name: (vm["target_bytes"], vm["state"]) for name, vm in daemon.vms().items()}, before)

    def test_beyond_the_envelope(self) -> None:
        daemon = self.start_daemon(CONFIG)
        wait_until(lambda: daemon.status()["committed_bytes"] <= daemon.status()["envelope_bytes"], 30, "the rule holds")
        daemon.ctl("set", "b", "1G", "--force")
        self.assert_refused(daemon.ctl("set", "a", "1G"), 1, "[0-9.]+ GiB.*--force")

    def test_verbs(self) -> None:
        daemon = self.settled()
        for words, code, says in (
            ((), 2, "(?i)usage|verb"),
            (("stauts",), 2, "status"),
            (("show", "nosuch"), 1, "nosuch"),
            (("auto", "nosuch"), 1, "nosuch"),
            (("pause", "a"), 2, "virsh suspend"),
            (("--bogus",), 2, "bogus"),
        ):
            with self.subTest(words=words):
                self.assert_refused(daemon.ctl(*words), code, says)
        self.assertEqual(daemon.status()["automation"], "running")

    def test_no_daemon_and_no_permission(self) -> None:
        daemon = self.settled()
        refused = self.run_program(*NOBODY, daemon.ctl_program, "-s", daemon.socket, "set", "a", "512M")
        self.assertNotEqual(refused.returncode, 0)
        self.assertRegex(refused.stderr, "(?i)permi|allow")
        daemon.stop()
        self.assert_refused(daemon.ctl("status"), 3, "(?i)aerostatd|daemon")

    def test_config_files(self) -> None:
        daemon = Aerostatd(self.lab.folder, CONFIG, "bad")
        for text, says in (
            ("[host]\nmemry = 4G\n", "2.*memory"),
            ("[hots]\n", "1.*host"),
            ("[host]\nmemory = 4\n", "2.*unit"),
            ("[host]\nmemory = 4G\nmemory = 5G\n", "3"),
            ("[host]\nmode = garanteed\n", "2.*guaranteed"),
            ("[swap]\nceiling = 130%\n", "2.*100"),
            ("[policy]\nfloor = -5%\n", "2"),
            ("[host\n", "1"),
            ("memory = 4G\n", "1"),
            ("# " + "x" * 300 + " memory = 4G\n", "1"),
        ):
            with self.subTest(config=text[:40]):
                with open(daemon.config_path, "w", encoding="utf-8") as file:
                    file.write(text)
                self.assert_refused(self.run_program(daemon.program, "-c", daemon.config_path, "--check-config"), 1, says)
                self.assert_refused(self.run_program(*daemon.command("--once")), 1, says)
        os.unlink(daemon.config_path)
        self.assert_refused(self.run_program(*daemon.command("--once")), 1, "(?i)no such file")

    def test_reload_of_a_bad_config_changes_nothing(self) -> None:
        daemon = self.settled()
        before = daemon.status()["envelope_bytes"]
        daemon.write_config({"host": {"memory": "3G", "reserv": "1G"}})
        daemon.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "reserv" in daemon.log(), 5, "the bad key is named in the log")
        time.sleep(3)
        self.assertAlmostEqual(daemon.status()["envelope_bytes"], before, delta=64 * MIB)
        daemon.write_config({"host": {"memory": "3G"}})
        daemon.process.send_signal(signal.SIGHUP)
        wait_until(lambda: daemon.status()["envelope_bytes"] < before - 512 * MIB, 10, "a good config is taken")

    def test_daemon_without_libvirt_or_permission(self) -> None:
        daemon = Aerostatd(self.lab.folder, CONFIG, "lonely")
        command = daemon.command("--once")
        command[command.index("--connect") + 1] = "qemu+unix:///system?socket=/nonexistent"
        self.assert_refused(self.run_program(*command), 1, "(?i)libvirt")
        refused = self.run_program(*NOBODY, *daemon.command("--once"))
        self.assertNotEqual(refused.returncode, 0)
        self.assertGreater(len(refused.stderr.split()), 2)

    def test_unknown_option(self) -> None:
        daemon = Aerostatd(self.lab.folder, CONFIG, "options")
        self.assert_refused(self.run_program(daemon.program, "--bogus"), 2, "bogus")


if __name__ == "__main__":
    main()
