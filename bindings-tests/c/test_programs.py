# SPDX-License-Identifier: MIT OR Apache-2.0
"""C programs over the whole API: linked dynamically, statically, and under valgrind."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from conftest import INCLUDE, ROOT, WARNINGS, compile_program, compiler, run
from faulty import FAULTS, INPUT_BYTES, KEY, OUTPUT_BYTES, Faulty, keys_in, large

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


@pytest.mark.parametrize(("way", "payload"), [("in", INPUT_BYTES), ("out", OUTPUT_BYTES)])
def test_large_payloads_are_not_copied_over_and_over(
    way: str, payload: int, library: Path, tmp_path: Path
) -> None:
    program = compile_program(HERE / "large.c", tmp_path / "large", library, "-std=gnu99")
    output = payload if way == "out" else 1
    with large(output) as server:
        done = run([program, way, server.url])
    peak, received = map(int, done.stdout.split())
    assert received == output
    assert peak <= 4 * payload, f"{peak / payload:.1f} times"


@pytest.mark.parametrize("how", ["token", "deadline", "Ctrl-C"])
def test_a_blocked_call_returns_at_its_end(how: str, library: Path, tmp_path: Path) -> None:
    program = compile_program(ROOT / "bench/network/stop.c", tmp_path / "stop", library, "-D_GNU_SOURCE")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        words = [program, str(silent.getsockname()[1]), how]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        with silent.accept()[0] as connection:
            assert connection.recv(1)
            begun = 0
            if how == "Ctrl-C":
                begun = time.monotonic_ns()
                process.send_signal(signal.SIGINT)
            said = process.communicate(timeout=30)[0].split()
    assert (process.returncode, said[0]) == (0, "ready")
    assert int(said[1]) - begun < 100_000_000, f"{(int(said[1]) - begun) / 1e6} ms"
