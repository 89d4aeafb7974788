# SPDX-License-Identifier: MIT OR Apache-2.0
"""Callbacks in asyncio: on the loop's own thread, in order, awaited, and able to end the call."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable

import pytest
import unsandbox
from stub import Stub


def with_client(stub: Stub, work: Callable[[unsandbox.AsyncClient], Awaitable[None]]) -> None:
    async def main() -> None:
        async with unsandbox.AsyncClient(base_url=stub.url, retries=0) as client:
            await work(client)

    asyncio.run(main(), debug=True)


def test_callbacks_are_called_on_the_thread_of_the_loop(stub: Stub) -> None:
    async def work(client: unsandbox.AsyncClient) -> None:
        seen: list[tuple[str, str, int]] = []

        def on_stdout(text: str) -> None:
            asyncio.get_running_loop()
            seen.append(("out", text, threading.get_ident()))

        await client.execute("python", "fine", on_stdout=on_stdout)
        await client.execute("python", "fails", on_stderr=lambda text: seen.append(("err", text, 0)))
        assert seen == [("out", "42\n", threading.get_ident()), ("err", "boom\n", 0)]

    with_client(stub, work)


def test_coroutine_functions_are_awaited_in_order() -> None:
    seen: list[str] = []

    async def slowly(text: str) -> None:
        first = not seen
        seen.append(text)
        # The first to begin would be the last to end, if they ran side by side.
        for _ in range(50 if first else 0):
            await asyncio.sleep(0)
        seen.append(f"end of {text}")

    async def main() -> None:
        async with unsandbox.AsyncClient(base_url="local:") as client:
            code = "for i in 1 2 3; do echo $i; sleep 0.05; done"
            result = await client.execute("bash", code, on_stdout=slowly)
            # All of it has been given by now.
            assert "".join(it for it in seen if not it.startswith("end")) == result.stdout == "1\n2\n3\n"
            assert seen[1::2] == [f"end of {text}" for text in seen[::2]]

    asyncio.run(main(), debug=True)


def test_a_callback_that_raises_ends_the_call(stub: Stub) -> None:
    async def refuse(text: str) -> None:
        raise ZeroDivisionError("no")

    async def work(client: unsandbox.AsyncClient) -> None:
        with pytest.raises(ZeroDivisionError):
            await client.execute("python", "fine", on_stdout=refuse)
        with pytest.raises(unsandbox.RateLimitError):
            await client.execute("python", "status 429", on_stdout=print)
        # What is cancelled takes its callbacks along.
        call = asyncio.ensure_future(client.execute("python", "slow", on_stdout=print))
        while not stub.arrived.is_set():
            await asyncio.sleep(0.01)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert asyncio.all_tasks() == {asyncio.current_task()}

    with_client(stub, work)


def test_a_callback_that_raises_stops_the_program() -> None:
    async def main() -> None:
        async with unsandbox.AsyncClient(base_url="local:") as client:
            loop = asyncio.get_running_loop()
            begun = loop.time()
            with pytest.raises(ZeroDivisionError):
                await client.execute("bash", "echo one; sleep 60", on_stdout=lambda _: 1 // 0)
            assert loop.time() - begun < 20
            assert await client.list_jobs() == []

    asyncio.run(main())


def test_updates_of_a_job_may_be_awaited(stub: Stub) -> None:
    async def work(client: unsandbox.AsyncClient) -> None:
        seen: list[str] = []

        async def note(job: unsandbox.AsyncJob) -> None:
            await asyncio.sleep(0)
            seen.append(job.status)

        job = await client.execute_async("python", "fine")
        assert (await job.wait(on_update=note)).ok
        assert seen == ["completed"]

    with_client(stub, work)
