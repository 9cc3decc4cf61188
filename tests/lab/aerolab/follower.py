"""What happens on a daemon, as `aerostatctl watch` tells it."""

import json
import subprocess
import threading
import time
from typing import Any, Callable, Dict, List, Tuple

from .daemon import Aerostatd
from .lab import wait_until

Event = Dict[str, Any]


class Follower:
    """Every event as it comes: `told`; and of alerts (time, phase, name, subject): `events`."""

    def __init__(self, daemon: Aerostatd) -> None:
        self.told: List[Event] = []
        self.events: List[Tuple[float, str, str, str]] = []
        self.daemon = daemon
        self.start()

    def start(self) -> None:
        """Returns once it follows, which the first line says."""
        before = len(self.told)
        self.process = subprocess.Popen([self.daemon.ctl_program, "-s", self.daemon.socket, "watch"], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()
        wait_until(lambda: len(self.told) > before, 20, "the daemon is followed")

    def read(self) -> None:
        for line in self.process.stdout:
            event = json.loads(line)
            if event["type"] == "alert":
                self.events.append((time.time(), event["phase"], event["alert"]["name"], event["alert"]["subject"]))
            self.told.append(event)

    def seen(self, phase: str, name: str, subject: str = "host", since: float = 0) -> bool:
        return any(event[1:] == (phase, name, subject) and event[0] >= since for event in self.events)

    def wait(self, condition: Callable[[Event], bool], what: str, after: int = 0) -> Event:
        """The first event that is so, but for the `after` first of all."""
        try:
            wait_until(lambda: any(condition(event) for event in self.told[after:]), 60, f"an event: {what}")
        except TimeoutError as error:
            raise TimeoutError(f"{error}; the last were {self.told[-5:]}") from None
        return next(event for event in self.told[after:] if condition(event))

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        self.thread.join()
        self.process.stdout.close()

    def restart(self) -> None:
        """After the daemon was."""
        self.stop()
        self.start()
