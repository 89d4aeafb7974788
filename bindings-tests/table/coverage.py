# SPDX-License-Identifier: MIT OR Apache-2.0
"""What the cases that passed leave uncovered: operations, options, limits and error codes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from .table import OPERATIONS, OPTIONS, Case, options_used

ROOT = Path(__file__).resolve().parent.parent.parent


def error_codes() -> list[str]:
    """The codes of the one table, as the C header has them."""
    return re.findall(r"UNSANDBOX_ERR_(\w+) =", (ROOT / "include/unsandbox.cdef").read_text())


def limits() -> list[str]:
    """The limits that a request may set, from the one table of them."""
    text = (ROOT / "crates/unsandbox-protocol/src/limits.rs").read_text()
    table = text.partition("\nlimits! {\n")[2].partition("\n}\n")[0]
    names = re.findall(r"^    (\w+): ", table, re.MULTILINE)
    assert names, "limits.rs has no rows of its table where they were"
    return names


def uncovered(passed: Iterable[Case]) -> list[str]:
    """Each with its kind; a case counts where it passed."""
    passed = list(passed)
    operations = {case.op for case in passed if case.result}
    options = {name for case in passed if case.result for name in options_used(case)}
    # An option that no endpoint has yet is covered by its typed error.
    options |= {name for case in passed if case.error for name in options_used(case)}
    asked = {name for case in passed if case.result for name in case.request.get("limits", {})}
    codes = {case.error for case in passed}
    return (
        [f"operation {name}" for name in OPERATIONS if name not in operations]
        + [f"option {name}" for name in OPTIONS if name not in options]
        + [f"limit {name}" for name in limits() if name not in asked]
        + [f"error {name}" for name in error_codes() if name not in codes]
    )
