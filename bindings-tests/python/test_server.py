# SPDX-License-Identifier: MIT OR Apache-2.0
"""Many calls of asyncio through HTTP, against the real server: side by side, not one after the other."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
import unsandbox

CALLS = 200
SLEEP_SECONDS = 0.5
AT_ONCE = 100


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of a server of your own, as `python -m unsandbox serve` gives it."""
    command = [sys.executable, "-m", "unsandbox", "serve", "--isolation", "auto"]
    command += ["--listen", "127.0.0.1:0", "--store", "memory", "--concurrency", str(AT_ONCE)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stderr
        line = process.stdout.readline().strip()
        if not line:
            pytest.skip(f"no server on this machine: {process.stderr.read()}")
        address = line.removeprefix("listening on ")
        yield address if "://" in address else f"http://{address}"
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)


def test_many_calls_of_asyncio_take_the_time_of_the_server(server: str) -> None:
    async def main() -> float:
        async with unsandbox.AsyncClient(base_url=server) as client:
            await client.execute("bash", "true")
            start = time.monotonic()
            calls = [
                client.execute("bash", f"sleep {SLEEP_SECONDS}; echo {number}")
                for number in range(CALLS)
            ]
            results = await asyncio.gather(*calls)
            took = time.monotonic() - start
        assert [int(result.stdout) for result in results] == list(range(CALLS))
        return took

    took = asyncio.run(main())
    # One after the other it would be 100 s. The server needs two rounds, and the machine's time for
    # making the jails.
    assert took < CALLS * SLEEP_SECONDS / 5


#: More than a test waits: what is told only at the end of the program never comes.
LONG = {"ttl": 600}


def test_output_comes_from_a_server_while_the_program_runs(server: str) -> None:
    with unsandbox.Client(base_url=server) as client:
        with client.stream("bash", "echo one; sleep 500", timeout=30, **LONG) as lines:
            assert next(lines) == "one\n"
        job = client.execute_async("bash", "echo one; echo bad >&2; sleep 500", **LONG)
        seen = {}
        for event in job.events(timeout=30):
            seen[event.kind] = event
            if {"stdout", "stderr"} <= seen.keys() and event.kind != "finished":
                job.cancel()
        assert (seen["stdout"].text, seen["stderr"].data) == ("one\n", b"bad\n")
        end = seen["finished"].job
        assert end is not None and end.result is not None
        assert (end.status, end.result.stdout) == ("cancelled", "one\n")


def test_events_of_a_server_are_awaited(server: str) -> None:
    async def main() -> list[str]:
        async with unsandbox.AsyncClient(base_url=server) as client:
            job = await client.execute_async("bash", "echo one; sleep 500", **LONG)
            kinds = []
            async for event in job.events(timeout=30):
                kinds.append(event.kind)
                if event.kind == "stdout":
                    await job.cancel()
            return kinds

    kinds = asyncio.run(main())
    assert sorted(kinds[:3]) == ["queued", "started", "stdout"] and kinds[3:] == ["finished"]
