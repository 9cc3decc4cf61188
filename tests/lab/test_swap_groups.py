#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The swap ceiling on real control groups: a guest with a disk to swap on, aerostatd's swap control in it, and small processes in place of QEMU."""

import unittest
from typing import Any, Dict, List

from aerolab import MIB, alone, log, only_long

SWAP = 512 * MIB
CEILING = 0.30


def boot(phases: str) -> List[Dict[str, Any]]:
    return alone.boot("swap-ceiling", phases, swap=SWAP)


def tell(kind: str, one: Dict[str, Any]) -> None:
    log(f"{kind}: VMs take {100 * one['memory']:.0f} % of memory and {100 * one['swap']:.0f} % of swap, control "
        f"{'on' if one['on'] else 'off'}: swap peak "
        f"{100 * one['used_peak'] / one['swap_total']:.1f} %, of VMs only in swap {100 * one['vms_peak'] / one['swap_total']:.1f} %, "
        f"group {one['group_peak'] / MIB:.1f} MiB of {CEILING * one['swap_total'] / MIB:.1f}, {one['above_limit']} bytes above its limit, lifted by "
        f"{one['lift_peak'] / MIB:.0f} MiB, swappiness down to {one['swappiness_least']}, {one['alive']} of 3 alive ({one['method']})")


class SwapGroups(unittest.TestCase):
    @only_long
    def test_v2_without_control(self) -> None:
        off, = boot("95%,40%,off")
        tell("v2", off)
        self.assertGreater(off["used_peak"] / off["swap_total"], CEILING, "the load does not swap enough to prove anything")

    def test_v2_keeps_the_ceiling_to_the_page(self) -> None:
        on, = boot("95%,24%,on")
        tell("v2", on)
        self.assertEqual(on["method"], "cgroup_v2")
        self.assertLessEqual(on["group_peak"], CEILING * on["swap_total"])
        self.assertLessEqual(on["used_peak"], CEILING * on["swap_total"])
        self.assertEqual(on["lift_peak"], 0)
        self.assertEqual(on["alive"], 3)

    @only_long
    def test_v2_killed_at_random_moments(self) -> None:
        on, = boot("95%,24%,kill")
        tell("v2", on)
        log(f"the control was killed {on['kills']} times")
        self.assertGreaterEqual(on["kills"], 10)
        self.assertLessEqual(on["group_peak"], CEILING * on["swap_total"])
        self.assertEqual(on["alive"], 3)  # that all is lifted at the end, swap-ceiling looks itself

    @only_long
    def test_v2_survival_outranks_the_ceiling(self) -> None:
        on, = boot("95%,55%,on")
        tell("v2", on)
        self.assertEqual(on["alive"], 3, "a VM was killed while swap was free")
        self.assertGreater(on["lift_peak"], 0)
        self.assertLess(on["group_peak_kept"], CEILING * on["swap_total"] + 4096)

    @only_long
    def test_v1_slows_down_at_the_ceiling(self) -> None:
        # Swap in use is no measure here: without a limit the kernel keeps the slots of pages that are back in memory until half of swap is in use.
        off, on, more = boot("v1 95%,24%,off 95%,24%,on 95%,55%,on")
        for one in (off, on, more):
            tell("v1", one)
            self.assertEqual(one["alive"], 3)
        self.assertEqual(on["method"], "cgroup_v1_swappiness")
        self.assertLess(on["vms_peak"] / on["swap_total"], 0.36)
        self.assertEqual(more["swappiness_least"], 1)


if __name__ == "__main__":
    alone.main()
