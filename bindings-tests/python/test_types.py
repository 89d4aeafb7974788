# SPDX-License-Identifier: MIT OR Apache-2.0
"""The types hold: mypy over the package in strict mode, and the stub of the native module."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import unsandbox

pytest.importorskip("mypy", reason="mypy is not installed")


def check(*command: str) -> None:
    # From another directory than the checkout's, whose own settings would say what to look at.
    here = Path(unsandbox.__file__).parent
    done = subprocess.run(
        [sys.executable, "-m", *command], capture_output=True, text=True, timeout=300, cwd=here.parent
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_package_is_strictly_typed() -> None:
    check("mypy", "--strict", "-p", "unsandbox")


def test_the_stub_of_the_native_module_is_true() -> None:
    check("mypy.stubtest", "unsandbox._native")
