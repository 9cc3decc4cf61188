"""Real guests for tests: a private libvirtd, a load generator in each guest, and measurement from outside. See ../README.md."""

from .case import LONG, LabCase, main, only_long
from .daemon import Aerostatd
from .guest import GIB, MIB, Guest, Options
from .lab import Lab, log, wait_until
from .libvirtd import virsh
from .sampler import Sampler, mib, size_text

__all__ = ["Aerostatd", "GIB", "Guest", "LONG", "Lab", "LabCase", "MIB", "Options", "Sampler", "log", "main", "mib", "only_long", "size_text",
           "virsh", "wait_until"]
