# SPDX-License-Identifier: MIT OR Apache-2.0
"""Many programs at once: an executor of the standard library's kind, and `map` on top of it."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Iterator, Sized
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from concurrent.futures import Executor as _Executor
from importlib import import_module

from . import _options
from ._errors import InvalidRequestError
from ._native import CancelToken
from ._types import ExecutionResult

# True for type checkers only; importing `typing` at run time is slow.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any

    from typing_extensions import Unpack

    from ._client import Client
    from ._shapes import ExecuteOptions

#: How many programs run at once unless told otherwise. The local engine queues what is too much for it.
WORKERS = 16


def workers(max_workers: int | None) -> int:
    """How many programs may run at once, checked."""
    if max_workers is None:
        return WORKERS
    if isinstance(max_workers, bool) or not isinstance(max_workers, int) or max_workers < 1:
        raise InvalidRequestError(
            f"max_workers must be a whole number of at least 1, got {max_workers!r}"
        )
    return max_workers


class Executor(_Executor):
    """Runs programs as `concurrent.futures` runs functions: `submit` takes source text.

    A context manager; leaving it waits for all programs, or stops them if it is left by an exception.

    Args:
        max_workers: How many programs run at once; 16 unless given.
        client: Where they run; the default client unless given. It is not closed.
        language: Name or alias for all of them; detected unless given.
        options: Options of `Client.execute` for all of them.

    Raises:
        InvalidRequestError: max_workers is not a whole number above 0.

    Examples:
        >>> with unsandbox.Executor(4, client=client, language="bash", ttl=5) as executor:
        ...     future = executor.submit("cat", stdin="given")
        ...     future.result().stdout
        'given'
    """

    def __init__(
        self,
        max_workers: int | None = None,
        *,
        client: Client | None = None,
        language: str | None = None,
        **options: Unpack[ExecuteOptions],
    ) -> None:
        if client is None:
            from ._functions import default_client

            client = default_client()
        self._client = client
        self._language = language
        # Open files are read here, once, for all the programs.
        self._request, self._call = _options.split(options)
        self._pool = ThreadPoolExecutor(workers(max_workers), thread_name_prefix="unsandbox")
        self._running: dict[Future[ExecutionResult], CancelToken] = {}

    def submit(  # type: ignore[override]
        self, code: str, /, *, language: str | None = None, **options: Unpack[ExecuteOptions]
    ) -> Future[ExecutionResult]:
        """Submit a program.

        Args:
            code: The program.
            language: Name or alias; else the executor's, else detected.
            options: Options of `Client.execute`, beside those of the executor.

        Returns:
            A future of the result. A program that fails is a result; the future's exception is an
            UnsandboxError.

        Raises:
            InvalidRequestError: A file or the standard input cannot be read.
            RuntimeError: The executor was shut down.

        Examples:
            >>> with unsandbox.Executor(client=client) as executor:
            ...     executor.submit("exit 2", language="bash").result().exit_code
            2
        """
        request, call = _options.split(options)
        token = CancelToken()
        future = self._pool.submit(
            self._client._execute,
            language or self._language,
            code,
            {**self._request, **request},
            cancel=token,
            **{**self._call, **call},
        )
        self._running[future] = token
        future.add_done_callback(self._forget)
        return future

    def map(  # type: ignore[override]
        self,
        codes: Iterable[str],
        /,
        *,
        language: str | None = None,
        **options: Unpack[ExecuteOptions],
    ) -> Iterator[ExecutionResult]:
        """Submit all programs at once and give their results in the order of the programs.

        Args:
            codes: The programs.
            language: Name or alias; else the executor's, else detected.
            options: Options of `Client.execute`.

        Returns:
            An iterator of results. A call without a result raises its UnsandboxError there, and what
            comes after it is cancelled.

        Examples:
            >>> with unsandbox.Executor(client=client, language="bash") as executor:
            ...     [result.stdout for result in executor.map(["echo 1", "echo 2"])]
            ['1\\n', '2\\n']
        """
        options = _read_once(options)
        futures = [self.submit(code, language=language, **options) for code in codes]
        return self._in_order(futures)

    def _in_order(self, futures: list[Future[ExecutionResult]]) -> Iterator[ExecutionResult]:
        try:
            for future in futures:
                yield future.result()
        finally:
            self.stop(*futures)

    def stop(self, *futures: Future[ExecutionResult]) -> None:
        """Take programs back: one that waits never runs, one that runs is ended.

        Args:
            futures: What `submit` gave. The future of a program that ran raises CancelledError of
                this package; to one that is over, nothing happens.

        Examples:
            >>> with unsandbox.Executor(client=client, language="bash") as executor:
            ...     future = executor.submit("sleep 60")
            ...     executor.stop(future)
            >>> future.cancelled() or type(future.exception()).__name__
            'CancelledError'
        """
        # First those that wait: else one of them would take the place of one that is ended.
        started = [future for future in futures if not future.cancel()]
        for future in started:
            token = self._running.get(future)
            if token is not None:
                token.cancel()

    def _forget(self, future: Future[ExecutionResult]) -> None:
        self._running.pop(future, None)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more programs.

        Args:
            wait: Whether to wait for those that run.
            cancel_futures: Whether those that have not begun are dropped.

        Examples:
            >>> executor = unsandbox.Executor(client=client)
            >>> executor.shutdown()
            >>> executor.submit("true")
            Traceback (most recent call last):
            RuntimeError: cannot schedule new futures after shutdown
        """
        self._pool.shutdown(wait, cancel_futures=cancel_futures)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is not None:
            self.stop(*list(self._running))
        self.shutdown()


