#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Random loads and faults on real guests for 20 minutes (AEROLAB_LONG; three minutes otherwise), and a record of what happened
that is the lab's own: exactly the alerts that it calls for have to be raised, and resolved, in their time.

AEROLAB_SEED=N repeats a run; AEROLAB_SOAK_SEC=N makes it longer or shorter. Without AEROLAB_LONG nothing but [host] memory is short, so
that other runs on the machine are not disturbed; with it there is a swap file, too, and the run has the machine to itself."""

import os
import random
import re
import signal
import time
import unittest
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Dict, Iterator, List, Tuple
from unittest.mock import Mock, patch

from aerolab import GIB, LONG, MIB, Guest, LabCase, Options, log, main, mib, wait_until
from aerolab.follower import Follower
from aerolab.guest import Resources
from aerolab.hog import SwapHog
from aerolab.jsonport import PortClosed
from aerolab.machine import read_text
from aerolab.record import Fault, Record, Settings
from aerolab.sampler import Sampler
from aerolab.verdict import Called, judge

SECONDS = float(os.environ.get("AEROLAB_SOAK_SEC", 20 * 60 if LONG else 60))  # of faults; then they have to be over
QUIET = 20 if LONG else 12 # seconds at the end, with nothing going on
SWAP = 512 * MIB
BUDGET, RESERVE, FLOOR = 2600 * MIB, 150 * MIB, 0.2
# What is not waited for at the end, since it takes minutes to be over, or stays: judged like the others, but its end may come in the calm.
LATE = ("GuestOomKill", "ProtocolError", "GuaranteeWeakened")
LATE_END = re.compile(rf" alert ({'|'.join(LATE)})( of \w+)? is over$")
RSS_GROWTH_MAX = 1 * MIB


class Faults:
    """What can go wrong with one guest. Each lasts long enough for its alert, is undone, and noted in the record."""

    def __init__(self, record: Record, rng: random.Random) -> None:
        self.record, self.rng = record, rng
        self.long = rng.uniform(0, 12)

    def silent(self, guest: Guest) -> None:
        guest.load.agent("stop")
        time.sleep(52 + self.long)
        guest.load.agent("cont")

    def killed(self, guest: Guest) -> None:
        guest.load.agent("kill")
        time.sleep(52 + self.long)
        guest.load.agent("start")

    def hung(self, guest: Guest) -> None:
        """Its QEMU is stopped."""
        os.kill(guest.pid, signal.SIGSTOP)
        time.sleep(28 + self.long)
        os.kill(guest.pid, signal.SIGCONT)

    def paused(self, guest: Guest) -> None:
        """By its operator, so that its agent says nothing: no alert."""
        guest.suspend()
        time.sleep(52 + self.long)
        guest.resume()

    def oom(self, guest: Guest) -> None:
        kills = guest.load.guest()["oom_kills"]
        guest.load.hold("huge", 3 * GIB)
        wait_until(lambda: guest.load.guest()["oom_kills"] > kills, 90, f"{guest.name} kills", every=0.5)
        guest.load.free("huge")
        time.sleep(6)

    def overrun(self, guest: Guest) -> None:
        """More than the guest has, over and over: into its own swap, where it has some, and killed where it has not."""
        guest.load.hold("overrun", 1200 * MIB, ramp=200 * MIB, rate_hz=4)
        time.sleep(55 + self.long)
        guest.load.free("overrun")

    def unbound(self, guest: Guest) -> None:
        """It loses its balloon's driver, has all of its memory, and gives nothing back."""
        guest.load.request("balloon", action="unbind")
        time.sleep(45 + self.long)
        guest.load.request("balloon", action="bind")

    def junk(self, guest: Guest) -> None:
        guest.load.agent("kill")
        wait_until(lambda: guest.load.agent("status")["pid"] == 0, 10, "the agent is gone")
        guest.load.request("junk")
        time.sleep(2)
        guest.load.agent("start")

    def leak(self, guest: Guest) -> None:
        """Its QEMU takes memory that no balloon gives back."""
        self.record.frozen.add(guest.name)
        guest.qmp.execute("object-add", 30, **{"qom-type": "memory-backend-ram", "id": "leak", "size": 700 * MIB, "prealloc": True})
        time.sleep(32 + self.long)
        guest.qmp.execute("object-del", 30, id="leak")
        time.sleep(1)
        self.record.frozen.discard(guest.name)

    def run(self, kind: str, guest: Guest) -> None:
        start = time.time()
        getattr(self, kind)(guest)
        self.record.did(kind, guest.name, start)


