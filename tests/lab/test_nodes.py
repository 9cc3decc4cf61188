#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""NUMA nodes: real guests that libvirt binds to node 0, and a kernel that has two nodes.

This machine may have one node only. So that a node can be full here, the daemon is shown two: files in place of /sys/devices/system/node, in
which the first node has what the guests bound to it leave of a size of our choice.
"""

import os
import subprocess
import threading
import time
import unittest
from typing import Any, Dict, List

from aerolab import GIB, MIB, LabCase, Options, alone, log, main, mib, wait_until
from aerolab.machine import meminfo

SYSFS = "/sys/devices/system/node"
BOUND = "<memory mode='strict' nodeset='0'/>"


class ShownNodes:
    """Two nodes instead of the machine's. The first has `size` bytes, of which `base` are in use besides what the guests bound to it have."""

    def __init__(self, folder: str, size: int, base: int, guests: List[Any]) -> None:
        self.folder = os.path.join(folder, "nodes")
        self.size, self.base, self.guests = size, base, guests
        self.stopping = threading.Event()
        for node in (0, 1):
            os.makedirs(f"{self.folder}/node{node}", exist_ok=True)
        for name in ("has_memory", "online"):
            self.write(name, "0-1\n")
        self.update()
        subprocess.run(["mount", "--bind", self.folder, SYSFS], check=True)
        self.thread = threading.Thread(target=self.follow, daemon=True)
        self.thread.start()

    def write(self, name: str, text: str) -> None:
        with open(f"{self.folder}/{name}.new", "w", encoding="ascii") as file:
            file.write(text)
        os.rename(f"{self.folder}/{name}.new", f"{self.folder}/{name}")

    def update(self) -> None:
        memory = meminfo()
        used = self.base + sum(guest.resources().rss for guest in self.guests)
        first = max(self.size - used, 0)
        for node, total, free in ((0, self.size, first), (1, memory["MemTotal"] - self.size, max(memory["MemAvailable"] - first, 0))):
            self.write(f"node{node}/meminfo", f"Node {node} MemTotal: {total // 1024} kB\nNode {node} MemFree: {free // 1024} kB\n")

    def follow(self) -> None:
        while not self.stopping.wait(0.05):
            self.update()

    def stop(self) -> None:
        self.stopping.set()
        self.thread.join()
        subprocess.run(["umount", SYSFS], check=True)


class Bound(LabCase):
    guests = [Options("a", numatune=BOUND), Options("b", numatune=BOUND), Options("c", numatune=BOUND), Options("free")]

    def test_one_node_changes_nothing(self) -> None:
        """On the machine as it is: all of its memory is the guests', whatever they are bound to."""
        if len([name for name in os.listdir(SYSFS) if name.startswith("node") and name[4:].isdigit()]) > 1:
            self.skipTest("this machine has several nodes")
        daemon = self.start_daemon({})
        self.wait_heard()
        time.sleep(3)
        self.assertEqual(daemon.status()["nodes"], [])
        self.assertEqual([daemon.vm(name)["nodes"] for name in ("a", "b", "c", "free")], ["0", "0", "0", None])
        for guest in self.lab.guests:
            self.assertEqual(guest.actual(), GIB)
            self.assertEqual(daemon.vm(guest.name)["reason_code"], "fits")

    def test_a_full_node_is_shared_by_those_on_it(self) -> None:
        bound = [self.guest(name) for name in ("a", "b", "c")]
        nodes = ShownNodes(self.lab.folder, 2 * GIB + 512 * MIB, 128 * MIB, bound)
        self.addCleanup(nodes.stop)
        daemon = self.start_daemon({"host": {"reserve": "1G"}})
        self.wait_heard()

        def node() -> Dict[str, Any]:
            return daemon.status()["nodes"][0]
        wait_until(lambda: node()["deficit_bytes"] == 0 and node()["committed_bytes"] <= node()["rule_bytes"], 30, "the node's rule holds")
        self.assertEqual(node()["vms"], 3)
        self.assertEqual(daemon.status()["deficit_bytes"], 0)
        wait_until(lambda: {daemon.vm(guest.name)["reason_code"] for guest in bound} == {"node"}, 60, "what limits them is said")
        self.assertEqual(self.guest("free").actual(), GIB)
        self.assertEqual(self.guest("free").balloon_targets()[-1][1], GIB)
        self.assertIn("NUMA node 0", daemon.vm("a")["reason"] + str(daemon.json("explain", "a")["explanation"]))

        # A burst on the full node: its neighbours there make room, and nobody else.
        before = {guest.name: guest.actual() for guest in bound}
        log("in a node of 2.5 GiB: " + ", ".join(f"{name} {mib(size)}" for name, size in before.items()))
        burst = bound[0].load.guest()["available_bytes"] + 64 * MIB
        bound[0].load.hold("burst", burst, ramp=200 * MIB)
        took = wait_until(lambda: bound[0].actual() >= before["a"] + 100 * MIB, 30, "the burst is served")
        wait_until(lambda: node()["deficit_bytes"] == 0, 10, "the node's rule holds")
        log(f"a grew from {mib(before['a'])} to {mib(bound[0].actual())} {took:.1f} s after its burst began; " +
            ", ".join(f"{guest.name} has {mib(guest.actual())}" for guest in bound[1:]))
        self.assertLess(bound[1].actual() + bound[2].actual(), before["b"] + before["c"] - 64 * MIB)
        self.assertEqual(self.guest("free").actual(), GIB)
        self.assertEqual(bound[0].load.guest()["oom_kills"], 0)
        self.assertLessEqual(sum(guest.resources().rss for guest in bound), node()["rule_bytes"])


class RealNodes(unittest.TestCase):
    """The daemon's sampler on a kernel with two nodes of 256 and 128 MiB."""

    def test_nodes_add_up(self) -> None:
        seen = alone.boot("node-sample", "48", qemu=[
            "-object", "memory-backend-ram,id=m0,size=256M", "-object", "memory-backend-ram,id=m1,size=128M",
            "-numa", "node,nodeid=0,cpus=0,memdev=m0", "-numa", "node,nodeid=1,cpus=1,memdev=m1"], timeout=120)
        self.assertEqual([one.get("when") for one in seen], ["idle", "held"])
        idle, held = seen
        for one in seen:
            nodes = ", ".join(f"{mib(n['available'])} of {mib(n['total'])}" for n in one["nodes"])
            log(f"{one['when']}: host {mib(one['available'])} available, nodes {nodes}")
            self.assertEqual(len(one["nodes"]), 2)
            self.assertEqual(sum(n["total"] for n in one["nodes"]), one["total"])
            # Unless a node has less than its part of what the kernel keeps, they add up to MemAvailable, but for what changes between the readings.
            self.assertLess(abs(sum(n["available"] for n in one["nodes"]) - one["available"]), 2 * MIB)
        self.assertLess(abs(idle["nodes"][1]["available"] - held["nodes"][1]["available"] - 48 * MIB), 4 * MIB)
        self.assertLess(abs(idle["nodes"][0]["available"] - held["nodes"][0]["available"]), 4 * MIB)


if __name__ == "__main__":
    main()
