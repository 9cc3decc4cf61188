#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""How soon pressure of the host itself is answered: from the kernel's event to setMemory.

Pressure is made by processes that read a file larger than their memory limit over and over: they stall on refaults, which the kernel counts for
the whole host. The lab listens to the same kind of event as the daemon, so both hear of it within the kernel's own step of a tenth of a window."""

import os
import select
import statistics
import time

from aerolab import MIB, LabCase, Options, log, main, wait_until
from aerolab.hog import Group
from aerolab.machine import read_text

CONFIG = {"host": {"memory": "1900M"}}
EVENTS = 4
MEDIAN_MAX = 0.100  # seconds
TRIGGERS = ((0.1, 1), (0.2, 2))  # as the daemon, seconds of stall and of window: the second without CAP_SYS_RESOURCE

READER = """
import os, sys
file = os.open(sys.argv[1], os.O_RDONLY)
while True:
    os.lseek(file, 0, os.SEEK_SET)
    while os.read(file, 1 << 20):
        pass
"""


def stalled() -> float:
    """Seconds in which some process of the host waited for memory, since boot."""
    return int(read_text("/proc/pressure/memory").split("total=")[1].split()[0]) / 1e6


class Hog(Group):
    """Readers whose file does not fit their limit. Four of them in 8 MiB stall more than half of the time here; one in 24 MiB, on a quick
    disk, 2 %."""

    def __init__(self, folder: str) -> None:
        super().__init__(8 * MIB)
        self.file = f"{folder}/hog"
        with open(self.file, "wb") as file:
            for _ in range(96):
                file.write(os.urandom(MIB))
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    def press(self) -> None:
        for _ in range(4):
            self.start(READER, self.file)


class Pressure(LabCase):
    guests = [Options("a"), Options("b"), Options("c")]

    @staticmethod
    def arm(trigger: int) -> float:
        """The seconds of stall that it waits for."""
        for stall, window in TRIGGERS:
            try:
                os.write(trigger, f"some {stall * 1e6:.0f} {window * 1000000}\0".encode())
                return stall
            except OSError as error:
                refused = error
        raise refused

    def next_event(self, timeout: float) -> float:
        """When the kernel next tells of pressure."""
        before = stalled()
        trigger = os.open("/proc/pressure/memory", os.O_RDWR | os.O_NONBLOCK)
        try:
            stall = self.arm(trigger)
            poll = select.poll()
            poll.register(trigger, select.POLLPRI)
            deadline = time.monotonic() + timeout
            while time.monotonic() < deadline:
                # A new trigger fires once at the first stall, however short, and the daemon's does not: only what it was asked for counts.
                if poll.poll(1000) and stalled() - before >= stall:
                    return time.time()
            raise TimeoutError(f"no memory pressure within {timeout:g} s")
        finally:
            os.close(trigger)

    def test_pressure_of_the_host_is_answered_at_once(self) -> None:
        if not os.path.exists("/proc/pressure/memory"):
            self.skipTest("this kernel has no PSI")
        self.start_daemon(CONFIG)
        hog = Hog(self.lab.folder)
        self.addCleanup(hog.remove)
        reactions = []
        for i in range(EVENTS):
            self.wait_calm()
            hog.press()
            event = self.next_event(30)
            answers = []
            # An answer may come a little before our own event: the kernel looks at each trigger at a moment of its own.
            wait_until(lambda: answers.extend(t for guest in self.lab.guests for t, _ in guest.balloon_targets() if t > event - 0.2) or answers,
                       20, "guests are asked for memory", every=0.02)
            hog.stop()
            reactions.append(max(0.0, min(answers) - event))
            log(f"event {i + 1}: setMemory {1000 * (min(answers) - event):.0f} ms after the lab heard of it")
            time.sleep(3)
        median = statistics.median(reactions)
        log(f"host pressure to setMemory: median {1000 * median:.0f} ms, most {1000 * max(reactions):.0f}")
        self.assertLess(median, MEDIAN_MAX)


if __name__ == "__main__":
    main()
