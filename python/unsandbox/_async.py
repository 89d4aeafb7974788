# SPDX-License-Identifier: MIT OR Apache-2.0
"""The client for asyncio: the same functions, to be awaited."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from . import _options
from ._client import Client
from ._errors import InvalidRequestError, RequestTimeoutError
from ._events import Texts, begin
from ._job import JobState, Looks
from ._many import Progress, workers
from ._native import CancelToken
from ._stream import Lines
from ._types import ExecutionResult, Health, JobEvent, JobInfo, KeyInfo, KeyUsage, Language, Probe

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ._shapes import ClientSettings, ExecuteOptions, JobOptions, RunOptions, StreamOptions

T = TypeVar("T")


async def _done(given: object) -> None:
    """Awaits what a callback gave, where that is to be awaited."""
    # Results and jobs refuse it.
    if inspect.isawaitable(given) and not isinstance(given, (ExecutionResult, JobState)):
        await given


class _LoopOutput:
    """Brings output from the thread that reads it to callbacks on the loop's own thread, in order."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        #: A callback with its text; None at the end.
        self._waiting: asyncio.Queue[tuple[Callable[[str], object], str] | None] = asyncio.Queue()

    def to(self, sink: Callable[[str], object] | None) -> Callable[[str], object] | None:
        """The callback for the reading thread, which never waits for the loop."""
        if sink is None:
            return None
        put = self._waiting.put_nowait
        return lambda text: self._loop.call_soon_threadsafe(put, (sink, text))

    async def beside(self, call: Coroutine[Any, Any, T]) -> T:
        """Makes the call while its output is given out; a callback that raises stops the call."""
        calling, playing = asyncio.ensure_future(call), asyncio.ensure_future(self._play())
        try:
            await asyncio.wait((calling, playing), return_when=asyncio.FIRST_COMPLETED)
            if not playing.done():
                # The call is over, and all of its output was put before its end came here.
                self._waiting.put_nowait(None)
                await playing
            # Only a callback that raised ends it before the call.
            playing.result()
            return calling.result()
        finally:
            for task in (calling, playing):
                task.cancel()
            await asyncio.gather(calling, playing, return_exceptions=True)

    async def _play(self) -> None:
        while (item := await self._waiting.get()) is not None:
            sink, text = item
            await _done(sink(text))


class AsyncOutputStream:
    """An `OutputStream` whose lines are awaited; made by `AsyncClient.stream`."""

    def __init__(self, execute: partial[Coroutine[Any, Any, ExecutionResult]], *, check: bool) -> None:
        self._lines = Lines(check)
        self._items: asyncio.Queue[str | ExecutionResult | BaseException] = asyncio.Queue()
        self._over = False
        items = self._items
        self._task = asyncio.ensure_future(execute(on_stdout=items.put_nowait))
        self._task.add_done_callback(lambda task: items.put_nowait(_end_of(task)))
        # Thrown away unused, it ends its program too.
        weakref.finalize(self, _cancel_in, asyncio.get_running_loop(), self._task)

    @property
    def result(self) -> ExecutionResult | None:
        """The result once the last line has been given; None before that, and where the program was ended early."""
        return self._lines.result

    async def __anext__(self) -> str:
        while (line := self._lines.next()) is None:
            if self._over:
                self._lines.finish()
                raise StopAsyncIteration
            try:
                self._over = self._lines.take(await self._items.get())
            except BaseException:
                # The task that waits is cancelled.
                await self.close()
                raise
        return line

    async def __aiter__(self) -> AsyncIterator[str]:
        try:
            while True:
                try:
                    line = await self.__anext__()
                except StopAsyncIteration:
                    return
                yield line
        finally:
            await self.close()

    async def close(self) -> None:
        """End the program, if it still runs; there are no further lines."""
        self._over = True
        self._lines.drop()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def __aenter__(self) -> AsyncOutputStream:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()


def _end_of(task: asyncio.Future[ExecutionResult]) -> ExecutionResult | BaseException:
    if task.cancelled():
        return asyncio.CancelledError()
    return task.exception() or task.result()


def _cancel_in(loop: asyncio.AbstractEventLoop, task: asyncio.Future[Any]) -> None:
    if not task.done() and not loop.is_closed():
        loop.call_soon_threadsafe(task.cancel)


