# SPDX-License-Identifier: MIT OR Apache-2.0
"""The command line: the very same command as the Rust binary, by the code behind it."""

from __future__ import annotations

import signal
import sys

from . import _native


def main() -> int:
    """Run the command with this process's arguments.

    Returns:
        Its exit code.
    """
    # The command handles interrupts itself, as the binary does; Python's handler would only note
    # them while no Python code runs.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return _native.run_command(["unsandbox", *sys.argv[1:]])
