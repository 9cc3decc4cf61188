"""The lab and the tests of tests/web together: daemons with real guests that are followed, scraped and looked at."""

import os
import re
import signal
import sys
from typing import ClassVar, Dict, Optional

from .case import LabCase
from .daemon import Aerostatd, Config
from .follower import Follower
from .lab import wait_until

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "web"))
from aeroweb import Alertmanager, Browser, MailServer, Prometheus, free_port, get  # noqa: E402
from aeroweb.page import PageChecks  # noqa: E402

__all__ = ["AlertCase", "Alertmanager", "Browser", "MailServer", "PageChecks", "Prometheus", "get"]


class AlertCase(LabCase):
    """Starts daemons that listen for browsers, and follows what they raise. `config` is what they all have."""

    config: ClassVar[Config] = {"host": {"memory": "2600M", "reserve": "150M"}, "policy": {"floor": "20%"}}

    def start(self, changes: Optional[Config] = None) -> Aerostatd:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.used = {section: dict(keys) for section, keys in self.config.items()}
        self.used["metrics"] = {"listen": f"127.0.0.1:{self.port}"}
        for section, keys in (changes or {}).items():
            self.used.setdefault(section, {}).update(keys)
        daemon = self.start_daemon(self.used)
        self.follower = Follower(daemon)
        self.addCleanup(self.follower.stop)
        self.wait_managed()
        return daemon

    def reload(self, section: str, **keys: str) -> None:
        self.used.setdefault(section, {}).update(keys)
        self.daemon.write_config(self.used)
        self.daemon.process.send_signal(signal.SIGHUP)

    def wait_fired(self, name: str, subject: str = "host", seconds: float = 90, phase: str = "fired") -> None:
        wait_until(lambda: self.follower.seen(phase, name, subject), seconds, f"{name} of {subject} is {phase}")

    def metrics(self) -> Dict[str, float]:
        """What a scrape says: name with labels, and value."""
        return {name: float(value) for name, value in re.findall(r"^(\w+(?:\{.*\})?) (\S+)$", get(self.url + "/metrics"), re.M)}
