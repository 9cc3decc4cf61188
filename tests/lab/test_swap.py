#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Swap under control: guests whose bursts together overrun a small host with 1 GiB of real swap, while their hot sets fit."""

import json
import mmap
import os
import signal
import socket
import subprocess
import threading
import time
import unittest
from random import Random
from typing import Any, Callable, Dict, List, Tuple

from aerolab import GIB, MIB, Aerostatd, Guest, LabCase, Options, log, main, mib, only_long, wait_until
from aerolab.ksm import knobs
from aerolab.load import Load, LoadError
from aerolab.machine import meminfo, read_text

SWAP = GIB
LEFT = 2000 * MIB           # available to the guests and what else runs here, once the host has been made small
HOT, BURST, CACHE = 60 * MIB, 450 * MIB, 100 * MIB
NAMES = ("a", "b", "c", "d")
RAMP = 100 * MIB
SEED = int(os.environ.get("AEROLAB_SEED", "1"))
MADV_PAGEOUT = 21


def config(mode: str, ksm: str = "off") -> Dict[str, Dict[str, str]]:
    return {"host": {"reserve": "300M", "mode": mode}, "policy": {"floor": "128M"}, "ksm": {"mode": ksm}}


def swap_used(path: str) -> int:
    for line in read_text("/proc/swaps").splitlines()[1:]:
        words = line.split()
        if words[0].endswith(os.path.basename(path)):
            return int(words[3]) * 1024
    return 0


