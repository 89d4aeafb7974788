# SPDX-License-Identifier: MIT OR Apache-2.0
"""The client for asyncio: the same functions, to be awaited."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from . import _options
from ._client import Client
from ._errors import InvalidRequestError, RequestTimeoutError
from ._job import JobState, Looks
from ._many import Progress, workers
from ._native import CancelToken
from ._types import ExecutionResult, Health, JobInfo, KeyInfo, Language, Probe

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ._options import ClientSettings, Content, ExecuteOptions, InputFiles

T = TypeVar("T")


class AsyncJob(JobState):
    """A `Job` whose functions are awaited."""

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
    ) -> ExecutionResult:
        """Wait for the end of the job; see `Job.wait`. Cancelling the wait leaves the job alone."""
        if on_update is not None:
            return await self._watch(timeout, on_update)
        if self._info.result is not None:
            return self._info.result
        return self._ended(await self._client.wait_job(self.job_id, timeout=timeout))

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
                on_update(self)
            if self._info.result is not None:
                return self._info.result
            try:
                self._ended(await self._client.wait_job(self.job_id, timeout=looks.next()))
            except RequestTimeoutError:
                if looks.late():
                    raise

    async def cancel(self, *, timeout: float | None = None) -> ExecutionResult:
        """Cancel the job; see `Job.cancel`."""
        return self._ended(await self._client.cancel_job(self.job_id, timeout=timeout))


class AsyncClient:
    """A `Client` whose functions are awaited.

    Each call waits in a thread of the client's own pool, so calls do not queue behind those of
    others in asyncio's. Cancelling the awaiting task stops the call and what runs for it.

    Args:
        max_workers: How many calls may wait at once.
        settings: As for `Client`.

    Raises:
        ConfigError: Endpoint, key, accounts file or certificates are unusable.
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

    async def execute(
        self,
        language: str,
        code: str,
        *,
        env: Mapping[str, str] | None = None,
        network_mode: str | None = None,
        ttl: int | None = None,
        return_artifact: bool = False,
        return_wasm_artifact: bool = False,
        input_files: InputFiles | None = None,
        stdin: Content | None = None,
        args: Sequence[str] | None = None,
        limits: Mapping[str, int] | None = None,
        runtime: str | None = None,
        timeout: float | None = None,
        on_stdout: Callable[[str], object] | None = None,
        on_stderr: Callable[[str], object] | None = None,
    ) -> ExecutionResult:
        """Run a program and wait for its result.

        Options, result and errors are those of `Client.execute`; the callbacks are called from a
        thread of the pool.
        """
        options = _options.request_options(
            env=env,
            network_mode=network_mode,
            ttl=ttl,
            return_artifact=return_artifact,
            return_wasm_artifact=return_wasm_artifact,
            input_files=input_files,
            stdin=stdin,
            args=args,
            limits=limits,
            runtime=runtime,
        )
        execute = self._client._execute
        return await self._call(
            partial(execute, language, code, options, timeout, on_stdout, on_stderr)
        )

    async def run(
        self,
        code: str,
        *,
        env: Mapping[str, str] | None = None,
        network_mode: str | None = None,
        ttl: int | None = None,
        return_artifact: bool = False,
        return_wasm_artifact: bool = False,
        input_files: InputFiles | None = None,
        stdin: Content | None = None,
        args: Sequence[str] | None = None,
        limits: Mapping[str, int] | None = None,
        runtime: str | None = None,
        timeout: float | None = None,
        on_stdout: Callable[[str], object] | None = None,
        on_stderr: Callable[[str], object] | None = None,
    ) -> ExecutionResult:
        """Run a program whose language is detected, and wait for its result.

        Options, result and errors are those of `Client.run`; the callbacks are called from a
        thread of the pool.
        """
        options = _options.request_options(
            env=env,
            network_mode=network_mode,
            ttl=ttl,
            return_artifact=return_artifact,
            return_wasm_artifact=return_wasm_artifact,
            input_files=input_files,
            stdin=stdin,
            args=args,
            limits=limits,
            runtime=runtime,
        )
        execute = self._client._execute
        return await self._call(
            partial(execute, None, code, options, timeout, on_stdout, on_stderr)
        )

    async def execute_async(
        self,
        language: str,
        code: str,
        *,
        env: Mapping[str, str] | None = None,
        network_mode: str | None = None,
        ttl: int | None = None,
        return_artifact: bool = False,
        return_wasm_artifact: bool = False,
        input_files: InputFiles | None = None,
        stdin: Content | None = None,
        args: Sequence[str] | None = None,
        limits: Mapping[str, int] | None = None,
        runtime: str | None = None,
        timeout: float | None = None,
    ) -> AsyncJob:
        """Submit a program and return at once.

        Options, result and errors are those of `Client.execute_async`.
        """
        options = _options.request_options(
            env=env,
            network_mode=network_mode,
            ttl=ttl,
            return_artifact=return_artifact,
            return_wasm_artifact=return_wasm_artifact,
            input_files=input_files,
            stdin=stdin,
            args=args,
            limits=limits,
            runtime=runtime,
        )
        submit = self._client._native.submit
        return AsyncJob(self, await self._call(
            lambda token: submit(language, code, options, {"timeout": timeout, "cancel": token})
        ))

    async def run_async(
        self,
        code: str,
        *,
        env: Mapping[str, str] | None = None,
        network_mode: str | None = None,
        ttl: int | None = None,
        return_artifact: bool = False,
        return_wasm_artifact: bool = False,
        input_files: InputFiles | None = None,
        stdin: Content | None = None,
        args: Sequence[str] | None = None,
        limits: Mapping[str, int] | None = None,
        runtime: str | None = None,
        timeout: float | None = None,
    ) -> AsyncJob:
        """Submit a program whose language is detected.

        Options, result and errors are those of `Client.run_async`.
        """
        options = _options.request_options(
            env=env,
            network_mode=network_mode,
            ttl=ttl,
            return_artifact=return_artifact,
            return_wasm_artifact=return_wasm_artifact,
            input_files=input_files,
            stdin=stdin,
            args=args,
            limits=limits,
            runtime=runtime,
        )
        submit = self._client._native.submit
        return AsyncJob(self, await self._call(
            lambda token: submit(None, code, options, {"timeout": timeout, "cancel": token})
        ))

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
        """
        count = workers(max_workers)
        if isinstance(codes, str):
            raise InvalidRequestError("codes must be a series of programs, got one text")
        source = iter(codes)
        chosen = _options.request_options(**options)
        timeout = chosen.pop("timeout", None)
        execute = self._client._execute
        bar = Progress.over(codes, shown=progress)
        # In the order of the programs. No more are taken from the source than can run.
        running: dict[asyncio.Task[ExecutionResult], None] = {}
        try:
            while True:
                for code in itertools.islice(source, count - len(running)):
                    call = partial(execute, language, code, chosen, timeout, None, None)
                    running[asyncio.ensure_future(self._call(call))] = None
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

    async def wait_job(self, job_id: str, *, timeout: float | None = None) -> ExecutionResult:
        """Wait for the end of a job; see `Client.wait_job`."""
        native = self._client._native
        return await self._call(
            lambda token: native.wait_job(job_id, {"timeout": timeout, "cancel": token})
        )

    async def cancel_job(self, job_id: str, *, timeout: float | None = None) -> ExecutionResult:
        """Cancel a job; see `Client.cancel_job`."""
        native = self._client._native
        return await self._call(
            lambda token: native.cancel_job(job_id, {"timeout": timeout, "cancel": token})
        )

    async def list_jobs(self, *, timeout: float | None = None) -> list[AsyncJob]:
        """List the jobs that are pending or running; see `Client.list_jobs`."""
        native = self._client._native
        jobs = await self._call(
            lambda token: native.list_jobs({"timeout": timeout, "cancel": token})
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
