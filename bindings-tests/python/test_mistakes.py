# SPDX-License-Identifier: MIT OR Apache-2.0
"""What is said where something is used as it cannot be, and what `check=True` raises."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import pytest
import unsandbox
from stub import Stub
from test_surface import SHARED


def test_what_is_not_awaited_says_what_to_do(client: unsandbox.Client, stub: Stub) -> None:
    async def main() -> None:
        job: Any = client.execute_async("python", "fine")
        result: Any = client.execute("python", "fine")
        for thing, words in [(result, "AsyncClient"), (job, r"job\.wait\(\) gives its result")]:
            with pytest.raises(TypeError, match=words):
                await thing
        with pytest.raises(TypeError, match="AsyncClient for `async with`"):
            async with client:  # type: ignore[attr-defined]
                pass
        async with unsandbox.AsyncClient(base_url=stub.url) as awaited:
            with pytest.raises(TypeError, match=r"await job\.wait\(\) gives its result"):
                await (await awaited.execute_async("python", "fine"))  # type: ignore[misc]
            with pytest.raises(TypeError, match="Client for `with`"):
                with awaited:  # type: ignore[attr-defined]
                    pass
            # The call does not care what a callback gives back.
            job = await awaited.execute_async("python", "fine")
            assert (await job.wait(on_update=lambda it: it)).ok
            assert (await awaited.execute("python", "fine", on_stdout=lambda _: result)).ok

    asyncio.run(main())


@pytest.mark.parametrize(
    ("use", "words"),
    [
        (lambda result, job: result.returncode, "'ExecutionResult' object .*'returncode'; did you mean exit_code"),
        (lambda result, job: result.output, "did you mean stdout"),
        (lambda result, job: result.stdot, "did you mean stdout"),
        (lambda result, job: result.zzz, "has no attribute 'zzz'$"),
        (lambda result, job: job.id(), "'Job' object has no attribute 'id'; did you mean job_id"),
        (lambda result, job: job.stdout, r"did you mean wait\(\).stdout"),
        (lambda result, job: unsandbox.exceute, "module 'unsandbox' .*did you mean execute"),
    ],
)
def test_an_attribute_that_is_not_there(
    client: unsandbox.Client, use: Callable[[Any, Any], object], words: str
) -> None:
    with pytest.raises(AttributeError, match=words):
        use(client.execute("python", "fine"), client.execute_async("python", "fine"))


def test_check_raises_for_a_program_that_failed(client: unsandbox.Client) -> None:
    calls: list[Callable[[str, bool], unsandbox.ExecutionResult]] = [
        lambda code, check: client.execute("python", code, check=check),
        lambda code, check: client.run(f"#!/usr/bin/env python3\n{code}", check=check),
    ]
    assert calls[0]("fine", True).ok and calls[1]("", True).ok
    assert not calls[0]("fails", False).ok
    with pytest.raises(unsandbox.ExecutionError) as caught:
        calls[0]("fails", True)
    error = caught.value
    assert (error.returncode, error.stderr, error.result.exit_code) == (7, "boom\n", 7)
    assert str(error).endswith("standard error ends with:\nboom")
    # Not an answer of an endpoint, and not a builtin as those are.
    assert not isinstance(error, (unsandbox.ApiError, ValueError, OSError))


def test_check_of_jobs_and_of_asyncio(local: unsandbox.Client) -> None:
    failing = ("bash", "echo told; exit 9")
    job = local.execute_async(*failing)
    for wait in (job.wait, lambda check: local.wait_job(job.job_id, check=check)):
        assert wait(check=False).exit_code == 9
        with pytest.raises(unsandbox.ExecutionError, match="told") as caught:
            wait(check=True)
        assert caught.value.returncode == 9

    async def main() -> None:
        async with unsandbox.AsyncClient(base_url="local:") as client:
            with pytest.raises(unsandbox.ExecutionError):
                await client.execute(*failing, check=True)
            job = await client.execute_async(*failing)
            for wait in (job.wait(check=True), client.wait_job(job.job_id, check=True)):
                with pytest.raises(unsandbox.ExecutionError):
                    await wait
            assert (await client.execute("bash", "true", check=True)).ok

    asyncio.run(main())
    with pytest.raises(TypeError, match="check"):
        local.execute_async(*failing, check=True)  # type: ignore[call-arg]


@pytest.mark.parametrize("name", SHARED)
def test_the_words_of_the_functions_of_the_module_are_whole(name: str) -> None:
    function = getattr(unsandbox, name)
    words = inspect.getdoc(function) or ""
    signature = inspect.signature(function)
    parameters = signature.parameters
    sections = ["Raises", "Examples"] + (["Args"] if parameters else [])
    if signature.return_annotation not in (None, "None"):
        sections.append("Returns")
    for section in sections:
        assert f"\n\n{section}:\n    " in words, section
    # The options of one program each have words of their own.
    kinds = {
        "execute": unsandbox.RunOptions,
        "run": unsandbox.RunOptions,
        "stream": unsandbox.StreamOptions,
        "execute_async": unsandbox.JobOptions,
        "run_async": unsandbox.JobOptions,
    }
    kind = kinds.get(name)
    names = {*parameters} if kind is None else {*parameters, *kind.__annotations__} - {"options"}
    for parameter in names:
        assert f"\n    {parameter}: " in words, parameter
