# SPDX-License-Identifier: MIT OR Apache-2.0
"""Handles of jobs: updates while they are waited for, in both kinds of client."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
import unsandbox
from stub import Stub


def test_updates_while_a_job_is_waited_for(client: unsandbox.Client, stub: Stub) -> None:
    seen: list[str] = []
    stub.state = "pending"
    job = client.execute_async("python", "fine")

    def go_on(job: unsandbox.Job) -> None:
        seen.append(job.status)
        stub.state = {"pending": "running"}.get(job.status)

    result = job.wait(on_update=go_on)
    assert result.ok and job.result is result
    assert seen == ["pending", "running", "completed"]
    # One that is over is told once, without a question.
    asked = len(stub.requests)
    assert job.wait(on_update=lambda it: seen.append(it.status)) is result
    assert seen[3:] == ["completed"] and len(stub.requests) == asked


def test_a_wait_with_updates_has_a_deadline(client: unsandbox.Client, stub: Stub) -> None:
    stub.state = "running"
    seen: list[str] = []
    job = client.execute_async("python", "fine")
    with pytest.raises(unsandbox.RequestTimeoutError):
        job.wait(timeout=0.4, on_update=lambda it: seen.append(it.status))
    assert seen == ["running"] and not job.done


def test_an_update_that_raises_ends_the_wait(client: unsandbox.Client, stub: Stub) -> None:
    stub.state = "running"

    def refuse(job: unsandbox.Job) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        client.execute_async("python", "fine").wait(on_update=refuse)
    assert stub.cancelled == []


def test_jobs_of_asyncio(stub: Stub) -> None:
    async def main() -> None:
        async with unsandbox.AsyncClient(base_url=stub.url, retries=0) as client:
            seen: list[str] = []
            stub.state = "pending"

            def go_on(job: unsandbox.AsyncJob) -> None:
                seen.append(job.status)
                stub.state = {"pending": "running"}.get(job.status)

            job = await client.execute_async("python", "fine")
            assert repr(job) == "AsyncJob('job-1', status='pending')" and job.info.job_id == "job-1"
            assert (await job.wait(on_update=go_on)).ok
            assert seen == ["pending", "running", "completed"]
            assert await job.wait() is job.result
            again = await client.get_job("job-1")
            assert (await again.refresh()) is again and again.done
            submitted = await client.run_async("#!/bin/sh\n")
            assert (await submitted.wait()).ok and submitted.status == "completed"
            cancelled = await (await client.run_async("#!/bin/sh\n")).cancel()
            assert cancelled.status == "cancelled"
            stub.state = "running"
            with pytest.raises(unsandbox.RequestTimeoutError):
                await (await client.list_jobs())[0].wait(timeout=0.3, on_update=print)

    asyncio.run(main())


def test_a_job_is_lost_with_its_server(client: unsandbox.Client, stub: Stub) -> None:
    stub.state = "running"
    submitted, seen = client.execute_async("python", "fine"), client.get_job("job-1")
    listed = client.list_jobs()[0]
    stub.restarted = True
    for job in (submitted, seen, listed):
        for ask in (job.refresh, job.wait, job.cancel, job.delete, lambda job=job: job.wait(on_update=print)):
            with pytest.raises(unsandbox.JobLostError, match="job-1") as caught:
                ask()
            assert caught.value.job_id == "job-1" and caught.value.may_have_run
    # An id that only the caller names.
    for ask in (client.get_job, client.wait_job, client.cancel_job, client.delete_job):
        with pytest.raises(unsandbox.NotFoundError):
            ask("job-2")


def test_a_job_of_asyncio_is_lost_with_its_server(stub: Stub) -> None:
    async def main() -> None:
        async with unsandbox.AsyncClient(base_url=stub.url, retries=0) as client:
            stub.state, stub.restarted = "running", False
            job = await client.execute_async("python", "fine")
            await job.refresh()
            stub.restarted = True
            for ask in (job.refresh, job.wait, job.cancel, job.delete):
                with pytest.raises(unsandbox.JobLostError, match="job-1"):
                    await ask()
            with pytest.raises(unsandbox.NotFoundError):
                await client.get_job("job-2")

    asyncio.run(main())


@pytest.fixture(scope="module")
def local() -> Iterator[unsandbox.Client]:
    with unsandbox.Client(base_url="local:") as client:
        yield client


def test_events_go_on_behind_the_output_that_the_caller_has(local: unsandbox.Client) -> None:
    job = local.execute_async("bash", "printf 0123456789; printf abc >&2")
    job.wait()
    events = list(job.events(offsets=(4, 1)))
    assert [it.kind for it in events] == ["queued", "started", "stdout", "stderr", "finished"]
    assert [(it.text, it.stream) for it in events[2:4]] == [("456789", "stdout"), ("bc", "stderr")]
    assert [it.offsets for it in events[1:]] == [(4, 1), (10, 1), (10, 3), (10, 3)]
    end = events[-1].job
    assert end is not None and end.done and end.result is not None and end.result.stdout == "0123456789"


def test_the_text_of_events_is_whole_characters(local: unsandbox.Client) -> None:
    job = local.execute_async("bash", r"printf 'caf\303'; sleep 0.3; printf '\251 \342\202'")
    events = [it for it in job.events() if it.kind == "stdout"]
    assert "".join(it.text for it in events) == "caf\u00e9 \ufffd"
    assert b"".join(it.data for it in events) == b"caf\xc3\xa9 \xe2\x82"
    # What never got its rest is told at the end, with no further bytes.
    assert (events[-1].text, events[-1].data) == ("\ufffd", b"")


def test_events_that_cannot_come_are_errors(local: unsandbox.Client) -> None:
    for wrong in ((-1, 0), (1,), ("a", 0), None, (1 << 64, 0)):
        with pytest.raises(unsandbox.InvalidRequestError, match="offsets"):
            next(local.job_events("job_1", offsets=wrong))  # type: ignore[arg-type]
    with pytest.raises(unsandbox.NotFoundError):
        next(local.job_events("job_1"))
    job = local.execute_async("bash", "sleep 60")
    with pytest.raises(unsandbox.RequestTimeoutError):
        list(job.events(timeout=0.3))
    assert job.refresh().status == "running"
    job.cancel()


def test_an_awaited_reader_that_is_cancelled_leaves_its_thread_and_its_job() -> None:
    async def main() -> str:
        async with unsandbox.AsyncClient(base_url="local:", max_workers=1) as client:
            job = await client.execute_async("bash", "sleep 60")

            async def read() -> None:
                async for _ in job.events():
                    pass

            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(read(), 0.5)
            # The client has one thread, which is free again.
            status = (await asyncio.wait_for(job.refresh(), 20)).status
            await job.cancel()
            return status

    assert asyncio.run(main()) == "running"
