#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Things that fail while memory is under control: agents, libvirtd, guests, QEMU, the daemon itself."""

import os
import signal
import subprocess
import time

from aerolab import GIB, MIB, Aerostatd, Guest, LabCase, Options, log, main, mib, size_text, wait_until

CONFIG = {"host": {"memory": "1900M"}}


class Faults(LabCase):
    guests = [Options("a"), Options("b"), Options("c")]

    def start_settled(self) -> Aerostatd:
        daemon = self.start_daemon(CONFIG)
        self.wait_heard()
        self.wait_calm()
        return daemon

    def burst(self, guest: Guest, timeout: float = 30) -> float:
        """Makes the guest need more than it has, for as long as it takes; returns after how many seconds it was given more."""
        before = guest.actual()
        guest.load.hold("burst", guest.load.guest()["available_bytes"] - 16 * MIB, ramp=150 * MIB)
        took = wait_until(lambda: guest.actual() > before + 16 * MIB, timeout, f"{guest.name} is given more than {mib(before)}")
        guest.load.free("burst")
        return took

    def test_agent_killed_and_restarted(self) -> None:
        daemon, guest = self.start_settled(), self.guest("a")
        guest.load.agent("kill")
        took = wait_until(lambda: daemon.vm("a")["source"] != "agent", 30, "the agent's silence is noticed")
        log(f"a killed agent is noticed after {took:.1f} s, then: {daemon.vm('a')['source']}, {daemon.vm('a')['state']}")
        guest.load.agent("start")
        took = wait_until(lambda: daemon.vm("a")["source"] == "agent", 20, "the restarted agent is heard")
        log(f"a restarted agent is heard after {took:.1f} s; burst answered after {self.burst(guest):.1f} s")

    def test_agent_stopped(self) -> None:
        """It holds the port and says nothing: silence is not idleness."""
        daemon, guest = self.start_settled(), self.guest("b")
        guest.load.agent("stop")
        self.addCleanup(guest.load.agent, "cont")
        wait_until(lambda: daemon.vm("b")["source"] != "agent", 30, "the agent's silence is noticed")
        self.burst(self.guest("a"))
        guest.load.agent("cont")
        wait_until(lambda: daemon.vm("b")["source"] == "agent", 20, "the agent is heard again")

    def test_libvirtd_restarted(self) -> None:
        daemon, guest = self.start_settled(), self.guest("a")
        self.lab.libvirtd.stop()
        wait_until(lambda: not daemon.status()["connected"], 10, "it is noticed")
        told = len(daemon.log())
        guest.load.hold("meanwhile", guest.load.guest()["available_bytes"] - 16 * MIB, ramp=150 * MIB)
        time.sleep(4)
        guest.load.free("meanwhile")
        self.assertEqual(daemon.ctl("status").returncode, 0)
        moves = [line for line in daemon.log()[told:].splitlines() if " -> " in line]  # small ones are told seconds after they were made
        made = [(f" {guest.name}: ", f" -> {size_text(guest.balloon_targets()[-1][1])} (") for guest in self.lab.guests]
        self.lab.libvirtd.start()
        self.assertEqual([line for line in moves if not any(name in line and target in line for name, target in made)], [],
                         "moves are told that nobody could be asked for")
        took = wait_until(lambda: len(daemon.vms()) == 3 and all(vm["state"] == "managed" for vm in daemon.vms().values()), 30,
                          "all guests are managed again")
        log(f"managed again {took:.1f} s after libvirtd came back; burst answered after {self.burst(self.guest('a')):.1f} s")

    def test_paused_guest_is_held(self) -> None:
        daemon, guest = self.start_settled(), self.guest("c")
        guest.suspend()
        self.addCleanup(guest.resume)
        wait_until(lambda: daemon.vm("c")["state"] == "held", 10, "the paused guest is held")
        paused = time.time()
        self.burst(self.guest("a"))
        shrunk = [size for stamp, size in guest.balloon_targets() if stamp > paused and size < guest.actual()]
        self.assertEqual(shrunk, [], "a paused guest was shrunk")
        guest.resume()
        wait_until(lambda: daemon.vm("c")["state"] == "managed", 20, "the resumed guest is managed")

    def test_destroyed_guest_leaves_its_memory(self) -> None:
        daemon = self.start_settled()
        guest = self.add_guest(Options("brief", memory=512 * MIB))
        wait_until(lambda: "brief" in daemon.vms(), 10, "the newcomer is seen")
        self.wait_calm()
        before = sum(self.guest(name).actual() for name in "abc")
        self.lab.remove(guest)
        wait_until(lambda: "brief" not in daemon.vms(), 10, "the destroyed guest is forgotten")
        took = wait_until(lambda: sum(self.guest(name).actual() for name in "abc") > before + 100 * MIB, 60, "the others get its memory")
        log(f"others have the memory of a destroyed guest after {took:.1f} s")

    def test_rebooted_guest_counts_at_max_until_its_balloon_confirms(self) -> None:
        daemon, guest = self.start_settled(), self.guest("b")
        guest.load.reboot()
        wait_until(lambda: daemon.vm("b")["source"] == "agent" and daemon.vm("b")["report_age_seconds"] < 3, 30, "its agent is heard again")
        took = wait_until(lambda: daemon.status()["committed_bytes"] <= daemon.status()["envelope_bytes"] and guest.actual() < GIB, 60,
                          "the rule holds again")
        log(f"inside the envelope {took:.1f} s after the agent of a rebooted guest spoke")

    def test_hung_qemu_delays_nobody(self) -> None:
        daemon, hung = self.start_settled(), self.guest("c")
        pid = hung.pid
        os.kill(pid, signal.SIGSTOP)
        self.addCleanup(os.kill, pid, signal.SIGCONT)
        slowest, answers = 0.0, []
        for turn in range(3):
            answers.append(self.burst(self.guest("a" if turn % 2 == 0 else "b")))
            start = time.monotonic()
            self.assertEqual(daemon.ctl("list").returncode, 0)
            slowest = max(slowest, time.monotonic() - start)
            for guest in (self.guest("a"), self.guest("b")):
                guest.load.free_all()
        wait_until(lambda: daemon.vm("c")["state"] in ("unknown", "held", "uncooperative"), 40, "the hung guest is found out")
        log(f"one QEMU hung: bursts answered after {', '.join(f'{a:.1f}' for a in answers)} s, list within {1000 * slowest:.0f} ms")
        self.assertLess(slowest, 0.5)
        os.kill(pid, signal.SIGCONT)
        wait_until(lambda: daemon.vm("c")["state"] == "managed", 60, "it is managed again once it answers")

    def test_qemu_that_hung_in_another_clients_call(self) -> None:
        """Our call waits behind that one for 30 s, and times out: no sign of life, and no end of it."""
        daemon, hung = self.start_settled(), self.guest("c")
        pid = hung.pid
        os.kill(pid, signal.SIGSTOP)
        self.addCleanup(os.kill, pid, signal.SIGCONT)
        with subprocess.Popen(["virsh", "dommemstat", "c"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as other:
            log(f"unresponsive after {wait_until(lambda: daemon.vm('c')['state'] == 'unknown', 30, 'it is found out'):.1f} s")
            time.sleep(32)
            os.kill(pid, signal.SIGCONT)
            self.assertEqual(other.wait(30), 0)
        log(f"managed again after {wait_until(lambda: daemon.vm('c')['state'] == 'managed', 30, 'it is managed again'):.1f} s")

    def test_second_daemon_refuses(self) -> None:
        daemon = self.start_settled()
        before = daemon.status()["vms"]
        second = Aerostatd(self.lab.folder, CONFIG, "second")
        second.socket, second.state_folder = daemon.socket, daemon.state_folder
        done = subprocess.run(second.command(), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, "(?i)already|another")
        self.assertEqual(daemon.status()["vms"], before)

    def test_killed_daemon_leaves_a_host_that_works(self) -> None:
        daemon = self.start_settled()
        sizes = [guest.actual() for guest in self.lab.guests]
        daemon.kill()
        time.sleep(2)
        self.assertEqual([guest.actual() for guest in self.lab.guests], sizes)
        daemon.start()
        self.wait_heard()
        self.burst(self.guest("a"))


if __name__ == "__main__":
    main()
