# SPDX-License-Identifier: MIT OR Apache-2.0
"""Run code in any language in a sandbox: on this machine, on a server of your own, or at the service.

    >>> import unsandbox
    >>> unsandbox.execute("python", "print(6 * 7)").stdout  # doctest: +SKIP
    '42\\n'

A program that fails is a result whose `success` is False; `UnsandboxError` says why there is none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
    languages,
    list_jobs,
    run,
    run_async,
    wait_job,
)
from ._job import Job
from ._native import __version__
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

if TYPE_CHECKING:
    from ._async import AsyncClient

__all__ = [
    "ApiError",
    "Artifact",
    "AsyncClient",
    "AuthenticationError",
    "CancelledError",
    "Client",
    "ConfigError",
    "ConflictError",
    "ConnectError",
    "ExecutionError",
    "ExecutionResult",
    "Health",
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
    "languages",
    "list_jobs",
    "run",
    "run_async",
    "wait_job",
]


def __getattr__(name: str) -> Any:
    # asyncio costs more to import than all of this package, so it waits for its first use.
    if name == "AsyncClient":
        from ._async import AsyncClient

        globals()[name] = AsyncClient
        return AsyncClient
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def enable_logging(level: int = 30) -> None:
    """Send the library's messages to `logging.getLogger("unsandbox")`.

    Args:
        level: The least level that is sent, as in `logging`; 30 is WARNING. Messages hold no keys,
            and no program text above DEBUG.
    """
    import logging

    from . import _native

    _native.set_log(logging.getLogger("unsandbox").log, level)
