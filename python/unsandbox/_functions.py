# SPDX-License-Identifier: MIT OR Apache-2.0
"""The module's functions: the client's, on one client that is made when it is first needed."""

from __future__ import annotations

import threading

from ._client import Client

# True for type checkers only; importing `typing` at run time is slow.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from typing_extensions import Unpack

    from ._job import Job
    from ._shapes import ExecuteOptions, JobOptions, RunOptions, StreamOptions
    from ._stream import OutputStream
    from ._types import ExecutionResult, Health, JobEvent, KeyInfo, KeyUsage, Language, Probe

_lock = threading.Lock()
_client: Client | None = None


def default_client() -> Client:
    """Give the client behind the module's functions, configured by the environment.

    Returns:
        The client, made at the first call.

    Raises:
        ConfigError: The environment names an endpoint or a key that is unusable.

    Examples:
        >>> unsandbox.default_client() is unsandbox.default_client()
        True
    """
    global _client
    if _client is None:
        with _lock:
            if _client is None:
                _client = Client()
    return _client


def execute(
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
        >>> unsandbox.execute("python", "print(6 * 7)").stdout
        '42\\n'
    """
    return default_client().execute(language, code, **options)


def run(
    code: str,
    **options: Unpack[RunOptions],
) -> ExecutionResult:
    """Run a program whose language is detected, and wait for its result.

    Args:
        code: The program. Its language is told by the shebang, else by the content.
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
        InvalidRequestError: A value is wrong, or the language cannot be told; nothing ran.
        ExecutionError: The program failed, and `check` is True.
        UnsandboxError: There is no result, for the reason that its class says. A program that fails
            is a result where `check` is False.

    Examples:
        >>> unsandbox.run("#!/usr/bin/env python3\\nprint(6 * 7)").stdout
        '42\\n'
    """
    return default_client().run(code, **options)


def execute_async(
    language: str,
    code: str,
    **options: Unpack[JobOptions],
) -> Job:
    """Submit a program and return at once.

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
            `fileno`), which is read to its end first.
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
        callback_url: URL to which a server of your own with webhooks posts that the job has ended, `http:` or
            `https:`, at most 2048 bytes. Not for `local:` and the service.
        timeout: Seconds for the submission, not for the program.

    Returns:
        The job, which goes on by itself; on "local:" it lives as long as the client.

    Raises:
        InvalidRequestError: A value is wrong; nothing ran.
        UnsandboxError: There is no result, for the reason that its class says. A program that fails
            is a result.

    Examples:
        >>> unsandbox.execute_async("bash", "echo $GREETING", env={"GREETING": "hi"}).wait().stdout
        'hi\\n'
    """
    return default_client().execute_async(language, code, **options)


def run_async(
    code: str,
    **options: Unpack[JobOptions],
) -> Job:
    """Submit a program whose language is detected, and return at once.

    Args:
        code: The program. Its language is told by the shebang, else by the content.
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
            `fileno`), which is read to its end first.
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
        callback_url: URL to which a server of your own with webhooks posts that the job has ended, `http:` or
            `https:`, at most 2048 bytes. Not for `local:` and the service.
        timeout: Seconds for the submission, not for the program.

    Returns:
        The job, which goes on by itself; on "local:" it lives as long as the client.

    Raises:
        InvalidRequestError: A value is wrong, or the language cannot be told; nothing ran.
        UnsandboxError: There is no result, for the reason that its class says. A program that fails
            is a result.

    Examples:
        >>> unsandbox.run_async("#!/bin/bash\\nexit 4").wait().exit_code
        4
    """
    return default_client().run_async(code, **options)


def stream(
    language: str | None,
    code: str,
    **options: Unpack[StreamOptions],
) -> OutputStream:
    """Run a program and give its standard output line by line.

    Lines come as the program writes them from "local:", and all at the end from a server, which does
    not stream. A call without a result raises its error where the next line is asked for.

    Args:
        language: Name or alias, such as "python" or "js"; None to have it detected.
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
        on_stderr: Called with text of standard error as the program writes it, from another thread.
        check: Whether a program that failed is an error, raised after its last line.

    Returns:
        An iterator of lines, which is a context manager too: leaving the loop or the `with` early ends the
        program. Its `result` is there once the last line has been given.

    Raises:
        InvalidRequestError: A value is wrong; nothing ran.
        ExecutionError: The program failed, and `check` is True.
        UnsandboxError: There is no result, for the reason that its class says. A program that fails
            is a result where `check` is False.

    Examples:
        >>> [line.strip() for line in unsandbox.stream("bash", "seq 3")]
        ['1', '2', '3']
    """
    return default_client().stream(language, code, **options)


def map(
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
        options: Options of `execute` for all of them, without callbacks and `check`. Open files are read
            once.

    Returns:
        An iterator of results, also of programs that failed.

    Raises:
        InvalidRequestError: A value is wrong.
        UnsandboxError: One of the programs has no result, for the reason that its class says; the
            others are stopped.

    Examples:
        >>> results = unsandbox.map(["echo 1", "echo 2"], language="bash")
        >>> sorted(result.stdout for result in results)
        ['1\\n', '2\\n']
    """
    return default_client().map(
        codes,
        language=language,
        max_workers=max_workers,
        ordered=ordered,
        progress=progress,
        **options,
    )


