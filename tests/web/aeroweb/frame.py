# SPDX-License-Identifier: LGPL-2.1-or-later
"""The frame of a test file: exit codes of automake."""

import sys
import unittest

SKIPPED = 77


def main() -> None:
    """Runs the calling file's tests; exits with 0, 1, or 77 where none could run."""
    result = unittest.main(module="__main__", exit=False, verbosity=2).result
    if not result.wasSuccessful():
        sys.exit(1)
    sys.exit(SKIPPED if result.testsRun == len(result.skipped) else 0)
