# SPDX-License-Identifier: MIT OR Apache-2.0
"""What comes back: plain frozen dataclasses, made by the native module."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from . import _native
from ._errors import ExecutionError
from ._hints import RESULT_NAMES, missing, not_awaited
from ._shapes import IsolationLevel, LimitKind, NetworkMode, Status

_SHOWN = 200
_SHOWN_ARTIFACTS = 5


def _short(value: str | bytes) -> str:
    """A repr that fits a screen: the middle of long output is left out."""
    if len(value) <= _SHOWN:
        return repr(value)
    half = _SHOWN // 2
    return f"{value[:half]!r}...{value[-half:]!r}"


@dataclass(frozen=True, slots=True)
class Usage:
    """What a program used, or a compiler, with all processes that it started.

    Attributes:
        cpu_time_ms: Processor time in milliseconds.
        peak_memory_bytes: Largest memory in bytes.
        wall_time_ms: Milliseconds from its start to its end; 0 where a server did not say.
    """

    cpu_time_ms: int
    peak_memory_bytes: int
    wall_time_ms: int = 0


@dataclass(frozen=True, slots=True)
class Isolation:
    """What the jail of a run was made of.

    Attributes:
        level: "full" or "reduced"; another server may use other words.
        layers: Names of the layers that were there.
        missing: Names of the layers that the machine could not give.
    """

    level: IsolationLevel
    layers: tuple[str, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file that a run gave back.

    Attributes:
        filename: The name as the program or the server gave it; may hold "/" or "..".
        safe_filename: The name reduced to one safe component; it never begins with "." or "-".
        kind: "binary", "wasm" or "file"; another server may use other words.
        content: The bytes.
        url: A link in place of content, where a server only gave that.
        saved_as: The path below the directory that `save` writes to, of which no two artifacts of a result
            have the same. None where the artifact is of no result: then it is made of `filename`.

    Examples:
        >>> code = "echo 1,2 > artifacts/table.csv"
        >>> client.execute("bash", code).artifacts
        (Artifact('table.csv', 'file', 4 bytes),)
    """

    filename: str
    safe_filename: str
    kind: str
    content: bytes = field(repr=False)
    url: str | None = None
    saved_as: str | None = field(default=None, init=False, repr=False, compare=False)

    def save(self, directory: str | os.PathLike[str]) -> Path:
        """Write the file into a directory, which is made if missing.

        Args:
            directory: Where to write, in the folders that the name has; nothing lands elsewhere. No two
                artifacts of a result take one place: where two have the same name, the second gets a number,
                as in `plot-2.png`. A plain file that was there is replaced, anything else is left alone.

        Returns:
            The path of the file.

        Raises:
            InvalidRequestError: The file cannot be written, or the artifact is only a link.

        Examples:
            >>> artifact = unsandbox.Artifact("../a/x.txt", "x.txt", "file", b"content")
            >>> artifact.save("results").as_posix()
            'results/a/x.txt'
        """
        name = self.saved_as or self.filename
        return Path(_native.save_artifact(name, self.kind, self.content, self.url, Path(directory)))

    def __repr__(self) -> str:
        return f"Artifact({_short(self.filename)}, {_short(self.kind)}, {len(self.content)} bytes)"


def _artifact_of_result(
    filename: str, safe_filename: str, kind: str, content: bytes, url: str | None, saved_as: str
) -> Artifact:
    """Makes an artifact beside others; one that `dataclasses.replace` makes of it stands alone."""
    artifact = Artifact(filename, safe_filename, kind, content, url)
    object.__setattr__(artifact, "saved_as", saved_as)
    return artifact


