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
    from ._shapes import ExecuteOptions, RunOptions
    from ._types import ExecutionResult, Health, KeyInfo, Language, Probe

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

    Options, result and errors are those of `Client.execute`.

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

    Options, result and errors are those of `Client.run`.

    Examples:
        >>> unsandbox.run("#!/usr/bin/env python3\\nprint(6 * 7)").stdout
        '42\\n'
    """
    return default_client().run(code, **options)


def execute_async(
    language: str,
    code: str,
    **options: Unpack[ExecuteOptions],
) -> Job:
    """Submit a program and return at once.

    Options, result and errors are those of `Client.execute_async`.

    Examples:
        >>> unsandbox.execute_async("bash", "echo $GREETING", env={"GREETING": "hi"}).wait().stdout
        'hi\\n'
    """
    return default_client().execute_async(language, code, **options)


def run_async(
    code: str,
    **options: Unpack[ExecuteOptions],
) -> Job:
    """Submit a program whose language is detected.

    Options, result and errors are those of `Client.run_async`.

    Examples:
        >>> unsandbox.run_async("#!/bin/bash\\nexit 4").wait().exit_code
        4
    """
    return default_client().run_async(code, **options)


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

    Options, results and errors are those of `Client.map`.

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
    """Ask how a job is; see `Client.get_job`.

    Examples:
        >>> job = unsandbox.execute_async("bash", "true")
        >>> unsandbox.get_job(job.job_id).job_id == job.job_id
        True
    """
    return default_client().get_job(job_id, timeout=timeout)


def wait_job(job_id: str, *, timeout: float | None = None) -> ExecutionResult:
    """Wait for the end of a job; see `Client.wait_job`.

    Examples:
        >>> job = unsandbox.execute_async("bash", "true")
        >>> unsandbox.wait_job(job.job_id).ok
        True
    """
    return default_client().wait_job(job_id, timeout=timeout)


def cancel_job(job_id: str, *, timeout: float | None = None) -> ExecutionResult:
    """Cancel a job; see `Client.cancel_job`.

    Examples:
        >>> job = unsandbox.execute_async("bash", "sleep 60")
        >>> unsandbox.cancel_job(job.job_id).exit_code
        -1
    """
    return default_client().cancel_job(job_id, timeout=timeout)


def list_jobs(*, timeout: float | None = None) -> list[Job]:
    """List the jobs that are pending or running; see `Client.list_jobs`.

    Examples:
        >>> unsandbox.list_jobs()
        []
    """
    return default_client().list_jobs(timeout=timeout)


def languages(*, timeout: float | None = None) -> list[Language]:
    """List the languages that the endpoint offers; see `Client.languages`.

    Examples:
        >>> "python" in [it.name for it in unsandbox.languages()]
        True
    """
    return default_client().languages(timeout=timeout)


def validate_key(*, timeout: float | None = None) -> KeyInfo:
    """Ask whether the configured key is good; see `Client.validate_key`.

    Examples:
        >>> unsandbox.validate_key()
        KeyInfo(valid=True, tier='local', reason=None)
    """
    return default_client().validate_key(timeout=timeout)


def health(*, timeout: float | None = None) -> Health:
    """Ask whether the endpoint takes executions; see `Client.health`.

    Examples:
        >>> unsandbox.health()
        Health(healthy=True, status='ok')
    """
    return default_client().health(timeout=timeout)


def probe() -> Probe:
    """Ask which isolation layers this machine gives; see `Client.probe`.

    Examples:
        >>> unsandbox.probe().level in ("full", "reduced")
        True
    """
    return default_client().probe()
