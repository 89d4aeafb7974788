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
    TlsError,
    UnsandboxError,
)
from ._functions import (
    cancel_job,
    default_client,
    execute,
    execute_async,
    get_job,
    health,
    languages,
    list_jobs,
    probe,
    run,
    run_async,
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

    from ._async import AsyncClient, AsyncJob
    from ._many import Executor
    from ._sandboxed import sandboxed
    from ._shapes import ClientSettings, Content, ExecuteOptions, InputFiles, RunOptions
    from ._types import (
        Artifact,
        ExecutionResult,
        Health,
        Isolation,
        JobInfo,
        KeyInfo,
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
    "IsolationUnavailableError",
    "Job",
    "JobInfo",
    "JobLostError",
    "KeyInfo",
    "Language",
    "LanguageUnavailableError",
    "Layer",
    "NotFoundError",
    "PermissionDeniedError",
    "Probe",
    "ProtocolError",
    "RateLimitError",
    "ReplyTooLargeError",
    "RequestTimeoutError",
    "RunOptions",
    "ServerError",
    "TlsError",
    "UnsandboxError",
    "Usage",
    "__version__",
    "cancel_job",
    "default_client",
    "enable_logging",
    "execute",
    "execute_async",
    "get_job",
    "health",
    "languages",
    "list_jobs",
    "probe",
    "run",
    "run_async",
    "sandboxed",
    "validate_key",
    "wait_job",
]


#: Names whose modules wait for their first use: dataclasses and asyncio cost more to import than all
#: the rest of this package.
_LAZY = {
    "AsyncClient": "_async",
    "AsyncJob": "_async",
    "Artifact": "_types",
    "ClientSettings": "_shapes",
    "Content": "_shapes",
    "ExecuteOptions": "_shapes",
    "ExecutionResult": "_types",
    "Executor": "_many",
    "Health": "_types",
    "InputFiles": "_shapes",
    "Isolation": "_types",
    "JobInfo": "_types",
    "KeyInfo": "_types",
    "Language": "_types",
    "Layer": "_types",
    "Probe": "_types",
    "RunOptions": "_shapes",
    "Usage": "_types",
    "sandboxed": "_sandboxed",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f".{_LAZY[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def enable_logging(level: int = 30) -> None:
    """Send the library's messages to `logging.getLogger("unsandbox")`.

    Args:
        level: The least level that is sent, as in `logging`; 30 is WARNING. Messages hold no keys,
            and no program text above DEBUG.

    Examples:
        >>> import logging
        >>> unsandbox.enable_logging(logging.DEBUG)
        >>> unsandbox.enable_logging(logging.CRITICAL + 1)  # and off again
    """
    import logging

    from . import _native

    _native.set_log(logging.getLogger("unsandbox").log, level)
