# SPDX-License-Identifier: MIT OR Apache-2.0
"""Many programs at once: `map`, the executor, and their ends."""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import threading
import types
from collections.abc import Iterator
from concurrent.futures import Future, as_completed
from typing import Any

import pytest
import unsandbox
from stub import Stub


def echo(count: int) -> list[str]:
    return [f"say {number}" for number in range(count)]


def test_map_gives_every_result(client: unsandbox.Client, stub: Stub) -> None:
    results = list(client.map(echo(20), language="python", max_workers=4, ttl=7))
    assert sorted(int(result.stdout) for result in results) == list(range(20))
    bodies = [json.loads(body) for _, _, _, body in stub.requests]
    assert {body["ttl"] for body in bodies} == {7}


def test_map_in_order_and_with_detection(client: unsandbox.Client) -> None:
    results = client.map(echo(20), language="python", max_workers=4, ordered=True)
    assert [int(result.stdout) for result in results] == list(range(20))
    (detected,) = client.map(["#!/usr/bin/env python3\n"])
    assert detected.detected_language == "python"


def test_a_quick_result_does_not_wait_for_a_slow_one(client: unsandbox.Client, stub: Stub) -> None:
    results = client.map(["slow", "say 1"], language="python", max_workers=2)
    assert next(results).stdout == "1"
    stub.release.set()
    assert next(results).stdout == "42\n"
    assert next(results, None) is None


def test_map_takes_no_more_than_it_can_run(client: unsandbox.Client) -> None:
    taken: list[int] = []

    def codes() -> Iterator[str]:
        for number in itertools.count():
            taken.append(number)
            yield f"say {number}"

    results = client.map(codes(), language="python", max_workers=3)
    assert taken == []
    next(results)
    assert len(taken) == 3
    results.close()  # type: ignore[attr-defined]
    assert len(taken) <= 4


def test_leaving_map_early_stops_what_runs(client: unsandbox.Client, stub: Stub) -> None:
    for result in client.map(["say 1", *["slow"] * 3], language="python", max_workers=4):
        assert result.stdout == "1"
        break
    # The generator is closed when it goes; its threads have been waited for.
    assert [it for it in threading.enumerate() if it.name.startswith("unsandbox")] == []


def test_a_call_without_a_result_ends_map(client: unsandbox.Client) -> None:
    with pytest.raises(unsandbox.RateLimitError):
        list(client.map(["status 429", "slow", "slow"], language="python", max_workers=3))


@pytest.mark.parametrize("wrong", [0, -1, 2.0, True, "4"])
def test_wrong_numbers_of_workers(client: unsandbox.Client, wrong: Any) -> None:
    with pytest.raises(unsandbox.InvalidRequestError, match="max_workers must be a whole number"):
        client.map([], max_workers=wrong)
    with pytest.raises(unsandbox.InvalidRequestError, match="max_workers"):
        unsandbox.Executor(wrong, client=client)


def test_one_text_is_no_series(client: unsandbox.Client) -> None:
    with pytest.raises(unsandbox.InvalidRequestError, match="codes must be an iterable of str"):
        client.map("print(1)")


