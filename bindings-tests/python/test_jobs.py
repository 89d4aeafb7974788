# SPDX-License-Identifier: MIT OR Apache-2.0
"""Handles of jobs: updates while they are waited for, in both kinds of client."""

from __future__ import annotations

import asyncio

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
        for ask in (job.refresh, job.wait, job.cancel, lambda job=job: job.wait(on_update=print)):
            with pytest.raises(unsandbox.JobLostError, match="job-1") as caught:
                ask()
            assert caught.value.job_id == "job-1" and caught.value.may_have_run
    # An id that only the caller names.
    for ask in (client.get_job, client.wait_job, client.cancel_job):
        with pytest.raises(unsandbox.NotFoundError):
            ask("job-2")


def test_a_job_of_asyncio_is_lost_with_its_server(stub: Stub) -> None:
    async def main() -> None:
        async with unsandbox.AsyncClient(base_url=stub.url, retries=0) as client:
            stub.state, stub.restarted = "running", False
            job = await client.execute_async("python", "fine")
            await job.refresh()
            stub.restarted = True
            for ask in (job.refresh, job.wait, job.cancel):
                with pytest.raises(unsandbox.JobLostError, match="job-1"):
                    await ask()
            with pytest.raises(unsandbox.NotFoundError):
                await client.get_job("job-2")

    asyncio.run(main())
