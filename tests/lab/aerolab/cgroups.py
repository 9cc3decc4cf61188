"""The control groups that libvirt makes, and does not remove, where no systemd owns them: /machine in every hierarchy.

On cgroup v2 it also turns controllers on for the children of the root.
"""

import glob
import os
from typing import List

ROOT = "/sys/fs/cgroup"
ROOT_CONTROL = f"{ROOT}/cgroup.subtree_control"


def root_controllers() -> List[str]:
    """Controllers that cgroup v2 gives the root's children; none on v1."""
    if not os.path.exists(ROOT_CONTROL):
        return []
    with open(ROOT_CONTROL, encoding="ascii") as file:
        return file.read().split()


def restore(controllers: List[str]) -> None:
    """Removes /machine wherever nobody is in it, and turns off what root_controllers() did not list before."""
    for top in glob.glob(f"{ROOT}/machine") + glob.glob(f"{ROOT}/*/machine"):
        for folder, _, _ in os.walk(top, topdown=False):
            try:
                os.rmdir(folder)  # fails where a process or another group is in it
            except OSError:
                pass
    for controller in set(root_controllers()) - set(controllers):
        try:
            with open(ROOT_CONTROL, "w", encoding="ascii") as file:
                file.write(f"-{controller}")
        except OSError:
            pass  # somebody else uses it by now
