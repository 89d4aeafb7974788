# SPDX-License-Identifier: MIT OR Apache-2.0
"""Every function of the library, read from include/unsandbox.cdef."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

CDEF = Path(__file__).resolve().parents[2] / "include" / "unsandbox.cdef"


@dataclass(frozen=True)
class Prototype:
    returns: str
    name: str
    parameters: tuple[str, ...]

    @property
    def is_operation(self) -> bool:
        """Whether it returns a status and gives an error object."""
        return bool(self.parameters) and self.parameters[-1] == "unsandbox_error **err"


def prototypes() -> list[Prototype]:
    found = []
    for line in CDEF.read_text().splitlines():
        match = re.fullmatch(r"(.+?)(unsandbox_\w+)\((.*)\);", line)
        if match and not line.startswith("typedef"):
            returns, name, parameters = match.groups()
            words = [] if parameters == "void" else [it.strip() for it in parameters.split(",")]
            found.append(Prototype(returns.strip(), name, tuple(words)))
    return found
