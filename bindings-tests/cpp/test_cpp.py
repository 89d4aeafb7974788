# SPDX-License-Identifier: MIT OR Apache-2.0
"""The C++ header: in each dialect and compiler, with and without exceptions, linked twice, leak-free."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from conftest import INCLUDE, WARNINGS, compiler, run

HERE = Path(__file__).parent
FLAVOURS = {
    "c++17": ["-std=c++17"],
    "c++20": ["-std=c++20"],
    "no-exceptions": ["-std=c++17", "-fno-exceptions", "-fno-rtti"],
}


def built(name: str, flavour: str, library: Path, output: Path) -> Path:
    command = [compiler(name), *FLAVOURS[flavour], *WARNINGS, "-g", f"-I{INCLUDE}"]
    command += [HERE / "smoke.cpp", HERE / "other.cpp", "-o", output]
    done = run([*command, f"-L{library}", "-lunsandbox", f"-Wl,-rpath,{library}", "-lpthread"])
    assert done.returncode == 0, done.stderr
    return output


@pytest.mark.parametrize("name", ["g++", "clang++"])
@pytest.mark.parametrize("flavour", FLAVOURS)
def test_the_whole_header(
    name: str, flavour: str, library: Path, stub: object, tmp_path: Path
) -> None:
    done = run([built(name, flavour, library, tmp_path / "smoke"), stub.url])
    assert (done.returncode, done.stdout, done.stderr) == (0, "good\n", "")


def test_it_leaks_nothing(library: Path, stub: object, tmp_path: Path) -> None:
    if shutil.which("valgrind") is None:
        pytest.skip("valgrind is not installed")
    program = built("g++", "c++17", library, tmp_path / "smoke")
    command = ["valgrind", "--quiet", "--leak-check=full", "--error-exitcode=9", program]
    done = run([*command, stub.url])
    assert (done.returncode, done.stdout) == (0, "good\n"), done.stderr
