# SPDX-License-Identifier: MIT OR Apache-2.0
"""C programs over the whole API: linked dynamically, statically, and under valgrind."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from conftest import INCLUDE, ROOT, WARNINGS, compile_program, compiler, run
from faulty import FAULTS, KEY, Faulty, keys_in

HERE = Path(__file__).parent


def test_the_whole_api(library: Path, stub: object, tmp_path: Path) -> None:
    program = compile_program(HERE / "smoke.c", tmp_path / "smoke", library, "-std=gnu99", "-g")
    done = run([program, stub.url])
    assert (done.returncode, done.stdout, done.stderr) == (0, "good\n", "")


def test_the_whole_api_leaks_nothing(library: Path, stub: object, tmp_path: Path) -> None:
    if shutil.which("valgrind") is None:
        pytest.skip("valgrind is not installed")
    program = compile_program(HERE / "smoke.c", tmp_path / "smoke", library, "-std=gnu99", "-g")
    done = run(
        ["valgrind", "--quiet", "--leak-check=full", "--error-exitcode=9", program, stub.url]
    )
    assert (done.returncode, done.stdout) == (0, "good\n"), done.stderr


def test_the_static_library(library: Path, stub: object, tmp_path: Path) -> None:
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    archive = target / "debug" / "libunsandbox.a"
    if "UNSANDBOX_LIB_DIR" in os.environ:
        archive = library / "libunsandbox.a"
    command = [compiler("cc"), *WARNINGS, "-std=gnu99", f"-I{INCLUDE}", HERE / "smoke.c", archive]
    done = run([*command, "-lpthread", "-ldl", "-lm", "-lgcc_s", "-o", tmp_path / "smoke"])
    assert done.returncode == 0, done.stderr
    done = run([tmp_path / "smoke", stub.url])
    assert (done.returncode, done.stdout) == (0, "good\n")


def test_no_key_is_logged(library: Path, tmp_path: Path) -> None:
    program = compile_program(HERE / "keys.c", tmp_path / "keys", library, "-std=gnu99", "-g")
    with Faulty() as server:
        done = run([program, server.url, KEY, len(FAULTS)])
    assert done.returncode == 0
    assert len(server.heads) == len(FAULTS) and all(KEY.encode() in head for head in server.heads)
    lines = done.stdout.splitlines()
    assert any(line.startswith("504f 5354 ") for line in lines), "what is sent was dumped"
    assert keys_in(lines) == []
    # The search finds what is there to be found.
    assert keys_in([f"a {KEY}"]) and keys_in(["756e 7362 2d6b 6579 2d35 6563 7265 372d  unsb-key-5ecre7-"])
