# SPDX-License-Identifier: MIT OR Apache-2.0
"""Run code in any language in a sandbox: on this machine, on a server of your own, or at the service.

    >>> import unsandbox
    >>> unsandbox.execute("python", "print(6 * 7)").stdout
    '42\\n'

A program that fails is a result whose `success` is False; `UnsandboxError` says why there is none.
"""

from __future__ import annotations

from ._client import Client
from ._errors import (
    ApiError,
    AuthenticationError,
    CancelledError,
    ConfigError,
    ConflictError,
    ConnectError,
    ExecutionError,
    InternalError,
    InvalidRequestError,
    IsolationUnavailableError,
    JobLostError,
    LanguageUnavailableError,
    NotFoundError,
    PermissionDeniedError,
    ProtocolError,
    RateLimitError,
    ReplyTooLargeError,
    RequestTimeoutError,
    ServerError,
    StoreError,
    TlsError,
    UnsandboxError,
)
from ._functions import (
    cancel_job,
    default_client,
    delete_job,
    execute,
    execute_async,
    get_job,
    health,
    job_events,
    languages,
    list_jobs,
    probe,
    run,
    run_async,
    stream,
    usage,
    validate_key,
    wait_job,
)

# Not in __all__: a star import would hide the builtin of that name.
from ._functions import map as map
from ._job import Job
from ._native import __version__

# True for type checkers only; importing `typing` at run time is slow.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._async import AsyncClient, AsyncJob, AsyncOutputStream
    from ._many import Executor
    from ._sandboxed import sandboxed
    from ._shapes import (
        ClientSettings,
        Content,
        ExecuteOptions,
        InputFiles,
        IsolationLevel,
        IsolationPolicy,
        JobOptions,
        LimitKind,
        NetworkMode,
        Rerun,
        RunOptions,
        Status,
        Stdin,
        StreamOptions,
    )
    from ._stream import OutputStream
    from ._types import (
        Artifact,
        ExecutionResult,
        Health,
        Isolation,
        JobEvent,
        JobInfo,
        KeyAllowance,
        KeyInfo,
        KeyUsage,
        Language,
        Layer,
        Probe,
        Usage,
    )

__all__ = [
    "ApiError",
    "Artifact",
    "AsyncClient",
    "AsyncJob",
    "AsyncOutputStream",
    "AuthenticationError",
    "CancelledError",
    "Client",
    "ClientSettings",
    "ConfigError",
    "ConflictError",
    "ConnectError",
    "Content",
    "ExecuteOptions",
    "ExecutionError",
    "ExecutionResult",
    "Executor",
    "Health",
    "InputFiles",
    "InternalError",
    "InvalidRequestError",
    "Isolation",
    "IsolationLevel",
    "IsolationPolicy",
    "IsolationUnavailableError",
    "Job",
    "JobEvent",
    "JobInfo",
    "JobLostError",
    "JobOptions",
    "KeyAllowance",
    "KeyInfo",
    "KeyUsage",
    "Language",
    "LanguageUnavailableError",
    "Layer",
    "LimitKind",
    "NetworkMode",
    "Rerun",
    "NotFoundError",
    "OutputStream",
    "PermissionDeniedError",
    "Probe",
    "ProtocolError",
    "RateLimitError",
    "ReplyTooLargeError",
    "RequestTimeoutError",
    "RunOptions",
    "ServerError",
    "StoreError",
    "Status",
    "Stdin",
    "StreamOptions",
    "TlsError",
    "UnsandboxError",
    "Usage",
    "__version__",
    "cancel_job",
    "default_client",
    "delete_job",
    "enable_logging",
    "execute",
    "execute_async",
    "get_job",
    "health",
    "job_events",
    "languages",
    "list_jobs",
    "probe",
    "run",
    "run_async",
    "sandboxed",
    "stream",
    "usage",
    "validate_key",
    "wait_job",
]


#: Names whose modules wait for their first use: dataclasses and asyncio cost more to import than all
#: the rest of this package.
_LAZY = {
    "Artifact": "_types",
    "AsyncClient": "_async",
    "AsyncJob": "_async",
    "AsyncOutputStream": "_async",
    "ClientSettings": "_shapes",
    "Content": "_shapes",
    "ExecuteOptions": "_shapes",
    "ExecutionResult": "_types",
    "Executor": "_many",
    "Health": "_types",
    "InputFiles": "_shapes",
    "Isolation": "_types",
    "IsolationLevel": "_shapes",
    "IsolationPolicy": "_shapes",
    "JobOptions": "_shapes",
    "JobEvent": "_types",
    "JobInfo": "_types",
    "KeyAllowance": "_types",
    "KeyInfo": "_types",
    "KeyUsage": "_types",
    "Language": "_types",
    "Layer": "_types",
    "LimitKind": "_shapes",
    "NetworkMode": "_shapes",
    "Rerun": "_shapes",
    "OutputStream": "_stream",
    "Probe": "_types",
    "RunOptions": "_shapes",
    "Status": "_shapes",
    "Stdin": "_shapes",
    "StreamOptions": "_shapes",
    "Usage": "_types",
    "sandboxed": "_sandboxed",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        from ._hints import missing

        raise missing(f"module {__name__!r}", name, __all__, {})
    from importlib import import_module

    value = getattr(import_module(f".{_LAZY[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def enable_logging(level: int = 30) -> None:
    """Send the library's messages to `logging.getLogger("unsandbox")`.

    Without it a client that is made while that logger is at INFO or DEBUG sends what the logger asks for:
    `logging.basicConfig(level=logging.DEBUG)` is enough to see what "local:" does.

    Args:
        level: The least level that is sent, as in `logging`; 30 is WARNING. Messages hold no keys and no
            program text.

    Examples:
        >>> import logging
        >>> unsandbox.enable_logging(logging.DEBUG)
        >>> unsandbox.enable_logging(logging.CRITICAL + 1)  # and off again
    """
    from . import _log

    _log.enable(level)
