"""Which alerts a record of what happened calls for, and whether exactly those were raised and resolved. Pure: times and intervals in,
sentences out.

What the lab sees and what the daemon sees are two samples of one thing, taken at different moments. So each alert has two signals:
`surely`, when its condition held beyond doubt (thresholds passed by a margin), and `maybe`, when it may have held. An alert has to fire
where it surely held for as long as it waits, and to go on firing until it is surely over; it must not fire, nor go on firing, where it
cannot have held. Readings within the margins call for nothing and forbid nothing: those are the tolerance bands, and each signal's place
in record.py says how wide they are."""

from dataclasses import dataclass, field
from typing import Iterable, List, Sequence, Tuple

Interval = Tuple[float, float]

SLACK = 4.0     # seconds: both sample about once a second, reports come every 2 s, and a busy machine is late
GAP = 2.5       # a break shorter than this may have been seen by one of the two only
FLASH = 1.5     # so may what holds for less than this: the daemon looks at its alerts once a second


@dataclass
class Called:
    """One alert of one subject: for how long its condition holds before it fires, is gone before it is resolved, when it held, and when
    it was between the level at which it begins and the one at which it ends: that keeps what fires, and does not count while it waits
    to."""
    name: str
    subject: str
    hold: float
    clear: float
    surely: List[Interval] = field(default_factory=list)
    maybe: List[Interval] = field(default_factory=list)
    surely_keeps: List[Interval] = field(default_factory=list)
    maybe_keeps: List[Interval] = field(default_factory=list)
    slack: float = SLACK

    def __str__(self) -> str:
        return f"{self.name} of {self.subject}"


def merge(intervals: Iterable[Interval], gap: float = 0.0) -> List[Interval]:
    """In order, those that touch or come within `gap` made one."""
    merged: List[Interval] = []
    for start, end in sorted(interval for interval in intervals if interval[1] >= interval[0]):
        if merged and start <= merged[-1][1] + gap:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def without(intervals: Iterable[Interval], cuts: Iterable[Interval]) -> List[Interval]:
    """What of the intervals is in none of the cuts."""
    left = list(intervals)
    for cut_start, cut_end in cuts:
        left = [part for start, end in left for part in ((start, min(end, cut_start)), (max(start, cut_end), end)) if part[0] < part[1]]
    return left


def spans(samples: Iterable[Tuple[float, bool]]) -> List[Interval]:
    """Of (time, whether it holds): when it does. Times between two samples belong to the earlier one."""
    found: List[Interval] = []
    since, last = None, 0.0
    for when, holds in samples:
        if since is not None and not holds:
            found.append((since, when))
            since = None
        elif since is None and holds:
            since = when
        last = when
    if since is not None:
        found.append((since, last))
    return found


def latched(samples: Iterable[Tuple[float, bool, bool]]) -> List[Interval]:
    """Of (time, enters, stays): from when it enters until it no longer stays."""
    holding, found = False, []
    for when, enters, stays in samples:
        holding = enters or holding and stays
        found.append((when, holding))
    return spans(found)


def fired_until(end: float, keeps: Sequence[Interval], clear: float) -> float:
    """What fires at `end`, and for how long it is kept firing: by what comes back, or stays between the levels, before it is resolved."""
    for back, gone in keeps:
        if back <= end + clear:
            end = max(end, gone)
    return end + clear


def must_fire(called: Called, restarts: Sequence[float] = ()) -> List[Interval]:
    """When it has to be firing. What waits to fire begins to wait anew after a restart."""
    found: List[Interval] = []
    keeps = [(start, end) for start, end in merge([*called.surely, *called.surely_keeps]) if end - start >= FLASH]
    for start, end in merge(called.surely):
        if found and start < found[-1][1]: # it still fires, and does not wait again
            continue
        for restart in restarts:
            if start < restart < start + called.hold + called.slack:
                start = restart + called.slack
        if end - start > called.hold + called.slack:
            found.append((start + called.hold + called.slack, fired_until(end, keeps, called.clear - called.slack)))
    return found


def may_fire(called: Called, restarts: Sequence[float] = ()) -> List[Interval]:
    """When it may be firing. After a restart the daemon gives what fires its `clear` anew."""
    found: List[Interval] = []
    again = [(restart, restart + 2 * called.slack) for restart in restarts]
    keeps = merge([*called.surely, *called.maybe, *called.surely_keeps, *called.maybe_keeps, *again], GAP)
    for start, end in merge([*called.surely, *called.maybe], GAP):
        if not (found and start <= found[-1][1]) and end - start >= called.hold - called.slack:
            found.append((start + called.hold - called.slack, fired_until(end, keeps, called.clear + called.slack)))
    return found


def firing(events: Sequence[Tuple[float, str, str, str]], name: str, subject: str, until: float) -> Tuple[List[Interval], List[str]]:
    """From (time, phase, name, subject): when it fired, and what is wrong with the events themselves."""
    found: List[Interval] = []
    wrong: List[str] = []
    since = None
    for when, phase, *what in events:
        if what != [name, subject]:
            continue
        if phase == "fired":
            if since is not None:
                wrong.append(f"{name} of {subject} fired twice without being resolved between")
            since = when
        elif phase == "resolved":
            if since is None:
                wrong.append(f"{name} of {subject} was resolved and had not fired")
            else:
                found.append((since, when))
            since = None
    if since is not None:
        found.append((since, until))
    return found, wrong


def judge(called: Sequence[Called], events: Sequence[Tuple[float, str, str, str]], start: float, until: float,
          restarts: Sequence[float] = ()) -> List[str]:
    """Everything that is wrong, each in a sentence with seconds since `start`; empty where exactly what was called for was raised and
    resolved."""
    wrong: List[str] = []

    def seconds(intervals: Iterable[Interval]) -> str:
        return ", ".join(f"{a - start:.1f}-{b - start:.1f}" for a, b in intervals) or "never"

    known = {(one.name, one.subject) for one in called}
    for _, phase, name, subject in events:
        if phase == "fired" and (name, subject) not in known:
            wrong.append(f"{name} of {subject} was raised, and nothing that could call for it is known")
    for one in called:
        fired, errors = firing(events, one.name, one.subject, until)
        wrong += errors
        must = [(a, min(b, until)) for a, b in must_fire(one, restarts) if a < until]
        may = may_fire(one, restarts)
        missing = without(must, fired)
        excess = without(fired, may)
        if missing:
            wrong.append(f"{one} was called for at {seconds(must)} and fired at {seconds(fired)}")
        if excess:
            held = merge([*one.surely, *one.maybe], GAP)
            wrong.append(f"{one} fired at {seconds(fired)}, and could be called for at {seconds(may)} only (it held at {seconds(held)})")
    return wrong
