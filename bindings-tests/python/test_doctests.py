# SPDX-License-Identifier: MIT OR Apache-2.0
"""The examples in the docstrings run as they stand, and whatever a user calls has one."""

from __future__ import annotations

import asyncio
import doctest
import inspect
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType, ModuleType

import pytest
import unsandbox
from unsandbox import _functions

#: Everything that is exported, the module itself first.
PUBLIC: dict[str, object] = {"unsandbox": unsandbox} | {
    name: getattr(unsandbox, name) for name in (*unsandbox.__all__, "map")
}
#: Methods whose words are those of the blocking ones, and protocols of Python's own.
AS_ELSEWHERE = ("AsyncClient.", "AsyncJob.", "AsyncOutputStream.", "HasFileno.", "HasRead.")
FLAGS = doctest.IGNORE_EXCEPTION_DETAIL | doctest.ELLIPSIS


def examples() -> dict[str, doctest.DocTest]:
    finder = doctest.DocTestFinder(recurse=True)
    found = {}
    for name, thing in PUBLIC.items():
        of_a_module = isinstance(thing, ModuleType)
        if of_a_module:
            parser = doctest.DocTestParser()
            tests = [parser.get_doctest(thing.__doc__ or "", {}, name, thing.__file__, 0)]
        elif isinstance(thing, (type, FunctionType)):
            tests = finder.find(thing, name)
        else:
            continue
        found |= {test.name: test for test in tests if test.examples}
    return found


EXAMPLES = examples()


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example(
    name: str, local: unsandbox.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_functions, "_client", local)
    monkeypatch.chdir(tmp_path)
    test = EXAMPLES[name]
    test.globs = {"unsandbox": unsandbox, "asyncio": asyncio, "client": local}
    said: list[str] = []
    done = doctest.DocTestRunner(optionflags=FLAGS).run(test, out=said.append)
    for job in local.list_jobs():
        job.cancel()
    assert done.failed == 0, "".join(said)


def public_callables() -> Iterator[tuple[str, object]]:
    for name, thing in PUBLIC.items():
        if isinstance(thing, FunctionType):
            yield name, thing
        if isinstance(thing, type) and not issubclass(thing, BaseException):
            for inner, member in vars(thing).items():
                if isinstance(member, FunctionType) and not inner.startswith("_"):
                    yield f"{name}.{inner}", member


def test_whatever_a_user_calls_has_an_example() -> None:
    names = [name for name, _ in public_callables() if not name.startswith(AS_ELSEWHERE)]
    assert {"execute", "Client.execute", "Job.wait", "Artifact.save"} <= set(names)
    assert [name for name in names if name not in EXAMPLES] == []
    kinds = {"AsyncClient", "AsyncJob", "Executor", "ExecutionResult", "UnsandboxError", "ExecutionError"}
    assert kinds <= set(EXAMPLES)
    assert all(not it.options.get(doctest.SKIP) for test in EXAMPLES.values() for it in test.examples)


def test_first_lines_are_short() -> None:
    for name, thing in (*public_callables(), *PUBLIC.items()):
        if isinstance(thing, (type, FunctionType)):
            first = (inspect.getdoc(thing) or "").split("\n")[0]
            assert 0 < len(first) < 100 and first.endswith("."), (name, first)
