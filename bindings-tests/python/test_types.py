# SPDX-License-Identifier: MIT OR Apache-2.0
"""The types hold: mypy over the package in strict mode, and what runs against what is declared."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import unsandbox

pytest.importorskip("mypy", reason="mypy is not installed")

EXTRAS = Path(__file__).resolve().parents[2] / "build/venv-extras/bin"


def check(*command: str) -> None:
    # From another directory than the checkout's, whose own settings would say what to look at.
    here = Path(unsandbox.__file__).parent
    done = subprocess.run(
        [sys.executable, "-m", *command], capture_output=True, text=True, timeout=300, cwd=here.parent
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_package_is_strictly_typed() -> None:
    check("mypy", "--strict", "-p", "unsandbox")


def test_the_types_are_true_of_what_runs(tmp_path: Path) -> None:
    # The whole package; the native module's stub is the only one written by hand.
    # Fields whose text is made when they are read are descriptors at run time.
    lazy = ["unsandbox._types.ExecutionResult.json", "unsandbox._types.JobInfo.json"]
    # What refuses a mistake when it runs, and is an error to a type checker before that.
    refusals = [r"unsandbox\..*\.__(await|a?enter|a?exit)__"]
    # It takes an alias of several literals for a union.
    literals = [r"unsandbox\..*(IsolationLevel|IsolationPolicy|LimitKind|NetworkMode|Rerun|Status)"]
    allowlist = tmp_path / "allowlist"
    allowlist.write_text("\n".join([*lazy, *refusals, *literals]))
    check("mypy.stubtest", "unsandbox", "--allowlist", str(allowlist))


def test_the_public_surface_is_typed_completely() -> None:
    if not EXTRAS.exists():
        pytest.skip("build/venv-extras is not there (`make deps` makes it)")
    # pyright asks the Python that it finds first where packages are.
    environment = {**os.environ, "PATH": f"{EXTRAS}:{os.environ['PATH']}"}
    done = subprocess.run(
        [EXTRAS / "pyright", "--verifytypes", "unsandbox", "--ignoreexternal", "--outputjson"],
        capture_output=True,
        text=True,
        timeout=300,
        env=environment,
    )
    completeness = json.loads(done.stdout)["typeCompleteness"]
    unknown = [
        symbol["name"]
        for symbol in completeness["symbols"]
        if not symbol["isTypeKnown"] or symbol["isTypeAmbiguous"]
    ]
    assert (completeness["completenessScore"], unknown) == (1, [])
    assert len(completeness["symbols"]) > 200
