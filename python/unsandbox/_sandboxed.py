# SPDX-License-Identifier: MIT OR Apache-2.0
"""The decorator `sandboxed`: a function's source runs in the sandbox.

Arguments and result travel as JSON. Nothing that comes from the sandbox is ever unpickled: unpickling
runs code of the one who wrote the bytes.
"""

from __future__ import annotations

import ast
import builtins
import functools
import inspect
import json
import os
import secrets
import symtable
import sys
from collections.abc import Callable
from types import FunctionType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

from . import _options, _travel
from ._errors import ExecutionError, InvalidRequestError

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ._client import Client
    from ._shapes import ExecuteOptions
    from ._types import ExecutionResult

P = ParamSpec("P")
R = TypeVar("R")


@overload
def sandboxed(function: Callable[P, R], /) -> Callable[P, R]: ...


@overload
def sandboxed(
    function: None = None, /, *, client: Client | None = None, **options: Unpack[ExecuteOptions]
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...


def sandboxed(
    function: Callable[..., Any] | None = None,
    /,
    *,
    client: Client | None = None,
    **options: Unpack[ExecuteOptions],
) -> Any:
    """Run a function in the sandbox whenever it is called.

    The function's source travels, so it must stand by itself: what it uses it imports or defines
    inside, and its arguments and result are JSON (None, bool, int, float, str, lists, dicts with text
    for keys; a tuple arrives as a list). What it prints appears here once it has ended. The function
    itself stays reachable as `__wrapped__`.

    Args:
        function: The function, where the decorator is used without parentheses.
        client: Where it runs; the default client unless given.
        options: Options of `Client.execute` for every call, such as `ttl` and `limits`; all but
            `return_artifact`, `return_wasm_artifact` and `outputs`.

    Returns:
        A function of the same signature. Calling it raises InvalidRequestError where an argument is
        not JSON, ExecutionError with the inner traceback where the function raises or its result is
        not JSON, and any other UnsandboxError as `Client.execute` does.

    Raises:
        InvalidRequestError: The function cannot travel: it is a lambda, a coroutine or a generator, it
            uses names from outside itself, or there is no source.
        TypeError: An option is unknown, or asks for an artifact.

    Examples:
        >>> @unsandbox.sandboxed(ttl=10)
        ... def double(x: int) -> int:
        ...     return 2 * x
        >>> double(21)
        42
    """
    _options.check(options)
    for name in ("return_artifact", "return_wasm_artifact", "outputs"):
        if options.get(name):
            raise TypeError(f"sandboxed() takes no {name}: a call returns the function's result alone")

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        program = _Program(function)

        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> Any:
            return program.call(client, options, args, kwargs)

        return call

    return decorate if function is None else decorate(function)


class _Program:
    """A function as it travels."""

    def __init__(self, function: Callable[..., Any]) -> None:
        _refuse_kinds(function)
        assert isinstance(function, FunctionType)
        self.name = function.__name__
        self._signature = inspect.signature(function)
        self._file = os.path.basename(function.__code__.co_filename)
        self._source = _source(function)
        _refuse_names(self.name, self._source)

    def call(
        self,
        client: Client | None,
        options: ExecuteOptions,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """Runs the function; its result."""
        self._refuse_arguments(args, kwargs)
        mark = secrets.token_hex(16)
        if client is None:
            from ._functions import default_client

            client = default_client()
        result = client.execute("python", self._text(mark, args, kwargs), **options)
        return self._taken(result, mark)

    def _refuse_arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        # A call that does not fit the signature fails here, as it would without the decorator.
        bound = self._signature.bind(*args, **kwargs)
        for name, value in bound.arguments.items():
            found = _travel.foreign(value, f"argument {name}")
            if found:
                raise InvalidRequestError(f"{self.name}() takes its arguments as JSON, but {found}")

    def _text(self, mark: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        job = {
            "name": self.name,
            "file": self._file,
            "source": self._source,
            "mark": mark,
            "args": args,
            "kwargs": kwargs,
        }
        return f"{_inner_half()}\n\nmain(json.loads({json.dumps(job)!r}))\n"

    def _taken(self, result: ExecutionResult, mark: str) -> Any:
        before, found, value = result.stdout_bytes.rpartition(f"\n{mark}".encode())
        printed = before if found else value
        sys.stdout.write(printed.decode("utf-8", "replace"))
        result.check()
        sys.stderr.write(result.stderr)
        if not found:
            raise ExecutionError(result, f"{self.name}() ended its process before it gave a result")
        try:
            return json.loads(value)
        except (ValueError, RecursionError) as error:
            raise ExecutionError(result, f"{self.name}() returned no JSON: {error}") from None


def _inner_half() -> str:
    return inspect.getsource(_travel)


def _refuse_kinds(function: object) -> None:
    """Only plain functions travel."""
    if not isinstance(function, FunctionType):
        kind = type(function).__name__
        raise InvalidRequestError(f"only a plain function can be sandboxed, got {kind}")
    name = function.__qualname__
    if function.__name__ == "<lambda>":
        raise InvalidRequestError("a lambda cannot be sandboxed: give it a name with def")
    if hasattr(function, "__wrapped__"):
        raise InvalidRequestError(
            f"{name} has another decorator below sandboxed, which would not be sent: "
            "make sandboxed the last one, directly above def"
        )
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise InvalidRequestError(
            f"{name} is a coroutine function, which cannot be sandboxed: use def, and "
            "asyncio.to_thread where it is called"
        )
    if inspect.isgeneratorfunction(function):
        raise InvalidRequestError(
            f"{name} is a generator function, which cannot be sandboxed: return a list"
        )
    # One that calls itself finds itself in the sandbox too.
    around = [it for it in function.__code__.co_freevars if it != function.__name__]
    if around:
        names = ", ".join(around)
        raise InvalidRequestError(
            f"{name} is a closure over {names}, which is not sent to the sandbox: "
            "pass it as an argument"
        )


def _source(function: FunctionType) -> str:
    """The function alone, without decorators, on the lines on which its file has it."""
    try:
        lines, first = inspect.getsourcelines(function)
        text = "".join(lines)
    except (OSError, TypeError):
        raise InvalidRequestError(
            f"{function.__qualname__} cannot be sandboxed because its source is not available: "
            "define it in a file or a notebook cell"
        ) from None
    # An indented function is put below an `if`, which leaves the insides of its texts alone.
    indented = lines[0][:1].isspace()
    tree = ast.parse("if True:\n" + text if indented else text)
    node = next(it for it in ast.walk(tree) if isinstance(it, ast.FunctionDef))
    start = node.lineno - 1 - indented
    above = first + start - 1
    head = "\n" * (above - 1) + "if True:\n" if indented else "\n" * above
    return head + "".join(lines[start:])


class _Bare(ast.NodeTransformer):
    """Takes annotations away, which are not evaluated in the sandbox."""

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        node.annotation = ast.Constant(None)
        return self.generic_visit(node)


def _refuse_names(name: str, source: str) -> None:
    """Says which names of the file around it a function uses: they do not travel with it."""
    bare = ast.unparse(ast.fix_missing_locations(_Bare().visit(ast.parse(source))))
    used: set[str] = set()
    made = set(dir(builtins))
    tables = [symtable.symtable(bare, name, "exec")]
    for table in tables:
        tables += table.get_children()
        for symbol in table.get_symbols():
            if not (symbol.is_global() or table.get_type() == "module"):
                continue
            if symbol.is_assigned() or symbol.is_imported():
                made.add(symbol.get_name())
            elif symbol.is_referenced():
                used.add(symbol.get_name())
    strange = sorted(used - made)
    if strange:
        raise InvalidRequestError(
            f"{name}() uses global names that are not sent to the sandbox: {', '.join(strange)}; "
            "import or define them inside the function, or pass them as arguments"
        )
