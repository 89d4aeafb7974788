# SPDX-License-Identifier: MIT OR Apache-2.0
"""The half of `sandboxed` that runs in the sandbox, and the one rule of what travels as JSON.

This file is sent as the beginning of a program, so it imports nothing of the package and keeps to what
old interpreters know. On this side only `foreign` is used.
"""

from __future__ import annotations

import __future__

import json
import linecache
import sys
import traceback

# True for type checkers only; importing `typing` at run time is slow.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def foreign(value: Any, where: str) -> str | None:
    """Say what in a value JSON cannot carry, or None."""
    try:
        return _foreign(value, where)
    except RecursionError:
        return f"{where} is nested too deeply or contains itself"


def _foreign(value: Any, where: str) -> str | None:
    if value is None or isinstance(value, (bool, int, float, str)):
        return None
    if isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            found = _foreign(item, f"{where}[{index}]")
            if found:
                return found
        return None
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                return f"{where} has a key of type {type(key).__name__}; JSON keys must be str"
            found = _foreign(item, f"{where}[{key!r}]")
            if found:
                return found
        return None
    return f"{where} is of type {type(value).__name__}"


def main(job: dict[str, Any]) -> None:
    """Call a function and write its result behind a mark that only the caller knows."""
    source, file = job["source"], job["file"]
    # So that tracebacks show the lines of the caller's own file.
    linecache.cache[file] = (len(source), None, source.splitlines(True), file)
    try:
        # Annotations stay unevaluated: what they name has not travelled.
        code = compile(source, file, "exec", __future__.annotations.compiler_flag, True)
        namespace: dict[str, Any] = {"__name__": "__main__"}
        exec(code, namespace)
        result = namespace[job["name"]](*job["args"], **job["kwargs"])
    except Exception as error:
        inner = error.__traceback__ and error.__traceback__.tb_next
        traceback.print_exception(type(error), error, inner)
        sys.exit(1)
    found = foreign(result, "the result")
    if found:
        name = job["name"]
        sys.exit(f"{name}() cannot give its result back as JSON: {found}")
    out = sys.__stdout__
    if out is not None:
        out.write("\n" + job["mark"] + json.dumps(result) + "\n")
        out.flush()
