# SPDX-License-Identifier: MIT OR Apache-2.0
"""Messages of the library in `logging`, which is not imported before somebody else has done so."""

from __future__ import annotations

import sys

from . import _native

# True for type checkers only; importing `typing` at run time is slow.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_DEBUG, _INFO = 10, 20

#: Whether `enable_logging` has chosen; then the logger's own level does not.
_chosen = False


def enable(level: int) -> None:
    """Send messages of at least this level to the logger, whatever its own level is."""
    global _chosen
    _chosen = True
    _send(level)


def follow() -> None:
    """Send what the logger asks for, where it asks for more than warnings."""
    logging = _imported()
    if _chosen or logging is None:
        return
    level = logging.getLogger("unsandbox").getEffectiveLevel()
    if 0 < level <= _INFO:
        _send(level)


def _imported() -> Any:
    """Give `logging`, where somebody has imported it."""
    logging = sys.modules.get("logging")
    # While it is being imported it has no functions yet.
    return logging if hasattr(logging, "getLogger") else None


def _send(level: int) -> None:
    import logging

    _native.set_log(logging.getLogger("unsandbox").log, level)


def debug(message: str) -> None:
    """Log a message of the package's own."""
    logging = _imported()
    if logging is not None:
        logging.getLogger("unsandbox").log(_DEBUG, "%s", message)