GUEST_FAULTS = ("silent", "killed", "hung", "paused", "oom", "overrun", "unbound", "junk", "leak")
HOST_FAULTS = ("lowered", "newcomer", "reload", "restart") + (("swap", "thrash") if LONG else ())


class Bag:
    """Draws at random, each once before any twice."""

    def __init__(self, rng: random.Random, what: Tuple[str, ...]) -> None:
        self.rng, self.what, self.left = rng, what, []

    def draw(self) -> str:
        if not self.left:
            self.left = self.rng.sample(self.what, len(self.what))
        return self.left.pop()


class Soak(LabCase):
    guests = [Options("a", swap=512 * MIB, psi=True), Options("b"), Options("c", psi=True), Options("d", swap=128 * MIB)]

    @classmethod
    def setUpClass(cls) -> None:
        if LONG:
            cls.machine.exclusive()
            cls.machine.add_swap(SWAP)
            # As doctor advises. With the kernel's default khugepaged refills what balloons have taken out of huge pages, up to 96 MiB a minute: in
            # 20 minutes enough for a guest to breach its balloon for good.
            cls.machine.set("/sys/kernel/mm/transparent_hugepage/khugepaged/max_ptes_none", 0)
        super().setUpClass()

    def config(self, budget: int = BUDGET, floor: float = FLOOR) -> Dict[str, Dict[str, str]]:
        return {"host": {"memory": f"{budget >> 20}M", "reserve": f"{RESERVE >> 20}M"}, "policy": {"floor": f"{100 * floor:.0f}%"}}

    def reload(self, budget: int, floor: float) -> None:
        self.daemon.write_config(self.config(budget, floor))
        self.record.settings.append(Settings(time.time(), budget, RESERVE, floor))
        self.daemon.process.send_signal(signal.SIGHUP)

    # What can go wrong with the host ------------------------------------------------------------------------------------

    def lowered(self) -> None:
        """The operator has given away more than there is: floors that do not fit."""
        self.reload(1500 * MIB, 0.5)
        time.sleep(self.rng.uniform(40, 50))
        self.reload(BUDGET, FLOOR)

    def newcomer(self) -> None:
        """A VM that starts without a reservation, and goes again: over within seconds, and no alert."""
        guest = self.lab.add(Options("new", memory=512 * MIB))[0]
        time.sleep(self.rng.uniform(5, 20))
        self.lab.remove(guest)

    def restart(self) -> None:
        """Neither forgets nor repeats what fires. (What is still waiting to fire begins to wait anew: it is not done while something is
        wrong.)"""
        self.daemon.stop()
        self.record.restarts.append(time.time())
        self.daemon.start()
        self.follower.restart()
        self.wait_managed()

    def reload_nothing(self) -> None:
        self.reload(BUDGET, FLOOR)

    def swap(self) -> None:
        """A process of the host fills swap."""
        with self.hog() as hog:
            hog.fill(int(0.3 * SWAP * self.rng.choice([0.5, 0.88, 1.2])))
            time.sleep(25)

    def thrash(self) -> None:
        with self.hog() as hog:
            hog.fill(60 * MIB, busy=0.6)
            time.sleep(95)

    @contextmanager
    def hog(self) -> Iterator[SwapHog]:
        hog = SwapHog()
        try:
            yield hog
        finally:
            self.hog_kills += hog.kills()
            hog.remove()

    # The soak -----------------------------------------------------------------------------------------------------------

    def loads(self) -> None:
        """Another load for each guest. All of them together fit the host; whoever needs more than it has is given it."""
        for guest in self.lab.guests:
            guest.load.free_all()
            guest.load.hold("work", self.rng.randrange(40, 260) * MIB, ramp=200 * MIB, rate_hz=1)
            if self.rng.random() < 0.5:
                guest.load.cache("file", self.rng.randrange(50, 300) * MIB, ramp=200 * MIB)
            if self.rng.random() < 0.3:
                guest.load.hold("burst", 150 * MIB, for_sec=self.rng.randrange(3, 15))

    def round(self, pool: ThreadPoolExecutor, until: float) -> None:
        """Some guests in trouble at once, perhaps the host, and loads that change meanwhile."""
        self.loads()
        time.sleep(self.rng.uniform(3, 8))
        host = self.hosts.draw() if self.rng.random() < 0.7 else None
        if host == "restart":
            self.restart()
        faults = Faults(self.record, self.rng)
        victims = self.rng.sample(self.lab.guests, self.rng.choice([1, 2, 2, 3]) if LONG else 3)
        done: List[Future] = []
        for guest in victims:
            kind = self.kinds.draw()
            self.note(f"{kind} {guest.name}")
            done.append(pool.submit(faults.run, kind, guest))
        if host and host != "restart":
            self.note(host)
            start = time.time()
            (self.reload_nothing if host == "reload" else getattr(self, host))()
            self.record.did(host, "host", start)
        for future in done:
            future.result()
        if self.rng.random() < 0.4 and time.time() < until:
            time.sleep(self.rng.uniform(0, 60))

    def note(self, text: str) -> None:
        self.story.append(f"{time.time() - self.record.start:.0f} s {text}")

    def test_exactly_the_alerts_called_for(self) -> None:
        seed = int(os.environ.get("AEROLAB_SEED", random.randrange(1 << 32)))
        self.rng = random.Random(seed)
        self.kinds, self.hosts, self.story = Bag(self.rng, GUEST_FAULTS), Bag(self.rng, HOST_FAULTS), []
        self.hog_kills = 0
        log(f"AEROLAB_SEED={seed}, {SECONDS:.0f} s")
        pids, kills = {guest.name: guest.pid for guest in self.lab.guests}, host_kills()
        daemon = self.start_daemon(self.config())
        self.follower = Follower(daemon)
        self.addCleanup(self.follower.stop)
        self.wait_managed()
        self.wait_calm()
        before = footprint(daemon.process.pid)
        with Record(self.lab.guests, daemon, Settings(time.time(), BUDGET, RESERVE, FLOOR)) as self.record, ThreadPoolExecutor(4) as pool:
            until = time.time() + SECONDS
            while time.time() < until:
                self.round(pool, until)
            for guest in self.lab.guests:
                guest.load.free_all()
            self.note("calm")
            self.wait_over()
            self.wait_calm()
            lines, calm = daemon.log().count("\n"), time.time()
            time.sleep(QUIET)
            said = [line for line in daemon.log().splitlines()[lines:] if not LATE_END.search(line)]
            moved = sum(when > calm for guest in self.lab.guests for when, _ in guest.balloon_targets())
            # Threads that stood in for those which a hung QEMU held end, with their connections, after twice 30 s in which others were enough.
            try:
                wait_until(lambda: footprint(daemon.process.pid)[1] <= before[1] + 1, 90, "threads end")
            except TimeoutError:
                pass  # told below
            after = footprint(daemon.process.pid)
            left = sorted(os.readlink(entry.path) for entry in os.scandir(f"/proc/{daemon.process.pid}/fd"))
        log("; ".join(self.story))
        log("raised: " + "; ".join(f"{when - self.record.start:.0f} s {name} {subject}" for when, phase, name, subject in self.follower.events
                                   if phase == "fired"))
        ratio = max(sample.committed / sample.bearable(self.record.at(sample.time).budget, RESERVE) for sample in self.record.samples)
        log(f"{len(self.record.samples)} samples; committed at most {100 * ratio:.0f} % of what can be borne; "
            f"daemon {before[0] >> 10} -> {after[0] >> 10} KiB, {before[1]} -> {after[1]} descriptors; "
            f"{len(daemon.log().splitlines())} lines logged, {len(said)} in {QUIET} s of calm with {moved} moves")
        complaints = judge(self.record.called(), self.follower.events, self.record.start, self.record.end, self.record.restarts)
        self.record.save(f"{self.lab.folder}/samples.log")  # kept with the other logs, should the test fail
        self.assertFalse(complaints, "\n".join(complaints))
        self.assertEqual({guest.name: guest.pid for guest in self.lab.guests}, pids, "a VM was lost")
        self.assertEqual(host_kills() - self.hog_kills, kills, "the host ran out of memory")
        self.check_floors()
        self.check_rule()
        self.assertLess(after[0] - before[0], RSS_GROWTH_MAX, "the daemon grows")
        self.assertLessEqual(after[1], before[1] + 1, f"descriptors are left: {left}")
        # What guests needed lately is forgotten slowly: some memory may still move.
        self.assertEqual([line for line in said if " -> " not in line], [], "logged while nothing happened")
        self.assertLessEqual(len(said), moved, "moves are told that no QEMU was asked for")

    def wait_over(self) -> None:
        """Distrust of a guest that took memory three times lasts for four minutes."""
        try:
            wait_until(self.over, 420, "what fires is resolved, but for what stays", every=0.5)
        except TimeoutError:
            log("; ".join(self.story))
            log("firing: " + ", ".join(f"{alert['name']} {alert['subject']}" for alert in self.daemon.json("alerts")["firing"]))
            log("held: " + ", ".join(f"{name} {mib(guest.rss + guest.swap)}, balloon {mib(guest.actual)}, overhead {mib(guest.overhead)}"
                                     for name, guest in self.record.samples[-1].guests.items()))
            raise

    def over(self) -> bool:
        return {alert["name"] for alert in self.daemon.json("alerts")["firing"]} <= set(LATE)

    def check_floors(self) -> None:
        """A guest's floor is what the daemon may leave it at the least; after a lower one was given, that."""
        for guest in self.record.guests:
            for sample in self.record.samples:
                floor = min(self.record.at(when).floor for when in (sample.time, sample.time - 60)) * guest.options.memory
                if guest.name in sample.guests:
                    self.assertGreaterEqual(sample.guests[guest.name].actual, floor - MIB, f"{guest.name} at {sample.time - self.record.start:.1f} s")

    def check_rule(self) -> None:
        """What all hold together is within what the host can bear, except while the daemon itself calls it unsafe (or has had no second to)."""
        unsafe = [sample.time for sample in self.record.samples if not sample.status or sample.status["unsafe"]]
        for sample in self.record.samples:
            if sample.committed > sample.bearable(self.record.at(sample.time).budget, RESERVE):
                self.assertTrue(any(abs(sample.time - when) < 2 for when in unsafe),
                                f"{mib(sample.committed)} committed at {sample.time - self.record.start:.1f} s, and not called unsafe")


