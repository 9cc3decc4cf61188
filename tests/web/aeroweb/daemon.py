# SPDX-License-Identifier: LGPL-2.1-or-later
"""aerostatd on libvirt's test driver, and the invented manager behind the real control socket: no root, no VM."""

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest
import urllib.request
from typing import Any, Callable, Dict, List, Optional
from xml.sax.saxutils import escape

GIB = 1 << 30


def build_folder() -> str:
    here = os.path.dirname(os.path.abspath(__file__))
    return os.environ.get("AEROLAB_BUILD") or os.path.join(here, "..", "..", "..", "build")


def program(name: str) -> str:
    path = os.path.abspath(os.path.join(build_folder(), name))
    if not os.access(path, os.X_OK):
        raise unittest.SkipTest(f"{name} has not been built")
    return path


def require(*names: str) -> str:
    """The first of these programs that is installed."""
    for name in names:
        path = shutil.which(name)
        if path:
            return path
    raise unittest.SkipTest(f"needs {' or '.join(names)}")


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def get(url: str, timeout: float = 5) -> str:
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=timeout) as reply:
        return reply.read().decode()


def wait_until(condition: Callable[[], Any], seconds: float, what: str, every: float = 0.1) -> Any:
    deadline = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        time.sleep(every)


class Process:
    """A program that answers on a port of loopback; its output is in a log."""

    def __init__(self, folder: str, name: str) -> None:
        self.folder, self.name = folder, name
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: Optional[subprocess.Popen] = None

    def command(self) -> List[str]:
        raise NotImplementedError

    def alive_path(self) -> str:
        return "/api/status"

    def start(self) -> "Process":
        with open(f"{self.folder}/{self.name}.log", "ab") as log:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_until(self.answers, 30, f"{self.name} answers; its log:\n{self.log()}")
        return self

    def answers(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"{self.name} ended with {self.process.returncode}:\n{self.log()}")
        try:
            get(self.url + self.alive_path())
            return True
        except OSError:
            return False

    def stop(self) -> None:
        if self.process:
            self.process.terminate()
            try:
                self.process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None

    def log(self) -> str:
        with open(f"{self.folder}/{self.name}.log", encoding="utf-8", errors="replace") as file:
            return file.read()


class Stub(Process):
    """The invented manager of the unit tests, with as many VMs as wanted."""

    def __init__(self, folder: str, vms: int = 0) -> None:
        super().__init__(folder, "stub")
        self.vms = vms

    def command(self) -> List[str]:
        return [program("tests/unit/stub-aerostatd"), f"{self.folder}/stub.sock", str(self.vms), "everyone", f"127.0.0.1:{self.port}"]


class Daemon(Process):
    """aerostatd with the VMs of libvirt's test driver, which have balloons and no memory. vms: names and sizes."""

    def __init__(self, folder: str, vms: Dict[str, int], settings: Optional[Dict[str, Dict[str, str]]] = None) -> None:
        super().__init__(folder, "aerostatd")
        self.socket = f"{folder}/control.varlink"
        self.settings = settings or {}
        self.node = f"{folder}/node.xml"
        with open(self.node, "w", encoding="utf-8") as file:
            file.write("<node>" + "".join(
                f"<domain type='test'><name>{escape(name)}</name><uuid>11111111-2222-3333-4444-{i:012x}</uuid>"
                f"<memory unit='b'>{size}</memory><currentMemory unit='b'>{size // 2}</currentMemory><os><type>hvm</type></os>"
                "<devices><memballoon model='virtio'/></devices></domain>" for i, (name, size) in enumerate(vms.items(), 1)) + "</node>")
        os.makedirs(f"{folder}/state", exist_ok=True)
        self.configure({})

    def configure(self, changes: Dict[str, Dict[str, str]]) -> None:
        """Writes the configuration; a running daemon takes it up."""
        settings = {"metrics": {"listen": f"127.0.0.1:{self.port}"}, "control": {"read": "everyone"}}
        for part in (self.settings, changes):
            for section, keys in part.items():
                settings.setdefault(section, {}).update(keys)
        with open(f"{self.folder}/aerostatd.conf", "w", encoding="utf-8") as file:
            for section, keys in settings.items():
                file.write(f"[{section}]\n" + "".join(f"{key} = {value}\n" for key, value in keys.items()))
        if self.process:
            self.process.send_signal(signal.SIGHUP)

    def command(self) -> List[str]:
        return [program("aerostatd"), "-c", f"{self.folder}/aerostatd.conf", "--connect", f"test://{self.node}", "--socket", self.socket,
                "--state-dir", f"{self.folder}/state"]

    def start(self) -> "Daemon":
        super().start()
        wait_until(lambda: self.json("status")["decisions"], 10, "a first decision")
        return self

    def ctl_command(self, *args: str) -> List[str]:
        return [program("aerostatctl"), "-s", self.socket, *args]

    def ctl(self, *args: str) -> subprocess.CompletedProcess:
        return subprocess.run(self.ctl_command(*args), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30,
                              check=False)

    def json(self, *args: str) -> Dict[str, Any]:
        done = self.ctl("--json", *args)
        if done.returncode != 0:
            raise AssertionError(f"aerostatctl {' '.join(args)}: {done.stderr}")
        return json.loads(done.stdout)


def work_folder(case: unittest.TestCase) -> str:
    folder = tempfile.mkdtemp(prefix="aerostat-web-")
    case.addCleanup(shutil.rmtree, folder, True)
    return folder
