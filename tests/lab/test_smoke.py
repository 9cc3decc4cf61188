#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The lab itself: guests boot, work, obey their balloon, and vanish. Aerostat takes no part."""

import time

from aerolab import GIB, MIB, LabCase, Options, log, main, wait_until


class Smoke(LabCase):
    guests = [Options("a", agent=False), Options("b", agent=False, swap=256 * MIB), Options("c", agent=False, autodeflate=True)]

    def test_load_and_memory(self) -> None:
        guest = self.guest("a")
        before = guest.load.guest()
        guest.load.hold("hot", 200 * MIB, ramp=400 * MIB, rate_hz=10)
        guest.load.cache("file", 100 * MIB)
        time.sleep(4)
        work, file, now = guest.load.work("hot"), guest.load.work("file"), guest.load.guest()
        self.assertEqual(work["filled_bytes"], 200 * MIB)
        self.assertEqual(file["filled_bytes"], 100 * MIB)
        self.assertGreater(work["passes"], 10)
        self.assertGreater(now["anon_bytes"] - before["anon_bytes"], 195 * MIB)
        self.assertGreater(now["buffers_bytes"] - before["buffers_bytes"], 95 * MIB)
        guest.load.free("hot")
        self.assertLess(guest.load.guest()["anon_bytes"], before["anon_bytes"] + 5 * MIB)
        guest.load.free("file")
        log(f"{work['passes']} passes of {work['due']} over 200 MiB, p99 {work['p99_usec'] / 1000:.1f} ms")

    def test_watch_sees_a_burst(self) -> None:
        guest = self.guest("a")
        uncertainty = guest.load.align_clocks()
        guest.load.watch_headroom(reserved=0)
        start = time.time()
        guest.load.hold("burst", 850 * MIB, ramp=400 * MIB)
        crossed = guest.load.wait_crossed(timeout=20)
        guest.load.free("burst")
        log(f"crossed after {crossed - start:.3f} s; clocks within {uncertainty * 1000:.1f} ms")
        self.assertLess(uncertainty, 0.05)
        self.assertTrue(1.0 < crossed - start < 6.0)

    def test_balloon(self) -> None:
        guest = self.guest("b")
        start = time.time()
        guest.set_memory(512 * MIB)
        took = wait_until(lambda: guest.actual() == 512 * MIB, 30, "the balloon inflates")
        guest.set_memory(GIB)
        wait_until(lambda: guest.actual() == GIB, 30, "the balloon deflates")
        targets = guest.balloon_targets()
        self.assertEqual([size for _, size in targets][-2:], [512 * MIB, GIB])
        self.assertTrue(start <= targets[-2][0] <= time.time())
        log(f"512 MiB inflated in {took:.1f} s; setMemory reached QEMU {1000 * (targets[-2][0] - start):.0f} ms after virsh was started")

    def test_swap(self) -> None:
        memory = self.guest("b").load.guest()
        self.assertGreater(memory["swap_total_bytes"], 250 * MIB)

    def test_oom_kill_takes_the_work_only(self) -> None:
        guest = self.guest("c")
        guest.load.hold("huge", 2 * GIB)
        guest.load.port.wait_event(lambda event: event.get("name") == "huge" and event["signal"] == 9, 60)
        self.assertEqual(guest.load.guest()["oom_kills"], 1)

    def test_libvirtd_restart_keeps_guests(self) -> None:
        pid = self.guest("a").pid
        self.lab.libvirtd.restart()
        self.assertEqual(self.guest("a").pid, pid)
        self.assertTrue(self.guest("a").resources().running)

    def test_reboot(self) -> None:
        self.guest("a").load.reboot()
        self.assertGreater(self.guest("a").load.guest()["total_bytes"], 900 * MIB)


if __name__ == "__main__":
    main()
