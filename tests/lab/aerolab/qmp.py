"""A QMP connection of our own to a guest's QEMU: the quickest way to its balloon that does not go through libvirt."""

import json
from typing import Any

from .jsonport import JsonPort


class Qmp:
    def __init__(self, path: str) -> None:
        self.port = JsonPort(path, timeout=10)
        self.execute("qmp_capabilities")

    def execute(self, command: str, timeout: float = 5.0, **arguments: Any) -> Any:
        """TimeoutError when QEMU does not answer in time, as when it is stopped."""
        request = {"execute": command, "arguments": arguments}
        message = self.port.ask(lambda number: json.dumps(dict(request, id=number)), timeout)
        if "error" in message:
            raise RuntimeError(f"{command}: {message['error']['desc']}")
        return message["return"]

    def actual(self, timeout: float = 5.0) -> int:
        """The size of the balloon's guest as QEMU has it, in bytes."""
        return self.execute("query-balloon", timeout)["actual"]

    def close(self) -> None:
        self.port.close()
