"""A libvirtd of our own, inside the sandbox."""

import os
import shutil
import subprocess
import time
from typing import Optional

PID_FILE = "/run/libvirt/lab.pid"
SOCKET = "/run/libvirt/libvirt-sock"
URI = "qemu:///system"

QEMU_CONF = """\
stdio_handler = "file"
security_driver = "none"
user = "root"
group = "root"
namespaces = []
remember_owner = 0
"""

# choom: if the machine runs out of memory, the guests go first, not the test.
OOM_SCORE = "600"


class VirshError(Exception):
    pass


def virsh(*args: str, timeout: float = 60) -> str:
    """Runs virsh against our libvirtd and returns what it printed."""
    done = subprocess.run(["virsh", "-q", "-c", URI, *args], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=timeout, check=False)
    if done.returncode != 0:
        raise VirshError(f"virsh {' '.join(args)}: {done.stderr.strip()}")
    return done.stdout.strip()


class Libvirtd:
    def __init__(self, log: str) -> None:
        self.log = log
        self.process: Optional[subprocess.Popen] = None

    def start(self, timeout: float = 30) -> None:
        with open("/etc/libvirt/qemu.conf", "w", encoding="ascii") as file:
            file.write(QEMU_CONF)
        os.makedirs("/run/libvirt", exist_ok=True)
        environment = dict(os.environ, LIBVIRT_LOG_OUTPUTS=f"2:file:{self.log}")
        self.process = subprocess.Popen(["choom", "-n", OOM_SCORE, "--", "libvirtd", "--pid-file", PID_FILE],
                                        stdin=subprocess.DEVNULL, env=environment)
        deadline = time.monotonic() + timeout
        while True:
            try:
                virsh("version", timeout=5)
                return
            except (VirshError, subprocess.TimeoutExpired):
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"libvirtd did not start; see {self.log}") from None
                time.sleep(0.1)

    def stop(self) -> None:
        """Guests go on running: libvirtd finds them again when it starts."""
        if self.process:
            self.process.terminate()
            self.process.wait(timeout=30)
            self.process = None

    def restart(self) -> None:
        self.stop()
        self.start()


def installed() -> bool:
    return all(shutil.which(name) for name in ("libvirtd", "virsh", "qemu-system-x86_64", "choom"))