def _read_once(options: ExecuteOptions) -> ExecuteOptions:
    """Options for several programs: open files are read now, not by whichever comes first."""
    files, stdin = options.get("input_files"), options.get("stdin")
    if files is not None:
        options["input_files"] = _options.input_files(files)
    folders = options.get("files")
    if folders is not None:
        options["files"] = dict(_options.tree(folders))
    if stdin is not None:
        options["stdin"] = _options.stdin_bytes(stdin)
    return options


def results(
    client: Client,
    codes: Iterable[str],
    language: str | None,
    max_workers: int | None,
    ordered: bool,
    progress: bool,
    options: ExecuteOptions,
) -> Iterator[ExecutionResult]:
    """The body of `Client.map`; what is wrong with its arguments is said at once."""
    count = workers(max_workers)
    if isinstance(codes, str):
        raise InvalidRequestError("codes must be an iterable of str, got one str")
    executor = Executor(count, client=client, language=language, **options)
    return _as_they_come(executor, count, codes, ordered, progress)


def _as_they_come(
    executor: Executor, count: int, codes: Iterable[str], ordered: bool, progress: bool
) -> Iterator[ExecutionResult]:
    source = iter(codes)
    bar = Progress.over(codes, shown=progress)
    # In the order of the programs. No more are taken from the source than can run.
    running: dict[Future[ExecutionResult], None] = {}
    try:
        with executor:
            while True:
                for code in itertools.islice(source, count - len(running)):
                    running[executor.submit(code)] = None
                if not running:
                    return
                if not ordered:
                    wait(running, return_when=FIRST_COMPLETED)
                ended = next(it for it in running if ordered or it.done())
                result = ended.result()
                del running[ended]
                bar.advance()
                yield result
    finally:
        bar.close()


class Progress:
    """A bar of tqdm where that is installed, else a count on standard error."""

    def __init__(self, total: int | None, *, shown: bool) -> None:
        self._total = total
        self._done = 0
        self._bar: Any = None
        self._counts = False
        if shown:
            try:
                self._bar = import_module("tqdm.auto").tqdm(total=total, unit="run")
            except ImportError:
                self._counts = True

    @classmethod
    def over(cls, codes: Iterable[str], *, shown: bool) -> Progress:
        """The bar for a series of programs, whose number may be unknown."""
        return cls(len(codes) if isinstance(codes, Sized) else None, shown=shown)

    def advance(self) -> None:
        """One more is done."""
        self._done += 1
        if self._bar is not None:
            self._bar.update()
        if self._counts:
            of = "" if self._total is None else f"/{self._total}"
            print(f"\r{self._done}{of} runs", end="", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Leave the line as it is."""
        if self._bar is not None:
            self._bar.close()
        if self._counts and self._done:
            print(file=sys.stderr)