def test_progress_is_counted_where_there_is_no_tqdm(
    client: unsandbox.Client, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    list(client.map(echo(3), language="python", max_workers=1, progress=True))
    assert capsys.readouterr().err == "\r1/3 runs\r2/3 runs\r3/3 runs\n"
    list(client.map(iter(echo(1)), language="python", progress=True))
    assert capsys.readouterr().err == "\r1 runs\n"
    list(client.map(echo(3), language="python"))
    assert capsys.readouterr().err == ""


def test_progress_is_shown_by_tqdm(
    client: unsandbox.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[Any] = []

    class Bar:
        def __init__(self, **settings: Any) -> None:
            said.append(settings["total"])

        def update(self) -> None:
            said.append("update")

        def close(self) -> None:
            said.append("close")

    module = types.ModuleType("tqdm.auto")
    module.tqdm = Bar  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tqdm.auto", module)
    monkeypatch.setitem(sys.modules, "tqdm", types.ModuleType("tqdm"))
    list(client.map(echo(2), language="python", progress=True))
    assert said == [2, "update", "update", "close"]


def test_the_executor_is_one_of_concurrent_futures(client: unsandbox.Client, stub: Stub) -> None:
    with unsandbox.Executor(4, client=client, language="python", ttl=9) as executor:
        futures = {executor.submit(code): code for code in echo(8)}
        for future in as_completed(futures):
            assert future.result().stdout == futures[future].removeprefix("say ")
        assert [it.stdout for it in executor.map(echo(3))] == ["0", "1", "2"]
        failed = executor.submit("status 429", ttl=3, stdin="x")
        assert isinstance(failed.exception(), unsandbox.RateLimitError)
        assert executor.submit("#!/bin/sh\n", language="bash").result().ok
    bodies = [json.loads(body) for _, _, _, body in stub.requests]
    assert [body["ttl"] for body in bodies] == [9] * 11 + [3, 9]
    assert (bodies[-2]["stdin"], bodies[-1]["language"]) == ("x", "bash")
    with pytest.raises(RuntimeError):
        executor.submit("say 1")


def test_asyncio_takes_the_executor_as_its_own(client: unsandbox.Client) -> None:
    async def main() -> str:
        loop = asyncio.get_running_loop()
        with unsandbox.Executor(2, client=client, language="python") as executor:
            # What runs is source text, which a type checker does not take for a function.
            result: Any = await loop.run_in_executor(executor, "say 5")  # type: ignore[arg-type]
        return str(result.stdout)

    assert asyncio.run(main()) == "5"


def test_leaving_the_executor_by_an_exception_stops_its_programs(
    client: unsandbox.Client, stub: Stub
) -> None:
    futures: list[Future[unsandbox.ExecutionResult]] = []
    with pytest.raises(ZeroDivisionError):
        with unsandbox.Executor(1, client=client, language="python") as executor:
            futures += [executor.submit("slow"), executor.submit("slow")]
            assert stub.arrived.wait(20)
            raise ZeroDivisionError
    assert isinstance(futures[0].exception(), unsandbox.CancelledError)
    assert futures[1].cancelled()
    executor.stop(futures[0])


def test_the_executor_uses_the_default_client(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    from unsandbox import _functions

    monkeypatch.setenv("UNSANDBOX_URL", stub.url)
    monkeypatch.setattr(_functions, "_client", None)
    with unsandbox.Executor() as executor:
        assert executor.submit("say 3", language="python").result().stdout == "3"
    assert [it.stdout for it in unsandbox.map(["say 4"], language="python")] == ["4"]


def test_map_with_files_that_are_open(client: unsandbox.Client, stub: Stub) -> None:
    import io

    options: dict[str, Any] = {"input_files": [("a", io.BytesIO(b"a"))], "stdin": io.StringIO("in")}
    list(client.map(echo(2), language="python", **options))
    options = {"input_files": [io.BytesIO(b"a")], "stdin": io.StringIO("in")}
    with unsandbox.Executor(client=client) as executor:
        assert len(list(executor.map(echo(2), language="python", **options))) == 2
    for _, _, _, body in stub.requests:
        assert json.loads(body)["input_files"][0]["content"] == "YQ=="
        assert json.loads(body)["stdin"] == "in"


def test_map_of_asyncio(stub: Stub) -> None:
    async def main() -> None:
        async with unsandbox.AsyncClient(base_url=stub.url, retries=0) as client:
            seen = [it.stdout async for it in client.map(echo(9), language="python", max_workers=3)]
            assert sorted(seen) == [str(number) for number in range(9)]
            ordered = client.map(echo(9), language="python", max_workers=3, ordered=True)
            assert [it.stdout async for it in ordered] == [str(number) for number in range(9)]
            early = client.map(["say 1", "slow"], language="python")
            assert (await anext(early)).stdout == "1"
            await early.aclose()
            with pytest.raises(unsandbox.RateLimitError):
                async for _ in client.map(["status 429", "slow"], language="python"):
                    pass
            with pytest.raises(unsandbox.InvalidRequestError, match="codes must be"):
                await anext(client.map("print(1)"))

    asyncio.run(main())
