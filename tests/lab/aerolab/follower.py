"""What the daemon raises, as `aerostatctl alerts --follow` says it."""

import json
import subprocess
import threading
import time
from typing import List, Tuple

from .daemon import Aerostatd


class Follower:
    """Every event as it comes: (time, phase, name, subject)."""

    def __init__(self, daemon: Aerostatd) -> None:
        self.events: List[Tuple[float, str, str, str]] = []
        self.daemon = daemon
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen([self.daemon.ctl_program, "-s", self.daemon.socket, "--json", "alerts", "--follow"], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self) -> None:
        for line in self.process.stdout:
            event = json.loads(line)
            self.events.append((time.time(), event["phase"], event["alert"]["name"], event["alert"]["subject"]))

    def seen(self, phase: str, name: str, subject: str = "host", since: float = 0) -> bool:
        return any(event[1:] == (phase, name, subject) and event[0] >= since for event in self.events)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        self.thread.join()
        self.process.stdout.close()

    def restart(self) -> None:
        """After the daemon was."""
        self.stop()
        self.start()
