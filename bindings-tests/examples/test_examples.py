# SPDX-License-Identifier: MIT OR Apache-2.0
"""The same programs in C, C++, Python and Rust print the same, on this machine's own engine."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from conftest import ROOT, compile_program, run

EXAMPLES = ROOT / "examples"
EXPECTED = {
    "hello": "42\n",
    "files": "added up 42\nsaved total.txt, 3 bytes\n",
    "job": "the job is under way\nit is completed, exit code 0: finished\n",
}


@pytest.fixture(autouse=True)
def local(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNSANDBOX_URL", "local:")


def check(name: str, command: list[object], directory: Path) -> None:
    done = run([*command, *([directory] if name == "files" else [])])
    assert (done.stdout, done.stderr, done.returncode) == (EXPECTED[name], "", 0)
    if name == "files":
        assert (directory / "total.txt").read_text() == "42\n"


@pytest.mark.parametrize("name", EXPECTED)
def test_c(name: str, library: Path, tmp_path: Path) -> None:
    source = EXAMPLES / "c" / f"{name}.c"
    check(name, [compile_program(source, tmp_path / name, library, "-std=c99")], tmp_path)


@pytest.mark.parametrize("name", EXPECTED)
def test_cpp(name: str, library: Path, tmp_path: Path) -> None:
    source = EXAMPLES / "cpp" / f"{name}.cpp"
    check(name, [compile_program(source, tmp_path / name, library, "-std=c++17")], tmp_path)


@pytest.mark.parametrize("name", EXPECTED)
def test_python(name: str, tmp_path: Path) -> None:
    check(name, [sys.executable, EXAMPLES / "python" / f"{name}.py"], tmp_path)


@pytest.mark.parametrize("name", EXPECTED)
def test_rust(name: str, tmp_path: Path) -> None:
    built = run(["cargo", "build", "-q", "--locked", "-p", "unsandbox", "--example", name], cwd=ROOT)
    assert built.returncode == 0, built.stderr
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    check(name, [target / "debug" / "examples" / name], tmp_path)


def test_every_example_is_in_every_language() -> None:
    for folder, suffix in (("c", "c"), ("cpp", "cpp"), ("python", "py"), ("rust", "rs")):
        names = {it.stem for it in (EXAMPLES / folder).glob(f"*.{suffix}")}
        assert names == set(EXPECTED), folder
