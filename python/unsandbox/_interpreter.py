# SPDX-License-Identifier: MIT OR Apache-2.0
"""The interpreter that runs this program, which "local:" takes for Python programs, so that they find its packages."""

from __future__ import annotations

import os
import sys

#: How the files of interpreters are called. A program that embeds one may give its own file in their place.
_NAMES = ("python", "pypy")


def calling() -> str | None:
    """Give the path of this interpreter, or None where there is none that can be started again."""
    path = sys.executable
    if not path:
        why = "sys.executable is empty"
    elif not os.path.isabs(path):
        why = f"sys.executable {path!r} is not an absolute path"
    elif not os.path.basename(path).startswith(_NAMES):
        why = f"sys.executable {path!r} is not called {' or '.join(_NAMES)}"
    else:
        return path
    from . import _log

    _log.debug(f"python of PATH is taken: {why}")
    return None
