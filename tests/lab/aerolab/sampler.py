"""Looks at guests and host from outside, by default ten times a second, and holds what it sees against the rule of the envelope."""

import re
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Set

from .daemon import Aerostatd, CtlError
from .guest import Guest
from .jsonport import PortClosed
from .machine import meminfo, read_text

PERIOD = 0.1
ANSWER_MAX = 1.0       # seconds that QEMU has to answer
OVERHEAD_PERIOD = 5.0  # reading smaps holds the process's lock for milliseconds


def overhead(guest: Guest) -> int:
    """What a QEMU holds beside the guest's memory: resident and swapped pages of all mappings but the guest's RAM."""
    total, ram, in_ram = 0, 0, False
    for line in read_text(f"/proc/{guest.pid}/smaps").splitlines():
        mapping = re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line)
        if mapping:
            in_ram = int(mapping.group(2), 16) - int(mapping.group(1), 16) == guest.options.memory
        elif line.startswith(("Rss:", "Swap:")):
            size = int(line.split()[1]) * 1024
            total += size
            ram += size if in_ram else 0
    return total - ram


@dataclass
class GuestSample:
    actual: int
    overhead: int
    rss: int
    swap: int

    @property
    def committed(self) -> int:
        return max(self.actual + self.overhead, self.rss + self.swap)


@dataclass
class Sample:
    time: float
    guests: Dict[str, GuestSample]
    host: Dict[str, int]                # /proc/meminfo
    status: Optional[Dict[str, Any]]    # None where the daemon did not answer
    status_seconds: float = 0.0         # how long it took to answer

    @property
    def committed(self) -> int:
        return sum(guest.committed for guest in self.guests.values())

    @property
    def swap_used(self) -> int:
        return self.host["SwapTotal"] - self.host["SwapFree"]

    def bearable(self, budget: Optional[int], reserve: int) -> int:
        """What the machine itself can bear, worked out from /proc/meminfo and not from the daemon: memory - reserve - other use. With
        a budget, other use counts only beyond MemTotal - budget."""
        total = self.host["MemTotal"]
        other = max(0, total - self.host["MemAvailable"] - sum(guest.rss for guest in self.guests.values()))
        memory = min(budget, total) if budget else total
        return memory - reserve - max(0, other - (total - memory))


@dataclass
class Sampler:
    """Use as a context manager; afterwards `samples` has everything. Guests that vanish meanwhile are left out from then on."""
    guests: List[Guest]
    daemon: Optional[Aerostatd] = None
    budget: Optional[int] = None        # as in [host] memory
    period: float = PERIOD              # seconds
    frozen: Set[str] = field(default_factory=set)   # guests whose overhead is not measured now, since more than overhead would be found
    samples: List[Sample] = field(default_factory=list)
    overheads: Dict[str, int] = field(default_factory=dict)
    overheads_time: float = 0.0
    actuals: Dict[str, int] = field(default_factory=dict)

    def __enter__(self) -> "Sampler":
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.loop, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.stopping.set()
        self.thread.join()

    def loop(self) -> None:
        due = time.monotonic()
        while not self.stopping.is_set():
            self.samples.append(self.look())
            due = max(due + self.period, time.monotonic())
            self.stopping.wait(due - time.monotonic())

    def look(self) -> Sample:
        # The envelope first: what is granted after it was read can only have been inside it.
        status, start = None, time.monotonic()
        try:
            status = self.daemon.status() if self.daemon else None
        except CtlError:
            pass
        seconds = time.monotonic() - start
        if start - self.overheads_time > OVERHEAD_PERIOD:
            self.overheads_time = start
            for guest in self.guests:
                try:
                    if guest.name not in self.frozen:
                        self.overheads[guest.name] = overhead(guest)
                except (OSError, ProcessLookupError):
                    pass
        # Balloons move while they are read one after the other: memory that went from the first guest to the last one would count twice. At the
        # moment between two rounds no guest held less than the smaller of what the rounds saw of it, so that sum cannot be too large.
        earlier, later = self.round(), self.round()
        guests = {name: min(earlier.get(name, guest), guest, key=lambda g: g.committed) for name, guest in later.items()}
        return Sample(time.time(), guests, meminfo(), status, seconds)

    def actual(self, guest: Guest, running: bool) -> int:
        """A stopped QEMU answers nothing, and its balloon does not move either; nor does one answer that is stopped while it is asked."""
        if running or guest.name not in self.actuals:
            try:
                self.actuals[guest.name] = guest.actual(ANSWER_MAX)
            except TimeoutError:
                if guest.name not in self.actuals:
                    raise
        return self.actuals[guest.name]

    def round(self) -> Dict[str, GuestSample]:
        guests = {}
        for guest in self.guests:
            try:
                resources = guest.resources()
                actual = self.actual(guest, resources.running)
                guests[guest.name] = GuestSample(actual, self.overheads.get(guest.name, 0), resources.rss, resources.swap)
            except (OSError, AttributeError, RuntimeError, PortClosed):
                pass
        return guests

    # What came of it ---------------------------------------------------------------------------------------------------

    def broken(self) -> List[str]:
        """Samples in which the rule did not hold, described."""
        found = []
        for sample in self.samples:
            if not sample.status:
                continue
            envelope, reserve = sample.status["envelope_bytes"], sample.status["reserve_bytes"]
            for bound, what in ((envelope, "the envelope"), (sample.bearable(self.budget, reserve), "what the machine can bear")):
                if sample.committed > bound:
                    each = ", ".join(f"{name} {mib(g.actual)} + {mib(g.overhead)} or {mib(g.rss + g.swap)}"
                                     for name, g in sorted(sample.guests.items()))
                    found.append(f"{sample.time - self.samples[0].time:.1f} s: {mib(sample.committed)} committed ({each}), "
                                 f"{what} is {mib(bound)}; the daemon says {mib(sample.status['committed_bytes'])}")
        return found

    def peak_ratio(self) -> float:
        """The largest share of the envelope that was ever committed."""
        return max(sample.committed / sample.status["envelope_bytes"] for sample in self.samples if sample.status)

    def least_actual(self, name: str) -> int:
        return min(sample.guests[name].actual for sample in self.samples if name in sample.guests)

    def peak_swap(self) -> int:
        return max(sample.swap_used for sample in self.samples)

    def slowest_status(self) -> float:
        return max(sample.status_seconds for sample in self.samples)


def mib(size: float) -> str:
    return f"{size / (1 << 20):.0f} MiB"


def size_text(size: int) -> str:
    """As aerostatd and aerostatctl write a size (protocol/parse.h)."""
    for unit, factor in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size >= factor:
            value = size / factor
            return f"{int(value)} {unit}" if value == int(value) or value >= 100 else f"{value:.{2 if value < 10 else 1}f} {unit}"
    return f"{size} B"
