"""libvirt's hook, as the private libvirtd calls it."""

import os
import shlex
from typing import Optional

from .daemon import Aerostatd, require
from .lab import SOURCE

HOOK = "/etc/libvirt/hooks/qemu"


def prepare_hooks() -> None:
    """libvirtd looks for hooks when it starts."""
    os.makedirs(os.path.dirname(HOOK), exist_ok=True)
    write_hook(None)


def write_hook(daemon: Optional[Aerostatd], linger: float = 0) -> None:
    """The hook that is shipped, for this daemon, with its configuration where it does not run. None: a hook that does nothing. linger: seconds that a
    start is kept in it, with the lock of its VM, whatever it says."""
    text = "#!/bin/sh\nexit 0\n"
    if daemon:
        ask = f"{HOOK}.aerostatd"  # libvirtd calls no file of this name
        write(ask, f"#!/bin/sh\nexec {shlex.quote(daemon.program)} -c {shlex.quote(daemon.config_path)} \"$@\"\n")
        text = (f"#!/bin/sh\nexport AEROSTATCTL={shlex.quote(require('aerostatctl'))} AEROSTAT_SOCKET={shlex.quote(daemon.socket)} AEROSTATD={ask}\n"
                f"{shlex.quote(os.path.join(SOURCE, 'tools/hooks/qemu'))} \"$@\"\nstatus=$?\n"
                f"if [ \"$2/$3\" = prepare/begin ]; then sleep {linger:g}; fi\nexit $status\n")
    write(HOOK, text)


def write(path: str, text: str) -> None:
    with open(path + ".new", "w", encoding="ascii") as file:
        file.write(text)
    os.chmod(path + ".new", 0o755)
    os.rename(path + ".new", path)
