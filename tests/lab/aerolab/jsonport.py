"""Lines of JSON over a unix socket: what QMP and the load generator have in common."""

import json
import queue
import socket
import threading
import time
from typing import Any, Callable, Dict, List, Optional

Message = Dict[str, Any]

CLOSED: Message = {}  # stands in the queue for the end of the connection


class PortClosed(Exception):
    pass


class JsonPort:
    """Sends requests and waits for the answers, which repeat the request's id; whatever has no id goes to `events`. All are
    stamped with the host's time."""

    def __init__(self, path: str, timeout: float) -> None:
        self.answers: "queue.Queue[Message]" = queue.Queue()
        self.events: List[Message] = []
        self.arrived = threading.Condition()
        self.requests = threading.Lock()
        self.last_id = 0
        self.socket = self.connect(path, timeout)
        threading.Thread(target=self.read, daemon=True).start()

    @staticmethod
    def connect(path: str, timeout: float) -> socket.socket:
        deadline = time.monotonic() + timeout
        while True:
            connection = socket.socket(socket.AF_UNIX)
            try:
                connection.connect(path)
                return connection
            except (FileNotFoundError, ConnectionRefusedError):
                connection.close()
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def read(self) -> None:
        try:
            for line in self.socket.makefile("r", encoding="utf-8"):
                try:
                    message = json.loads(line)
                except json.JSONDecodeError:
                    continue  # the tail of a line from before a reboot
                message["host_time"] = time.time()
                if "id" in message:
                    self.answers.put(message)
                else:
                    with self.arrived:
                        self.events.append(message)
                        self.arrived.notify_all()
        except OSError:
            pass
        self.answers.put(CLOSED)

    def ask(self, make_line: Callable[[int], str], timeout: float) -> Message:
        """Sends the line that make_line makes with a new id, and returns the answer; TimeoutError when there is none in time."""
        deadline = time.monotonic() + timeout
        with self.requests:
            self.last_id += 1
            try:
                self.socket.sendall(make_line(self.last_id).encode() + b"\n")
            except OSError as error:
                raise PortClosed(str(error)) from error
            while True:
                try:
                    message = self.answers.get(timeout=max(0.0, deadline - time.monotonic()))
                except queue.Empty:
                    raise TimeoutError(f"no answer within {timeout:g} s") from None
                if message is CLOSED:
                    self.answers.put(CLOSED)
                    raise PortClosed("QEMU has closed the connection")
                if message["id"] == self.last_id:  # not the late answer to a request given up
                    return message

    def wait_event(self, matches: Callable[[Message], bool], timeout: float, since: int = 0) -> Message:
        """The first event from number `since` on that matches."""
        def find() -> Optional[Message]:
            return next((event for event in self.events[since:] if matches(event)), None)

        with self.arrived:
            if not self.arrived.wait_for(lambda: find() is not None, timeout):
                raise TimeoutError(f"no such event within {timeout:g} s")
            return find()

    def close(self) -> None:
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.socket.close()
