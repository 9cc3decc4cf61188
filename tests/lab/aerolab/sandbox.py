"""Runs a function where it cannot disturb the machine and leaves nothing behind.

Three processes: the caller, which waits and then cleans up; PID 1 of a new PID namespace, which only collects orphans (libvirt
waits for its QEMUs to vanish, and a zombie has not vanished); and the runner, which does the work. Whatever is started inside dies with
PID 1, and PID 1 dies with the caller, also of SIGKILL. The mount namespace hides the machine's own libvirt: /run (with its
sockets, D-Bus and machined too) and libvirt's folders are empty inside.
"""

import ctypes
import os
import signal
import sys
import traceback
from typing import Callable

CLONE_NEWNS, CLONE_NEWPID = 0x00020000, 0x20000000
MS_NOSUID, MS_NODEV, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 0x1000, 0x4000, 1 << 18
PR_SET_PDEATHSIG = 1

HIDDEN = ("/run", "/etc/libvirt", "/var/lib/libvirt", "/var/log/libvirt", "/var/cache/libvirt")

HOST_PROC = "/run/host-proc"

libc = ctypes.CDLL(None, use_errno=True)


def check(result: int, what: str) -> None:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    check(libc.mount(source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), options.encode()), f"mount {target}")


def run(function: Callable[[], int]) -> int:
    """Returns what the function returned, 128 + N if signal N ended it. The caller's own namespaces change, too."""
    check(libc.unshare(CLONE_NEWNS | CLONE_NEWPID), "unshare")
    mount("none", "/", "none", MS_REC | MS_PRIVATE)
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        exit_with(lambda: be_pid_1(function))
    return wait_for(pid)


def exit_with(function: Callable[[], int]) -> None:
    """A forked child must never return into its parent's code."""
    code = 1
    try:
        code = function()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def wait_for(pid: int, reap_all: bool = False) -> int:
    """Waits for the child, passing on what asks us to end. ^C reaches the runner by itself: it is in the same process group."""
    handled = {signum: signal.signal(signum, lambda *_: os.kill(pid, signal.SIGTERM)) for signum in (signal.SIGTERM, signal.SIGHUP)}
    handled[signal.SIGINT] = signal.signal(signal.SIGINT, signal.SIG_IGN)
    ended, status = 0, 0
    while ended != pid:
        ended, status = os.waitpid(-1 if reap_all else pid, 0)
    for signum, handler in handled.items():
        signal.signal(signum, handler)
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


def be_pid_1(function: Callable[[], int]) -> int:
    check(libc.prctl(PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL)), "prctl")
    for path in HIDDEN:
        mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755")
    os.mkdir(HOST_PROC)
    mount("/proc", HOST_PROC, "none", MS_BIND)  # kernel threads are not in the namespace's own
    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV)
    pid = os.fork()
    if pid == 0:
        # At once, since unittest would take an exception for a failed test: the caller cleans up, whatever was going on.
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, lambda number, _: os._exit(128 + number))
        exit_with(function)
    return wait_for(pid, reap_all=True)