@dataclass(frozen=True, slots=True)
class ExecutionResult:
    """What one execution gave. A program that fails is a result with `success == False`.

    Attributes:
        success: Whether the program ended by itself with exit code 0.
        status: "completed", "timeout", "cancelled" or "failed" (the engine or server failed, not the program).
        stdout_bytes: What the program wrote to standard output.
        stderr_bytes: What the program wrote to standard error.
        exit_code: None where it is unknown; 124 past the ttl, 128 + n for signal n.
        signal: The signal that ended the program, or None.
        limit: The limit that ended it: "wall", "cpu", "memory", "processes", "output", "files".
        error: Why it did not succeed, or what could not be collected, in one sentence.
        language: The language that ran.
        detected_language: The language that `run` detected.
        job_id: The job.
        artifacts: The files that it gave back.
        left_files: Paths of files in the working directory that the program made or changed and nothing asked for
            (`outputs` does); at most 100.
        execution_mode: "cold" or "pooled".
        network_mode: "zerotrust" or "semitrusted".
        total_time_ms: Milliseconds for queue, compiler and program together.
        usage: Time and memory of the program; None where it was not started.
        compile: Time and memory of the compiler; None where nothing was compiled.
        truncated: Whether a stream reached its limit and the rest of it is gone.
        runtime: Path of the interpreter or compiler that was chosen, where known.
        isolation: What the jail was made of, where known.
        json: The whole result as JSON text, with fields that this version does not know.

    Examples:
        >>> match client.execute("bash", "echo partial; kill -9 $$"):
        ...     case unsandbox.ExecutionResult(success=False, signal=9, stdout_bytes=data):
        ...         print(data)
        b'partial\\n'
    """

    success: bool
    status: Status
    stdout_bytes: bytes = b""
    stderr_bytes: bytes = b""
    exit_code: int | None = None
    signal: int | None = None
    limit: LimitKind | None = None
    error: str | None = None
    language: str | None = None
    detected_language: str | None = None
    job_id: str | None = None
    artifacts: tuple[Artifact, ...] = ()
    execution_mode: str | None = None
    network_mode: NetworkMode | None = None
    total_time_ms: int | None = None
    usage: Usage | None = None
    compile: Usage | None = None
    truncated: bool = False
    isolation: Isolation | None = None
    runtime: str | None = None
    left_files: tuple[str, ...] = ()
    json: str = field(default="{}", repr=False, compare=False)

    @property
    def ok(self) -> bool:
        """Whether the program succeeded; the same as `success`."""
        return self.success

    @property
    def stdout(self) -> str:
        """Standard output as text; bytes that are not UTF-8 become U+FFFD.

        Examples:
            >>> client.execute("bash", r"printf 'a\\xff'").stdout
            'a�'
        """
        return self.stdout_bytes.decode("utf-8", "replace")

    @property
    def stderr(self) -> str:
        """Standard error as text; bytes that are not UTF-8 become U+FFFD."""
        return self.stderr_bytes.decode("utf-8", "replace")

    @property
    def raw(self) -> dict[str, Any]:
        """The whole result as a mapping, with fields that this version does not know.

        Examples:
            >>> client.execute("bash", "exit 3").raw["exit_code"]
            3
        """
        value = json.loads(self.json)
        return value if isinstance(value, dict) else {}

    def check(self) -> ExecutionResult:
        """Give the result back if the program succeeded, else raise.

        Returns:
            This result.

        Raises:
            ExecutionError: The program failed; the error has the result.

        Examples:
            >>> client.execute("bash", "echo fine").check().stdout
            'fine\\n'
            >>> client.execute("bash", "exit 3").check()
            Traceback (most recent call last):
            unsandbox.ExecutionError: ...
        """
        if not self.success:
            raise ExecutionError(self)
        return self

    def save_artifacts(self, directory: str | os.PathLike[str]) -> tuple[Path, ...]:
        """Write all artifacts into a directory, which is made if missing.

        Args:
            directory: Where to write, in the folders that the names have; nothing lands elsewhere.
                Programs choose the names: give a directory that is for artifacts alone. No name of a
                file or a folder begins with ".": `.git` is saved as `_git`. A plain file that is there
                is replaced; of two artifacts with one name the second gets a number, as in `plot-2.png`.

        Returns:
            Their paths, in the order of `artifacts`.

        Raises:
            InvalidRequestError: One or more cannot be saved; it names each. All others are saved.

        Examples:
            >>> code = "mkdir artifacts/a; echo 1 > artifacts/a/x; echo 2 > artifacts/b"
            >>> paths = client.execute("bash", code).save_artifacts("results")
            >>> sorted(path.as_posix() for path in paths)
            ['results/a/x', 'results/b']
        """
        parts = [(it.filename, it.kind, it.content, it.url) for it in self.artifacts]
        return tuple(Path(path) for path in _native.save_artifacts(parts, Path(directory)))

    if not TYPE_CHECKING:

        def __await__(self):
            not_awaited("an ExecutionResult", "a Client has waited for it; use an AsyncClient to await calls")

        def __getattr__(self, name):
            raise missing("'ExecutionResult' object", name, dir(type(self)), RESULT_NAMES)

    def _repr_html_(self) -> str:
        from ._display import result_html

        return result_html(self)

    def __repr__(self) -> str:
        parts = [f"success={self.success}", f"status={self.status!r}"]
        parts.append(f"exit_code={self.exit_code}")
        for name, text in (("stdout", self.stdout), ("stderr", self.stderr)):
            if text:
                parts.append(f"{name}={_short(text)}")
        for name in ("signal", "limit", "error", "language", "job_id", "total_time_ms"):
            value = getattr(self, name)
            if value is not None:
                parts.append(f"{name}={_short(value) if isinstance(value, str) else value}")
        if self.artifacts:
            shown = [repr(it) for it in self.artifacts[:_SHOWN_ARTIFACTS]]
            left_out = len(self.artifacts) - len(shown)
            shown += [f"... {left_out} more"] if left_out else []
            parts.append(f"artifacts=[{', '.join(shown)}]")
        return f"ExecutionResult({', '.join(parts)})"


