#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Records KSM under aerostatd's decisions, second by second, as tests/unit/test-ksm-series.c replays it: record_ksm.py FOLDER.

Twice: in a guest, whose kernel is Debian's, and on this machine, whose KSM settings are put back. One file for each kernel: FOLDER/linux-VERSION.
"""

import os
import subprocess
import sys
from typing import Any, Dict, List

from aerolab import alone
from aerolab.ksm import KSM
from aerolab.lab import build_folder
from aerolab.machine import Machine, write_text

COLUMNS = ["load", "now_usec", "full_scans", "saved_bytes", "metadata_bytes", "cow_pages", "cpu_usec", "phase"]


def here() -> List[Dict[str, Any]]:
    machine = Machine()
    try:
        machine.exclusive()
        machine.keep_ksm()
        write_text(f"{KSM}/run", "2")
        done = subprocess.run([f"{build_folder()}/tests/lab/ksm-series", "5"], capture_output=True, text=True, timeout=900, check=True)
    finally:
        machine.cleanup()
    return alone.parse(done.stdout)


def save(folder: str, seen: List[Dict[str, Any]]) -> None:
    version = ".".join(seen[0]["kernel"].split(".")[:2])
    with open(f"{folder}/linux-{version}", "w", encoding="ascii") as file:
        file.write(f"# Linux {seen[0]['kernel']}, by tests/lab/record_ksm.py\n# {' '.join(COLUMNS)}\n")
        for one in seen[1:]:
            file.write(" ".join(str(one[column]) for column in COLUMNS) + "\n")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: record_ksm.py FOLDER")
    os.makedirs(sys.argv[1], exist_ok=True)
    for series in (alone.boot("ksm-series", "20", timeout=900), here()):
        save(sys.argv[1], series)
