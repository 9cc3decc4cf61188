# SPDX-License-Identifier: LGPL-2.1-or-later
"""A program in a terminal that a test can see, type into, resize and take away: tmux on a server of its own. For tests/terminal and the lab."""

import os
import shutil
import shlex
import signal
import subprocess
import time
import unittest
from typing import Any, Callable, Dict, List, Optional

# Around the program: what the terminal's settings are before and after, who the program is and how it ends. Signals of the terminal are
# the program's alone: a handler in the shell is not handed on to it, being ignored would be. In the end cat keeps the terminal for as long
# as there is one.
FRAME = """trap : INT HUP TERM QUIT
ulimit -c 0
cd "$1" || exit
shift
stty -g > before
sh -c 'echo $$ > pid.new; mv pid.new pid; exec "$@"' sh "$@"
echo $? > code.new
stty -g > after
mv code.new code
exec cat > /dev/null 2>&1
"""


class Terminal:
    opened = 0  # each has a server of its own: one that is about to end takes no new session

    def __init__(self, folder: str, command: List[str], width: int = 80, height: int = 24, env: Optional[Dict[str, str]] = None) -> None:
        self.folder = folder
        Terminal.opened += 1
        self.server = [self.require_tmux(), "-S", f"{folder}/tmux-{Terminal.opened}", "-f", "/dev/null"]
        inside = {"LC_ALL": "C.UTF-8", "TERM": "screen-256color", **(env or {})}
        for name in ("before", "after", "pid", "code"):
            if os.path.exists(f"{folder}/{name}"):
                os.unlink(f"{folder}/{name}")
        words = ["env", "-u", "NO_COLOR", "-u", "COLUMNS", "-u", "LINES", *(f"{k}={v}" for k, v in inside.items()),
                 "sh", "-c", FRAME, "sh", folder, *command]
        # The server's own locale: it must keep UTF-8 apart, whatever the program runs in. It ends with its only session.
        subprocess.run([*self.server, "-u", "new-session", "-d", "-x", str(width), "-y", str(height), shlex.join(words)], check=True,
                       env={**os.environ, "LC_ALL": "C.UTF-8"}, stdin=subprocess.DEVNULL)
        wait_until(lambda: os.path.exists(f"{folder}/pid"), 10, "the program has started")
        self.pid = int(self.read("pid"))

    @staticmethod
    def require_tmux() -> str:
        path = shutil.which("tmux")
        if not path:
            raise unittest.SkipTest("needs tmux")
        return path

    def read(self, name: str) -> str:
        with open(f"{self.folder}/{name}", encoding="ascii") as file:
            return file.read().strip()

    def tmux(self, *args: str) -> str:
        return subprocess.run([*self.server, *args], check=True, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C.UTF-8"},
                              stdin=subprocess.DEVNULL, timeout=20).stdout

    def close(self) -> None:
        subprocess.run([*self.server, "kill-server"], check=False, capture_output=True, stdin=subprocess.DEVNULL)
        self.ended()  # what is around the program writes to the folder until then

    # What is seen ---------------------------------------------------------------------------------------------------

    def screen(self, *args: str) -> str:
        return self.tmux("capture-pane", "-p", *args)

    def lines(self) -> List[str]:
        return self.screen().split("\n")[:-1]

    def fact(self, name: str) -> str:
        """A format variable of tmux: "alternate_on", "cursor_flag", ..."""
        return self.tmux("display-message", "-p", "#{" + name + "}").strip()

    def wait(self, what: "str | Callable[[str], Any]", seconds: float = 10) -> Any:
        """Until a text is on the screen, or a condition on it holds; returns what the condition did."""
        condition = (lambda screen: what in screen) if isinstance(what, str) else what
        try:
            return wait_until(lambda: condition(self.screen()), seconds, "")
        except AssertionError:
            what = repr(what) if isinstance(what, str) else "what was expected"
            raise AssertionError(f"not within {seconds:g} s on the screen: {what}\n{self.screen()}") from None

    # What is done ---------------------------------------------------------------------------------------------------

    def keys(self, *keys: str) -> None:
        self.tmux("send-keys", *keys)

    def type(self, text: str) -> None:
        self.tmux("send-keys", "-l", text)

    def resize(self, width: int, height: int) -> None:
        self.tmux("resize-window", "-x", str(width), "-y", str(height))

    def kill(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def gone(self) -> bool:
        """Whether the program is no more, whatever its shell does."""
        try:
            with open(f"/proc/{self.pid}/stat", encoding="ascii", errors="replace") as file:
                return file.read().rsplit(")", 1)[1].split()[0] == "Z"
        except FileNotFoundError:
            return True

    def ended(self, seconds: float = 10) -> int:
        """Waits for the program's end; its exit status as a shell has it."""
        wait_until(lambda: os.path.exists(f"{self.folder}/code"), seconds, "the program ends")
        return int(self.read("code"))

    def check_restored(self, test: unittest.TestCase) -> None:
        """The terminal is as it was before the program, which has ended."""
        test.assertEqual(self.read("before"), self.read("after"), "settings of the terminal (stty -g)")
        test.assertEqual(self.fact("alternate_on"), "0", "the alternate screen is left")
        test.assertEqual(self.fact("cursor_flag"), "1", "the cursor is shown")
        test.assertEqual(self.fact("keypad_flag"), "0", "keys are those of a shell")


def wait_until(condition: Callable[[], Any], seconds: float, what: str, every: float = 0.05) -> Any:
    deadline = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        time.sleep(every)