@dataclass(frozen=True, slots=True)
class JobInfo:
    """A job as it was when asked about. Times are Unix seconds."""

    job_id: str
    status: Status
    language: str | None = None
    detected_language: str | None = None
    network_mode: NetworkMode | None = None
    created_at: int | None = None
    started_at: int | None = None
    completed_at: int | None = None
    result: ExecutionResult | None = None
    done: bool = False
    json: str = field(default="{}", repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class JobEvent:
    """One thing that happened to a job.

    Attributes:
        kind: "queued", "started" and "finished" for the job itself, "stdout" and "stderr" for output, "gap" for
            output that is not kept any more.
        offsets: Bytes of standard output and standard error up to and with this event, from which
            `Client.job_events` goes on.
        stream: Of output and a gap: "stdout" or "stderr".
        text: Of output: what was written. A character that was written in two parts is in the second one's.
        data: Of output: the bytes as written.
        missing: Of a gap: the number of bytes.
        job: Of "queued", "started" and "finished": the job; the last one has its result.
    """

    kind: Literal["queued", "started", "stdout", "stderr", "gap", "finished"]
    offsets: tuple[int, int]
    stream: Literal["stdout", "stderr"] | None = None
    text: str = ""
    data: bytes = b""
    missing: int = 0
    job: JobInfo | None = None


@dataclass(frozen=True, slots=True)
class Language:
    """A language as an endpoint offers it.

    Attributes:
        name: As `execute` takes it.
        aliases: Further names.
        available: Whether it can be run there; None where the endpoint does not say.
        version: What the runtime says of itself, where known.
        path: Where the runtime is, where known.
        install: What to install where it is missing.
        untested: Whether this project runs no test of it; False where the endpoint does not say.
    """

    name: str
    aliases: tuple[str, ...] = ()
    available: bool | None = None
    version: str | None = None
    path: str | None = None
    install: str | None = None
    untested: bool = False


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """What an endpoint says of a key.

    Attributes:
        valid: Whether the key is good.
        tier: What it is worth, in the server's words; "local" for the local engine.
        reason: Why it is not valid, where known.
        json: The server's whole reply; None from the local engine.
    """

    valid: bool
    tier: str | None = None
    reason: str | None = None
    json: str | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class KeyAllowance:
    """What a key may have of an endpoint.

    Attributes:
        concurrency: Programs at once.
        reserved: Of those, places that no other key gets.
        queue: Submissions that may wait for their turn.
        weight: Submissions that start in one turn of the key.
        requests_per_minute: Requests in a minute; None without a limit.
        burst: Requests that may come at once; None without a limit.
        max_ttl: The largest ttl in seconds.
        max_limits: The largest limits of a run by their names, where they are lower than in the table of limits.
        network_mode: "zerotrust" alone, or "semitrusted" for both.
        languages: Names of the languages that it may use; None for all.
    """

    concurrency: int
    reserved: int
    queue: int
    weight: int
    requests_per_minute: int | None
    burst: int | None
    max_ttl: int
    max_limits: dict[str, int] = field(hash=False)
    network_mode: NetworkMode | str
    languages: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class KeyUsage:
    """What a key has of an endpoint now, what it has used, and what it may have.

    Attributes:
        key: Its short name, as in the log of the server; None without keys.
        running: Programs that run now.
        waiting: Submissions that wait for their turn now.
        kept_jobs: Finished jobs that are kept now.
        kept_bytes: Bytes of their results.
        requests_remaining: Requests that may come at once now; None without a limit.
        since: When the server started, or the engine of the client was made, in Unix seconds.
        runs: Number of runs that have ended since then, by their status.
        cpu_time_ms: Processor time of their programs in milliseconds.
        wall_time_ms: Their time from start to end in milliseconds.
        limits: What the key may have.
        json: The server's whole reply; None from the local engine.
    """

    key: str | None
    running: int
    waiting: int
    kept_jobs: int
    kept_bytes: int
    requests_remaining: int | None
    since: int
    runs: dict[str, int] = field(hash=False)
    cpu_time_ms: int
    wall_time_ms: int
    limits: KeyAllowance
    json: str | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Health:
    """How an endpoint is.

    Attributes:
        healthy: Whether it takes executions.
        status: "ok", "stopping", or the server's own word.
        json: The server's whole reply; None from the local engine.
    """

    healthy: bool
    status: str
    json: str | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Layer:
    """One isolation layer as this machine gives it.

    Attributes:
        name: What it is called.
        available: Whether it is available here.
        detail: What it is made of here, or why it is missing.
        fix: How to get it; empty where it is there.
    """

    name: str
    available: bool
    detail: str
    fix: str


@dataclass(frozen=True, slots=True)
class Probe:
    """Which isolation layers this machine gives.

    Attributes:
        level: "full" or "reduced"; None where execution would be refused.
        layers: Each layer.
    """

    level: IsolationLevel | None
    layers: tuple[Layer, ...]


class _JsonText:
    """The slot of a field `json`: text, or what makes it when it is asked for."""

    def __init__(self, owner: type) -> None:
        self._slot: Any = owner.__dict__["json"]

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        if instance is None:
            return self
        value = self._slot.__get__(instance, owner)
        if not isinstance(value, str):
            value = value.text()
            self._slot.__set__(instance, value)
        return value

    def __set__(self, instance: object, value: object) -> None:
        self._slot.__set__(instance, value)


for _owner in (ExecutionResult, JobInfo):
    setattr(_owner, "json", _JsonText(_owner))
