# SPDX-License-Identifier: MIT OR Apache-2.0
"""The errors: one root, one class for each code, each also the builtin that a caller would catch."""

from __future__ import annotations

# True for type checkers only; importing `typing` at run time is slow.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar

    from ._types import ExecutionResult


#: So much of each stream stands in the text of an ExecutionError.
_TAIL_CHARACTERS = 2000


class UnsandboxError(Exception):
    """Root of all errors of this package.

    Attributes:
        code: The word of the table of errors, such as "RATE_LIMITED".
        message: One sentence that names the thing, the value and the limit.
        http_status: Status of the reply, or None where there was none.
        body: The server's own words (at most 64 KiB), or None.
        retry_after: Seconds after which to try again, or None where nobody said.
        may_have_run: Whether the program may have run although no result came back.
        cause: What lay underneath, as text, or None.
        job_id: The job that the error is about, or None.

    Examples:
        >>> try:
        ...     client.execute("pyhton", "print(1)")
        ... except unsandbox.UnsandboxError as error:
        ...     print(error.code, error.may_have_run, error)
        ARGUMENT False language "pyhton" is unknown; did you mean python?
    """

    code: ClassVar[str] = "UNSANDBOX"

    message: str
    http_status: int | None
    body: str | None
    retry_after: float | None
    may_have_run: bool
    cause: str | None
    job_id: str | None

    def __init__(
        self,
        message: str = "",
        *,
        http_status: int | None = None,
        body: str | None = None,
        retry_after: float | None = None,
        may_have_run: bool = False,
        cause: str | None = None,
        job_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.http_status = http_status
        self.body = body
        self.retry_after = retry_after
        self.may_have_run = may_have_run
        self.cause = cause
        self.job_id = job_id

    def __str__(self) -> str:
        text = f"{self.message}: {self.cause}" if self.cause else self.message
        hint = self._hint()
        return f"{text}; {hint}" if hint else text

    def _hint(self) -> str | None:
        """Say what to do in Python, where the message, which all faces share, cannot say it."""
        from . import _native

        return _native.error_hint(self.code, self.may_have_run)

    def __reduce__(self) -> tuple[Any, ...]:
        # The keyword-only attributes travel in __dict__, which pickle restores.
        return type(self), (self.message,), self.__dict__


class InvalidRequestError(UnsandboxError, ValueError):
    """A value of the request is wrong; the message names the field, the value and the limit."""

    code = "ARGUMENT"


class ConfigError(UnsandboxError, ValueError):
    """Endpoint, key file or certificate is unusable."""

    code = "CONFIG"


class ConnectError(UnsandboxError, ConnectionError):
    """The server could not be reached, or the connection broke (see `may_have_run`)."""

    code = "CONNECT"


class TlsError(UnsandboxError, ConnectionError):
    """Certificate or handshake failed."""

    code = "TLS"


class RequestTimeoutError(UnsandboxError, TimeoutError):
    """The deadline of the call passed. A program that passes its ttl is a result, not this."""

    code = "TIMEOUT"


class CancelledError(UnsandboxError):
    """The caller cancelled the call."""

    code = "CANCELLED"


class ProtocolError(UnsandboxError):
    """The server sent a malformed reply."""

    code = "PROTOCOL"


class ReplyTooLargeError(UnsandboxError):
    """The reply is larger than `reply_max_bytes`."""

    code = "TOO_LARGE"


class AuthenticationError(UnsandboxError):
    """Key or signature was refused."""

    code = "AUTH"


class PermissionDeniedError(UnsandboxError, PermissionError):
    """The key is known but not allowed."""

    code = "PERMISSION"


class NotFoundError(UnsandboxError, LookupError):
    """No such job for this key."""

    code = "NOT_FOUND"


class JobLostError(UnsandboxError):
    """The server accepted the job and now answers 404 for it."""

    code = "JOB_LOST"


class ConflictError(UnsandboxError):
    """The request conflicts with the current state."""

    code = "CONFLICT"


class RateLimitError(UnsandboxError):
    """Too many requests; `retry_after` says how long to wait."""

    code = "RATE_LIMITED"


class LanguageUnavailableError(UnsandboxError):
    """The runtime is missing on that machine; the message names the package."""

    code = "LANGUAGE_UNAVAILABLE"


class IsolationUnavailableError(UnsandboxError):
    """An isolation layer is missing; the message names layer, cause and fix."""

    code = "ISOLATION_UNAVAILABLE"


class ApiError(UnsandboxError):
    """Any other refusal of the server; `body` has its own words."""

    code = "API"


class ServerError(UnsandboxError):
    """The server failed."""

    code = "SERVER"


class InternalError(UnsandboxError):
    """A bug in this library."""

    code = "INTERNAL"


class StoreError(UnsandboxError):
    """The server's store is full or cannot be written; nothing was run."""

    code = "STORE"


class ExecutionError(UnsandboxError):
    """A program failed, and `check=True` or `ExecutionResult.check` was asked to say so.

    It is no error of the endpoint: there is a result. Its text ends with what the program wrote last.

    Attributes:
        result: The whole result.
        returncode: Its exit code, or None where it is unknown.
        stdout: What the program wrote to standard output, as text.
        stderr: What the program wrote to standard error, as text.
        output: The same as `stdout`, as `subprocess.CalledProcessError` calls it.

    Examples:
        >>> try:
        ...     client.execute("bash", "echo trouble >&2; exit 3").check()
        ... except unsandbox.ExecutionError as error:
        ...     print(error.returncode, error.stderr.strip())
        3 trouble
    """

    code = "EXECUTION"

    result: ExecutionResult
    returncode: int | None
    stdout: str
    stderr: str
    output: str

    def __init__(self, result: ExecutionResult, message: str | None = None) -> None:
        super().__init__(_failure(result, message), job_id=result.job_id, may_have_run=True)
        self.result = result
        self.returncode = result.exit_code
        self.stdout = self.output = result.stdout
        self.stderr = result.stderr

    def __reduce__(self) -> tuple[Any, ...]:
        # What was added to the exception, its notes among them, travels in __dict__.
        return type(self), (self.result,), self.__dict__


def _failure(result: ExecutionResult, message: str | None) -> str:
    """One sentence on why a program did not succeed, and the end of its output."""
    parts = [message or result.error or f"the program ended with status {result.status}"]
    # Standard error comes last, where the reason is looked for.
    for name, text in (("standard output", result.stdout), ("standard error", result.stderr)):
        tail = text.strip()[-_TAIL_CHARACTERS:]
        if tail:
            parts.append(f"{name} ends with:\n{tail}")
    return "\n".join(parts)


_BY_CODE: dict[str, type[UnsandboxError]] = {
    error.code: error
    for error in (
        InvalidRequestError,
        ConfigError,
        ConnectError,
        TlsError,
        RequestTimeoutError,
        CancelledError,
        ProtocolError,
        ReplyTooLargeError,
        AuthenticationError,
        PermissionDeniedError,
        NotFoundError,
        JobLostError,
        ConflictError,
        RateLimitError,
        LanguageUnavailableError,
        IsolationUnavailableError,
        ApiError,
        ServerError,
        InternalError,
        StoreError,
    )
}

# Where users find them, which is what a traceback then says.
for _kind in (UnsandboxError, ExecutionError, *_BY_CODE.values()):
    _kind.__module__ = "unsandbox"


def _from_native(
    code: str,
    message: str,
    http_status: int | None,
    body: str | None,
    retry_after: float | None,
    may_have_run: bool,
    cause: str | None,
    job_id: str | None,
) -> UnsandboxError:
    """Makes the error that the native module raises."""
    return _BY_CODE.get(code, UnsandboxError)(
        message,
        http_status=http_status,
        body=body,
        retry_after=retry_after,
        may_have_run=may_have_run,
        cause=cause,
        job_id=job_id,
    )
