"""What a lab run takes from the machine, and how it is given back.

Each run has a work folder, /var/tmp/aerostat-lab.*, locked while it lives. Whatever host-wide state it changes is written to the folder's undo
file first. cleanup() undoes it; what a run that was killed left behind, the next one undoes: its folder is no longer locked.

Runs share the machine, unless one changes host-wide state: that one asks for the machine to itself (Machine.exclusive).
"""

import ctypes
import fcntl
import glob
import json
import mmap
import os
import shutil
import subprocess
import sys
import tempfile
import time
from typing import Dict, IO, Optional

from . import cgroups

PREFIX = "/var/tmp/aerostat-lab."
SHARED_LOCK = "/run/lock/aerostat-lab"
HUGE_PAGES = "/proc/sys/vm/nr_hugepages"
MAP_LOCKED = 0x2000  # mmap(2); Python does not name it

MEMORY_MARGIN = 1 << 30  # stays free for everybody else


def read_text(path: str) -> str:
    with open(path, encoding="ascii") as file:
        return file.read()


def write_text(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def meminfo() -> Dict[str, int]:
    """/proc/meminfo in bytes (page counts as they are)."""
    fields = (line.split() for line in read_text("/proc/meminfo").splitlines())
    return {words[0].rstrip(":"): int(words[1]) * (1024 if len(words) > 2 else 1) for words in fields}


def boot_id() -> str:
    return read_text("/proc/sys/kernel/random/boot_id").strip()


def knob(text: str) -> str:
    """The value of a file in /sys; of a choice ("a [b] c") the one chosen."""
    return text.split("[")[1].split("]")[0] if "[" in text else text.strip()


def undo(folder: str) -> None:
    """Gives back what the run of this folder took from the machine. Nothing of it is running any more."""
    path = os.path.join(folder, "undo.json")
    if os.path.exists(path):
        state = json.loads(read_text(path))
        if state["boot_id"] == boot_id():  # a reboot has undone it
            for swap in state["swaps"]:
                # Not swapoff(8): after the sandbox's PID namespace has ended, this process cannot fork any more (ENOMEM).
                ctypes.CDLL(None).swapoff(swap.encode())
            for file, value in reversed(state["files"].items()):
                try:
                    if file == "/sys/kernel/mm/ksm/run" and value != "1":
                        write_text(file, "2")  # the kernel would go on counting what guests merged that are gone
                    write_text(file, value)
                except OSError as error:
                    print(f"aerolab: cannot restore {file}: {error}", file=sys.stderr)
    shutil.rmtree(folder, ignore_errors=True)


class Machine:
    """The machine as one run sees it. Create it before the sandbox, clean up after it."""

    def __init__(self) -> None:
        # Both are opened here: the sandbox hides /run.
        self.shared_lock: IO[str] = open(SHARED_LOCK, "w", encoding="ascii")
        self.queue: IO[str] = open(SHARED_LOCK + ".queue", "w", encoding="ascii")
        self.is_exclusive = False
        self.take_shared_lock(fcntl.LOCK_SH)
        self.undo_what_was_left()
        self.folder = tempfile.mkdtemp(prefix=PREFIX)
        self.lock = self.try_lock(self.folder)
        self.state = {"boot_id": boot_id(), "files": {}, "swaps": []}
        self.controllers = cgroups.root_controllers()
        self.locked: Optional[mmap.mmap] = None  # memory that is taken from the machine

    def take_shared_lock(self, kind: int) -> None:
        """In turn: whoever waits to have the machine to itself waits for those that are there, not for all that still come."""
        try:
            fcntl.flock(self.queue, fcntl.LOCK_EX | fcntl.LOCK_NB)
            fcntl.flock(self.shared_lock, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            print("aerolab: waiting for another lab run on this machine to end", file=sys.stderr, flush=True)
            fcntl.flock(self.shared_lock, fcntl.LOCK_UN)  # the first of the queue may be waiting for us
            fcntl.flock(self.queue, fcntl.LOCK_EX)
            fcntl.flock(self.shared_lock, kind)
        fcntl.flock(self.queue, fcntl.LOCK_UN)

    @staticmethod
    def try_lock(folder: str) -> Optional[IO[str]]:
        file = open(os.path.join(folder, "lock"), "w", encoding="ascii")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return file
        except BlockingIOError:
            file.close()
            return None

    def undo_what_was_left(self) -> None:
        for folder in glob.glob(PREFIX + "*"):
            # A folder without a lock file is being made right now, unless it is old.
            if not os.path.exists(os.path.join(folder, "lock")) and time.time() - os.stat(folder).st_mtime < 60:
                continue
            lock = self.try_lock(folder)
            if lock:
                print(f"aerolab: undoing what an earlier run left in {folder}", file=sys.stderr)
                undo(folder)
                lock.close()

    def cleanup(self) -> None:
        undo(self.folder)
        self.lock.close()
        try:
            fcntl.flock(self.shared_lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            cgroups.restore(self.controllers)
        except BlockingIOError:
            pass  # the last run to end does it: another may just be moving a guest in
        self.shared_lock.close()
        self.queue.close()

    # Host-wide state ---------------------------------------------------------------------------------------------------

    def exclusive(self) -> None:
        """Waits until no other lab runs on this machine, and keeps others out until this one ends."""
        if not self.is_exclusive:  # a second class of the same run asks again
            self.take_shared_lock(fcntl.LOCK_EX)
            self.is_exclusive = True

    def save(self) -> None:
        path = os.path.join(self.folder, "undo.json")
        write_text(path + ".new", json.dumps(self.state))
        os.rename(path + ".new", path)

    def keep(self, path: str) -> None:
        """Remembers a knob, for whoever will change it."""
        if path not in self.state["files"]:
            self.state["files"][path] = knob(read_text(path))
            self.save()

    def set(self, path: str, value: object) -> None:
        """Changes a knob in /proc/sys or /sys until the run ends."""
        self.keep(path)
        write_text(path, str(value))

    def keep_ksm(self) -> None:
        """Remembers all of KSM; `run` comes last, so that it is restored first."""
        for path in sorted(glob.glob("/sys/kernel/mm/ksm/*"), key=lambda p: p.endswith("/run")):
            if os.stat(path).st_mode & 0o200:
                self.keep(path)

    def add_swap(self, size: int) -> str:
        """Swaps on a new file of `size` bytes until the run ends."""
        path = os.path.join(self.folder, f"swap{len(self.state['swaps'])}")
        with open(path, "wb") as file:
            os.fchmod(file.fileno(), 0o600)
            os.posix_fallocate(file.fileno(), 0, size)
        subprocess.run(["mkswap", "-q", path], check=True)
        self.state["swaps"].append(path)
        self.save()
        subprocess.run(["swapon", path], check=True)
        return path

    def remove_swap(self, path: str) -> None:
        """Before the run ends: what is in it has to fit into memory."""
        subprocess.run(["swapoff", path], check=True)
        self.state["swaps"].remove(path)
        self.save()

    def take_pages(self, size: int) -> None:
        """Makes the machine smaller by `size` bytes (huge pages nobody uses) until the run ends, or larger."""
        pages = int(read_text(HUGE_PAGES)) + size // meminfo()["Hugepagesize"]
        self.set(HUGE_PAGES, max(pages, 0))

    def leave_available(self, size: int) -> None:
        """Makes the machine smaller (or larger) until `size` bytes are available, whatever else runs on it uses just now.

        Files that earlier work left in memory are no part of such a host: they would be dropped when guests grow, or guests' memory swapped to
        keep them, as the kernel likes. Before there is swap with guests that could go there: making huge pages would fill it."""
        os.sync()
        write_text("/proc/sys/vm/drop_caches", "1")
        self.locked = None
        for _ in range(8):  # what others free meanwhile, too
            self.take_pages(meminfo()["MemAvailable"] - size)
            time.sleep(1)
        rest = meminfo()["MemAvailable"] - size
        if rest > 0:  # guests have left too little in one piece for huge pages: some 200 MiB of two of 1 GiB
            self.locked = mmap.mmap(-1, rest, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE | MAP_LOCKED)
        available = meminfo()["MemAvailable"]
        if abs(available - size) > 50 << 20:
            raise RuntimeError(f"the machine is not as small as it has to be: {available >> 20} MiB are available, not {size >> 20}")

    def give_back(self) -> None:
        """What leave_available() took, before the run ends."""
        self.locked = None
        self.set(HUGE_PAGES, self.state["files"].get(HUGE_PAGES, read_text(HUGE_PAGES)))

    @staticmethod
    def has_room_for(size: int) -> bool:
        return meminfo()["MemAvailable"] >= size + MEMORY_MARGIN
