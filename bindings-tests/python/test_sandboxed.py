# SPDX-License-Identifier: MIT OR Apache-2.0
"""Functions that run in the sandbox: what travels, what cannot, and what comes back when they fail."""

from __future__ import annotations

import functools
import json
import linecache
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import unsandbox
from unsandbox import _travel

OUTSIDE = 5


def test_a_function_runs_in_the_sandbox(
    local: unsandbox.Client, capsys: pytest.CaptureFixture[str]
) -> None:
    @unsandbox.sandboxed(client=local, ttl=20, env={"GREETING": "hello"})
    def work(numbers: list[int], *more: int, factor: int = 2, **rest: str) -> dict[str, Any]:
        """Its own words."""
        import os
        import sys

        text = """
a text
  that keeps its indentation
"""

        def scaled(value: int) -> int:
            return value * factor

        print(os.environ["GREETING"])
        print("careful", file=sys.stderr)
        return {
            "numbers": [scaled(it) for it in (*numbers, *more)],
            "rest": rest,
            "text": text,
            "where": os.getcwd(),
        }

    import os

    got = work([1, 2], 3, factor=10, name="ä")
    assert got["numbers"] == [10, 20, 30] and got["rest"] == {"name": "ä"}
    assert got["text"] == "\na text\n  that keeps its indentation\n"
    assert got["where"] != os.getcwd()
    assert tuple(capsys.readouterr()) == ("hello\n", "careful\n")
    assert (work.__name__, work.__doc__) == ("work", "Its own words.")
    assert work.__wrapped__  # type: ignore[attr-defined]


def test_the_default_client_and_no_parentheses(
    local: unsandbox.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    from unsandbox import _functions

    monkeypatch.setattr(_functions, "_client", local)

    @unsandbox.sandboxed
    def factorial(n: int) -> int:
        return 1 if n < 2 else n * factorial(n - 1)

    assert factorial(20) == 2432902008176640000


def test_values_travel_unchanged(local: unsandbox.Client) -> None:
    @unsandbox.sandboxed(client=local)
    def same(value: Any) -> Any:
        return value

    values = [None, True, 2**70, 0.1, "\0\n'\"\\\ud800😀", [[], {}], {"": [1, {"a": None}]}]
    assert same(values) == values
    assert same((1, 2)) == [1, 2]


def test_the_inner_traceback_is_shown(local: unsandbox.Client) -> None:
    @unsandbox.sandboxed(client=local)
    def fails(value: int) -> float:
        print("so far")
        return 1 / value

    with pytest.raises(unsandbox.ExecutionError) as caught:
        fails(0)
    text = str(caught.value)
    line = fails.__wrapped__.__code__.co_firstlineno + 3  # type: ignore[attr-defined]
    assert f'File "test_sandboxed.py", line {line}, in fails\n    return 1 / value' in text
    assert "ZeroDivisionError: " in text
    assert "_travel" not in text and "in main" not in text
    assert caught.value.returncode == 1 and caught.value.stdout == "so far\n"


def test_ends_without_a_result(local: unsandbox.Client) -> None:
    @unsandbox.sandboxed(client=local)
    def ends(how: str) -> Any:
        import os
        import sys

        if how == "leaves":
            sys.exit(0)
        if how == "falls":
            os._exit(0)
        if how == "lies":
            sys.stdout.write = lambda text: os.write(1, text.replace("[]", "[").encode())
            return []
        return {1, 2}

    @unsandbox.sandboxed(client=local, ttl=1)
    def loops() -> None:
        while True:
            pass

    for how in ("leaves", "falls"):
        with pytest.raises(unsandbox.ExecutionError, match="ended its process before"):
            ends(how)
    with pytest.raises(unsandbox.ExecutionError) as late:
        loops()
    assert late.value.result.status == "timeout"
    with pytest.raises(unsandbox.ExecutionError, match="ends.. returned no JSON"):
        ends("lies")
    with pytest.raises(unsandbox.ExecutionError, match="the result is of type set"):
        ends("returns")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({1, 2}, "argument value is of type set"),
        ([0, {"a": b"x"}], r"argument value\[1\]\['a'\] is of type bytes"),
        ({1: 2}, "has a key of type int; JSON keys must be str"),
        (1j, "of type complex"),
        (object(), "of type object"),
    ],
)
def test_arguments_that_are_no_json(client: unsandbox.Client, value: Any, words: str) -> None:
    @unsandbox.sandboxed(client=client)
    def take(value: Any) -> None: ...

    with pytest.raises(unsandbox.InvalidRequestError, match=words):
        take(value)