class AsyncJob(JobState):
    """A `Job` whose functions are awaited.

    Examples:
        >>> async def main():
        ...     async with unsandbox.AsyncClient(base_url="local:") as client:
        ...         job = await client.execute_async("bash", "exit 3")
        ...         result = await job.wait(timeout=30)
        ...         print(job.status, result.exit_code)
        >>> asyncio.run(main())
        completed 3
    """

    __slots__ = ("_client",)

    def __init__(self, client: AsyncClient, info: JobInfo) -> None:
        super().__init__(info)
        self._client = client

    async def refresh(self, *, timeout: float | None = None) -> AsyncJob:
        """Ask how the job is now; see `Job.refresh`."""
        self._info = await self._client._get_job(self.job_id, timeout)
        return self

    async def wait(
        self,
        *,
        timeout: float | None = None,
        on_update: Callable[[AsyncJob], object] | None = None,
        check: bool = False,
    ) -> ExecutionResult:
        """Wait for the end of the job; see `Job.wait`.

        Cancelling the wait leaves the job alone. A coroutine function as `on_update` is awaited.
        """
        if on_update is not None:
            result = await self._watch(timeout, on_update)
        elif self._info.result is not None:
            result = self._info.result
        else:
            result = self._ended(await self._client.wait_job(self.job_id, timeout=timeout))
        return result.check() if check else result

    async def _watch(
        self, timeout: float | None, on_update: Callable[[AsyncJob], object]
    ) -> ExecutionResult:
        looks = Looks(timeout)
        told = None
        while True:
            if not self.done:
                await self.refresh(timeout=looks.left())
            if self.status != told:
                told = self.status
                await _done(on_update(self))
            if self._info.result is not None:
                return self._info.result
            try:
                self._ended(await self._client.wait_job(self.job_id, timeout=looks.next()))
            except RequestTimeoutError:
                if looks.late():
                    raise

    async def events(
        self, *, offsets: tuple[int, int] = (0, 0), timeout: float | None = None
    ) -> AsyncIterator[JobEvent]:
        """Give what happens to the job; see `Job.events`."""
        async for event in self._client.job_events(self.job_id, offsets=offsets, timeout=timeout):
            yield event

    async def cancel(self, *, timeout: float | None = None) -> ExecutionResult:
        """Cancel the job; see `Job.cancel`."""
        return self._ended(await self._client.cancel_job(self.job_id, timeout=timeout))

    async def delete(self, *, timeout: float | None = None) -> None:
        """Delete the job, which has to have ended; see `Job.delete`."""
        await self._client.delete_job(self.job_id, timeout=timeout)


