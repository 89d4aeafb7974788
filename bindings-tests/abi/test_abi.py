# SPDX-License-Identifier: MIT OR Apache-2.0
"""A program compiled against a released header runs with the library of today."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from conftest import INCLUDE, compile_program, run

HERE = Path(__file__).parent
RELEASES = sorted(it.name for it in HERE.iterdir() if (it / "unsandbox.h").is_file())


def test_the_first_release_is_kept() -> None:
    assert "0.1" in RELEASES


@pytest.mark.parametrize("release", RELEASES)
def test_its_program_runs(release: str, library: Path, stub: object, tmp_path: Path) -> None:
    source = HERE / release / "program.c"
    program = compile_program(source, tmp_path / "program", library, include=HERE / release)
    done = run([program, stub.url])
    assert (done.returncode, done.stdout) == (0, "good\n")


@pytest.mark.parametrize("release", RELEASES)
def test_its_fields_lie_where_they_lay(release: str, library: Path, tmp_path: Path) -> None:
    source = HERE / release / "layout.c"
    then = compile_program(source, tmp_path / "then", library, include=HERE / release)
    now = compile_program(source, tmp_path / "now", library, include=INCLUDE)
    assert run([then]).stdout == run([now]).stdout


@pytest.mark.parametrize("release", RELEASES)
def test_its_constants_are_what_they_were(release: str) -> None:
    def constants(header: Path) -> dict[str, str]:
        return dict(re.findall(r"^ +(UNSANDBOX_\w+) = (-?\d+),$", header.read_text(), re.MULTILINE))

    then, now = constants(HERE / release / "unsandbox.h"), constants(INCLUDE / "unsandbox.h")
    assert then
    assert {name: now.get(name) for name in then} == then


@pytest.mark.parametrize("release", RELEASES)
def test_its_functions_are_still_there(release: str) -> None:
    names = set(re.findall(r"\b(unsandbox_\w+)\(", (HERE / release / "unsandbox.h").read_text()))
    today = {line.split()[0] for line in (INCLUDE / "unsandbox.symbols").read_text().splitlines()}
    assert names - today == set()
