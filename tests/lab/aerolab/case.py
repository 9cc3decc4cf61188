"""The frame of a lab test file: prerequisites, sandbox, unittest."""

import os
import platform
import sys
import unittest
from typing import ClassVar, List, Optional

from . import libvirtd, sandbox
from .guest import Guest, Options
from .lab import Lab, NotEnoughMemory, build_image
from .machine import Machine

SKIPPED = 77  # automake's exit code for "could not run here"


class LabCase(unittest.TestCase):
    """A test class with a lab of its own; `guests` are started for all of its tests together."""

    guests: ClassVar[List[Options]] = []
    machine: ClassVar[Machine]
    image: ClassVar[str]
    lab: ClassVar[Lab]

    @classmethod
    def setUpClass(cls) -> None:
        cls.lab = Lab(LabCase.machine, LabCase.image)
        # libvirtd first: class cleanups run last to first, and guests need it to be destroyed.
        cls.addClassCleanup(cls.lab.libvirtd.stop)
        cls.lab.start()
        cls.addClassCleanup(lambda: cls.lab.remove(*list(cls.lab.guests)))
        try:
            cls.lab.add(*cls.guests)
        except NotEnoughMemory as error:
            raise unittest.SkipTest(str(error)) from None

    def guest(self, name: str) -> Guest:
        return next(guest for guest in self.lab.guests if guest.name == name)


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
    program = unittest.main(module="__main__", exit=False, verbosity=2)
    result = program.result
    if not result.wasSuccessful():
        return 1
    return SKIPPED if result.testsRun == len(result.skipped) else 0


def main() -> None:
    """Runs the calling file's tests; exits with 0, 1, or 77 where none could run."""
    reason = why_not()
    if reason:
        print(f"SKIP {os.path.basename(sys.argv[0])}: {reason}")
        sys.exit(SKIPPED)
    LabCase.image = build_image()
    LabCase.machine = Machine()
    try:
        code = sandbox.run(run_tests)
    finally:
        LabCase.machine.cleanup()
    sys.exit(code)
