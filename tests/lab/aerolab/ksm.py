"""KSM of this machine, as tests look at it."""

import glob
import os
from typing import Dict

from .machine import read_text
from .sandbox import HOST_PROC

KSM = "/sys/kernel/mm/ksm"
# A budget that two guests exceed, so that memory is short: only then does `auto` merge.
CONFIG = {"host": {"memory": "1000M"}, "policy": {"floor": "200M"}, "ksm": {"cpu-normal": "5%", "cpu-critical": "60%"}}


def knobs() -> Dict[str, str]:
    return {os.path.basename(path): read_text(path).strip() for path in glob.glob(f"{KSM}/*") if os.stat(path).st_mode & 0o200}


def number(name: str) -> int:
    return int(read_text(f"{KSM}/{name}"))


def saved() -> int:
    return number("pages_sharing") * os.sysconf("SC_PAGESIZE")


def ksmd_seconds() -> float:
    """CPU time of ksmd, from the host's own /proc."""
    for path in glob.glob(f"{HOST_PROC}/[0-9]*/comm"):
        try:
            if read_text(path) == "ksmd\n":
                return int(read_text(os.path.dirname(path) + "/schedstat").split()[0]) / 1e9
        except OSError:
            pass
    raise RuntimeError("ksmd is not to be seen")
