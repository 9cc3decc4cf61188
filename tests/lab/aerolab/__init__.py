"""Real guests for tests: a private libvirtd, a load generator in each guest, and measurement from outside. See ../README.md."""

from .case import LabCase, main
from .daemon import Aerostatd
from .guest import GIB, MIB, Guest, Options
from .lab import Lab, log, wait_until
from .libvirtd import virsh
from .sampler import Sampler, mib

__all__ = ["Aerostatd", "GIB", "Guest", "Lab", "LabCase", "MIB", "Options", "Sampler", "log", "main", "mib", "virsh", "wait_until"]