class AsyncClient:
    """A `Client` whose functions are awaited.

    Each call waits in a thread of the client's own pool, so calls do not queue behind those of
    others in asyncio's. Cancelling the awaiting task stops the call and what runs for it.

    Args:
        max_workers: How many calls may wait at once.
        settings: As for `Client`.

    Raises:
        ConfigError: Endpoint, key, accounts file or certificates are unusable.

    Examples:
        >>> async def main():
        ...     async with unsandbox.AsyncClient(base_url="local:") as client:
        ...         calls = [client.execute("bash", f"echo {number}") for number in range(3)]
        ...         print([result.stdout.strip() for result in await asyncio.gather(*calls)])
        >>> asyncio.run(main())
        ['0', '1', '2']
    """

    def __init__(
        self,
        api_key: str | None = None,
        *,
        max_workers: int = 256,
        **settings: Unpack[ClientSettings],
    ) -> None:
        self._client = Client(api_key, **settings)
        self._pool = ThreadPoolExecutor(max_workers, thread_name_prefix="unsandbox")

    @property
    def endpoint(self) -> str:
        """Where programs run: "local:", or a URL."""
        return self._client.endpoint

    @property
    def is_local(self) -> bool:
        """Whether programs run on this machine."""
        return self._client.is_local

    async def close(self) -> None:
        """End what runs, and every sandbox of a local client."""
        await asyncio.get_running_loop().run_in_executor(self._pool, self._client.close)
        self._pool.shutdown(wait=False)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    if not TYPE_CHECKING:

        def __enter__(self):
            raise TypeError("an AsyncClient is entered by `async with`; use a Client for `with`")

        def __exit__(self, *error):
            """Never called."""

    def __repr__(self) -> str:
        return f"AsyncClient(base_url={self.endpoint!r})"

    async def _call(self, call: Callable[[CancelToken], T]) -> T:
        """Makes a call in the pool; a cancelled task cancels the call's token."""
        token = CancelToken()
        future = asyncio.get_running_loop().run_in_executor(self._pool, call, token)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            token.cancel()
            # The call's own end is of no interest any more, but has to be looked at.
            future.add_done_callback(_look_at)
            raise

    async def _execute(
        self,
        language: str | None,
        code: str,
        options: dict[str, Any],
        timeout: float | None = None,
        on_stdout: Callable[[str], object] | None = None,
        on_stderr: Callable[[str], object] | None = None,
        check: bool = False,
        stdin: Any = None,
    ) -> ExecutionResult:
        execute = partial(
            self._client._execute, language, code, options, timeout, check=check, stdin=stdin
        )
        if on_stdout is None and on_stderr is None:
            return await self._call(lambda token: execute(cancel=token))
        output = _LoopOutput()
        out, err = output.to(on_stdout), output.to(on_stderr)
        return await output.beside(
            self._call(lambda token: execute(on_stdout=out, on_stderr=err, cancel=token))
        )

    async def execute(
        self,
        language: str,
        code: str,
        **options: Unpack[RunOptions],
    ) -> ExecutionResult:
        """Run a program and wait for its result.

        Options, result and errors are those of `Client.execute`. The callbacks are called on the
        loop's own thread, one after the other, and are awaited where they are coroutine functions;
        all output has been given to them when this returns.

        Examples:
            >>> async def main():
            ...     async with unsandbox.AsyncClient(base_url="local:") as client:
            ...         await client.execute("bash", "echo hello", on_stdout=lambda text: print(repr(text)))
            >>> asyncio.run(main())
            'hello\\n'
        """
        request, call = _options.split(options, callbacks=True)
        return await self._execute(language, code, request, **call)

    async def run(
        self,
        code: str,
        **options: Unpack[RunOptions],
    ) -> ExecutionResult:
        """Run a program whose language is detected, and wait for its result.

        Options, result and errors are those of `Client.run`; the callbacks are called as those of
        `execute`.
        """
        request, call = _options.split(options, callbacks=True)
        return await self._execute(None, code, request, **call)

    async def execute_async(
        self,
        language: str,
        code: str,
        **options: Unpack[JobOptions],
    ) -> AsyncJob:
        """Submit a program and return at once.

        Options, result and errors are those of `Client.execute_async`.
        """
        request, call = _options.split(options)
        submit = self._client._native.submit
        return AsyncJob(self, await self._call(
            lambda token: submit(language, code, request, {**call, "cancel": token})
        ))

    async def run_async(
        self,
        code: str,
        **options: Unpack[JobOptions],
    ) -> AsyncJob:
        """Submit a program whose language is detected.

        Options, result and errors are those of `Client.run_async`.
        """
        request, call = _options.split(options)
        submit = self._client._native.submit
        return AsyncJob(self, await self._call(
            lambda token: submit(None, code, request, {**call, "cancel": token})
        ))

    def stream(
        self,
        language: str | None,
        code: str,
        **options: Unpack[StreamOptions],
    ) -> AsyncOutputStream:
        """Run a program and give its standard output line by line.

        Options, lines, result and errors are those of `Client.stream`. It begins here, in the running
        loop; `async with` ends it where it is left. Leaving an `async for` early ends it too, when the
        loop next comes to it. `on_stderr` is called as by `execute`.

        Examples:
            >>> async def main():
            ...     async with unsandbox.AsyncClient(base_url="local:") as client:
            ...         async with client.stream("bash", "seq 2") as lines:
            ...             async for line in lines:
            ...                 print(repr(line))
            ...         print(lines.result.exit_code)
            >>> asyncio.run(main())
            '1\\n'
            '2\\n'
            0
        """
        execute, check = self._client._streaming(language, code, options)
        return AsyncOutputStream(partial(self._execute, *execute.args, **execute.keywords), check=check)

    async def map(
        self,
        codes: Iterable[str],
        *,
        language: str | None = None,
        max_workers: int | None = None,
        ordered: bool = False,
        progress: bool = False,
        **options: Unpack[ExecuteOptions],
    ) -> AsyncIterator[ExecutionResult]:
        """Run many programs at once and give their results as they come.

        Nothing runs before the first result is asked for; then programs are taken from `codes` as there
        is room for them. Leaving the loop early stops what still runs.

        Args:
            codes: The programs; any iterable, also an endless one.
            language: Name or alias for all of them; detected unless given.
            max_workers: How many run at once; 16 unless given.
            ordered: Whether results come in the order of the programs. Else each comes as soon as it is
                there.
            progress: Whether to show a progress bar on standard error (by tqdm where it is installed).
            options: Options of `Client.execute` for all of them. Open files are read once.

        Yields:
            Results, also of programs that failed.

        Raises:
            InvalidRequestError: A value is wrong.
            UnsandboxError: One of the programs has no result, for the reason that its class says; the
                others are stopped.

        Examples:
            >>> async def main():
            ...     async with unsandbox.AsyncClient(base_url="local:") as client:
            ...         async for result in client.map(["exit 0", "exit 1"], language="bash", ordered=True):
            ...             print(result.exit_code)
            >>> asyncio.run(main())
            0
            1
        """
        count = workers(max_workers)
        if isinstance(codes, str):
            raise InvalidRequestError("codes must be an iterable of str, got one str")
        source = iter(codes)
        chosen, call_options = _options.split(options)
        bar = Progress.over(codes, shown=progress)
        # In the order of the programs. No more are taken from the source than can run.
        running: dict[asyncio.Task[ExecutionResult], None] = {}
        try:
            while True:
                for code in itertools.islice(source, count - len(running)):
                    call = self._execute(language, code, chosen, **call_options)
                    running[asyncio.ensure_future(call)] = None
                if not running:
                    return
                first = [next(iter(running))] if ordered else running
                await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
                ended = next(it for it in first if it.done())
                del running[ended]
                result = ended.result()
                bar.advance()
                yield result
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
            bar.close()

    async def get_job(self, job_id: str, *, timeout: float | None = None) -> AsyncJob:
        """Ask how a job is; see `Client.get_job`."""
        return AsyncJob(self, await self._get_job(job_id, timeout))

    async def _get_job(self, job_id: str, timeout: float | None) -> JobInfo:
        native = self._client._native
        return await self._call(
            lambda token: native.get_job(job_id, {"timeout": timeout, "cancel": token})
        )

    async def wait_job(
        self, job_id: str, *, timeout: float | None = None, check: bool = False
    ) -> ExecutionResult:
        """Wait for the end of a job; see `Client.wait_job`."""
        native = self._client._native
        result = await self._call(
            lambda token: native.wait_job(job_id, {"timeout": timeout, "cancel": token})
        )
        return result.check() if check else result

    async def job_events(
        self, job_id: str, *, offsets: tuple[int, int] = (0, 0), timeout: float | None = None
    ) -> AsyncIterator[JobEvent]:
        """Give what happens to a job as it happens; see `Client.job_events`."""
        native, stop, texts = self._client._native, CancelToken(), Texts()
        try:
            events = await self._call(lambda _: begin(native, job_id, offsets, timeout, stop))
            while (parts := await self._call(lambda _: events.next())) is not None:
                for event in texts.events(parts):
                    yield event
        finally:
            # A thread may still wait for the next one.
            stop.cancel()

    async def cancel_job(self, job_id: str, *, timeout: float | None = None) -> ExecutionResult:
        """Cancel a job; see `Client.cancel_job`."""
        native = self._client._native
        return await self._call(
            lambda token: native.cancel_job(job_id, {"timeout": timeout, "cancel": token})
        )

    async def delete_job(self, job_id: str, *, timeout: float | None = None) -> None:
        """Delete a job that has ended; see `Client.delete_job`."""
        native = self._client._native
        await self._call(
            lambda token: native.delete_job(job_id, {"timeout": timeout, "cancel": token})
        )

    async def list_jobs(
        self,
        *,
        limit: int | None = None,
        after: str | None = None,
        timeout: float | None = None,
    ) -> list[AsyncJob]:
        """List the jobs that are pending or running; see `Client.list_jobs`."""
        native = self._client._native
        page = {"limit": limit, "after": after}
        jobs = await self._call(
            lambda token: native.list_jobs(page, {"timeout": timeout, "cancel": token})
        )
        return [AsyncJob(self, info) for info in jobs]

    async def languages(self, *, timeout: float | None = None) -> list[Language]:
        """List the languages that the endpoint offers; see `Client.languages`."""
        native = self._client._native
        return list(await self._call(
            lambda token: native.languages({"timeout": timeout, "cancel": token})
        ))

    async def validate_key(self, *, timeout: float | None = None) -> KeyInfo:
        """Ask whether the configured key is good; see `Client.validate_key`."""
        native = self._client._native
        return await self._call(
            lambda token: native.validate_key({"timeout": timeout, "cancel": token})
        )

    async def usage(self, *, timeout: float | None = None) -> KeyUsage:
        """Ask what the key may have, has now, and has used; see `Client.usage`."""
        native = self._client._native
        return await self._call(
            lambda token: native.usage({"timeout": timeout, "cancel": token})
        )

    async def health(self, *, timeout: float | None = None) -> Health:
        """Ask whether the endpoint takes executions; see `Client.health`."""
        native = self._client._native
        return await self._call(
            lambda token: native.health({"timeout": timeout, "cancel": token})
        )

    async def probe(self) -> Probe:
        """Ask which isolation layers this machine gives; see `Client.probe`."""
        return await self._call(lambda _: self._client.probe())


def _look_at(future: asyncio.Future[Any]) -> None:
    if not future.cancelled():
        future.exception()
