# SPDX-License-Identifier: MIT OR Apache-2.0
"""Standard input from everything that can be read: given as it comes, and its errors are the call's."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import unsandbox
from stub import Stub

TEXT = "first\nsecond \u00e4\n"
DATA = TEXT.encode()


class Bare:
    """Has `read` without a size, and nothing else."""

    def __init__(self) -> None:
        self.left = [DATA]

    def read(self) -> bytes:
        return self.left.pop() if self.left else b""


def a_pipe(directory: Path) -> Any:
    end, start = os.pipe()
    with os.fdopen(start, "wb") as file:
        file.write(DATA)
    return os.fdopen(end, "rb")


def begun(directory: Path) -> Any:
    """A file of which something was read already: what is left counts."""
    path = directory / "begun"
    path.write_bytes(b"zeroth\n" + DATA)
    file = path.open("rb")
    file.readline()
    return file


def a_socket(directory: Path) -> Any:
    ours, theirs = socket.socketpair()
    with ours:
        ours.sendall(DATA)
    return theirs


def written(directory: Path, name: str = "data") -> Path:
    path = directory / name
    path.write_bytes(DATA)
    return path


def packed(directory: Path) -> Any:
    path = directory / "packed.gz"
    path.write_bytes(gzip.compress(DATA))
    return gzip.open(path)


#: Ways to give the same input. A gzip file has the descriptor of other bytes.
SOURCES: dict[str, Callable[[Path], Any]] = {
    "text": lambda _: TEXT,
    "bytes": lambda _: DATA,
    "memory": lambda _: io.BytesIO(DATA),
    "path": written,
    "binary": lambda directory: written(directory).open("rb"),
    "unbuffered": lambda directory: written(directory).open("rb", buffering=0),
    "text file": lambda directory: written(directory).open(encoding="utf-8"),
    "text pipe": lambda directory: io.TextIOWrapper(a_pipe(directory), encoding="utf-8"),
    "pipe": a_pipe,
    "begun": begun,
    "socket": a_socket,
    "gzip": packed,
    "bare": lambda _: Bare(),
}


def closed(source: Any) -> None:
    if hasattr(source, "close"):
        source.close()


@pytest.mark.parametrize("kind", SOURCES)
def test_every_kind_of_input(local: unsandbox.Client, tmp_path: Path, kind: str) -> None:
    make = SOURCES[kind]
    for call in (local.execute, lambda *args, **options: local.execute_async(*args, **options).wait()):
        source = make(tmp_path)
        assert call("bash", "cat", stdin=source).stdout_bytes == DATA
        closed(source)
    source = make(tmp_path)
    assert list(local.stream("bash", "cat", stdin=source)) == TEXT.splitlines(keepends=True)
    closed(source)

    async def main() -> None:
        async with unsandbox.AsyncClient(base_url="local:") as client:
            source = make(tmp_path)
            assert (await client.execute("bash", "cat", stdin=source)).stdout == TEXT
            closed(source)

    asyncio.run(main())


def test_a_server_gets_the_whole_input(client: unsandbox.Client, stub: Stub, tmp_path: Path) -> None:
    for kind in SOURCES:
        source = SOURCES[kind](tmp_path)
        client.execute("python", "fine", stdin=source)
        closed(source)
    assert [json.loads(body)["stdin"] for _, _, _, body in stub.requests] == [TEXT] * len(SOURCES)


def test_programs_that_run_together_have_the_same_input(local: unsandbox.Client, tmp_path: Path) -> None:
    for source in (written(tmp_path), written(tmp_path).open("rb")):
        results = local.map(["cat", "cat"], language="bash", stdin=source)
        assert [result.stdout for result in results] == [TEXT, TEXT]
        closed(source)


def test_input_comes_as_it_is_written(local: unsandbox.Client) -> None:
    end, start = os.pipe()
    os.write(start, b"one\n")
    seen: list[str] = []

    def answer(text: str) -> None:
        # The second line is written when the program has said that it has the first one.
        seen.append(text)
        if len(seen) == 1:
            os.write(start, b"two\n")
            os.close(start)

    with os.fdopen(end, "rb") as source:
        local.execute("bash", "while read -r line; do echo got $line; done", stdin=source, on_stdout=answer)
    assert "".join(seen) == "got one\ngot two\n"


def test_a_program_may_leave_its_input(local: unsandbox.Client) -> None:
    with open("/dev/zero", "rb") as endless:
        assert local.execute("bash", "head -c 3 | wc -c", stdin=endless).stdout.strip() == "3"
        assert local.execute("bash", "true", stdin=Path("/dev/zero")).ok
    end, start = os.pipe()
    with os.fdopen(end, "rb") as silent:
        assert local.execute("bash", "echo ended", stdin=silent).stdout == "ended\n"
        os.close(start)


def test_what_the_source_raises_is_raised_by_the_call(local: unsandbox.Client, tmp_path: Path) -> None:
    class Failing:
        def read(self) -> bytes:
            raise ZeroDivisionError("no")

    class Wrong:
        def read(self) -> int:
            return 7

    written(tmp_path, "latin").write_bytes(b"\xff")
    shut = written(tmp_path).open("rb")
    shut.close()
    cases: list[tuple[Callable[[], Any], type[Exception], str]] = [
        (Failing, ZeroDivisionError, "no"),
        (Wrong, unsandbox.InvalidRequestError, "gave int"),
        (lambda: tmp_path / "gone", FileNotFoundError, "gone"),
        (lambda: tmp_path, IsADirectoryError, "directory"),
        (lambda: shut, ValueError, "closed"),
        (lambda: (tmp_path / "latin").open(encoding="utf-8"), UnicodeDecodeError, "utf-8"),
        (lambda: (tmp_path / "out").open("wb"), io.UnsupportedOperation, "read"),
    ]
    for make, kind, words in cases:
        for call in (local.execute, local.execute_async):
            source = make()
            with pytest.raises(kind, match=words):
                call("bash", "cat; sleep 20", stdin=source)
            closed(source)
    assert local.list_jobs() == []


def test_no_thread_is_left(local: unsandbox.Client, tmp_path: Path) -> None:
    local.execute("bash", "cat", stdin=written(tmp_path))
    names = [thread.name for thread in threading.enumerate()]
    assert not [name for name in names if name == "unsandbox-feed"], names


ENDS = """
import sys, unsandbox
print(unsandbox.execute("bash", "head -n 1", stdin=sys.stdin).stdout, end="")
"""


def test_the_process_ends_while_its_own_input_is_open(local: unsandbox.Client) -> None:
    program = subprocess.Popen([sys.executable, "-c", ENDS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert program.stdin and program.stdout
    program.stdin.write("line\n")
    program.stdin.flush()
    assert program.stdout.read() == "line\n"
    assert program.wait(20) == 0
    program.stdin.close()
    program.stdout.close()
