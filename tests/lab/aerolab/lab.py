"""A lab: a private libvirtd and guests on it."""

import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Callable, List, Optional

from .guest import GIB, OVERHEAD, SOCKETS, Guest, Options
from .libvirtd import Libvirtd
from .machine import Machine

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
DISK_SIZE = 4 * GIB  # sparse: what guests read from it costs the host nothing


def build_folder() -> str:
    """Where the programs under test were built: $AEROLAB_BUILD, by default build/ of the source tree."""
    return os.path.abspath(os.environ.get("AEROLAB_BUILD", os.path.join(SOURCE, "build")))


def program(name: str) -> Optional[str]:
    """The path of a program under test, or None when it has not been built."""
    path = os.path.join(build_folder(), name)
    return path if os.access(path, os.X_OK) else None


def build_image() -> str:
    """Brings the guest image up to date and returns its folder."""
    folder = os.path.join(build_folder(), "lab-image")
    agent = program("aerostat-guest")
    command = [os.path.join(SOURCE, "tests/lab/guest/build-image"), *(["--agent", agent] if agent else []), folder]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"the guest image was not built:\n{done.stdout}{done.stderr}")
    return folder


def build_overlay(folder: str, path: str, init: str) -> str:
    """An image of its own in `folder` (initramfs.gz): the lab's, with the program at `path` in its root, the libraries of that, and another init.
    Returns the kernel. Of two files of the same name in it the later counts."""
    image, tree = build_image(), f"{folder}/tree"
    os.makedirs(tree)
    shutil.copy(path, tree)
    for line in subprocess.run(["ldd", path], capture_output=True, text=True, check=True).stdout.splitlines():
        for word in line.split():  # where the loader looks for them
            if word.startswith("/"):
                os.makedirs(tree + os.path.dirname(word), exist_ok=True)
                shutil.copy(word, tree + word)
    with open(f"{tree}/init", "w", encoding="ascii") as file:
        file.write(init)
    os.chmod(f"{tree}/init", 0o755)
    packed = subprocess.run("find . | cpio -o -H newc --quiet | gzip -1", shell=True, cwd=tree, capture_output=True, check=True).stdout
    with open(f"{image}/initramfs.gz", "rb") as base, open(f"{folder}/initramfs.gz", "wb") as out:
        out.write(base.read() + packed)
    return f"{image}/vmlinuz"


class NotEnoughMemory(Exception):
    pass


class Lab:
    """Lives inside the sandbox; what it starts dies with it."""

    def __init__(self, machine: Machine, image: str) -> None:
        self.machine, self.image = machine, image
        self.folder = machine.folder
        self.libvirtd = Libvirtd(f"{self.folder}/libvirtd.log")
        self.guests: List[Guest] = []

    def start(self) -> None:
        os.makedirs(SOCKETS, exist_ok=True)
        with open(f"{self.folder}/disk.raw", "wb") as file:
            file.truncate(DISK_SIZE)
        self.libvirtd.start()

    def add(self, *options: Options, will_use: Optional[int] = None) -> List[Guest]:
        """Starts guests in parallel. `will_use`: bytes that they will take of the host all together, where that is less than their
        maximum; it has to be there."""
        need = will_use if will_use is not None else sum(o.memory + OVERHEAD for o in options)
        if not self.machine.has_room_for(need):
            raise NotEnoughMemory(f"{need >> 20} MiB for guests would leave this machine less than 1 GiB")
        guests = [Guest(o, self.image, self.folder) for o in options]
        self.guests += guests
        # More boots at once than CPUs gain nothing, and a guest starved for minutes times out.
        with ThreadPoolExecutor(max_workers=max(4, 2 * (os.cpu_count() or 1))) as pool:
            list(pool.map(Guest.start, guests))
        return guests

    def remove(self, *guests: Guest) -> None:
        for guest in guests:
            self.guests.remove(guest)
            if guest.qmp:
                guest.destroy()


def wait_until(condition: Callable[[], object], timeout: float, what: str, every: float = 0.1) -> float:
    """Waits for the condition and returns the seconds it took; TimeoutError names what did not happen."""
    start = time.monotonic()
    while not condition():
        if time.monotonic() - start > timeout:
            raise TimeoutError(f"not within {timeout:g} s: {what}")
        time.sleep(every)
    return time.monotonic() - start


def log(text: str) -> None:
    """What a test measured, for people to read: on lines of their own, between unittest's "test_x ... " and "ok"."""
    print(f"\n    {text}", end=" ", file=sys.stderr, flush=True)
