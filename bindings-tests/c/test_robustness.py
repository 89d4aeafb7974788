# SPDX-License-Identifier: MIT OR Apache-2.0
"""NULL and zero for everything, and a panic inside every function: an error or nothing, never a crash."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from conftest import run
from prototypes import prototypes
from stub import Stub

HERE = Path(__file__).parent
#: Operations for which NULL means something: to be silent.
NULL_IS_FINE = {"unsandbox_set_log": 0}


#: Pointers that may be NULL beside options, callbacks, user_data and lengths that are given back.
OPTIONAL = {
    ("unsandbox_client_new", "config"),
    ("unsandbox_request_add_input_file", "filename without end"),
    ("unsandbox_client_list_jobs_page", "after without end"),
}
#: Types of parameters that may be NULL in every function.
NULLABLE = {"unsandbox_options", "void", "unsandbox_error", "size_t"}


def sweep(library: Path, *arguments: str) -> dict[str, dict[str, object]]:
    done = run([sys.executable, HERE / "sweep.py", library / "libunsandbox.so", *arguments])
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


def may_be_null(function: str, parameter: str) -> bool:
    kind, name = parameter.replace("const ", "").split()[0], parameter.split()[-1].lstrip("*")
    if name == "options" and function.startswith("unsandbox_options_"):
        return False
    return kind in NULLABLE or kind.endswith("_fn") or (function, name) in OPTIONAL


def test_one_null_among_good_arguments(library: Path, stub: Stub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    done = run([sys.executable, HERE / "one_null.py", library / "libunsandbox.so", stub.url])
    assert (done.returncode, done.stderr) == (0, "")
    seen = json.loads(done.stdout)
    for it in prototypes():
        for parameter in it.parameters if it.is_operation else ():
            name = parameter.split()[-1].lstrip("*")
            for variant in (name, f"{name} without end"):
                if variant in seen[it.name]:
                    fine = may_be_null(it.name, parameter) or (it.name, variant) in OPTIONAL
                    assert seen[it.name][variant] == (0 if fine else -1), (it.name, variant)
