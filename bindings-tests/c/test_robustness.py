# SPDX-License-Identifier: MIT OR Apache-2.0
"""NULL and zero for everything, and a panic inside every function: an error or nothing, never a crash."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from conftest import run
from prototypes import prototypes

SWEEP = Path(__file__).parent / "sweep.py"
#: Operations for which NULL means something: to be silent.
NULL_IS_FINE = {"unsandbox_set_log": 0}


def sweep(library: Path, *arguments: str) -> dict[str, dict[str, object]]:
    done = run([sys.executable, SWEEP, library / "libunsandbox.so", *arguments])
    assert done.returncode == 0, f"ended with {done.returncode}"
    assert done.stderr == ""
    return json.loads(done.stdout)


def test_null_for_every_pointer_of_every_function(library: Path) -> None:
    seen = sweep(library, "null")
    assert seen.keys() == {it.name for it in prototypes()}
    for it in prototypes():
        if it.is_operation:
            expected = NULL_IS_FINE.get(it.name, -1)
            assert seen[it.name]["value"] == expected, it.name
            if expected:
                assert seen[it.name]["code"] == expected, it.name
                assert "NULL" in seen[it.name]["message"], it.name


def test_a_panic_inside_every_function_is_an_error_and_prints_nothing(
    panicking_library: Path,
) -> None:
    seen = sweep(panicking_library, "panic")
    for it in prototypes():
        if it.is_operation:
            assert seen[it.name]["value"] == -19, it.name
            assert seen[it.name]["code"] == -19, it.name
            assert "forced by the test" in seen[it.name]["cause"], it.name
    assert seen["unsandbox_error_retry_after_ms"]["value"] == -1
