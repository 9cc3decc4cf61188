#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Records KSM under aerostatd's decisions, second by second, as tests/unit/test-ksm-series.c replays it: record_ksm.py FOLDER.

Twice: in a guest, whose kernel is Debian's, and on this machine, whose KSM settings are put back. One file for each kernel: FOLDER/linux-VERSION.
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
from typing import Any, Dict, List

from aerolab.ksm import KSM
from aerolab.lab import build_folder, build_overlay, program
from aerolab.machine import Machine, write_text

INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
echo "{\\"kernel\\": \\"$(uname -r)\\"}"
exec /ksm-series 20
"""
COLUMNS = ["load", "now_usec", "full_scans", "saved_bytes", "metadata_bytes", "cow_pages", "cpu_usec", "phase"]


def in_guest() -> str:
    with tempfile.TemporaryDirectory(prefix="aerostat-lab-ksm.") as folder:
        kernel = build_overlay(folder, program("tests/lab/ksm-series"), INIT)
        return subprocess.run(
            ["qemu-system-x86_64", "-accel", "tcg", "-machine", "q35", "-cpu", "max", "-m", "384", "-smp", "2", "-nodefaults", "-no-reboot",
             "-display", "none", "-kernel", kernel, "-initrd", f"{folder}/initramfs.gz", "-append", "console=ttyS0 quiet panic=-1",
             "-serial", "stdio"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=900, check=True).stdout


def here() -> str:
    machine = Machine()
    try:
        machine.exclusive()
        machine.keep_ksm()
        write_text(f"{KSM}/run", "2")
        done = subprocess.run([program("tests/lab/ksm-series"), "5"], capture_output=True, text=True, timeout=900, check=True)
    finally:
        machine.cleanup()
    return json.dumps({"kernel": platform.release()}) + "\n" + done.stdout


def save(folder: str, output: str) -> None:
    seen: List[Dict[str, Any]] = [json.loads(line[line.index("{"):]) for line in output.splitlines() if '{"' in line]
    errors = [one["error"] for one in seen if "error" in one]
    if errors or "end" not in seen[-1]:
        sys.exit("; ".join(errors) or f"it did not come to its end:\n{output[-3000:]}")
    version = ".".join(seen[0]["kernel"].split(".")[:2])
    with open(f"{folder}/linux-{version}", "w", encoding="ascii") as file:
        file.write(f"# Linux {seen[0]['kernel']}, by tests/lab/record_ksm.py\n# {' '.join(COLUMNS)}\n")
        for one in seen[1:-1]:
            file.write(" ".join(str(one[column]) for column in COLUMNS) + "\n")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: record_ksm.py FOLDER")
    subprocess.run(["make", "-s", "-C", build_folder(), "tests/lab/ksm-series"], check=True)
    os.makedirs(sys.argv[1], exist_ok=True)
    for series in (in_guest(), here()):
        save(sys.argv[1], series)