def host_kills() -> int:
    return int(read_text("/proc/vmstat").split("\noom_kill ")[1].split()[0])


def footprint(pid: int) -> Tuple[int, int]:
    """Resident bytes and open descriptors."""
    return int(read_text(f"/proc/{pid}/status").split("VmRSS:")[1].split()[0]) * 1024, len(os.listdir(f"/proc/{pid}/fd"))


class Verdict(unittest.TestCase):
    """The judge has to be able to find a daemon guilty."""

    def complaints(self, events: List[Tuple[float, str]], surely: List[Tuple[float, float]], maybe: List[Tuple[float, float]] = (),
                   restarts: List[float] = (), keeps: List[Tuple[float, float]] = ()) -> int:
        called = Called("X", "a", 30, 60, list(surely), list(maybe), list(keeps), list(keeps))
        return len(judge([called], [(when, phase, "X", "a") for when, phase in events], 0, 1000, restarts))

    def test_judge(self) -> None:
        right = [(131, "fired"), (261, "resolved")]
        self.assertEqual(self.complaints(right, [(100, 200)]), 0)
        self.assertEqual(self.complaints([], []), 0)
        self.assertGreater(self.complaints([], [(100, 200)]), 0, "missing")
        self.assertGreater(self.complaints(right, []), 0, "besides")
        self.assertGreater(self.complaints([(110, "fired"), (261, "resolved")], [(100, 200)]), 0, "too early")
        self.assertGreater(self.complaints([(150, "fired"), (261, "resolved")], [(100, 200)]), 0, "too late")
        self.assertGreater(self.complaints([(131, "fired"), (210, "resolved")], [(100, 200)]), 0, "resolved too early")
        self.assertGreater(self.complaints([(131, "fired"), (300, "resolved")], [(100, 200)]), 0, "resolved too late")
        self.assertGreater(self.complaints([(131, "fired")], [(100, 200)]), 0, "never resolved")
        self.assertGreater(self.complaints([(131, "fired"), (140, "fired"), (261, "resolved")], [(100, 200)]), 0, "twice")
        self.assertEqual(self.complaints([], [], [(100, 200)]), 0, "borderline: not raised")
        self.assertEqual(self.complaints(right, [], [(100, 200)]), 0, "borderline: raised")
        self.assertEqual(self.complaints([], [(100, 120)]), 0, "too short")
        self.assertGreater(self.complaints(right, [(100, 120)]), 0, "too short, and raised")
        self.assertEqual(self.complaints([(131, "fired"), (311, "resolved")], [(100, 200), (230, 250)]), 0, "again before it is resolved")
        self.assertEqual(self.complaints(right, [(100, 200), (230, 230.7)]), 0, "a flash that the daemon did not see")
        self.assertEqual(self.complaints([(131, "fired"), (291, "resolved")], [(100, 200), (230, 230.7)]), 0, "a flash that it did see")
        self.assertGreater(self.complaints(right, [(100, 200), (230, 232)]), 0, "no flash, and resolved all the same")
        self.assertEqual(self.complaints([(131, "fired"), (304, "resolved")], [(100, 200)], restarts=[240]), 0, "a restart in between")
        self.assertEqual(self.complaints([(131, "fired"), (361, "resolved")], [(100, 200)], keeps=[(210, 300)]), 0, "kept between the levels")
        self.assertGreater(self.complaints(right, [(100, 200)], keeps=[(210, 300)]), 0, "not kept between the levels")
        self.assertGreater(self.complaints([(131, "fired"), (190, "resolved")], [(100, 120)], keeps=[(120, 200)]), 0, "what keeps does not fire")
        self.assertEqual(self.complaints([(275, "fired"), (361, "resolved")], [(100, 300)], restarts=[240]), 1, "fired late for no reason")
        self.assertEqual(self.complaints([(152, "fired"), (361, "resolved")], [(100, 300)], restarts=[120]), 0, "began to wait anew")
        self.assertGreater(len(judge([], [(1, "fired", "Y", "a")], 0, 9)), 0, "nobody knows of it")

    def test_a_qemu_that_is_stopped_while_it_is_asked(self) -> None:
        guest = Mock()
        guest.name = "a"
        guest.resources.return_value = Resources(rss=3, swap=0, running=True)
        sampler = Sampler([guest])
        guest.actual.side_effect = [5, TimeoutError(), PortClosed()]
        self.assertEqual([sampler.round()[guest.name].actual for _ in range(2)], [5, 5])
        self.assertEqual(sampler.round(), {}, "gone")

    def test_who_is_not_trusted_weakens_the_guarantee(self) -> None:
        guest = Mock()
        guest.name = "c"
        record = Record([guest], None, Settings(0, BUDGET, RESERVE, FLOOR))
        record.start, record.end = 0.0, 1000.0
        record.faults = [Fault("unbound", "c", 100, 150)]
        with patch("aerolab.record.read_text", return_value="always madvise [never]"), \
                patch.object(record, "breach", return_value=Called("GuestBreaching", "c", 5, 60)), \
                patch.object(record, "disobedience", return_value=Called("GuestUncooperative", "c", 0, 60, [], [(100, 275)])):
            self.assertEqual(record.guarantee().maybe, [(100, 275)])

    def test_a_kill_empties_swap_for_a_moment(self) -> None:
        guest = Mock()
        guest.name = "a"
        record = Record([guest], None, Settings(0, BUDGET, RESERVE, FLOOR))
        for kill, complaints in ((68, 0), (1000, 1)):
            record.inside["a"].samples = [(when, {"swap_total_bytes": 100, "swap_free_bytes": 60 if 61 <= when < 121 else 90,
                                                  "oom_kills": int(when >= kill)}) for when in range(200)]
            events = [(99.9, "fired", "GuestSwapAtCeiling", "a"), (181.0, "resolved", "GuestSwapAtCeiling", "a")]
            self.assertEqual(len(judge([record.full_swap(guest)], events, 0, 1000)), complaints)


if __name__ == "__main__":
    main()
