# SPDX-License-Identifier: MIT OR Apache-2.0
"""A host in C finds itself untouched by the engine that it has loaded."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import INCLUDE, WARNINGS, compiler, run

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program; it loads the library itself."""
    program = tmp_path_factory.mktemp("host") / "host"
    # A function's address through a pointer to data: POSIX allows it, the C standard does not.
    flags = [flag for flag in WARNINGS if flag != "-Wpedantic"]
    command = [compiler("cc"), *flags, "-std=gnu99", "-g", f"-I{INCLUDE}", HERE / "host.c"]
    done = run([*command, "-ldl", "-o", program])
    assert done.returncode == 0, done.stderr
    return program


@pytest.mark.parametrize("play", ["untouched", "descriptors", "waits", "forks", "unloads"])
def test_the_host_is_untouched(library: Path, host: Path, play: str) -> None:
    done = run([host, library / "libunsandbox.so", play])
    assert (done.returncode, done.stdout, done.stderr) == (0, "good\n", "")
