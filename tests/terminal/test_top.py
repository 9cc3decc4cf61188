#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""`aerostatctl top` in a terminal, in front of the invented manager of the unit tests: keys, order, filter, resize, every way out."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest
from typing import Dict, List, Optional

from aeroterm import Terminal, wait_until

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.path.abspath(os.environ.get("AEROLAB_BUILD") or os.path.join(HERE, "..", "..", "build"))
SKIPPED = 77
ODD_NAME = "бд-?[31m-ü"  # stub-manager.h: its escape made harmless


def program(name: str) -> str:
    path = os.path.join(BUILD, name)
    if not os.access(path, os.X_OK):
        raise unittest.SkipTest(f"{name} has not been built")
    return path


class Top(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = tempfile.mkdtemp(prefix="aerostat-top-")
        self.addCleanup(shutil.rmtree, self.folder, True)
        self.stub: Optional[subprocess.Popen] = None
        self.terminal: Terminal

    def start_stub(self, vms: int = 0) -> None:
        path = f"{self.folder}/socket"
        self.stub = subprocess.Popen([program("tests/unit/stub-aerostatd"), path, str(vms)], stdin=subprocess.DEVNULL)
        self.addCleanup(self.stop_stub)
        wait_until(lambda: os.path.exists(path), 10, "the stub listens")

    def stop_stub(self) -> None:
        if self.stub:
            self.stub.terminate()
            self.assertEqual(self.stub.wait(timeout=10), 0)
            self.stub = None

    def open(self, *args: str, width: int = 80, height: int = 24, env: Optional[Dict[str, str]] = None) -> Terminal:
        self.terminal = Terminal(self.folder, [program("aerostatctl"), "-s", f"{self.folder}/socket", "top", *args], width, height, env)
        self.addCleanup(self.terminal.close)
        return self.terminal

    def start(self, *args: str, vms: int = 0, **options) -> Terminal:
        """top, with a daemon behind it, once it shows VMs."""
        self.start_stub(vms)
        terminal = self.open(*args, **options)
        terminal.wait("web1" if vms == 0 else "vm-0")
        return terminal

    def names(self) -> List[str]:
        """Names of the VMs on the screen, from the top."""
        lines = self.terminal.lines()
        titles = next(i for i, line in enumerate(lines) if line.startswith(" NAME"))
        return [line[1:].split()[0] for line in lines[titles + 1:-1] if line.strip()]

    def selected(self) -> str:
        return next((line[1:].split()[0] for line in self.terminal.lines() if line.startswith(">")), "")

    def wait_names(self, first: List[str]) -> None:
        wait_until(lambda: self.names()[:len(first)] == first, 10, f"{first} come first, not {self.names()}")

    # What is shown --------------------------------------------------------------------------------------------------

    def test_host_and_vms(self) -> None:
        terminal = self.start()
        screen = terminal.screen()
        for text in ("tight, guarantee conditional, automation running", "Alerts     none", "12.0G of 14.2G committed, 2.25G free",
                     "3.00G of 16.0G available; capacity 14.0G (1.50 x)", "21% of the ceiling: 512M of 2.40G (30% of swap)",
                     "some 1.25%, full 0%   KSM scanning, saves 512M, takes 2.10% of a CPU"):
            self.assertIn(text, screen)
        row = next(line for line in terminal.lines() if "web1" in line)
        # 1.5 of 4 GiB used, 0.4 cache, 0.1 free, 2 in the balloon
        bar = re.search("(█+)(▓+)(░*)(·+)", row)
        self.assertIsNotNone(bar, row)
        width = len(bar[0])
        self.assertGreater(width, 15)
        for part, share in zip(bar.groups(), (1.5 / 4, 0.4 / 4, 0.1 / 4, 2 / 4)):
            self.assertAlmostEqual(len(part), share * width, delta=1)
        self.assertEqual(row.split()[-5:], ["2.00G", "4.00G", "1.92G", "0", "0.3%"])
        self.assertIn("▒" * width, screen)  # a VM of which nothing is known
        self.assertFalse(any(len(line) > 80 for line in terminal.lines()))

    def test_plain_ascii(self) -> None:
        terminal = self.start(env={"LC_ALL": "C"})
        screen = terminal.screen()
        self.assertTrue(screen.isascii(), screen)
        self.assertRegex(screen, r"web1 +managed +#+=+-*\.+ ")
        self.assertIn("??-?[31m-?", screen)

    def test_colours(self) -> None:
        terminal = self.start()
        self.assertRegex(terminal.screen("-e"), "\x1b\\[[0-9;]*3[1-3]m")

    def test_no_colours(self) -> None:
        for env in ({"NO_COLOR": "1"}, {"TERM": "vt220"}):
            with self.subTest(env=env):
                terminal = self.start(env=env)
                self.assertNotRegex(terminal.screen("-e"), "\x1b\\[[0-9;]*3[0-7]m")
                terminal.close()
                self.stop_stub()

    def test_nothing_of_a_name_reaches_the_terminal(self) -> None:
        terminal = self.start()
        self.assertEqual(self.names()[0], ODD_NAME)
        terminal.keys("Enter")
        terminal.wait(f"{ODD_NAME}: 2 GiB, uses more than it may")

    def test_calm(self) -> None:
        """What does not change is not drawn again."""
        terminal = self.start("--interval", "100ms")
        terminal.wait("tight")
        log = f"{self.folder}/drawn"
        terminal.tmux("pipe-pane", f"cat > {log}")
        clock = terminal.lines()[0].split()[-1]
        ticks = []
        for _ in range(3):
            terminal.wait(lambda screen: screen.split("\n")[0].split()[-1] not in (clock, *ticks))
            ticks.append(terminal.lines()[0].split()[-1])
        drawn = os.path.getsize(log)
        self.assertLess(drawn, 4 * 100, "only the clock changes, once a second")

    # Keys -----------------------------------------------------------------------------------------------------------

    def test_order(self) -> None:
        terminal = self.start(vms=36)
        self.wait_names([ODD_NAME, "vm-0009", "vm-0014", "vm-0019"])  # misbehaves; wait 8 %
        terminal.keys("n")
        self.wait_names(["db-1", "fixed", "new", "silent", "vm-0006", "vm-0007"])
        terminal.keys("n")
        self.wait_names([ODD_NAME, "web1", "vm-0035"])
        terminal.keys("s")
        self.wait_names(["vm-0006", "vm-0013", "vm-0020"])
        terminal.keys("c")
        self.wait_names(["vm-0010", "vm-0021", "vm-0032", "vm-0009"])
        terminal.wait("COMMIT")  # the column that it is ordered by is shown, wide or not
        terminal.keys("p")
        self.wait_names([ODD_NAME, "vm-0009"])
        terminal.keys(">")
        self.wait_names(["db-1"])
        terminal.wait("sort: name")
        terminal.keys("<")
        terminal.wait("sort: pressure")

    def test_filter(self) -> None:
        terminal = self.start(vms=30)
        terminal.keys("/")
        terminal.type("VM-002")
        terminal.wait("Name contains: VM-002_   10 of 30")
        self.assertEqual(sorted(self.names()), [f"vm-{i:04}" for i in range(20, 30)])
        terminal.keys("BSpace", "BSpace")
        terminal.wait("24 of 30")
        terminal.keys("Enter", "n")
        self.wait_names(["vm-0006", "vm-0007"])
        terminal.wait('"VM-0"')
        terminal.keys("/", "Escape")
        self.wait_names(["db-1", "fixed"])
        terminal.keys("/")
        terminal.type("бд")
        terminal.wait("1 of 30")
        self.wait_names([ODD_NAME])
        terminal.type("qqq")
        terminal.wait("No VM has that in its name")
        terminal.keys("C-u", "Escape")
        self.wait_names(["db-1"])

    def test_scrolling(self) -> None:
        terminal = self.start(vms=1000)
        terminal.keys("n")
        self.wait_names(["db-1"])
        terminal.keys("End")
        wait_until(lambda: self.selected() == ODD_NAME, 10, "the last one is selected")
        terminal.keys("Up", "Up")
        wait_until(lambda: self.selected() == "vm-0999", 10, "two rows up")
        terminal.keys("Home")
        self.wait_names(["db-1"])
        terminal.keys("NPage")
        wait_until(lambda: self.selected().startswith("vm-00"), 10, "a page down")
        terminal.keys("PPage", "j", "j", "k")
        wait_until(lambda: self.selected() == "fixed", 10, "one below the first")
        terminal.keys("s")  # what is selected stays selected
        wait_until(lambda: self.selected() == "fixed" and "sort: swap" in terminal.screen(), 10, "still the same one")

    def test_help(self) -> None:
        terminal = self.start()
        for leave in ("q", "Escape", "?"):
            terminal.keys("?")
            terminal.wait("The host, and a line for each virtual machine")
            terminal.keys("NPage", "NPage")
            terminal.wait("Capacity")
            terminal.keys(leave)
            terminal.wait("NAME")

    def test_explanation(self) -> None:
        terminal = self.start("--interval", "200ms")
        terminal.keys("/")
        terminal.type("web1")
        terminal.keys("Enter", "Enter")
        terminal.wait("web1: 2 GiB, its share of a short host")
        terminal.wait("It is entitled to 2.20 GiB")
        terminal.keys("End")
        terminal.wait("1.75G -> 2.00G")
        terminal.resize(60, 12)
        terminal.keys("Home")
        terminal.wait("web1: 2 GiB")
        terminal.keys("Escape")
        terminal.wait("NAME")
        self.assertEqual(self.names(), ["web1"])

    # The window -----------------------------------------------------------------------------------------------------

    def test_resize(self) -> None:
        terminal = self.start(vms=40)
        for width, height in ((150, 40), (20, 5), (1, 1), (3, 2), (10, 3), (200, 6), (40, 60), (80, 24)):
            terminal.resize(width, height)
            if width >= 20:
                terminal.wait(lambda screen, height=height: "Host" in screen and ODD_NAME[:5] in screen and len(screen.split("\n")) == height + 1)
            for key in ("?", "q", "Enter", "q", "/", "x", "Escape"):
                terminal.keys(key)
        self.wait_names([ODD_NAME, "vm-0009"])
        terminal.resize(170, 24)
        terminal.wait("REASON")
        terminal.wait("uses more than it may")
        terminal.keys("q")
        self.assertEqual(terminal.ended(), 0)
        terminal.check_restored(self)

    # Ways out -------------------------------------------------------------------------------------------------------

    def check_end(self, how, code: int) -> None:
        terminal = self.start()
        self.assertEqual(terminal.fact("alternate_on"), "1")
        how(terminal)
        self.assertEqual(terminal.ended(), code)
        terminal.check_restored(self)

    def test_q(self) -> None:
        self.check_end(lambda terminal: terminal.keys("q"), 0)

    def test_escape(self) -> None:
        self.check_end(lambda terminal: terminal.keys("Escape"), 0)

    def test_control_c(self) -> None:
        self.check_end(lambda terminal: terminal.keys("C-c"), 0)

    def test_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
            with self.subTest(signal=number.name):
                self.check_end(lambda terminal, number=number: terminal.kill(number), 0 if number == signal.SIGINT else 128 + number)
                self.terminal.close()
                self.stop_stub()

    def test_crash(self) -> None:
        for number in (signal.SIGSEGV, signal.SIGABRT):
            with self.subTest(signal=number.name):
                self.check_end(lambda terminal, number=number: terminal.kill(number), 128 + number)
                self.terminal.close()
                self.stop_stub()

    def test_stopped_terminal(self) -> None:
        """Output that nobody takes is not waited for: a signal ends it all the same."""
        terminal = self.start("--interval", "100ms")
        terminal.keys("C-s")
        first = terminal.lines()[0]
        self.stop_stub()
        with self.assertRaises(AssertionError):  # nothing is drawn
            terminal.wait(lambda screen: screen.split("\n")[0] != first, 2)
        terminal.kill(signal.SIGTERM)
        wait_until(terminal.gone, 10, "it ends")
        terminal.keys("C-q")  # for the shell around it
        self.assertEqual(terminal.ended(), 128 + signal.SIGTERM)
        terminal.check_restored(self)

    def test_terminal_goes_away(self) -> None:
        terminal = self.start()
        terminal.close()
        wait_until(terminal.gone, 10, "it ends with its terminal")

    # The daemon -----------------------------------------------------------------------------------------------------

    def test_daemon_goes_and_comes_back(self) -> None:
        terminal = self.start("--interval", "200ms")
        self.stop_stub()
        terminal.wait("aerostatd is not running; trying again")
        self.assertIn("web1", terminal.screen())  # what is known stays
        terminal.keys("Down", "Enter")
        terminal.wait("Asking aerostatd")
        self.start_stub()
        terminal.wait("Host       tight")
        terminal.wait("It needs")
        terminal.keys("q", "q")
        self.assertEqual(terminal.ended(), 0)
        terminal.check_restored(self)

    def test_daemon_hangs(self) -> None:
        """Keys work while it does not answer, and so do signals."""
        terminal = self.start("--interval", "100ms")
        self.stub.send_signal(signal.SIGSTOP)
        try:
            terminal.keys("?")
            terminal.wait("The host, and a line for each virtual machine")
            terminal.wait("aerostatd does not answer", 20)
        finally:
            self.stub.send_signal(signal.SIGCONT)
        terminal.keys("q")
        terminal.wait("Host       tight")

    def test_no_daemon(self) -> None:
        terminal = self.open()
        self.assertEqual(terminal.ended(), 3)
        self.assertIn("aerostatd is not running", terminal.screen())
        terminal.check_restored(self)

    def test_terminals_that_will_not_do(self) -> None:
        self.start_stub()
        for term, text in (("nonsense", 'the terminal "nonsense" is not known here'), ("dumb", 'the terminal "dumb" cannot place its cursor')):
            terminal = self.open(env={"TERM": term})
            self.assertEqual(terminal.ended(), 1)
            terminal.wait(text)
            terminal.check_restored(self)
            terminal.close()


def main() -> None:
    result = unittest.main(module="__main__", exit=False, verbosity=2).result
    if not result.wasSuccessful():
        sys.exit(1)
    sys.exit(SKIPPED if result.testsRun == len(result.skipped) else 0)


if __name__ == "__main__":
    main()
