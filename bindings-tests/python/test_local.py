# SPDX-License-Identifier: MIT OR Apache-2.0
"""The local engine from Python: live output, interrupts that stop the program, forks, no leftovers."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import unsandbox

LEFT = "sandbox-test-7f3a"


def running(mark: str) -> list[int]:
    """Processes that have a word of the test in their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if mark.encode() in words and b"-c\0" not in words:
                found.append(int(entry.name))
    return found


def gone(mark: str) -> bool:
    """Whether all of them end within a second."""
    until = time.monotonic() + 1
    while running(mark) and time.monotonic() < until:
        time.sleep(0.01)
    return not running(mark)


def test_output_comes_while_the_program_runs(local: unsandbox.Client) -> None:
    first = threading.Event()
    seen: list[str] = []

    def on_stdout(text: str) -> None:
        seen.append(text)
        first.set()

    def call() -> None:
        local.execute("bash", "echo one; sleep 1; echo two", on_stdout=on_stdout)

    thread = threading.Thread(target=call)
    thread.start()
    assert first.wait(10)
    assert thread.is_alive()
    thread.join()
    assert "".join(seen) == "one\ntwo\n"


def test_a_callback_that_raises_stops_the_program(local: unsandbox.Client) -> None:
    def refuse(text: str) -> None:
        raise ZeroDivisionError("no")

    start = time.monotonic()
    with pytest.raises(ZeroDivisionError):
        local.execute("bash", "echo one; sleep 30", on_stdout=refuse)
    assert time.monotonic() - start < 5


def test_results_have_all_that_the_engine_knows(local: unsandbox.Client) -> None:
    result = local.execute("bash", "head -c 3 /dev/zero; exit 7", args=["a"])
    assert (result.stdout_bytes, result.exit_code, result.ok) == (b"\0\0\0", 7, False)
    assert result.isolation is not None and result.isolation.level in ("full", "reduced")
    assert result.raw["exit_code"] == 7
    killed = local.execute("bash", "kill -9 $$")
    assert (killed.exit_code, killed.signal) == (137, 9)
    late = local.execute("bash", "echo first; sleep 30", ttl=1)
    assert (late.status, late.exit_code, late.limit, late.stdout) == (
        "timeout",
        124,
        "wall",
        "first\n",
    )


def test_files_that_a_program_leaves_come_back_or_are_named(local: unsandbox.Client, tmp_path: Path) -> None:
    code = "open('plot.png', 'w').write('p'); open('rows.csv', 'a').write('3'); open('same.csv').read()"
    files = {"rows.csv": "1\n2\n", "same.csv": "1\n"}
    named = local.execute("python", code, input_files=files)
    assert (named.artifacts, named.left_files) == ((), ("plot.png", "rows.csv"))
    asked = local.execute("python", code, input_files=files, outputs=["*.png"])
    assert [it.filename for it in asked.artifacts] == ["plot.png"]
    assert asked.left_files == ("rows.csv",)
    assert asked.save_artifacts(tmp_path) == (tmp_path / "plot.png",)
    assert local.run(code, input_files=files, outputs=["*.csv"]).artifacts[0].content == b"1\n2\n3"

    async def several() -> unsandbox.ExecutionResult:
        async with unsandbox.AsyncClient(base_url="local:") as client:
            job = await client.execute_async("python", code, input_files=files, outputs=["**"])
            return await job.wait()

    assert {it.filename for it in asyncio.run(several()).artifacts} == {"plot.png", "rows.csv"}


def test_what_the_machine_gives(local: unsandbox.Client) -> None:
    probe = local.probe()
    assert probe.level in ("full", "reduced")
    assert {layer.available for layer in probe.layers} <= {True, False}
    bash = next(it for it in local.languages() if it.name == "bash")
    assert bash.available and bash.path
    before = local.usage()
    assert local.execute("bash", "true").ok
    after = local.usage()
    assert after.runs.get("completed", 0) == before.runs.get("completed", 0) + 1
    assert (after.key, after.running, after.json, after.limits.languages) == (None, 0, None, None)
    assert (local.validate_key().tier, local.health().healthy) == ("local", True)


def test_jobs(local: unsandbox.Client) -> None:
    job = local.execute_async("bash", f"echo started; exec -a {LEFT} sleep 30")
    assert [it.job_id for it in local.list_jobs()] == [job.job_id]
    with pytest.raises(unsandbox.RequestTimeoutError):
        job.wait(timeout=0.05)
    until = time.monotonic() + 5
    while not running(LEFT):
        assert time.monotonic() < until, "the program was not seen to run"
        time.sleep(0.01)
    result = job.cancel()
    assert (result.status, result.exit_code, result.stdout) == ("cancelled", -1, "started\n")
    assert gone(LEFT)
    assert local.list_jobs() == []


