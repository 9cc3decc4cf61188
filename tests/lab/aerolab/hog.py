"""Processes of the host that press on its memory and swap, in a cgroup of their own with a limit: what they stall and swap is theirs, not
the machine's."""

import os
import subprocess
import sys
import unittest
from typing import List

from .lab import wait_until
from .machine import meminfo, read_text

MIB = 1 << 20
GROUPS = ("/sys/fs/cgroup/memory", "/sys/fs/cgroup")
LIMITS = ("memory.limit_in_bytes", "memory.max")
KILLS = ("memory.oom_control", "memory.events")  # each has a line "oom_kill N"

# Holds SIZE bytes; the second argument says for how many seconds of each it reads all of them over and over.
HOLDER = """
import mmap, sys, time
size, busy = int(sys.argv[1]), float(sys.argv[2])
memory = mmap.mmap(-1, size)
def touch():
    for at in range(0, size, 4096):
        memory[at] = (memory[at] + 1) & 255 or 1
touch()
print("filled", flush=True)
while True:
    start = time.monotonic()
    while time.monotonic() - start < busy:
        touch()
    time.sleep(max(0.05, 1 - busy))
"""


class Group:
    """A cgroup with a memory limit, under either version of cgroups; SkipTest where none can be made."""

    def __init__(self, limit_bytes: int) -> None:
        for root, limit in zip(GROUPS, LIMITS):
            self.path = f"{root}/aerolab-hog-{os.getpid()}-{id(self):x}"
            try:
                os.mkdir(self.path)
            except OSError:
                continue
            if os.path.exists(f"{self.path}/{limit}"):
                break
            os.rmdir(self.path)
        else:
            raise unittest.SkipTest("no cgroup with a memory limit can be made here")
        with open(f"{self.path}/{limit}", "w", encoding="ascii") as file:
            file.write(str(limit_bytes))
        self.processes: List[subprocess.Popen] = []

    def start(self, script: str, *args: object) -> subprocess.Popen:
        def enter() -> None:
            with open(f"{self.path}/cgroup.procs", "w", encoding="ascii") as file:
                file.write("0")
        process = subprocess.Popen([sys.executable, "-c", script, *map(str, args)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   preexec_fn=enter)
        self.processes.append(process)
        return process

    def stop(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
            process.stdout.close()
        self.processes = []

    def kills(self) -> int:
        """What the kernel killed at this limit: a hog that thrashes can find nothing to swap for a moment. No lack of the host's."""
        path = next(f"{self.path}/{name}" for name in KILLS if os.path.exists(f"{self.path}/{name}"))
        return int(dict(line.split() for line in read_text(path).splitlines())["oom_kill"])

    def remove(self) -> None:
        self.stop()
        wait_until(lambda: not read_text(f"{self.path}/cgroup.procs"), 5, "the hog is gone")
        os.rmdir(self.path)


def swapped() -> int:
    host = meminfo()
    return host["SwapTotal"] - host["SwapFree"]


class SwapHog(Group):
    """A process whose memory is in swap but for a little."""

    RESIDENT = 32 * MIB

    def __init__(self) -> None:
        super().__init__(self.RESIDENT)

    def fill(self, size: int, busy: float = 0.0) -> None:
        """Puts `size` bytes into swap; busy: for so much of each second it goes on reading them, and the host thrashes."""
        self.stop()
        before, more = swapped(), 0
        for _ in range(3): # how much the limit leaves in memory shows only then
            self.stop()
            self.start(HOLDER, size + more, 0).stdout.readline()
            more += size - (swapped() - before)
            if abs(swapped() - before - size) < MIB:
                break
        if busy > 0:
            self.stop()
            self.start(HOLDER, size + more, busy)
