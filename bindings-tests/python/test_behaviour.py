# SPDX-License-Identifier: MIT OR Apache-2.0
"""At home in Python: the GIL, signals, forks, threads, asyncio, imports."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest
import unsandbox
from stub import Stub


def ticks_while(wait: Callable[[], object]) -> float:
    """How often a thread that counts comes round in a second while this one waits."""
    ticks = 0
    stop = threading.Event()

    def count() -> None:
        nonlocal ticks
        while not stop.is_set():
            time.sleep(0.001)
            ticks += 1

    counter = threading.Thread(target=count)
    counter.start()
    start = time.monotonic()
    wait()
    took = time.monotonic() - start
    stop.set()
    counter.join()
    return ticks / took


def test_another_thread_keeps_its_pace_while_one_waits(client: unsandbox.Client, stub: Stub) -> None:
    def execute() -> None:
        with pytest.raises(unsandbox.RequestTimeoutError):
            client.execute("python", "slow", timeout=2.0)

    # Beside a wait of Python's own, which surely holds nothing. What else runs on the machine only
    # takes ticks away, so one fair round of a few is enough; a GIL that is held has none.
    ratios: list[float] = []
    while len(ratios) < 5 and max(ratios, default=0.0) < 0.95:
        ratios.append(ticks_while(execute) / ticks_while(lambda: time.sleep(2.0)))
    assert max(ratios) >= 0.95, ratios


INTERRUPTED = """
import os, signal, sys, threading, time, unsandbox
# A test that was started in the background has it ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
client = unsandbox.Client(base_url=sys.argv[1], retries=0)
def interrupt():
    sys.stdin.readline()
    global sent
    sent = time.monotonic()
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=interrupt, daemon=True).start()
try:
    client.execute("python", "slow")
except KeyboardInterrupt:
    print(time.monotonic() - sent)
"""


def test_an_interrupt_ends_a_call_at_once(stub: Stub) -> None:
    program = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, stub.url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert stub.arrived.wait(20)
    output, _ = program.communicate("now\n", timeout=20)
    assert program.returncode == 0
    assert float(output) < 0.2


def test_a_handler_of_a_signal_runs_while_a_call_waits(client: unsandbox.Client, stub: Stub) -> None:
    class Alarm(Exception):
        pass

    def handler(number: int, frame: object) -> None:
        raise Alarm

    old = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(Alarm):
            client.execute("python", "slow")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)


FORKED = """
import os, sys, unsandbox
client = unsandbox.Client(base_url=sys.argv[1], retries=0)
assert client.execute("python", "fine").ok
child = os.fork()
if child == 0:
    try:
        ok = client.execute("python", "fine").ok and client.execute("python", "fine").ok
    except BaseException:
        os._exit(3)
    os._exit(0 if ok else 4)
_, status = os.waitpid(child, 0)
assert client.execute("python", "fine").ok
print(os.waitstatus_to_exitcode(status))
"""


def test_a_client_works_on_both_sides_of_a_fork(stub: Stub) -> None:
    # A process of its own: forking one that has threads is an error under -W error.
    done = subprocess.run(
        [sys.executable, "-c", FORKED, stub.url], capture_output=True, text=True, timeout=30
    )
    assert (done.stdout, done.stderr) == ("0\n", "")
    keys = [headers["idempotency-key"] for _, _, headers, _ in stub.requests]
    assert len(keys) == len(set(keys)) == 4, "the child does not send its parent's next keys"


KEPT = """
import os, sys, time, unsandbox
def threads():
    return len(os.listdir("/proc/self/task"))
def at_the_fork():
    # The kernel may still show a thread for a moment that has been joined.
    until = time.monotonic() + 10
    while threads() > 1 and time.monotonic() < until:
        time.sleep(0.001)
    print("at the fork", threads(), flush=True)
