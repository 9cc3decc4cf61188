"""A soak's own record of what happened, and which alerts it calls for. Nothing in it comes from Aerostat.

Five times a second: what QEMU and the host's kernel say (sampler.py), the host's pressure, swap and swapping. Once a second, over the
load generator's own port: memory, swap, pressure and kills in each guest. And what was done: faults with their times, and configurations
given to the daemon."""

import json
import re
import threading
import time
from dataclasses import asdict, dataclass
from typing import Callable, Dict, Iterable, List, NamedTuple, Optional, Tuple

from .guest import MIB, Guest
from .jsonport import Message, PortClosed
from .machine import read_text
from .sampler import GuestSample, Sample, Sampler
from .verdict import Called, Interval, latched, merge, spans, without

# As aerostat-alerts(7) has it: for how many seconds a condition holds before it fires, and is gone before it is resolved.
TIMES = {
    "HostTight": (10, 60), "HostHard": (3, 60), "HostCritical": (0, 60), "EnvelopeUnsafe": (30, 60), "GuaranteeWeakened": (60, 120),
    "SwapNearCeiling": (5, 60), "SwapAtCeiling": (5, 60), "SwapAboveCeiling": (0, 60), "SwapThrashing": (60, 60), "GuestBreaching": (5, 60),
    "GuestSwapAtCeiling": (30, 60), "GuestPressure": (30, 60), "GuestOomKill": (0, 600), "GuestUncooperative": (0, 60), "GuestStale": (30, 60),
    "VmUnresponsive": (5, 60), "ProtocolError": (0, 600),
}
SILENT = 10.0       # a report is stale after so long
MOMENT = 5.0        # what happens in a moment is shown for so long
UNSEEN = 100 * MIB  # so much a load takes between two looks, half a second from each
LAST_WORD = 22.0    # seconds, and those in which a report comes
AFTERMATH = 40.0    # so long after a fault a guest still settles
FREED = 2.0         # seconds after a kill was counted until what it freed is seen
PAGE = 4096


class Settings(NamedTuple):
    """What the daemon was told, and when."""
    since: float
    budget: int
    reserve: int
    floor: float            # share of each guest's maximum


class Fault(NamedTuple):
    kind: str
    subject: str
    start: float
    end: float


@dataclass
class Extra:
    """What a sample has beside guests and /proc/meminfo."""
    some: float             # per cent of the last 10 s in which somebody waited for memory, and all did
    full: float
    stalled_usec: int
    swapped_in: int         # bytes since boot
    swapped_out: int
    ksm_saved: int
    running: Dict[str, bool]


def ksm_saved(guests: List[Guest]) -> int:
    """By guests that are there: the kernel counts those that are gone, too, until ksmd comes by."""
    try:
        sharing, shared = (int(read_text(f"/sys/kernel/mm/ksm/pages_{name}")) for name in ("sharing", "shared"))
        merged = sum(int(read_text(f"/proc/{guest.pid}/ksm_merging_pages")) for guest in guests)
    except (OSError, AttributeError):
        return 0
    return max(0, min(sharing, merged - shared)) * PAGE


def number(text: str, pattern: str) -> float:
    found = re.search(pattern, text)
    return float(found.group(1)) if found else 0.0


class Inside(threading.Thread):
    """What a guest says of itself over the load generator's port, once a second; None where it does not answer."""

    def __init__(self, guest: Guest) -> None:
        super().__init__(daemon=True)
        self.guest, self.samples, self.stopping = guest, [], threading.Event()
        self.samples: List[Tuple[float, Optional[Message]]]

    def run(self) -> None:
        while not self.stopping.wait(1.0):
            try:
                self.samples.append((time.time(), self.guest.load.port.ask(lambda n: f"{n} guest", 3.0)))
            except TimeoutError:
                self.samples.append((time.time(), None))
            except (PortClosed, AttributeError):
                return