def get_job(job_id: str, *, timeout: float | None = None) -> Job:
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
        >>> job = unsandbox.execute_async("bash", "true")
        >>> unsandbox.get_job(job.job_id).job_id == job.job_id
        True
    """
    return default_client().get_job(job_id, timeout=timeout)


def wait_job(
    job_id: str, *, timeout: float | None = None, check: bool = False
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
        >>> job = unsandbox.execute_async("bash", "true")
        >>> unsandbox.wait_job(job.job_id).ok
        True
    """
    return default_client().wait_job(job_id, timeout=timeout, check=check)


def job_events(
    job_id: str, *, offsets: tuple[int, int] = (0, 0), timeout: float | None = None
) -> Iterator[JobEvent]:
    """Give what happens to a job as it happens, and what has happened before.

    Args:
        job_id: The id, as `Job.job_id` has it.
        offsets: Bytes of standard output and standard error that the caller has: output comes from there on.
        timeout: Seconds until the last event; without it as long as it takes.

    Returns:
        An iterator of events; the last one is "finished".

    Raises:
        RequestTimeoutError: The job has not ended in time; it goes on.
        NotFoundError: There is no such job for this key.

    Examples:
        >>> job = unsandbox.execute_async("bash", "exit 3")
        >>> [event.kind for event in unsandbox.job_events(job.job_id)]
        ['queued', 'started', 'finished']
    """
    return default_client().job_events(job_id, offsets=offsets, timeout=timeout)


def cancel_job(job_id: str, *, timeout: float | None = None) -> ExecutionResult:
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
        >>> job = unsandbox.execute_async("bash", "sleep 60")
        >>> unsandbox.cancel_job(job.job_id).exit_code
        -1
    """
    return default_client().cancel_job(job_id, timeout=timeout)


def delete_job(job_id: str, *, timeout: float | None = None) -> None:
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
        >>> job = unsandbox.execute_async("bash", "echo done")
        >>> job.wait().ok
        True
        >>> unsandbox.delete_job(job.job_id)
    """
    default_client().delete_job(job_id, timeout=timeout)


def list_jobs(
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
        UnsandboxError: The endpoint gave no answer, for the reason that its class says.

    Examples:
        >>> unsandbox.list_jobs()
        []
    """
    return default_client().list_jobs(limit=limit, after=after, timeout=timeout)


def languages(*, timeout: float | None = None) -> list[Language]:
    """List the languages that the endpoint offers.

    Args:
        timeout: Seconds for the call.

    Returns:
        Each with its aliases; on "local:" also whether and where it is installed.

    Raises:
        UnsandboxError: The endpoint gave no answer, for the reason that its class says.

    Examples:
        >>> "python" in [it.name for it in unsandbox.languages()]
        True
    """
    return default_client().languages(timeout=timeout)


def validate_key(*, timeout: float | None = None) -> KeyInfo:
    """Ask whether the configured key is good.

    Args:
        timeout: Seconds for the call.

    Returns:
        The answer; a key that is not good is an answer and no error.

    Raises:
        UnsandboxError: The endpoint gave no answer, for the reason that its class says.

    Examples:
        >>> unsandbox.validate_key()
        KeyInfo(valid=True, tier='local', reason=None)
    """
    return default_client().validate_key(timeout=timeout)


def usage(*, timeout: float | None = None) -> KeyUsage:
    """Ask what the key may have, has now, and has used; see `Client.usage`.

    Args:
        timeout: Seconds for the call.

    Returns:
        The usage since the server started, or since the engine was first used.

    Raises:
        InvalidRequestError: The endpoint does not tell it, as the service.

    Examples:
        >>> unsandbox.usage().limits.max_ttl
        900
    """
    return default_client().usage(timeout=timeout)


def health(*, timeout: float | None = None) -> Health:
    """Ask whether the endpoint takes executions.

    Args:
        timeout: Seconds for the call.

    Returns:
        How it is; a server that stops says so itself, and is not healthy.

    Raises:
        ConnectError: The endpoint cannot be reached.
        ProtocolError: Its answer says nothing of itself.

    Examples:
        >>> unsandbox.health()
        Health(healthy=True, status='ok')
    """
    return default_client().health(timeout=timeout)


def probe() -> Probe:
    """Ask which isolation layers this machine gives; only for "local:".

    Returns:
        Each layer, with how to get it where it is missing.

    Raises:
        InvalidRequestError: The endpoint is a server, whose isolation only its results tell.

    Examples:
        >>> unsandbox.probe().level in ("full", "reduced")
        True
    """
    return default_client().probe()
