# SPDX-License-Identifier: MIT OR Apache-2.0
"""Standard output line by line: as it comes, with the result at the end, and ended where it is left."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import time

import pytest
import unsandbox
from stub import Stub
from test_local import gone, running

MARK = f"sandbox-test-91be-{os.getpid()}"
LAST = f"{MARK}-last"
#: Ends when it is killed, or with the test that leaves it running.
ENDLESS = f"echo one; echo two; exec -a {MARK} sleep 60"


def started(mark: str) -> None:
    until = time.monotonic() + 20
    while not running(mark):
        assert time.monotonic() < until, "the program was not seen to run"
        time.sleep(0.01)


def test_lines_come_while_the_program_runs(local: unsandbox.Client) -> None:
    with local.stream("bash", ENDLESS) as lines:
        assert (next(lines), next(lines)) == ("one\n", "two\n")
        started(MARK)
        assert lines.result is None
    assert gone(MARK) and lines.result is None and list(lines) == []


@pytest.mark.parametrize(
    ("code", "lines"),
    [
        ("printf 'a\\nb'", ["a\n", "b"]),
        ("printf '\\n\\n'", ["\n", "\n"]),
        ("true", []),
        ("printf 'a\\r\\nb\\x0bc\\n'", ["a\r\n", "b\x0bc\n"]),
        (r"printf '\xe2\x82'; sleep 0.05; printf '\xac\n\xff'", ["\u20ac\n", "\ufffd"]),
        ("head -c 300000 /dev/zero | tr '\\0' x; echo; echo end", ["x" * 300_000 + "\n", "end\n"]),
        ("seq 20000", [f"{number}\n" for number in range(1, 20_001)]),
    ],
)
def test_lines_are_cut_where_a_file_cuts_them(local: unsandbox.Client, code: str, lines: list[str]) -> None:
    stream = local.stream("bash", code)
    assert list(stream) == lines
    assert stream.result is not None and stream.result.stdout == "".join(lines)


def test_leaving_the_loop_ends_the_program(local: unsandbox.Client) -> None:
    for line in local.stream("bash", ENDLESS):
        assert line == "one\n"
        started(MARK)
        break
    assert gone(MARK)
    kept = local.stream("bash", ENDLESS)
    with pytest.raises(ZeroDivisionError):
        for _ in kept:
            started(MARK)
            1 // 0  # noqa: B018
    assert gone(MARK)
    # One that is thrown away before its first line.
    stream = local.stream("bash", ENDLESS)
    started(MARK)
    del stream
    gc.collect()
    assert gone(MARK)


def test_a_stream_ends_with_the_result_or_with_what_went_wrong(local: unsandbox.Client) -> None:
    errors: list[str] = []
    stream = local.stream(None, "#!/bin/bash\necho out; echo err >&2; exit 3", on_stderr=errors.append, ttl=5.5)
    assert list(stream) == ["out\n"] and errors == ["err\n"]
    assert stream.result is not None
    assert (stream.result.exit_code, stream.result.detected_language) == (3, "bash")
    checked = local.stream("bash", "printf out; exit 4", check=True)
    assert next(checked) == "out"
    with pytest.raises(unsandbox.ExecutionError) as caught:
        next(checked)
    assert caught.value.returncode == 4 and checked.result is caught.value.result
    assert list(checked) == []
    with pytest.raises(unsandbox.InvalidRequestError, match="\"bsah\" is unknown"):
        next(local.stream("bsah", ""))
    with pytest.raises(unsandbox.RequestTimeoutError):
        list(local.stream("bash", "sleep 60", timeout=0.1))
    with pytest.raises(TypeError, match="on_stdout"):
        local.stream("bash", "", on_stdout=print)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="'tll'; did you mean 'ttl'"):
        local.stream("bash", "", tll=3)  # type: ignore[call-arg]


def test_a_server_gives_its_lines_at_the_end(client: unsandbox.Client, stub: Stub) -> None:
    stream = client.stream("python", "fine")
    assert list(stream) == ["42\n"] and stream.result is not None
    with pytest.raises(unsandbox.RateLimitError):
        list(client.stream("python", "status 429"))
    with client.stream("python", "slow"):
        assert stub.arrived.wait(20)


INTERRUPTED = f"""
import os, signal, sys, time, unsandbox
signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    for line in unsandbox.stream("bash", "echo one; exec -a {MARK} sleep 60"):
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
except KeyboardInterrupt:
    print("interrupted")
"""
ABANDONED = """
import unsandbox
lines = unsandbox.Client(base_url="local:").stream("bash", "echo one; sleep 60")
print(next(lines), end="")
"""


@pytest.mark.parametrize(("program", "said"), [(INTERRUPTED, "interrupted\n"), (ABANDONED, "one\n")])
def test_an_interrupt_or_the_end_of_the_process_ends_it(local: unsandbox.Client, program: str, said: str) -> None:
    begun = time.monotonic()
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr, done.returncode) == (said, "", 0)
    assert time.monotonic() - begun < 30 and gone(MARK)


def test_lines_that_are_awaited(local: unsandbox.Client) -> None:
    async def main() -> None:
        async with unsandbox.AsyncClient(base_url="local:") as client:
            async with client.stream("bash", "echo one; printf two; exit 3") as lines:
                assert [line async for line in lines] == ["one\n", "two"]
            assert lines.result is not None and lines.result.exit_code == 3
            async with client.stream("bash", ENDLESS) as lines:
                async for line in lines:
                    assert line == "one\n"
                    break
            assert gone(MARK) and [line async for line in lines] == []
            # Left without `async with`, and from a task that is cancelled.
            async for _ in client.stream("bash", ENDLESS):
                break
            waiting = asyncio.ensure_future(anext(client.stream("bash", f"exec -a {LAST} sleep 60")))
            await asyncio.to_thread(started, LAST)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert await asyncio.to_thread(gone, MARK)
            with pytest.raises(unsandbox.ExecutionError):
                async for _ in client.stream("bash", "exit 1", check=True):
                    pass
            with pytest.raises(unsandbox.InvalidRequestError):
                await anext(client.stream("bash", "", ttl=0))

    asyncio.run(main(), debug=True)


def test_a_handler_of_a_signal_runs_while_a_line_is_waited_for(local: unsandbox.Client) -> None:
    class Alarm(Exception):
        pass

    def handler(number: int, frame: object) -> None:
        raise Alarm

    old = signal.signal(signal.SIGALRM, handler)
    try:
        with local.stream("bash", f"exec -a {MARK} sleep 60") as lines:
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            with pytest.raises(Alarm):
                next(lines)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
    assert gone(MARK)
