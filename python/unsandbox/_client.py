# SPDX-License-Identifier: MIT OR Apache-2.0
"""The client: the same functions at every place that runs code."""

from __future__ import annotations

from . import _interpreter, _log, _options
from ._job import Job
from ._native import CancelToken
from ._native import Client as _NativeClient

# True for type checkers only; importing `typing` at run time is slow.
TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from functools import partial
    from types import TracebackType
    from typing import Any

    from typing_extensions import Unpack

    from ._shapes import ExecuteOptions, IsolationPolicy, JobOptions, RunOptions, StreamOptions
    from ._stream import OutputStream
    from ._types import ExecutionResult, Health, JobEvent, JobInfo, KeyInfo, KeyUsage, Language, Probe


class Client:
    """A place that runs code: this machine, a server of your own, or the service.

    Safe in threads, and to be shared by them: it keeps connections and warm sandboxes. After
    `os.fork` it works in the child as well. A context manager; leaving it closes the client.

    Args:
        api_key: One key, sent as a bearer. Else UNSANDBOX_API_KEY.
        base_url: "local:", "http://HOST:PORT", "https://HOST" or "unix:/PATH". Else
            UNSANDBOX_URL, else the service where a key is configured, else "local:".
        public_key: With `secret_key`: requests are signed. Else UNSANDBOX_PUBLIC_KEY.
        secret_key: Never sent. Else UNSANDBOX_SECRET_KEY.
        account: Row, from 0, of the accounts file.
        accounts_file: Else ~/.unsandbox/accounts.csv.
        ca_file: PEM file with certificates to trust in place of the built-in ones.
        allow_plain_http_key: Allows a key over plain http to another machine.
        timeout: Seconds for a whole call. Else 30 for a question, and for an execution its ttl
            with time for queue and compiler.
        connect_timeout: Seconds for connecting, with TLS. Else 15.
        resolve_timeout: Seconds for looking up a server's name. Else 10.
        send_timeout: Seconds for sending a request. Else as long as the call.
        first_byte_timeout: Seconds until a server begins its reply; it begins an execution's when
            that has ended. Else as long as the call.
        read_timeout: Seconds for each read of a reply once it has begun. Else as long as the call.
        proxy: "http://[USER:PASSWORD@]HOST:PORT" or "socks5://…"; "" for none. Else https_proxy,
            http_proxy or all_proxy, unless no_proxy names the server or it is this machine.
        job_threshold: Programs with a ttl of more seconds are submitted as jobs and polled, so that
            no connection has to idle that long. Else 120.
        cancel_jobs: Submits every execution as a job, so that a call that is cancelled or past its
            deadline ends its program at any server. Our own server ends it without.
        retries: How often a call is repeated where that is safe. Else 3.
        reply_max_bytes: Largest reply that is read. Else 86 MB.
        isolation: What the local engine accepts: "auto", "full" or "reduced".
        concurrency: Executions at once on the local engine, at least 1. Else twice the cores.
        queue_max: Executions that may wait for their turn there. Else 1,000.
        egress_allow: Hosts that "semitrusted" programs on the local engine may reach: exact names and
            addresses, or "*.SUFFIX". Else every host of the public Internet.

    Raises:
        ConfigError: Endpoint, key, accounts file or certificates are unusable.
        InvalidRequestError: A setting is not a value of its kind.

    Examples:
        >>> with unsandbox.Client(base_url="local:", timeout=30) as client:
        ...     client.execute("bash", "echo $0 | wc -l", ttl=5).ok
        True
    """

    def __init__(
        self,
        api_key: str | None = None,
        *,
        base_url: str | None = None,
        public_key: str | None = None,
        secret_key: str | None = None,
        account: int | None = None,
        accounts_file: str | os.PathLike[str] | None = None,
        ca_file: str | os.PathLike[str] | None = None,
        allow_plain_http_key: bool | None = None,
        timeout: float | None = None,
        connect_timeout: float | None = None,
        resolve_timeout: float | None = None,
        send_timeout: float | None = None,
        first_byte_timeout: float | None = None,
        read_timeout: float | None = None,
        proxy: str | None = None,
        job_threshold: float | None = None,
        cancel_jobs: bool | None = None,
        retries: int | None = None,
        reply_max_bytes: int | None = None,
        isolation: IsolationPolicy | None = None,
        concurrency: int | None = None,
        queue_max: int | None = None,
        egress_allow: Sequence[str] | None = None,
    ) -> None:
        _log.follow()
        self._native = _NativeClient(
            interpreter=_interpreter.calling(),
            api_key=api_key,
            base_url=base_url,
            public_key=public_key,
            secret_key=secret_key,
            account=account,
            accounts_file=accounts_file,
            ca_file=ca_file,
            allow_plain_http_key=allow_plain_http_key,
            timeout=timeout,
            connect_timeout=connect_timeout,
            resolve_timeout=resolve_timeout,
            send_timeout=send_timeout,
            first_byte_timeout=first_byte_timeout,
            read_timeout=read_timeout,
            proxy=proxy,
            job_threshold=job_threshold,
            cancel_jobs=cancel_jobs,
            retries=retries,
            reply_max_bytes=reply_max_bytes,
            isolation=isolation,
            concurrency=concurrency,
            queue_max=queue_max,
            egress_allow=egress_allow,
        )

    @property
    def endpoint(self) -> str:
        """Where programs run: "local:", or a URL.

        Examples:
            >>> client.endpoint
            'local:'
        """
        return self._native.endpoint()

    @property
    def is_local(self) -> bool:
        """Whether programs run on this machine.

        Examples:
            >>> client.is_local
            True
        """
        return self._native.is_local()

    def close(self) -> None:
        """End what runs, and every sandbox of a local client; later calls raise ConflictError.

        Examples:
            >>> other = unsandbox.Client(base_url="local:")
            >>> other.close()
            >>> other.execute("bash", "true")
            Traceback (most recent call last):
            unsandbox.ConflictError: the client is closed
        """
        self._native.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    if not TYPE_CHECKING:

        async def __aenter__(self):
            raise TypeError("a Client is entered by `with`; use an AsyncClient for `async with`")

        async def __aexit__(self, *error):
            """Never called."""

    def __repr__(self) -> str:
        return f"Client(base_url={self.endpoint!r})"

    def execute(
        self,
        language: str,
        code: str,
        **options: Unpack[RunOptions],
    ) -> ExecutionResult:
        """Run a program and wait for its result.

        Args:
            language: Name or alias, such as "python" or "js".
            code: The program.
            env: Variables of the program's environment.
            network_mode: "zerotrust" (no network; the default) or "semitrusted".
            ttl: Seconds that the program may run, 1 to 900; 60 unless given (limits
                from the API). Rounded up to whole ones.
            return_artifact: Whether to give back the compiled program.
            return_wasm_artifact: Whether to give back the program compiled to WebAssembly.
            input_files: Files of the working directory: a mapping of names to bytes, text, paths or
                open files, or a series of paths, bytes, open files and (name, content) pairs. At most 10,
                5 MB each, 10 MB together (limits from the API).
            files: Files in folders of the working directory, for `local:` and servers of your own: a mapping of
                paths to contents, in which a mapping or the `Path` of a folder is a folder, or the path of a
                folder. At most 1,000 files, 64 MB together.
            stdin: Standard input: text, bytes, a `pathlib.Path`, or an open file or pipe (anything with `read` or
                `fileno`), which the program gets as it comes; a server gets all of it first.
            args: Arguments of the program.
            flags: Flags of the compiler, such as `["-O2"]`, of those that the language takes; not for the
                service.
            outputs: Patterns such as `["*.png", "out/**"]` of files that the program makes or changes in the
                working directory; they come back as artifacts. Not for the service.
            limits: Limits of the run by name, such as `{"memory_bytes": 64 << 20}`.
            rerun: `"if_lost"`: a job of a server that keeps them on disk runs again if the server ended while it ran;
                `"never"` unless given. Not for the service.
            runtime: Path of the interpreter or compiler; only for the local engine. Else, for Python there,
                UNSANDBOX_PYTHON or the interpreter that runs this program; `ExecutionResult.runtime` has it.
            timeout: Seconds for the whole call; unless given, long enough for queue, compiler and ttl.
            on_stdout: Called with text as the program writes it, from another thread.
            on_stderr: The same for standard error.
            check: Whether a program that failed is an error.

        Returns:
            The result, also where the program failed.

        Raises:
            InvalidRequestError: A value is wrong; nothing ran.
            ExecutionError: The program failed, and `check` is True.
            UnsandboxError: There is no result, for the reason that its class says. A program that fails
                is a result where `check` is False.

        Examples:
            >>> result = client.execute("python", "print(input()[::-1])", stdin="abc", ttl=5)
            >>> result.ok, result.exit_code, result.stdout
            (True, 0, 'cba\\n')
        """
        request, call = _options.split(options, callbacks=True)
        return self._execute(language, code, request, **call)

    def run(
        self,
        code: str,
        **options: Unpack[RunOptions],
    ) -> ExecutionResult:
        """Run a program whose language is detected, and wait for its result.

        The language is told by a fence (```python), by the shebang, else by the content. Options, result and
        errors are those of `execute`; a program whose language cannot be told is an InvalidRequestError.

        Examples:
            >>> result = client.run("#!/bin/bash\\necho hello $1", args=["you"])
            >>> result.detected_language, result.stdout
            ('bash', 'hello you\\n')
        """
        request, call = _options.split(options, callbacks=True)
        return self._execute(None, code, request, **call)

    def execute_async(
        self,
        language: str,
        code: str,
        **options: Unpack[JobOptions],
    ) -> Job:
        """Submit a program and return at once.

        On "local:" the job lives as long as the client.

        Args:
            language: Name or alias, such as "python" or "js".
            code: The program.
            options: Options of `execute`, without callbacks and `check`. A file or pipe as `stdin` is read to its
                end first.
            callback_url: URL to which a server of your own with webhooks posts that the job has ended, `http:` or
                `https:`, at most 2048 bytes. Not for `local:` and the service.

        Returns:
            The job, which goes on by itself.

        Raises:
            InvalidRequestError: A value is wrong; nothing ran.
            UnsandboxError: There is no result, for the reason that its class says. A program that fails
                is a result.

        Examples:
            >>> job = client.execute_async("bash", "exit 3")
            >>> job.wait().exit_code
            3
        """
        request, call = _options.split(options)
        return Job(self, self._native.submit(language, code, request, call))

    def run_async(
        self,
        code: str,
        **options: Unpack[JobOptions],
    ) -> Job:
        """Submit a program whose language is detected, and return at once.

        The language is told by a fence (```python), the shebang, else the content. Options, result and errors are those
        of `execute_async`.

        Examples:
            >>> client.run_async("#!/bin/bash\\necho hello").wait(timeout=30).stdout
            'hello\\n'
        """
        request, call = _options.split(options)
        return Job(self, self._native.submit(None, code, request, call))

    def stream(
        self,
        language: str | None,
        code: str,
        **options: Unpack[StreamOptions],
    ) -> OutputStream:
        """Run a program and give its standard output line by line.

        Lines come as the program writes them from "local:" and from a server of your own, and all at the end from
        the service. A call without a result raises its error where the next line is asked for.

        Args:
            language: Name or alias, such as "python" or "js"; None to have it detected.
            code: The program.
            options: Options of `execute`, without `on_stdout`. With `check` a program that failed is an error, raised
                after its last line.

        Returns:
            An iterator of lines, which is a context manager too: leaving the loop or the `with` early ends the
            program. Its `result` is there once the last line has been given.

        Raises:
            InvalidRequestError: A value is wrong; nothing ran.
            ExecutionError: The program failed, and `check` is True.
            UnsandboxError: There is no result, for the reason that its class says. A program that fails
                is a result where `check` is False.

        Examples:
            >>> for line in client.stream("bash", "seq 1000000", ttl=5):
            ...     print(repr(line))
            ...     break
            '1\\n'
        """
        from ._stream import OutputStream

        execute, check = self._streaming(language, code, options)
        return OutputStream(execute, check=check)

    def _streaming(
        self, language: str | None, code: str, options: StreamOptions
    ) -> tuple[partial[ExecutionResult], bool]:
        """The call of a stream, and whether its result is to be checked."""
        from functools import partial

        request, call = _options.split(options, callbacks=True)
        if "on_stdout" in call:
            raise TypeError("stream() takes no on_stdout: it gives the lines of standard output itself")
        check = call.pop("check", False)
        return partial(self._execute, language, code, request, **call), check

    def _execute(
        self,
        language: str | None,
        code: str,
        options: dict[str, Any],
        timeout: float | None = None,
        on_stdout: Callable[[str], object] | None = None,
        on_stderr: Callable[[str], object] | None = None,
        cancel: CancelToken | None = None,
        check: bool = False,
        stdin: Any = None,
    ) -> ExecutionResult:
        calling: dict[str, Any] = {"timeout": timeout, "cancel": cancel}
        output = None
        if on_stdout is not None or on_stderr is not None:
            calling["on_output"] = output = _options.TextOutput(on_stdout, on_stderr)
        if stdin is None:
            result = self._native.execute(language, code, options, calling)
        else:
            from ._stdin import Feeding

            calling["cancel"] = cancel or CancelToken()
            with Feeding(stdin, calling["cancel"]) as calling["stdin"]:
                result = self._native.execute(language, code, options, calling)
        if output is not None:
            output.finish()
        return result.check() if check else result

    def map(
        self,
        codes: Iterable[str],
        *,
        language: str | None = None,
        max_workers: int | None = None,
        ordered: bool = False,
        progress: bool = False,
        **options: Unpack[ExecuteOptions],
    ) -> Iterator[ExecutionResult]:
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

        Returns:
            An iterator of results, also of programs that failed.

        Raises:
            InvalidRequestError: A value is wrong.
            UnsandboxError: One of the programs has no result, for the reason that its class says; the
                others are stopped.

        Examples:
            >>> programs = [f"echo $(({number} * {number}))" for number in range(4)]
            >>> [result.stdout.strip() for result in client.map(programs, language="bash", ordered=True)]
            ['0', '1', '4', '9']
        """
        from ._many import results

        return results(self, codes, language, max_workers, ordered, progress, options)

    def get_job(self, job_id: str, *, timeout: float | None = None) -> Job:
        """Ask how a job is.

        Args:
            job_id: The id, as `Job.job_id` has it.
            timeout: Seconds for the call.

        Returns:
            A handle with the job's present state.

        Raises:
            NotFoundError: There is no such job for this key.
            JobLostError: The server had told this client of it, and has forgotten it.

        Examples:
            >>> job = client.execute_async("bash", "true")
            >>> client.get_job(job.job_id).status in ("pending", "running", "completed")
            True
        """
        return Job(self, self._get_job(job_id, timeout))

    def _get_job(self, job_id: str, timeout: float | None) -> JobInfo:
        return self._native.get_job(job_id, {"timeout": timeout})

    def wait_job(
        self, job_id: str, *, timeout: float | None = None, check: bool = False
    ) -> ExecutionResult:
        """Wait for the end of a job.

        Args:
            job_id: The id, as `Job.job_id` has it.
            timeout: Seconds to wait; without it as long as it takes.
            check: Whether a program that failed is an error.

        Returns:
            The result, also where the program failed.

        Raises:
            ExecutionError: The program failed, and `check` is True.
            RequestTimeoutError: It has not ended in time; it goes on.
            NotFoundError: There is no such job for this key.
            JobLostError: The server had told this client of it, and has forgotten it.

        Examples:
            >>> job = client.execute_async("bash", "echo done")
            >>> client.wait_job(job.job_id, timeout=30).stdout
            'done\\n'
        """
        result = self._native.wait_job(job_id, {"timeout": timeout})
        return result.check() if check else result

    def job_events(
        self, job_id: str, *, offsets: tuple[int, int] = (0, 0), timeout: float | None = None
    ) -> Iterator[JobEvent]:
        """Give what happens to a job as it happens, and what has happened before.

        A loop that is left ends nothing but the events; the job goes on.

        Args:
            job_id: The id, as `Job.job_id` has it.
            offsets: Bytes of standard output and standard error that the caller has, as `JobEvent.offsets` has
                them: output comes from there on.
            timeout: Seconds until the last event; without it as long as it takes.

        Returns:
            An iterator of events; the last one is "finished".

        Raises:
            RequestTimeoutError: The job has not ended in time; it goes on.
            NotFoundError: There is no such job for this key.
            JobLostError: The server had told this client of it, and has forgotten it.

        Examples:
            >>> job = client.execute_async("bash", "echo one; sleep 0.2; echo two")
            >>> [event.text for event in client.job_events(job.job_id) if event.kind == "stdout"]
            ['one\\n', 'two\\n']
        """
        from ._events import results

        return results(self._native, job_id, offsets, timeout)

    def cancel_job(self, job_id: str, *, timeout: float | None = None) -> ExecutionResult:
        """Cancel a job; one that is over is given as it is.

        Args:
            job_id: The id, as `Job.job_id` has it.
            timeout: Seconds for the call.

        Returns:
            The result, with what the program had written by then.

        Raises:
            NotFoundError: There is no such job for this key.
            JobLostError: The server had told this client of it, and has forgotten it.

        Examples:
            >>> job = client.execute_async("bash", "sleep 60")
            >>> client.cancel_job(job.job_id).status
            'cancelled'
        """
        return self._native.cancel_job(job_id, {"timeout": timeout})

    def delete_job(self, job_id: str, *, timeout: float | None = None) -> None:
        """Delete a job that has ended, with its result and its artifacts.

        Its idempotency key is deleted too. The job is not found from then on.

        Args:
            job_id: The id, as `Job.job_id` has it.
            timeout: Seconds for the call.

        Raises:
            ConflictError: The job waits or runs; cancel it first.
            NotFoundError: There is no such job for this key.
            JobLostError: This client has submitted it, and the server has it no more.
            InvalidRequestError: The endpoint deletes no jobs, as the service.

        Examples:
            >>> job = client.execute_async("bash", "echo done")
            >>> job.wait().ok
            True
            >>> client.delete_job(job.job_id)
            >>> client.get_job(job.job_id)
            Traceback (most recent call last):
            unsandbox.NotFoundError: ...
        """
        self._native.delete_job(job_id, {"timeout": timeout})

    def list_jobs(
        self,
        *,
        limit: int | None = None,
        after: str | None = None,
        timeout: float | None = None,
    ) -> list[Job]:
        """List the jobs of this key that are pending or running.

        Args:
            limit: The most jobs, 1 to 1,000; without it as many as there are.
            after: The id of a job: only those that were submitted after it. It may have ended since,
                but not at the service, which gives its list as a whole.
            timeout: Seconds for the call.

        Returns:
            A handle for each, in the order of their submissions. Fewer than `limit` are the last.

        Raises:
            InvalidRequestError: `after` is not a job of this key, or not one any more.

        Examples:
            >>> job = client.execute_async("bash", "sleep 60")
            >>> job.job_id in [it.job_id for it in client.list_jobs()]
            True
            >>> job.cancel().status
            'cancelled'
        """
        page = {"limit": limit, "after": after}
        return [Job(self, info) for info in self._native.list_jobs(page, {"timeout": timeout})]

    def languages(self, *, timeout: float | None = None) -> list[Language]:
        """List the languages that the endpoint offers.

        Args:
            timeout: Seconds for the call.

        Returns:
            Each with its aliases; on "local:" also whether and where it is installed.

        Examples:
            >>> [it.aliases[:3] for it in client.languages() if it.name == "javascript"]
            [('js', 'node', 'nodejs')]
        """
        return list(self._native.languages({"timeout": timeout}))

    def validate_key(self, *, timeout: float | None = None) -> KeyInfo:
        """Ask whether the configured key is good.

        Args:
            timeout: Seconds for the call.

        Returns:
            The answer; a key that is not good is an answer and no error.

        Examples:
            >>> client.validate_key()
            KeyInfo(valid=True, tier='local', reason=None)
        """
        return self._native.validate_key({"timeout": timeout})

    def usage(self, *, timeout: float | None = None) -> KeyUsage:
        """Ask what the key may have, has now, and has used.

        At "local:" it is what the engine of this client has run. Requests are not counted there, and every
        language, limit and network mode may be asked for.

        Args:
            timeout: Seconds for the call.

        Returns:
            The usage since the server started, or since the engine was first used.

        Raises:
            InvalidRequestError: The endpoint does not tell it, as the service.

        Examples:
            >>> usage = client.usage()
            >>> (usage.running, usage.limits.max_ttl, usage.limits.languages)
            (0, 900, None)
        """
        return self._native.usage({"timeout": timeout})

    def health(self, *, timeout: float | None = None) -> Health:
        """Ask whether the endpoint takes executions.

        Args:
            timeout: Seconds for the call.

        Returns:
            How it is; a server that stops says so itself, and is not healthy. An endpoint that cannot be
            reached raises ConnectError.

        Examples:
            >>> client.health()
            Health(healthy=True, status='ok')
        """
        return self._native.health({"timeout": timeout})

    def probe(self) -> Probe:
        """Ask which isolation layers this machine gives; only for "local:".

        Returns:
            Each layer, with how to get it where it is missing.

        Examples:
            >>> client.probe().level in ("full", "reduced")
            True
        """
        return self._native.probe()