def test_calls_that_do_not_fit(client: unsandbox.Client) -> None:
    @unsandbox.sandboxed(client=client)
    def take(value: Any) -> None: ...

    ring: list[Any] = []
    ring.append(ring)
    with pytest.raises(unsandbox.InvalidRequestError, match="contains itself"):
        take(ring)
    with pytest.raises(TypeError, match="missing a required argument"):
        take()  # type: ignore[call-arg]


def test_functions_that_cannot_travel() -> None:
    outside = 3

    def closure() -> int:
        return outside

    def of_the_file() -> int:
        return OUTSIDE + len(json.dumps([]))

    def by_default(value: int = OUTSIDE) -> int:
        return value

    async def coroutine() -> None: ...

    def generator() -> Iterator[int]:
        yield 1

    @functools.cache
    def cached() -> None: ...

    def decorated() -> None: ...

    decorated.__wrapped__ = closure  # type: ignore[attr-defined]
    namespace: dict[str, Callable[[], None]] = {}
    exec("def without_source(): pass", namespace)
    refused: list[tuple[Any, str]] = [
        (closure, "is a closure over outside"),
        (of_the_file, r"of_the_file\(\) uses global names that are not sent to the sandbox: OUTSIDE, json;"),
        (by_default, r"by_default\(\) uses global names that are not sent to the sandbox: OUTSIDE;"),
        (coroutine, "is a coroutine function"),
        (generator, "is a generator function"),
        (lambda: 1, "a lambda cannot be sandboxed"),
        (decorated, "has another decorator below"),
        (cached, "only a plain function can be sandboxed"),
        (print, "only a plain function can be sandboxed, got builtin"),
        (int, "only a plain function can be sandboxed, got type"),
        (namespace["without_source"], "its source is not available"),
    ]
    for function, words in refused:
        with pytest.raises(unsandbox.InvalidRequestError, match=words):
            unsandbox.sandboxed(function)


def test_options_are_those_of_execute(local: unsandbox.Client) -> None:
    @unsandbox.sandboxed(client=local, stdin="line", args=["one"])
    def given() -> list[str]:
        import sys

        return [sys.stdin.read(), *sys.argv[1:]]

    assert given() == ["line", "one"]
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"tll": 5}, "unexpected keyword argument 'tll'; did you mean 'ttl'?"),
        ({"on_stdout": print}, "unexpected keyword argument 'on_stdout'"),
        ({"return_artifact": True}, "takes no return_artifact"),
        ({"return_wasm_artifact": True}, "takes no return_wasm_artifact"),
        ({"outputs": ["*.png"]}, "takes no outputs"),
    ]
    for options, words in wrong:
        with pytest.raises(TypeError, match=re.escape(words)):
            unsandbox.sandboxed(**options)


def test_names_that_a_function_makes_itself_may_be_used() -> None:
    @unsandbox.sandboxed
    def fine(value: unsandbox.Client | None = None) -> Any:
        global made
        import os.path as path
        from math import sqrt

        made = 3
        mine: unsandbox.Client | None = None

        class Inner:
            here: unsandbox.Client

            def there(self, it: unsandbox.Client) -> object:
                return path, sqrt, made, mine, __name__, Inner

        return [Inner for _ in range(3) if (lambda x: x)(made)]

    assert callable(fine)


def job(source: str, **arguments: Any) -> dict[str, Any]:
    return {"name": "f", "file": "f.py", "source": source, "mark": "MARK", "args": [], "kwargs": arguments}


def test_the_inner_half(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    # It runs in another process as a rule, so here it is called for itself.
    monkeypatch.setattr(linecache, "cache", {})
    _travel.main(job("def f(x: nowhere): return [x, {'a': (None,)}]", x=1))
    assert capfd.readouterr().out == '\nMARK[1, {"a": [null]}]\n'
    with pytest.raises(SystemExit, match="1"):
        _travel.main(job("def f(): raise KeyError('inner')"))
    assert capfd.readouterr().err.splitlines()[-1] == "KeyError: 'inner'"
    with pytest.raises(SystemExit, match=r"f\(\) cannot give its result back as JSON"):
        _travel.main(job("def f(): return object()"))
