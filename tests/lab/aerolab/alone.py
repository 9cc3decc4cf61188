"""A guest whose only process is one program of ours: on the guests' kernel, which has both kinds of control groups, whatever this machine runs.
Needs no libvirt and no root, and changes nothing of this machine."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from typing import Any, Dict, List, Sequence

from .case import SKIPPED
from .lab import build_folder, build_overlay

MEMORY = 384  # MiB of the guest
INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
if [ {swap} -gt 0 ]; then
    while read -r module; do insmod "/modules/$module.ko"; done < /modules/order
    mkswap /dev/vda > /dev/null
    swapon /dev/vda
fi
exec /{name} {arguments}
"""


def boot(name: str, arguments: str = "", swap: int = 0, command_line: str = "", qemu: Sequence[str] = (), timeout: int = 400) -> List[Dict[str, Any]]:
    """Boots a guest, on `swap` bytes of swap, with tests/lab/NAME (built by make) in place of its init; returns the objects that it printed,
    but for the last, which says that it came to its end."""
    subprocess.run(["make", "-s", "-C", build_folder(), f"tests/lab/{name}"], check=True)
    with tempfile.TemporaryDirectory(prefix="aerostat-lab-alone.") as folder:
        kernel = build_overlay(folder, f"{build_folder()}/tests/lab/{name}", INIT.format(name=name, arguments=arguments, swap=swap))
        with open(f"{folder}/swap.raw", "wb") as file:
            file.truncate(swap)
        disk = ["-drive", f"file={folder}/swap.raw,if=virtio,format=raw,cache=unsafe"] if swap > 0 else []
        # no_timer_check: on a busy machine an emulated timer may be late, which the kernel takes for a broken one.
        done = subprocess.run(
            ["qemu-system-x86_64", "-accel", "tcg", "-machine", "q35", "-cpu", "max", "-m", str(MEMORY), "-smp", "2", "-nodefaults", "-no-reboot",
             "-display", "none", "-kernel", kernel, "-initrd", f"{folder}/initramfs.gz",
             "-append", f"console=ttyS0 quiet panic=-1 no_timer_check {command_line}", "-serial", "stdio", *disk, *qemu],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=timeout, check=False)
    return parse(done.stdout, done.stderr)


def parse(output: str, more: str = "") -> List[Dict[str, Any]]:
    """The objects that such a program printed, one on a line, among what a kernel says on the same console."""
    seen = [json.loads(line[line.index("{"):]) for line in output.splitlines() if '{"' in line]
    errors = [one["error"] for one in seen if "error" in one]
    if errors:
        raise RuntimeError("; ".join(errors))
    if not seen or "end" not in seen[-1]:
        raise RuntimeError(f"it did not come to its end:\n{output[-3000:]}{more[-1000:]}")
    return seen[:-1]


def main() -> None:
    """Runs the calling file's tests, as case.main does those that boot the lab's guests."""
    if not shutil.which("qemu-system-x86_64"):
        print(f"SKIP {os.path.basename(sys.argv[0])}: needs qemu-system-x86_64")
        sys.exit(SKIPPED)
    sys.exit(0 if unittest.main(module="__main__", exit=False, verbosity=2).result.wasSuccessful() else 1)
