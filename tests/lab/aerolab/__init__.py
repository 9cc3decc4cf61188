"""Real guests for tests: a private libvirtd, a load generator in each guest, and measurement from outside. See ../README.md."""

from .case import LabCase, main
from .guest import GIB, MIB, Guest, Options
from .lab import Lab, log, wait_until
from .libvirtd import virsh

__all__ = ["GIB", "Guest", "Lab", "LabCase", "MIB", "Options", "log", "main", "virsh", "wait_until"]