class Record(Sampler):
    """Use as a context manager around what happens; called() afterwards."""

    def __init__(self, guests: List[Guest], daemon: object, settings: Settings) -> None:
        super().__init__(guests, daemon, settings.budget, period=0.2)
        self.settings = [settings]
        self.faults: List[Fault] = []
        self.restarts: List[float] = []
        self.extras: List[Extra] = []
        self.maximum: Dict[str, int] = {}
        self.inside = {guest.name: Inside(guest) for guest in guests}

    def __enter__(self) -> "Record":
        self.start = time.time()
        for inside in self.inside.values():
            inside.start()
        super().__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        self.end = time.time()
        for inside in self.inside.values():
            inside.stopping.set()
        for inside in self.inside.values():
            inside.join()

    def look(self) -> Sample:
        pressure, vmstat = read_text("/proc/pressure/memory"), read_text("/proc/vmstat")
        running = {}
        for guest in self.guests:
            self.maximum[guest.name] = guest.options.memory
            try:
                running[guest.name] = guest.resources().running
            except (OSError, AttributeError):
                running[guest.name] = True
        saved = ksm_saved(self.guests)
        self.extras.append(Extra(number(pressure, r"some avg10=([\d.]+)"), number(pressure, r"full avg10=([\d.]+)"),
                                 int(number(pressure, r"total=(\d+)")), int(number(vmstat, r"\npswpin (\d+)")) * PAGE,
                                 int(number(vmstat, r"\npswpout (\d+)")) * PAGE, saved, running))
        return super().look()

    def save(self, path: str) -> None:
        """One line of JSON for each sample, and for each of what guests said, for those who look for the cause of a failure."""
        with open(path, "w", encoding="ascii") as file:
            for sample, extra in self.pairs():
                status = {key: (sample.status or {}).get(key) for key in ("unsafe", "committed_bytes", "envelope_bytes", "rule_bytes", "host_state")}
                file.write(json.dumps({"seconds": round(sample.time - self.start, 2), "guests": {n: asdict(g) for n, g in sample.guests.items()},
                                       "available": self.available(sample, extra), "extra": asdict(extra), "status": status}) + "\n")
            for name, inside in self.inside.items():
                for when, message in inside.samples:
                    file.write(json.dumps({"seconds": round(when - self.start, 2), "inside": name, "said": message}) + "\n")

    def did(self, kind: str, subject: str, start: float) -> None:
        """A fault is over."""
        self.faults.append(Fault(kind, subject, start, time.time()))

    def at(self, when: float) -> Settings:
        return [one for one in self.settings if one.since <= when or one is self.settings[0]][-1]

    def times(self, subject: str, *kinds: str) -> List[Interval]:
        return [(fault.start, fault.end) for fault in self.faults if fault.subject == subject and fault.kind in kinds]

    # The host -----------------------------------------------------------------------------------------------------------

    def pairs(self) -> Iterable[Tuple[Sample, Extra]]:
        return zip(self.samples, self.extras)

    def available(self, sample: Sample, extra: Extra) -> int:
        resident = max(0, sum(guest.rss for guest in sample.guests.values()) - extra.ksm_saved)
        return min(sample.host["MemAvailable"], self.at(sample.time).budget - resident)

    def states(self) -> Iterable[Called]:
        """Bands: 4 % of the reserve, a tenth of a share of time waited. Leaving takes a quarter more than entering; swap counts while it
        is written. A worse state is all the milder ones, too."""
        worse: Dict[bool, List[Interval]] = {True: [], False: []}
        for name, share, some, full, swap in (("HostCritical", 0.32, None, 5.0, 1.0), ("HostHard", 0.64, 10.0, None, 0.8),
                                              ("HostTight", 1.0, 2.0, None, None)):
            def holds(surely: bool, share: float = share, some: Optional[float] = some, full: Optional[float] = full,
                      swap: Optional[float] = swap) -> List[Interval]:
                below, above = (0.96, 1.1) if surely else (1.04, 0.9)
                found, written, last = [], None, self.samples[0].time - 60
                for sample, extra in self.pairs():
                    if written is not None and extra.swapped_out > written:
                        last = sample.time
                    written = extra.swapped_out
                    swapping = sample.time - last < (26 if surely else 34)
                    ceiling, reserve, available = 0.3 * sample.host["SwapTotal"], self.at(sample.time).reserve, self.available(sample, extra)

                    def beyond(leaving: float) -> bool:
                        return (available < reserve * share * below * (2 - leaving) or some is not None and extra.some > some * above * leaving or
                                full is not None and extra.full > full * above * leaving or
                                swap is not None and swapping and
                                0 < ceiling * swap * leaving * (1.03 if surely else 0.97) <= sample.swap_used or
                                any(start <= sample.time < end for start, end in worse[surely]))
                    found.append((sample.time, beyond(1.0), beyond(0.75)))
                return latched(found)
            worse = {surely: holds(surely) for surely in (True, False)}
            yield self.make(name, "host", worse[True], worse[False])

    def unsafe(self) -> Called:
        """Surely: what guests hold by QEMU's and the kernel's word is more than the machine can bear. Maybe: so is what a guest in
        trouble could take (all of its memory), against a host that has lately been short (the daemon corrects by the shortfall, and
        forgets it within a minute or so)."""
        kinds = ("silent", "killed", "hung", "unbound", "leak", "paused")
        shaken = {guest.name: [(start, end + AFTERMATH) for start, end in self.times(guest.name, *kinds)] for guest in self.guests}
        correction, last, stalls = 0.0, self.start, []
        surely, maybe = [], []
        for sample, extra in self.pairs():
            settings = self.at(sample.time)
            bearable = sample.bearable(settings.budget, settings.reserve)
            shortfall = settings.reserve * 1.25 - self.available(sample, extra)
            stalls = [(when, usec) for when, usec in stalls if when > sample.time - 2.5] + [(sample.time, extra.stalled_usec)]
            if stalls[-1][1] - stalls[0][1] > 60000:
                shortfall = max(shortfall, 0.1 * settings.budget)
            correction = max(shortfall, correction * (1 - min(1.0, (sample.time - last) / 75)))
            last = sample.time
            could = sum(max(guest.committed, self.maximum[name] + guest.overhead)
                        if any(start <= sample.time <= end for start, end in shaken.get(name, [])) else guest.committed
                        for name, guest in sample.guests.items())
            surely.append((sample.time, sample.committed > bearable + 64 * MIB))
            maybe.append((sample.time, could > bearable - correction - 0.05 * settings.budget))
        return self.make("EnvelopeUnsafe", "host", spans(surely), spans(maybe))

    def guarantee(self) -> Called:
        """khugepaged that refills holes weakens it for good; a guest in trouble, or floors that do not fit, for a while; and so does whoever may be
        called breaching or uncooperative, which lasts long for one that took memory more than once."""
        path = "/sys/kernel/mm/transparent_hugepage/"
        refills = "[never]" not in read_text(path + "enabled") and int(read_text(path + "khugepaged/max_ptes_none")) > 0
        always, before = [(self.start, self.end)], [(self.start - 60, self.end)]  # the daemon came up before this record
        troubled = [(fault.start, fault.end + AFTERMATH) for fault in self.faults]
        troubled += [one for guest in self.guests for called in (self.breach(guest), self.disobedience(guest)) for one in called.maybe]
        return self.make("GuaranteeWeakened", "host", always if refills else [], before if refills else merge(troubled))

    def swap(self) -> Iterable[Called]:
        """Bands: 3 % of each level."""
        for name, enters, stays in (("SwapNearCeiling", 0.8, 0.7), ("SwapAtCeiling", 0.98, 15 / 16), ("SwapAboveCeiling", 1.01, 1.0)):
            def used(level: float) -> List[Interval]:
                return spans((sample.time, 0 < level * 0.3 * sample.host["SwapTotal"] <= sample.swap_used) for sample in self.samples)
            yield self.make(name, "host", used(1.03 * enters), used(0.97 * enters), used(1.03 * stays), used(0.97 * stays))

        def thrashing(pages: float) -> List[Interval]:
            """By rates over 5 s, as the daemon's; they come late by as much."""
            found, window = [], []
            for sample, extra in self.pairs():
                window = [one for one in window if one[0] > sample.time - 5] + [(sample.time, extra.swapped_in, extra.swapped_out)]
                passed = max(window[-1][0] - window[0][0], 1.0)
                found.append((sample.time, min(window[-1][1] - window[0][1], window[-1][2] - window[0][2]) / PAGE / passed > pages))
            return spans(found)
        called = self.make("SwapThrashing", "host", thrashing(260), thrashing(150), thrashing(130), thrashing(75))
        called.slack = 10.0
        yield called

    # One guest ----------------------------------------------------------------------------------------------------------

    def unheard(self, guest: Guest) -> List[Interval]:
        """When its agent could not speak."""
        return merge(self.times(guest.name, "silent", "killed", "hung", "paused", "junk"))

    def answers_late(self, guest: Guest) -> List[Interval]:
        """When the guest did not even answer the load generator's port, which is locked in memory and runs at real-time priority: its
        agent was late, too."""
        samples = self.inside[guest.name].samples
        return merge([(when - 4, when + 4) for when, message in samples if message is None] +
                     [(before[0], after[0]) for before, after in zip(samples, samples[1:]) if after[0] - before[0] > 4], 1)

    def believed(self, guest: Guest, intervals: List[Interval]) -> List[Interval]:
        """What an agent said last counts for 20 s, as aerostat-alerts(7) has it: what held when it fell silent may hold as long."""
        return merge(intervals + [(start, start + LAST_WORD) for start, _ in self.unheard(guest)
                                  if any(since <= start and until >= start - 4 for since, until in intervals)])

    def within(self, guest: Guest, test: Callable[[Message], bool]) -> List[Interval]:
        return spans((when, test(message)) for when, message in self.inside[guest.name].samples if message)

    def stopped(self, guest: Guest) -> List[Interval]:
        return spans((sample.time, not extra.running.get(guest.name, True)) for sample, extra in self.pairs())

    def stale(self, guest: Guest) -> Called:
        """A guest that is paused or does not answer at all is held, and says nothing of its agent."""
        held = [(start, end + SILENT) for start, end in merge(self.stopped(guest) + self.times(guest.name, "paused"))]
        silent = self.times(guest.name, "silent", "killed", "junk")
        return self.make("GuestStale", guest.name, without([(start + SILENT + 3, end) for start, end in silent], held),
                         [(start + SILENT - 3, end + 5) for start, end in merge(silent + self.answers_late(guest))])

    def unresponsive(self, guest: Guest) -> Called:
        """Found out when QEMU is next asked (every 10 s at least) and has not answered for 3 s."""
        stopped = self.stopped(guest)
        return self.make("VmUnresponsive", guest.name, [(start + 14, end) for start, end in stopped],
                         [(start + 2, end + 3) for start, end in stopped])

    def waited(self, guest: Guest, level: float) -> List[Interval]:
        """When work in the guest waited for more than this share of the last 10 s, weighted as the kernel does."""
        found, share, last, usec = [], 0.0, None, 0
        for when, message in self.inside[guest.name].samples:
            if not message:
                continue
            if last is not None and when > last:
                share += ((message["psi_some_usec"] - usec) / 1e6 / (when - last) - share) * min(1.0, (when - last) / 10)
            last, usec = when, message["psi_some_usec"]
            found.append((when, share > level))
        return spans(found)

    def short(self, guest: Guest, level: float, unseen: int = 0) -> List[Interval]:
        """When less was available in the guest than this multiple of half its headroom. unseen: bytes that it may have had less between two
        looks: one alone may see a dip that the other does not."""
        def test(message: Message) -> bool:
            need = self.maximum[guest.name] - message["balloon_pages"] * PAGE - message["available_bytes"]
            return message["available_bytes"] < max(0.2 * need, 64 * MIB) / 2 * level + unseen
        return self.within(guest, test)

    def pressure(self, guest: Guest) -> Called:
        """Where the guest's kernel tells: a tenth of the time waited, kept above half of that. Else: less available than half of the
        headroom, kept below twice that. Bands: a quarter. Without its agent, whose reports have the first, a guest is judged by the
        second; that is a reading of one moment, and loads take 200 MiB a second. What is told late surely holds only from then on."""
        unheard, late = self.unheard(guest), self.answers_late(guest)
        if guest.options.psi:
            surely, maybe, surely_keeps, maybe_keeps = (self.waited(guest, level) for level in (0.125, 0.075, 0.0625, 0.0375))
            if unheard:
                maybe, maybe_keeps = maybe + self.short(guest, 1.25), maybe_keeps + self.short(guest, 2.5, UNSEEN)
        else:
            surely, maybe, surely_keeps = (self.short(guest, level) for level in (0.75, 1.25, 1.5))
            maybe_keeps = self.short(guest, 2.5, UNSEEN)
        untold = merge(unheard + late)
        return self.make("GuestPressure", guest.name, without(surely, untold), self.believed(guest, maybe) + late,
                         without(surely_keeps, untold), self.believed(guest, maybe_keeps) + late)

    def full_swap(self, guest: Guest) -> Called:
        """30 % of the guest's swap, kept above 26.25 %. Band: one hundredth of it. What is told late surely holds only from then on; so does what
        holds after a kill, which empties swap for less than the second between two looks, before what else was driven out fills it."""
        def used(share: float) -> List[Interval]:
            return self.within(guest, lambda message: message["swap_total_bytes"] > 0 and
                               message["swap_free_bytes"] <= (1 - share) * message["swap_total_bytes"])
        untold = merge(self.unheard(guest) + self.answers_late(guest))
        emptied = [(before, after + FREED) for before, after in self.killed(guest)]
        return self.make("GuestSwapAtCeiling", guest.name, without(used(0.31), untold + emptied), self.believed(guest, used(0.29)),
                         without(used(0.2725), untold), self.believed(guest, used(0.2525)))

    def killed(self, guest: Guest) -> List[Interval]:
        """Between which two looks it killed."""
        samples = [(when, message["oom_kills"]) for when, message in self.inside[guest.name].samples if message]
        return [(before, after) for (before, kills_before), (after, kills_after) in zip(samples, samples[1:]) if kills_after > kills_before]

    def kills(self, guest: Guest) -> Called:
        surely, maybe = [], []
        for before, after in self.killed(guest):
            late = [end for start, end in self.unheard(guest) if start - 3 <= after <= end]
            if not late:
                surely.append((after, after + MOMENT))
            maybe.append((before, max([after, *late]) + 2 * MOMENT))
        called = self.make("GuestOomKill", guest.name, surely, maybe)
        called.slack = 5.0 - 0.1 # the moment itself has to be longer
        return called

    def junk(self, guest: Guest) -> Called:
        times = [(fault.start, fault.start + MOMENT) for fault in self.faults if fault.kind == "junk" and fault.subject == guest.name]
        called = self.make("ProtocolError", guest.name, times, [(start, end + MOMENT) for start, end in times])
        called.slack = 5.0 - 0.1
        return called

    def asked(self, guest: Guest) -> Iterable[Tuple[Sample, Extra, GuestSample, int]]:
        """Samples of the guest, with what its balloon was last asked to leave it."""
        maximum = self.maximum[guest.name]
        targets, index = guest.balloon_targets(), -1
        for sample, extra in self.pairs():
            if guest.name not in sample.guests:
                continue
            while index + 1 < len(targets) and targets[index + 1][0] <= sample.time:
                index += 1
            yield sample, extra, sample.guests[guest.name], min(targets[index][1], maximum) if index >= 0 else maximum

    def breach(self, guest: Guest) -> Called:
        """What the process holds against what its balloon or its target leaves it. Bands: 48 MiB more (the daemon's overhead falls
        slowly, and has a sixteenth on top), 24 MiB less."""
        margin = max(64 * MIB, self.maximum[guest.name] // 16)

        def holds(band: int) -> List[Interval]:
            found = []
            for sample, _, state, target in self.asked(guest):
                excess = state.rss + state.swap - max(state.actual, target) - state.overhead
                found.append((sample.time, excess > margin + band, excess > margin // 2 + band))
            return latched(found)
        called = self.make("GuestBreaching", guest.name, holds(48 * MIB), holds(-24 * MIB))
        called.hold += 10
        return called

    def taking(self, guest: Guest) -> List[Interval]:
        """When the guest held more than it was asked for since it had last obeyed, by an eighth of its memory and 256 MiB at least, and how
        long it is not trusted after that: 60 s, each time twice as long (and a few seconds in which it is found out). Band: 16 MiB."""
        much = max(256 * MIB, self.maximum[guest.name] // 8) - 16 * MIB
        found: List[Tuple[float, bool]] = []
        allowed, obeyed = 0, False
        for sample, _, state, target in self.asked(guest):
            there = state.actual - target <= 2 * MIB
            allowed, obeyed = target if there else max(allowed, target), obeyed or there
            found.append((sample.time, obeyed and state.actual - allowed > much))
        return [(start - 2, end + min(60 * 2 ** earlier, 32 * 60) + 5) for earlier, (start, end) in enumerate(spans(found))]

    def disobedience(self, guest: Guest) -> Called:
        """Surely: 30 s of more than was asked for by 32 MiB, in a guest that runs, has memory, and gives back less than 2 MiB a second;
        until what was asked for is there. Maybe: 8 s of that, or of a guest that was just overrun; it takes up to 35 s of obedience to be
        forgiven. Who takes memory back is not trusted at once."""
        inside = [(when, message["available_bytes"]) for when, message in self.inside[guest.name].samples if message]
        found, window, look = [], [], -1
        for sample, extra, state, target in self.asked(guest):
            while look + 1 < len(inside) and inside[look + 1][0] <= sample.time:
                look += 1
            window = [one for one in window if one[0] > sample.time - 5] + [(sample.time, state.actual)]
            gap = state.actual - target
            stuck = gap > 32 * MIB and window[0][1] - state.actual < 10 * MIB
            able = extra.running.get(guest.name, True) and look >= 0 and inside[look][1] > 64 * MIB
            found.append((sample.time, stuck and able, stuck, gap > 2 * MIB))
        surely = [(start + 30, end) for start, end in latched([(when, both, both) for when, both, _, _ in found]) if end - start > 30]
        surely = without(surely, [(start, end + 5) for start, end in self.times(guest.name, "hung", "paused")])
        maybe = [(start + 8, end + 35) for start, end in latched([(when, stuck, gap) for when, _, stuck, gap in found]) if end - start > 8]
        return self.make("GuestUncooperative", guest.name, surely, [self.unforgiven(guest, one) for one in maybe + self.taking(guest)])

    def unforgiven(self, guest: Guest, interval: Interval) -> Interval:
        """Whose QEMU stands still is neither judged nor forgiven meanwhile."""
        start, end = interval
        return start, max([end] + [over + 5 for since, over in self.times(guest.name, "hung", "paused") if since <= end <= over])

    @staticmethod
    def make(name: str, subject: str, surely: List[Interval], maybe: List[Interval], *keeps: List[Interval]) -> Called:
        return Called(name, subject, *TIMES[name], surely, maybe, *keeps)

    def called(self) -> List[Called]:
        """Everything that an alert can be about, with when it held; of most it never did."""
        found = [*self.states(), self.unsafe(), self.guarantee(), *self.swap()]
        for guest in self.guests:
            found += [self.stale(guest), self.unresponsive(guest), self.pressure(guest), self.full_swap(guest), self.kills(guest), self.junk(guest),
                      self.breach(guest), self.disobedience(guest)]
        return found