# Hooks run in the reverse of their order: this one sees what is left after the library's.
os.register_at_fork(before=at_the_fork)
client = unsandbox.Client(base_url=sys.argv[1], retries=0)
for _ in range(3):
    assert client.execute("python", "fine").ok
    print(threads())
if os.fork() == 0:
    os._exit(0)
assert client.execute("python", "fine").ok
print(threads())
"""


def test_calls_share_one_thread_that_is_gone_at_a_fork(stub: Stub) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KEPT, stub.url], capture_output=True, text=True, timeout=30
    )
    assert (done.stdout, done.stderr) == ("2\n2\n2\nat the fork 1\n2\n", "")


def test_many_threads_share_a_client(client: unsandbox.Client) -> None:
    results: list[str] = []

    def call() -> None:
        for _ in range(5):
            results.append(client.execute("python", "fine").stdout)

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == ["42\n"] * 40


def test_a_closed_client_says_so(stub: Stub) -> None:
    with unsandbox.Client(base_url=stub.url) as client:
        assert client.endpoint == stub.url and not client.is_local
        assert repr(client) == f"Client(base_url={stub.url!r})"
    with pytest.raises(unsandbox.ConflictError):
        client.execute("python", "fine")


def test_output_callbacks_get_text(client: unsandbox.Client) -> None:
    seen: list[tuple[str, str]] = []
    client.execute(
        "python",
        "bytes",
        on_stdout=lambda text: seen.append(("out", text)),
        on_stderr=lambda text: seen.append(("err", text)),
    )
    assert "".join(text for stream, text in seen if stream == "out") == "\ufffd\x00"


def test_characters_cut_in_two_arrive_whole() -> None:
    from unsandbox._options import TextOutput

    seen: list[str] = []
    output = TextOutput(seen.append, None)
    for piece in (b"a\xc3", b"\xa4", b"\xe2\x82"):
        output(False, piece)
    output(True, b"nobody listens")
    output.finish()
    assert seen == ["a", "ä", "\ufffd"]


def test_an_exception_of_a_callback_ends_the_call(client: unsandbox.Client) -> None:
    def refuse(text: str) -> None:
        raise ZeroDivisionError("no")

    with pytest.raises(ZeroDivisionError):
        client.execute("python", "fine", on_stdout=refuse)


def test_keys_are_sent_and_never_shown(stub: Stub) -> None:
    client = unsandbox.Client("unsb-secret", base_url=stub.url)
    client.execute("python", "fine")
    headers = {name.lower(): value for name, value in stub.requests[0][2].items()}
    assert headers["authorization"] == "Bearer unsb-secret"
    assert headers["user-agent"].startswith(f"unsandbox-python/{unsandbox.__version__}")
    assert "secret" not in repr(client)


def test_the_module_has_a_client_of_its_own(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    from unsandbox import _functions

    monkeypatch.setenv("UNSANDBOX_URL", stub.url)
    monkeypatch.setattr(_functions, "_client", None)
    assert unsandbox.execute("python", "fine").ok
    assert unsandbox.default_client() is unsandbox.default_client()
    assert unsandbox.run("#!/usr/bin/env python3\n", ttl=3).detected_language == "python"
    job = unsandbox.execute_async("python", "fine")
    assert unsandbox.get_job(job.job_id).done and unsandbox.wait_job(job.job_id).ok
    assert unsandbox.cancel_job(job.job_id).status == "cancelled"
    unsandbox.delete_job(job.job_id)
    assert stub.requests[-1][:2] == ("DELETE", "/jobs/job-1/record")
    assert unsandbox.run_async("#!/bin/sh\n").job_id == "job-1"
    assert len(unsandbox.list_jobs()) == 1 and len(unsandbox.languages()) == 2
    assert unsandbox.usage().limits.max_ttl == 30


def test_asyncio_calls_run_side_by_side(stub: Stub) -> None:
    async def main() -> None:
        async with unsandbox.AsyncClient(base_url=stub.url, retries=0) as client:
            calls = [client.execute("python", "slow") for _ in range(40)]
            running = asyncio.gather(*calls)
            while len(stub.requests) < 40:
                await asyncio.sleep(0.01)
            stub.release.set()
            assert all(result.ok for result in await running)
            assert (await client.run("#!/bin/sh\n")).ok
            assert (await client.execute_async("python", "fine")).status == "pending"
            assert (await client.run_async("#!/bin/sh\n")).job_id == "job-1"
            assert (await client.get_job("job-1")).done
            assert (await client.wait_job("job-1")).ok
            assert (await client.cancel_job("job-1")).status == "cancelled"
            await client.delete_job("job-1")
            assert len(await client.list_jobs()) == 1 and len(await client.languages()) == 2
            assert (await client.usage()).running == 1
            assert (await client.validate_key()).valid and (await client.health()).healthy
            with pytest.raises(unsandbox.InvalidRequestError):
                await client.probe()
            with pytest.raises(unsandbox.InvalidRequestError):
                await client.execute("python", "fine", ttl=0)

    asyncio.run(main())


def test_cancelling_a_task_of_asyncio_stops_the_call(stub: Stub) -> None:
    async def main() -> float:
        async with unsandbox.AsyncClient(base_url=stub.url, retries=0) as client:
            task = asyncio.ensure_future(client.execute("python", "slow"))
            while not stub.arrived.is_set():
                await asyncio.sleep(0.01)
            start = time.monotonic()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return time.monotonic() - start

    assert asyncio.run(main()) < 0.2


def test_importing_does_no_work_and_leaves_asyncio_out() -> None:
    code = (
        "import sys, threading, json, unsandbox\n"
        "print(json.dumps([threading.active_count(), 'asyncio' in sys.modules,"
        " 'unsandbox._types' in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert json.loads(done.stdout) == [1, False, False]
    assert set(unsandbox.__all__) <= set(dir(unsandbox))
    assert all(hasattr(unsandbox, name) for name in unsandbox.__all__)
    with pytest.raises(AttributeError):
        unsandbox.nothing_of_the_kind  # noqa: B018


def test_messages_go_to_logging(client: unsandbox.Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(1, logger="unsandbox"):
        unsandbox.enable_logging(1)
        try:
            client.execute("python", "fine")
        finally:
            unsandbox.enable_logging(logging.CRITICAL + 1)
    assert all(record.name == "unsandbox" for record in caplog.records)


def test_the_command_is_there() -> None:
    for command in ([sys.executable, "-m", "unsandbox"], [os.path.join(sys.prefix, "bin", "unsandbox")]):
        done = subprocess.run([*command, "--version"], capture_output=True, text=True, timeout=30)
        assert done.returncode == 0 and unsandbox.__version__ in done.stdout
        done = subprocess.run([*command, "run"], capture_output=True, text=True, timeout=30)
        assert done.returncode == 2


LOGGED = """
import logging, sys, unsandbox
logging.basicConfig(level=int(sys.argv[1]), stream=sys.stdout, format="%(name)s %(levelname)s %(message)s")
client = unsandbox.Client(base_url="local:")
result = client.execute("c", 'int main(void) { return 3; } /* hunter1 */', env={"TOKEN": "hunter2"}, stdin="hunter3")
print(result.runtime)
"""


def test_what_local_does_is_logged_where_logging_asks_for_it() -> None:
    def lines(level: int) -> list[str]:
        command = [sys.executable, "-c", LOGGED, str(level)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0 and done.stderr == "" and "hunter" not in done.stdout, done
        return done.stdout.splitlines()

    *said, runtime = lines(logging.DEBUG)
    text = "\n".join(said)
    assert all(line.startswith("unsandbox ") for line in said)
    for words in (f'c is run by "{runtime}"', "step Compile took ", "step Run took ", " ms: exit code 3, isolation "):
        assert words in text, (words, text)
    assert len(lines(logging.WARNING)) <= 2
