# SPDX-License-Identifier: MIT OR Apache-2.0
"""The same programs in C, C++, Python and Rust print the same, on this machine's own engine."""

from __future__ import annotations

import functools
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import ROOT, compile_program, run

EXAMPLES = ROOT / "examples"
SUFFIXES = {"c": "c", "cpp": "cpp", "python": "py", "rust": "rs"}
#: What each prints, as a pattern; those that end in the order of events have their lines sorted.
PRINTED = {
    "hello": "42\n",
    "files": "added up 42\nsaved total.txt, 3 bytes\n",
    "job": r"(it is \w+\n)+it ended with 0: finished\n",
    "pool": "".join(f"{n} squared is {n * n}\n" for n in range(12)),
    "usage": r"0 of [0-9]+ run\n1 completed\n",
    "events": "a program wrote one\na program wrote three\na program wrote two\n",
    "server": "",
}
#: Seconds that an example may take on a machine that is busy.
PATIENCE = 120


@pytest.fixture(autouse=True)
def local(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNSANDBOX_URL", "local:")


@functools.cache
def built_in_rust() -> Path:
    """All of them in one build, in the place of cargo."""
    built = run(["cargo", "build", "-q", "--locked", "-p", "unsandbox", "--examples"], cwd=ROOT)
    assert built.returncode == 0, built.stderr
    return Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug/examples"


def command(language: str, name: str, library: Path, directory: Path) -> list[object]:
    source = EXAMPLES / language / f"{name}.{SUFFIXES[language]}"
    match language:
        case "c":
            return [compile_program(source, directory / name, library, "-std=c99", "-D_POSIX_C_SOURCE=200809L")]
        case "cpp":
            return [compile_program(source, directory / name, library, "-std=c++17")]
        case "rust":
            return [built_in_rust() / name]
    return [sys.executable, source]


@pytest.mark.parametrize("name", [name for name in PRINTED if name != "server"])
@pytest.mark.parametrize("language", SUFFIXES)
def test_it_prints_what_it_is_to_print(language: str, name: str, library: Path, tmp_path: Path) -> None:
    words = command(language, name, library, tmp_path)
    done = run([*words, *([tmp_path] if name == "files" else [])])
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines(keepends=True)
    printed = "".join(sorted(lines) if name == "events" else lines)
    assert re.fullmatch(PRINTED[name], printed), done.stdout
    if name == "files":
        assert (tmp_path / "total.txt").read_text() == "42\n"


def answered(port: int, code: str) -> str:
    """What the example's server sends back for a program."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        connection.sendall(code.encode())
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(functools.partial(connection.recv, 4096), b"")).decode()


@pytest.mark.parametrize("language", SUFFIXES)
def test_the_server_answers_until_its_input_ends(language: str, library: Path, tmp_path: Path) -> None:
    words = [str(word) for word in command(language, "server", library, tmp_path)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            first = re.fullmatch(r"listening on port (\d+)\n", process.stdout.readline())
            assert first
            ask: Callable[[str], str] = functools.partial(answered, int(first[1]))
            with ThreadPoolExecutor(6) as callers:
                squares = list(callers.map(ask, [f"print({n} * {n})" for n in range(6)]))
            assert squares == [f"{n * n}\n" for n in range(6)]
            # A program that passes its limit is ended, and the server goes on.
            ask("x = bytearray(10**9)")
            assert ask("print('still here')") == "still here\n"
            out, err = process.communicate("", timeout=PATIENCE)
            assert (process.returncode, out, err) == (0, "", "")
        finally:
            process.kill()


def test_every_example_is_in_every_language() -> None:
    for folder, suffix in SUFFIXES.items():
        names = {it.stem for it in (EXAMPLES / folder).glob(f"*.{suffix}")}
        assert names == set(PRINTED), folder