class Watch:
    """The peak of swap, seen ten times a second, and how much of it the guests had."""

    def __init__(self, path: str, guests: List[Guest]) -> None:
        self.path, self.guests, self.stopping = path, guests, threading.Event()
        self.before, self.peak, self.of_guests, self.least_available = swap_used(path), 0, 0, 1 << 62

    def __enter__(self) -> "Watch":
        self.thread = threading.Thread(target=self.loop, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self.thread.join()

    def loop(self) -> None:
        while not self.stopping.wait(0.1):
            used = swap_used(self.path)
            if used > self.peak:
                self.peak, self.of_guests = used, self.guests_have()
            self.least_available = min(self.least_available, meminfo()["MemAvailable"])

    def guests_have(self) -> int:
        total = 0
        for guest in self.guests:
            try:
                total += guest.resources().swap
            except OSError:
                pass  # it is lost
        return total

    @property
    def share(self) -> float:
        return self.peak / SWAP

    def __str__(self) -> str:
        return (f"swap peak {100 * self.share:.1f} % ({mib(self.peak)}, {mib(self.of_guests)} of guests; {mib(self.before)} before), "
                f"least available {mib(self.least_available)}")


class Swap(LabCase):
    swap: str

    @classmethod
    def setUpClass(cls) -> None:
        cls.machine.exclusive()
        if meminfo()["SwapTotal"] > 0:
            raise unittest.SkipTest("this machine swaps already")
        cls.machine.keep_ksm()
        super().setUpClass()
        cls.swap = cls.machine.add_swap(SWAP)
        cls.addClassCleanup(cls.machine.remove_swap, cls.swap)

    def setUp(self) -> None:
        self.addCleanup(self.machine.give_back)
        self.machine.leave_available(LEFT)
        log(f"the host is made smaller: {mib(meminfo()['MemAvailable'])} available, {mib(meminfo()['Cached'])} cached")
        # Without free page reporting what was touched once stays: the worst case for a host. A swap of their own, so that a burst that has to wait
        # slows the guest down.
        options = [Options(name, reporting=False, swap=512 * MIB) for name in NAMES]
        self.addCleanup(lambda: self.lab.remove(*list(self.lab.guests)))
        self.lab.add(*options, will_use=0)

    def wait_filled(self, pair: Tuple[str, str], deadline: float) -> None:
        """Until both bursts are there: how fast that goes is the machine's affair, and a guest that is short waits."""
        for name in pair:
            try:
                while self.guest(name).load.work("burst")["filled_bytes"] < BURST and time.monotonic() < deadline:
                    time.sleep(0.5)
            except (OSError, LoadError):
                pass  # it is lost, or was killed inside the guest

    def burst(self) -> None:
        """Pairs of guests burst, each pair in its turn; all have a hot set and read a file."""
        for name in NAMES:
            self.guest(name).load.hold("hot", HOT, ramp=RAMP, rate_hz=5)
            self.guest(name).load.cache("file", CACHE, ramp=RAMP)
        for pair in (("a", "b"), ("c", "d"), ("a", "c"), ("b", "d")):
            for name in pair:
                try:
                    self.guest(name).load.hold("burst", BURST, ramp=RAMP, rate_hz=1)
                except OSError:
                    log(f"{name} is lost")
            self.wait_filled(pair, time.monotonic() + 45)
            time.sleep(8)
            for name in pair:
                try:
                    self.guest(name).load.free("burst")
                except OSError:
                    pass

    def lost(self) -> List[str]:
        return [guest.name for guest in self.lab.guests if not os.path.exists(f"/proc/{guest.pid}")]

    def kill_again_and_again(self, daemon: Aerostatd, until: Callable[[], bool]) -> None:
        """SIGKILL at random moments, at its start as well; what is left is taken over each time."""
        random = Random(SEED)
        kills = left = 0
        while not until():
            time.sleep(random.choice((0.0, random.uniform(0, 2), random.uniform(0, 9))))
            daemon.kill()
            kills += 1
            time.sleep(random.uniform(0, 2))
            left += os.path.exists(f"{daemon.state_folder}/undo")
            daemon.start()
        swap, ksm = (daemon.log().count(text) for text in ("swap limits that an earlier run left", "KSM is as an earlier run left it"))
        log(f"killed {kills} times (seed {SEED}), {left} times with something to undo; taken over {swap} times for swap, {ksm} for KSM")
        self.assertGreaterEqual(kills, 8)
        self.assertEqual(max(swap, ksm), left)

    def run_mode(self, mode: str, kill: bool = False) -> Watch:
        daemon = self.start_daemon(config(mode, ksm="on" if kill else "off"))
        wait_until(lambda: daemon.status()["unsafe"] is False, 90, "the rule holds after boot")
        time.sleep(3)
        with Watch(self.swap, self.lab.guests) as watch:
            thread = threading.Thread(target=self.burst)
            thread.start()
            if kill:
                self.kill_again_and_again(daemon, lambda: not thread.is_alive())
            thread.join()
        report = daemon.json("swap")
        kills = sum(guest.load.guest()["oom_kills"] for guest in self.lab.guests)
        log(f"{mode}: {watch}; lost {self.lost() or 'nobody'}; {kills} kills inside guests; "
            f"kept by {report['method']}, swappiness {report['swappiness']}")
        self.assertEqual(self.lost(), [])
        self.daemon = daemon
        return watch

    @only_long
    def test_1_without_aerostatd(self) -> None:
        with Watch(self.swap, self.lab.guests) as watch:
            self.burst()
        log(f"without aerostatd: {watch}; lost {self.lost() or 'nobody'}")
        self.assertGreater(watch.share, 0.60)

    def test_2_guaranteed(self) -> None:
        self.assertLess(self.run_mode("guaranteed").share, 0.05)
        report = self.daemon.json("swap")
        self.assertEqual(report["swappiness"], 1 if report["method"] == "cgroup_v1_swappiness" else None)

    @only_long
    def test_3_swap_backed(self) -> None:
        self.assertLess(self.run_mode("swap_backed").share, 0.33)

    @only_long
    def test_4_opportunistic(self) -> None:
        self.assertLess(self.run_mode("opportunistic").share, 0.36)

    @only_long
    def test_5_killed_again_and_again(self) -> None:
        before = knobs()
        self.run_mode("swap_backed", kill=True)
        self.assertEqual(knobs()["run"], "1")
        self.daemon.kill()
        self.assertEqual(subprocess.run([self.daemon.program, "--undo", "--state-dir", self.daemon.state_folder], check=False).returncode, 0)
        self.assertEqual(knobs(), before)
        for guest in self.lab.guests:  # nothing is left that strangles anybody
            path = [line.split(":")[2] for line in read_text(f"/proc/{guest.pid}/cgroup").splitlines() if ":memory:" in line]
            if path:
                self.assertEqual(read_text(f"/sys/fs/cgroup/memory{path[0]}/memory.swappiness").strip(),
                                 read_text("/sys/fs/cgroup/memory/memory.swappiness").strip())


def ended(load: Load) -> bool:
    return load.agent("status")["pid"] == 0


class Tools(LabCase):
    """aerostatctl swap on a real host, and the agent's zram."""

    guests = [Options("z", memory=512 * MIB, agent_zram=True), Options("s", memory=512 * MIB, agent_zram=True, swap=64 * MIB)]

    @classmethod
    def setUpClass(cls) -> None:
        cls.machine.exclusive()
        super().setUpClass()

    def test_add_and_remove(self) -> None:
        daemon = self.start_daemon({"ksm": {"mode": "leave"}})
        before = meminfo()["SwapTotal"]
        path = f"{self.lab.folder}/swapfile"
        done = daemon.ctl("swap", "add", "256M", path)
        self.assertEqual(done.returncode, 0, done.stderr)
        try:
            self.assertGreater(meminfo()["SwapTotal"], before + 250 * MIB)
            self.assertIn(f"{path} none swap", done.stdout)
            self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
            wait_until(lambda: daemon.json("swap")["disk_total_bytes"] > before + 250 * MIB, 10, "the daemon sees it")
            self.assertEqual(daemon.ctl("swap", "add", "64M", path).returncode, 1)
            self.assertEqual(daemon.ctl("swap", "ceiling", "50%").returncode, 0)
            wait_until(lambda: abs(daemon.json("swap")["ceiling_ratio"] - 0.5) < 1e-6, 5, "the ceiling is changed")
        finally:
            os.symlink(".", f"{self.lab.folder}/here")  # the kernel has it under another name than its operator
            done = daemon.ctl("swap", "remove", f"{self.lab.folder}/here/swapfile")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(meminfo()["SwapTotal"], before)
        self.assertFalse(os.path.exists(path))

    def test_no_swap_at_all(self) -> None:
        if meminfo()["SwapTotal"] > 0:
            self.skipTest("this machine swaps already")
        daemon = self.start_daemon({})
        wait_until(lambda: daemon.json("swap")["allowance_bytes"] == 0, 20, "the daemon decides")
        report = daemon.json("swap", "status")
        self.assertEqual((report["total_bytes"], report["method"], report["limit_bytes"], report["above_ceiling"]), (0, "none", None, False))
        self.assertEqual({vm["name"]: vm["swap_bytes"] for vm in report["vms"]}, {"z": 0, "s": 0})
        self.assertTrue(report["vms"] and all(vm["rss_bytes"] > 50 * MIB for vm in report["vms"]))
        self.assertIn("none; `aerostatctl swap plan`", daemon.ctl("swap").stdout)
        plan = daemon.json("swap", "plan")
        log(daemon.ctl("swap", "plan").stdout.strip().replace("\n", "; "))
        self.assertEqual((plan["total_bytes"], plan["missing_bytes"]), (0, plan["advised_bytes"]))
        self.assertFalse(os.path.exists(f"{daemon.state_folder}/undo"), "a limit of nothing was set")

    def test_what_is_no_ceiling_and_no_mode(self) -> None:
        daemon = self.start_daemon({})
        for method, parameters in (("SetSwapCeiling", {"ceiling_ratio": 1.0001}), ("SetSwapCeiling", {"ceiling_ratio": -0.1}),
                                   ("SetSwapCeiling", {"ceiling_ratio": 1e300}), ("SetSwapCeiling", {"ceiling_ratio": "30%"}),
                                   ("SetSwapCeiling", {}), ("SetKsm", {"mode": "sideways"}), ("SetKsm", {"mode": 2}),
                                   ("SwapPlan", {"vms_bytes": -1})):
            self.assertIn("error", self.call(daemon, method, parameters), (method, parameters))
        for ratio in (0.0, 1.0):
            self.assertEqual(self.call(daemon, "SetSwapCeiling", {"ceiling_ratio": ratio})["parameters"]["ceiling_ratio"], ratio)

    @staticmethod
    def call(daemon: Aerostatd, method: str, parameters: Dict[str, Any]) -> Dict[str, Any]:
        """One varlink call, past aerostatctl's own checks."""
        with socket.socket(socket.AF_UNIX) as peer:
            peer.settimeout(10)
            peer.connect(daemon.socket)
            peer.sendall(json.dumps({"method": f"org.aerostat.Host.{method}", "parameters": parameters}).encode() + b"\0")
            answer = b""
            while not answer.endswith(b"\0"):
                answer += peer.recv(65536)
        return json.loads(answer[:-1])

    def test_remove_only_what_fits(self) -> None:
        daemon = self.start_daemon({"ksm": {"mode": "leave"}})
        path = f'{self.lab.folder}/swap"file'
        self.assertEqual(daemon.json("swap", "add", "128M", path), {"path": path, "size_bytes": 128 * MIB, "added": True})
        try:
            with mmap.mmap(-1, 64 * MIB) as memory:
                for at in range(0, len(memory), 4096):
                    memory[at:at + 4096] = os.urandom(4096)
                memory.madvise(MADV_PAGEOUT)
                used = swap_used(path)
                self.assertGreater(used, 32 * MIB)
                # A reserve that leaves nothing: what is swapped would not fit.
                daemon.write_config({"host": {"reserve": f"{meminfo()['MemTotal'] - 128 * MIB >> 20}M"}})
                daemon.process.send_signal(signal.SIGHUP)
                wait_until(lambda: daemon.status()["reserve_bytes"] > meminfo()["MemAvailable"], 10, "the reserve is changed")
                done = daemon.ctl("swap", "remove", path)
                log(done.stderr.strip())
                self.assertEqual(done.returncode, 1)
                self.assertIn("would not fit", done.stderr)
                self.assertGreater(swap_used(path), 32 * MIB)
                daemon.write_config({})
                daemon.process.send_signal(signal.SIGHUP)
                wait_until(lambda: daemon.status()["reserve_bytes"] < GIB, 10, "the reserve is changed back")
                done = daemon.json("swap", "remove", path)
                log(json.dumps(done))
                self.assertGreater(done["moved_bytes"], 32 * MIB)
                self.assertGreater(done["available_bytes"] - done["reserve_bytes"], done["moved_bytes"])
                self.assertTrue(done["file_removed"])
        finally:
            if os.path.exists(path):
                daemon.ctl("swap", "remove", path)
        self.assertFalse(os.path.exists(path))

    def test_zram_of_the_agent(self) -> None:
        z, s = self.guest("z").load, self.guest("s").load
        total = z.guest()["swap_total_bytes"]
        self.assertTrue(90 * MIB < total < 130 * MIB, total)  # a quarter of what the guest has
        self.assertLess(s.guest()["swap_total_bytes"], 65 * MIB)  # has swap: none is added
        z.agent("kill")
        wait_until(lambda: ended(z), 10, "the agent is dead")
        z.agent("start")
        time.sleep(2)
        self.assertEqual(z.guest()["swap_total_bytes"], total)  # taken over
        z.agent("term")
        wait_until(lambda: z.guest()["swap_total_bytes"] == 0, 10, "zram is removed with the agent")
        wait_until(lambda: ended(z), 10, "the agent has ended")
        z.agent("start")
        wait_until(lambda: z.guest()["swap_total_bytes"] == total, 10, "and made again")
        z.hold("much", 440 * MIB, rate_hz=1)  # more than there would be without
        time.sleep(5)
        self.assertTrue(z.work("much")["running"])
        log(f"zram of {mib(total)}; {mib(total - z.guest()['swap_free_bytes'])} of it used by 440 MiB of work in a guest of 512 MiB")


if __name__ == "__main__":
    main()
