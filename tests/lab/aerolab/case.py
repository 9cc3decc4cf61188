"""The frame of a lab test file: prerequisites, sandbox, unittest."""

import glob
import os
import platform
import shutil
import sys
import time
import unittest
from typing import ClassVar, List, Optional

from . import libvirtd, sandbox
from .daemon import Aerostatd, Config, require
from .guest import Guest, Options
from .lab import Lab, NotEnoughMemory, build_folder, build_image, wait_until
from .machine import Machine

SKIPPED = 77  # automake's exit code for "could not run here"
LONG = bool(os.environ.get("AEROLAB_LONG"))
only_long = unittest.skipUnless(LONG, "runs with --long")


class LabCase(unittest.TestCase):
    """A test class with a lab of its own. `guests` are started for all of its tests together; each test finds them idle and with all of
    their memory."""

    guests: ClassVar[List[Options]] = []
    machine: ClassVar[Machine]
    image: ClassVar[str]
    lab: ClassVar[Lab]

    @classmethod
    def setUpClass(cls) -> None:
        if any(options.agent for options in cls.guests):
            require("aerostat-guest")
        cls.lab = Lab(LabCase.machine, LabCase.image)
        # libvirtd first: class cleanups run last to first, and guests need it to be destroyed.
        cls.addClassCleanup(cls.lab.libvirtd.stop)
        cls.lab.start()
        cls.addClassCleanup(lambda: cls.lab.remove(*list(cls.lab.guests)))
        try:
            cls.lab.add(*cls.guests)
        except NotEnoughMemory as error:
            raise unittest.SkipTest(str(error)) from None

    def setUp(self) -> None:
        for guest in self.lab.guests:
            guest.load.free_all()
            if guest.options.balloon:
                guest.set_memory(guest.options.memory)
        for guest in self.lab.guests:
            wait_until(lambda guest=guest: guest.actual() == guest.options.memory, 30, f"{guest.name} has all of its memory")

    def guest(self, name: str) -> Guest:
        return next(guest for guest in self.lab.guests if guest.name == name)

    def wait_heard(self) -> None:
        wait_until(lambda: self.daemon.hears(self.lab.guests), 30, "all agents are heard")

    def wait_managed(self) -> None:
        """Until the daemon hears every guest's agent, and manages it."""
        def managed() -> bool:
            return self.daemon.hears(self.lab.guests) and all(vm["state"] == "managed" for vm in self.daemon.vms().values())
        wait_until(managed, 60, "all guests are managed")

    def wait_calm(self) -> None:
        """Until the rule of the envelope holds, no guest's target has changed for 3 s, and all are what was asked for, but for the
        rounding to pages."""
        def calm() -> bool:
            status = self.daemon.status()
            if status["committed_bytes"] > status["envelope_bytes"]:
                return False
            asked = [(guest, *guest.balloon_targets()[-1]) for guest in self.lab.guests if guest.options.balloon]
            return all(time.time() - stamp > 3 and abs(guest.actual() - size) <= 4096 for guest, stamp, size in asked)
        wait_until(calm, 90, "the targets settle")

    def add_guest(self, options: Options) -> Guest:
        """A guest for this test alone."""
        guest = self.lab.add(options)[0]
        self.addCleanup(lambda: guest in self.lab.guests and self.lab.remove(guest))
        return guest

    def start_daemon(self, config: Config, *args: str) -> Aerostatd:
        """A daemon for this test alone."""
        self.daemon = Aerostatd(self.lab.folder, config, self.id().split(".")[-1])
        self.addCleanup(self.daemon.stop)
        return self.daemon.start(*args)


def why_not() -> Optional[str]:
    """Why lab tests cannot run here, or None."""
    if os.geteuid() != 0:
        return "needs root, for a libvirtd and namespaces of its own"
    if platform.machine() != "x86_64":
        return "the guest image is x86_64 only"
    if not libvirtd.installed():
        return "needs libvirtd, virsh, choom and qemu-system-x86_64"
    return None


def run_tests() -> int:
    result = unittest.main(module="__main__", exit=False, verbosity=2).result
    if not result.wasSuccessful():
        return 1
    return SKIPPED if result.testsRun == len(result.skipped) else 0


def keep_logs(folder: str) -> None:
    """Saves what explains a failure from the work folder, which is about to go."""
    kept = os.path.join(build_folder(), "lab-logs", os.path.splitext(os.path.basename(sys.argv[0]))[0])
    shutil.rmtree(kept, ignore_errors=True)
    os.makedirs(kept)
    for pattern in ("*.log", "*.console", "*.trace", "*.conf"):
        for path in glob.glob(os.path.join(folder, pattern)):
            shutil.copy(path, kept)
    print(f"logs of daemon, libvirtd and guests: {kept}", file=sys.stderr)


def main() -> None:
    """Runs the calling file's tests; exits with 0, 1, or 77 where none could run."""
    reason = why_not()
    if reason:
        print(f"SKIP {os.path.basename(sys.argv[0])}: {reason}")
        sys.exit(SKIPPED)
    LabCase.image = build_image()
    LabCase.machine = Machine()
    code = 1
    try:
        code = sandbox.run(run_tests)
    finally:
        if code == 1:
            keep_logs(LabCase.machine.folder)
        LabCase.machine.cleanup()
    sys.exit(code)
