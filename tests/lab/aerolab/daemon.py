"""aerostatd under test, and aerostatctl."""

import json
import os
import subprocess
import time
import unittest
from typing import Any, Dict, Iterable, List, Optional

from .guest import SOCKETS, Guest
from .lab import program
from .libvirtd import URI

Config = Dict[str, Dict[str, str]]


def require(name: str) -> str:
    path = program(name)
    if not path:
        raise unittest.SkipTest(f"{name} has not been built")
    return path


def config_text(config: Config) -> str:
    return "\n".join(f"[{section}]\n" + "".join(f"{key} = {value}\n" for key, value in keys.items())
                     for section, keys in config.items())


class CtlError(Exception):
    """aerostatctl failed where it should not have."""


class Aerostatd:
    """One daemon with its files in the run's work folder; a second of another `name` has its own."""

    def __init__(self, folder: str, config: Config, name: str = "aerostatd") -> None:
        self.program, self.ctl_program = require("aerostatd"), require("aerostatctl")
        self.config_path = f"{folder}/{name}.conf"
        self.log_path = f"{folder}/{name}.log"
        self.state_folder = f"{folder}/{name}.state"
        self.socket = f"{SOCKETS}/{name}.varlink"
        self.process: Optional[subprocess.Popen] = None
        self.write_config(config)

    def write_config(self, config: Config) -> None:
        with open(self.config_path, "w", encoding="utf-8") as file:
            # KSM is one for the whole machine: only tests that have the machine to themselves let a daemon steer it.
            file.write(config_text({"ksm": {"mode": "leave"}, **config}))

    def command(self, *args: str) -> List[str]:
        return [self.program, "-c", self.config_path, "--connect", URI, "--foreground", "--socket", self.socket,
                "--state-dir", self.state_folder, *args]

    def start(self, *args: str, timeout: float = 20) -> "Aerostatd":
        """Returns once it answers."""
        os.makedirs(self.state_folder, exist_ok=True)
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.command(*args), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + timeout
        while self.ctl("status").returncode != 0:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"aerostatd does not answer; its log:\n{self.log()}")
            time.sleep(0.05)
        return self

    def stop(self) -> int:
        """Ends it as systemd would, and returns its exit code; None if it was not running."""
        if self.process is None:
            return None
        self.process.terminate()
        code = self.process.wait(timeout=30)
        self.process = None
        return code

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.process = None

    def log(self) -> str:
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    # What it says ------------------------------------------------------------------------------------------------------

    def ctl(self, *args: str, **options: Any) -> subprocess.CompletedProcess:
        return subprocess.run([self.ctl_program, "-s", self.socket, *args], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=30, check=False, **options)

    def json(self, *args: str) -> Dict[str, Any]:
        done = self.ctl("--json", *args)
        if done.returncode != 0:
            raise CtlError(f"aerostatctl {' '.join(args)}: {done.stderr.strip()}")
        return json.loads(done.stdout)

    def status(self) -> Dict[str, Any]:
        return self.json("status")

    def vms(self) -> Dict[str, Dict[str, Any]]:
        return {vm["name"]: vm for vm in self.json("list")["vms"]}

    def vm(self, name: str) -> Dict[str, Any]:
        return self.vms()[name]

    def hears(self, guests: Iterable[Guest]) -> bool:
        """Whether it knows each of them, and of its agent. (One that has just begun knows nobody, and all() of nobody is true.)"""
        vms = self.vms()
        return all(vms.get(guest.name, {}).get("source") == "agent" for guest in guests)
