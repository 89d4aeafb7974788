# SPDX-License-Identifier: MIT OR Apache-2.0
"""What runs leave behind: nothing but the jailer and its pool while the client lives, then nothing at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import unsandbox

#: The issue's number: after the host's death nothing is left within this time.
GONE_SECONDS = 1.0
#: A jail that waits prepared for its run, at most one for each run at once.
POOL_MAX = 2 * (os.cpu_count() or 1)

HOST = """
import os, sys, threading, time
import unsandbox
client = unsandbox.Client(base_url="local:")
client.execute("bash", "true")
client.execute_async("bash", "sleep 300 & while :; do sleep 0.05; done", ttl=300)
client.execute_async("python", "import time; time.sleep(300)", ttl=300)
while any(job.refresh().status != "running" for job in client.list_jobs()):
    time.sleep(0.01)
if "fork" in sys.argv and os.fork() == 0:
    os.write(1, b"child %d\\n" % os.getpid())
    time.sleep(300)
    os._exit(0)
os.write(1, b"ready\\n")
time.sleep(300)
"""


def parent_of(entry: Path) -> int | None:
    """The parent of a living process; of a jailer its host, which is in its arguments: its parent has ended."""
    rest = (entry / "stat").read_text().rpartition(")")[2].split()
    if rest[0] == "Z":
        return None
    words = (entry / "cmdline").read_text().split("\0")
    # An init has its jailer's arguments too.
    if words[0] == "unsandbox-jailer" and (entry / "comm").read_text() == "unsandbox-jail\n":
        above = Path(f"/proc/{rest[1]}/comm")
        if above.read_text() != "unsandbox-jail\n":
            return int(words[1])
    return int(rest[1])


def parents() -> dict[int, int]:
    """The parent of every process."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = parent_of(entry)
            except (FileNotFoundError, ProcessLookupError):
                continue
            if parent is not None:
                found[int(entry.name)] = parent
    return found


def below(pid: int) -> set[int]:
    """All processes under one, at any depth."""
    known = parents()
    found: set[int] = set()
    level = {pid}
    while level:
        level = {child for child, parent in known.items() if parent in level} - found
        found |= level
    return found


def settled(pid: int, most: int, seconds: float) -> set[int]:
    """What is below a process once no more than `most` are left, or after `seconds`."""
    until = time.monotonic() + seconds
    while len(left := below(pid)) > most and time.monotonic() < until:
        time.sleep(0.02)
    return left


def names(pids: set[int]) -> list[str]:
    shown = []
    for pid in pids:
        try:
            shown.append(Path(f"/proc/{pid}/comm").read_text().strip())
        except (FileNotFoundError, ProcessLookupError):
            continue
    return sorted(shown)


@pytest.fixture(autouse=True)
def no_other_clients() -> None:
    """The client of the package's own functions may live on from another test: it is not counted."""
    shared = below(os.getpid())
    assert not shared or names(shared), shared


def test_200_runs_from_16_threads_leave_the_jailer_and_its_pool() -> None:
    before = below(os.getpid())
    with unsandbox.Client(base_url="local:") as client:

        def run(number: int) -> str:
            return client.execute("bash", f"sleep 0.01 & echo {number}", ttl=30).stdout

        with ThreadPoolExecutor(16) as pool:
            assert list(pool.map(run, range(200))) == [f"{number}\n" for number in range(200)]
        left = settled(os.getpid(), len(before) + 1 + POOL_MAX, 5) - before
        jailers = {pid for pid in left if parents().get(pid) == os.getpid()}
        assert len(jailers) == 1, names(left)
        assert len(left) <= 1 + POOL_MAX, names(left)
        assert set(names(left)) <= {"unsandbox-jaile", "unsandbox-init", "3", *names(jailers)}, names(left)
    assert settled(os.getpid(), len(before), 2) <= before


def test_a_closed_client_leaves_nothing_of_what_ran() -> None:
    before = below(os.getpid())
    client = unsandbox.Client(base_url="local:")
    client.execute_async("bash", "sleep 300 & sleep 300", ttl=300)
    client.execute_async("bash", "trap '' TERM INT HUP; while :; do sleep 1; done", ttl=300)
    while any(job.status != "running" for job in client.list_jobs()):
        time.sleep(0.01)
    assert below(os.getpid()) - before
    client.close()
    assert settled(os.getpid(), len(before), GONE_SECONDS) <= before


@pytest.mark.parametrize("forks", [False, True], ids=["alone", "while a forked child lives on"])
def test_killing_the_host_leaves_nothing(forks: bool) -> None:
    words = [sys.executable, "-W", "ignore", "-c", HOST, *(["fork"] if forks else [])]
    host = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=dict(os.environ))
    assert host.stdout
    child = None
    try:
        said = sorted(host.stdout.readline().split() for _ in range(2 if forks else 1))
        assert said[-1] == ["ready"], said
        if forks:
            child = int(said[0][1])
        # The jailer, two jails, and a program in each, which a job that runs need not have begun yet.
        until = time.monotonic() + 20
        while len(doomed := below(host.pid) - {child}) < 5:
            assert time.monotonic() < until, names(doomed)
            time.sleep(0.01)
        os.kill(host.pid, signal.SIGKILL)
        host.wait()
        killed = time.monotonic()
        while alive := doomed & set(parents()):
            assert time.monotonic() - killed < GONE_SECONDS, names(alive)
            time.sleep(0.01)
        if child is not None:
            assert child in parents(), "the forked child was to live on"
    finally:
        host.kill()
        host.wait()
        host.stdout.close()
        if child is not None:
            os.kill(child, signal.SIGKILL)
