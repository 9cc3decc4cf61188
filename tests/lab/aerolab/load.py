"""Drives the load generator of a guest (guest/load/load.h has the protocol)."""

import time
from typing import Any, Optional, Set

from .jsonport import JsonPort, Message

TIMEOUT = 30.0  # a guest that swaps answers late


class LoadError(Exception):
    """The generator refused a request."""


class Load:
    def __init__(self, path: str, boot_timeout: float) -> None:
        self.port = JsonPort(path, boot_timeout)
        self.clock_offset: Optional[float] = None
        self.names: Set[str] = set()  # workloads started and not freed
        self.port.wait_event(lambda event: event.get("event") == "ready", boot_timeout)

    def request(self, verb: str, timeout: float = TIMEOUT, **args: Any) -> Message:
        words = " ".join([verb, *(f"{key}={value}" for key, value in args.items() if value is not None)])
        message = self.port.ask(lambda number: f"{number} {words}", timeout)
        if not message["ok"]:
            raise LoadError(f"{words}: {message['error']}")
        return message

    def hold(self, name: str, size: int, ramp: int = 0, **args: Any) -> None:
        self.names.add(name)
        self.request("hold", name=name, bytes=size, ramp=ramp, **args)

    def cache(self, name: str, size: int, ramp: int = 0, **args: Any) -> None:
        self.names.add(name)
        self.request("cache", name=name, bytes=size, ramp=ramp, **args)

    def free(self, name: str) -> None:
        self.names.discard(name)
        self.request("free", name=name)

    def free_all(self) -> None:
        for name in list(self.names):
            self.free(name)

    def work(self, name: str, reset: bool = False) -> Message:
        return self.request("work", name=name, reset=1 if reset else None)

    def guest(self) -> Message:
        return self.request("guest")

    def agent(self, action: str) -> Message:
        return self.request("agent", action=action)

    def reboot(self) -> None:
        since = len(self.port.events)
        self.request("reboot")
        self.names.clear()
        self.port.wait_event(lambda event: event.get("event") == "ready", TIMEOUT, since)

    def align_clocks(self, tries: int = 20) -> float:
        """Learns the host's time of the guest's clock from the quickest of some pings; returns the uncertainty in seconds."""
        best = float("inf")
        for _ in range(tries):
            before = time.time()
            answer = self.request("ping")
            trip = answer["host_time"] - before
            if trip < best:
                best = trip
                self.clock_offset = before + trip / 2 - answer["time_usec"] / 1e6
        return best / 2

    def host_time(self, time_usec: int) -> float:
        """The host's time of a guest's time; align_clocks() comes first."""
        return time_usec / 1e6 + self.clock_offset

    def watch_headroom(self, reserved: int) -> None:
        self.request("watch", headroom=1, reserved=reserved)

    def crossed(self, since: int = 0) -> "float | None":
        """As wait_crossed(), for what has come so far; None: it has not."""
        for event in self.port.events[since:]:
            if event.get("event") == "crossed":
                return self.host_time(event["time_usec"])
        return None

    def wait_crossed(self, timeout: float, since: int = 0) -> float:
        """When MemAvailable first fell below what watch_headroom() watches, in the host's time."""
        event = self.port.wait_event(lambda event: event.get("event") == "crossed", timeout, since)
        return self.host_time(event["time_usec"])
