# SPDX-License-Identifier: MIT OR Apache-2.0
"""One vocabulary: module, client, asyncio's client and the types of options name the same things.

Options are one typed dictionary, whose names are those of the protocol's table. This holds them together.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
import unsandbox
from unsandbox import _native, _options

#: Functions of the module that are the client's.
SHARED = (
    "execute", "run", "execute_async", "run_async", "stream", "map", "get_job", "wait_job", "job_events",
    "cancel_job", "delete_job", "list_jobs", "languages", "validate_key", "usage", "health", "probe",
)  # fmt: skip
#: Options of calls that wait for the end of their program.
WAITING = {"on_stdout", "on_stderr", "check"}


def parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    found = list(inspect.signature(function).parameters.values())
    return found[1:] if found and found[0].name == "self" else found


def plain(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """Parameters without the options of an execution."""
    return [it for it in parameters(function) if it.kind is not it.VAR_KEYWORD]


def public(kind: type) -> dict[str, Callable[..., Any]]:
    return {name: it for name, it in vars(kind).items() if inspect.isfunction(it) and name[0] != "_"}


@pytest.mark.parametrize("name", SHARED)
def test_functions_of_the_module_are_those_of_the_client(name: str) -> None:
    module, client = getattr(unsandbox, name), getattr(unsandbox.Client, name)
    assert plain(module) == plain(client)
    assert inspect.signature(module).return_annotation == inspect.signature(client).return_annotation


@pytest.mark.parametrize(
    ("blocking", "awaited"),
    [
        (unsandbox.Client, unsandbox.AsyncClient),
        (unsandbox.Job, unsandbox.AsyncJob),
        (unsandbox.OutputStream, unsandbox.AsyncOutputStream),
    ],
)
def test_what_blocks_and_what_is_awaited_are_the_same(blocking: type, awaited: type) -> None:
    assert set(public(blocking)) == set(public(awaited))
    for name, method in public(blocking).items():
        other = public(awaited)[name]
        # What gives lines has to be an object, for the result at their end.
        is_lines = name == "stream" and hasattr(unsandbox.AsyncOutputStream, "__anext__")
        assert is_lines or inspect.iscoroutinefunction(other) or inspect.isasyncgenfunction(other), name
        for one, two in zip(plain(method), plain(other), strict=True):
            annotation = one.annotation.replace("[Job]", "[AsyncJob]")
            assert one.replace(annotation=annotation) == two, name


def test_the_types_of_options_name_all_of_them() -> None:
    options = set(unsandbox.RunOptions.__annotations__)
    assert options - {"on_stdout"} == set(unsandbox.StreamOptions.__annotations__)
    assert options - WAITING == set(unsandbox.ExecuteOptions.__annotations__)
    jobs = set(unsandbox.JobOptions.__annotations__)
    assert jobs - {"callback_url"} == set(unsandbox.ExecuteOptions.__annotations__)
    assert options | jobs == {*_native.OPTIONS, *_options.CALL}
    settings = {it.name for it in parameters(unsandbox.Client)[1:]}
    assert settings == set(unsandbox.ClientSettings.__annotations__)
    written = inspect.signature(unsandbox.Client.__init__).parameters
    for name, kind in unsandbox.ClientSettings.__annotations__.items():
        assert kind.__forward_arg__ == written[name].annotation, name


@pytest.mark.parametrize("function", ["execute", "run", "execute_async", "run_async"])
def test_a_wrong_option_names_the_right_one(function: str) -> None:
    call = getattr(unsandbox.Client(base_url="local:"), function)
    program = ("bash", "true") if function.startswith("execute") else ("#!/bin/bash",)
    with pytest.raises(TypeError, match="'limit'; did you mean 'limits'"):
        call(*program, limit={})
    if function.endswith("async"):
        with pytest.raises(TypeError, match="on_stdout"):
            call(*program, on_stdout=print)


def test_every_option_has_words() -> None:
    settings = {it.name for it in parameters(unsandbox.Client)}
    options = {"language", "code", *unsandbox.RunOptions.__annotations__}
    for function, names in ((unsandbox.Client, settings), (unsandbox.Client.execute, options)):
        words = inspect.getdoc(function) or ""
        for name in names:
            assert f"\n    {name}: " in words, (function, name)