def test_a_list_is_walked_by_pages(local: unsandbox.Client) -> None:
    jobs = [local.execute_async("bash", "sleep 30").job_id for _ in range(5)]
    walked: list[str] = []
    while page := local.list_jobs(limit=2, after=walked[-1] if walked else None):
        walked += [job.job_id for job in page]
        if len(page) < 2:
            break
        # The walk goes on behind a job that has ended.
        local.cancel_job(walked[-1])
    assert walked == jobs
    assert [job.job_id for job in local.list_jobs(after=jobs[3])] == jobs[4:]
    local.delete_job(jobs[1])
    for wrong in (jobs[1], "", "none"):
        with pytest.raises(unsandbox.InvalidRequestError, match="after"):
            local.list_jobs(after=wrong)
    for limit in (0, -1, 1001, 1.5, True, "1"):
        with pytest.raises(unsandbox.InvalidRequestError, match="limit"):
            local.list_jobs(limit=limit)  # type: ignore[arg-type]
    for job in local.list_jobs():
        job.cancel()


def test_a_job_is_deleted_once_it_has_ended(local: unsandbox.Client) -> None:
    job = local.execute_async("bash", "sleep 30")
    with pytest.raises(unsandbox.ConflictError, match="cancel it first") as caught:
        job.delete()
    assert caught.value.job_id == job.job_id
    job.cancel()
    job.delete()
    assert job.status == "cancelled"
    for ask in (job.refresh, job.delete):
        with pytest.raises(unsandbox.NotFoundError):
            ask()

    async def main() -> None:
        async with unsandbox.AsyncClient(base_url="local:") as client:
            job = await client.execute_async("bash", "echo done")
            assert (await job.wait()).ok
            await job.delete()
            with pytest.raises(unsandbox.NotFoundError):
                await client.delete_job(job.job_id)

    asyncio.run(main())


INTERRUPTED = """
import os, signal, sys, threading, time, unsandbox
# A test that was started in the background has it ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
client = unsandbox.Client(base_url="local:")
client.execute("bash", "true")
def interrupt(text):
    global sent
    sent = time.monotonic()
    os.kill(os.getpid(), signal.SIGINT)
try:
    client.execute("bash", "echo started; exec -a MARK sleep 30", on_stdout=interrupt)
except KeyboardInterrupt:
    print(time.monotonic() - sent)
""".replace("MARK", LEFT)


def test_an_interrupt_stops_the_program(local: unsandbox.Client) -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, timeout=30
    )
    assert done.stderr == ""
    assert float(done.stdout) < 0.2
    assert gone(LEFT)


FORKED = """
import os, unsandbox
client = unsandbox.Client(base_url="local:")
assert client.execute("bash", "true").ok
child = os.fork()
if child == 0:
    try:
        ok = client.execute("bash", "true").ok and client.execute("bash", "true").ok
    except BaseException:
        os._exit(3)
    os._exit(0 if ok else 4)
_, status = os.waitpid(child, 0)
assert client.execute("bash", "true").ok
print(os.waitstatus_to_exitcode(status))
"""


def test_the_engine_works_on_both_sides_of_a_fork(local: unsandbox.Client) -> None:
    # Python warns of any fork of a process that has threads, since 3.12.
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKED]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("0\n", "")


MULTIPROCESSING = """
import multiprocessing, sys, unsandbox
client = unsandbox.Client(base_url="local:")
def square(x):
    return int(client.execute("bash", f"echo $(({x} * {x}))").stdout)
if __name__ == "__main__":
    assert square(2) == 4
    context = multiprocessing.get_context(sys.argv[1])
    with context.Pool(2) as pool:
        print(pool.map(square, range(6)))
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_multiprocessing(local: unsandbox.Client, tmp_path: Path, method: str) -> None:
    program = tmp_path / "squares.py"
    program.write_text(MULTIPROCESSING)
    command = [sys.executable, "-W", "ignore::DeprecationWarning", str(program), method]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("[0, 1, 4, 9, 16, 25]\n", "")


def test_many_executions_from_many_threads(local: unsandbox.Client) -> None:
    wrong: list[object] = []

    def work(number: int) -> None:
        for turn in range(4):
            result = local.execute("bash", f"echo {number} {turn}")
            if result.stdout != f"{number} {turn}\n":
                wrong.append(result)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
