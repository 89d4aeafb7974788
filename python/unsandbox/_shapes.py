# SPDX-License-Identifier: MIT OR Apache-2.0
"""What options and settings may be, for type checkers and for annotations of programs around the package.

No other module imports it at run time: importing `typing` is slow.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Literal, Protocol, TypeAlias, TypedDict

Content: TypeAlias = bytes | bytearray | memoryview | str | IO[bytes] | IO[str]
"""The content of a file: bytes, text (as UTF-8), or an open file."""

FileEntry: TypeAlias = (
    str | os.PathLike[str] | bytes | IO[bytes] | IO[str] | tuple[str | None, Content]
)
"""What stands for a file in a series: a path, bytes, an open file, or a pair of name and content."""

InputFiles: TypeAlias = Mapping[str, Content | Path] | Iterable[FileEntry]
"""A mapping of names to contents (or paths to read), or a series of files."""


class HasFileno(Protocol):
    """A file or a pipe by its descriptor, such as a socket."""

    def fileno(self) -> int:
        """Give the descriptor."""
        ...


class HasRead(Protocol):
    """An object to read from, such as the body of a reply."""

    def read(self) -> Any:
        """Give bytes or text; nothing at the end."""
        ...


Stdin: TypeAlias = Content | Path | HasRead | HasFileno
"""Standard input: bytes, text (as UTF-8), a path to read, or an open file or pipe, which is streamed."""

NetworkMode: TypeAlias = Literal["zerotrust", "semitrusted"]
"""Whether a program has a network: none, or one way out through a gateway."""

Rerun: TypeAlias = Literal["never", "if_lost"]
"""Whether a job may run again whose server ended while it ran."""

IsolationPolicy: TypeAlias = Literal["auto", "full", "reduced"]
"""What the local engine accepts of a machine."""

IsolationLevel: TypeAlias = Literal["full", "reduced"]
"""How much of the isolation a run had. Another server may use other words."""

Status: TypeAlias = Literal["pending", "running", "completed", "timeout", "cancelled", "failed"]
"""How a job is, or how a result came about. Another server may use other words."""

LimitKind: TypeAlias = Literal["wall", "cpu", "memory", "processes", "output", "files"]
"""The limit that ended a program."""

Tree: TypeAlias = Mapping[str, "Content | Path | Tree"] | str | os.PathLike[str]
"""Files in folders: a mapping of paths to contents, to folders (`Path`) or to such mappings; or a folder."""


class ExecuteOptions(TypedDict, total=False):
    """Options that several programs share; `Client.execute` says what each means."""

    env: Mapping[str, str] | None
    network_mode: NetworkMode | None
    ttl: float | None
    return_artifact: bool
    return_wasm_artifact: bool
    input_files: InputFiles | None
    files: Tree | None
    stdin: Stdin | None
    args: Sequence[str] | None
    flags: Sequence[str] | None
    outputs: Sequence[str] | None
    limits: Mapping[str, int] | None
    rerun: Rerun | None
    runtime: str | None
    timeout: float | None


class JobOptions(ExecuteOptions, total=False):
    """Options of a program that is submitted as a job."""

    callback_url: str | None


class StreamOptions(ExecuteOptions, total=False):
    """Options of one program whose standard output is taken line by line."""

    on_stderr: Callable[[str], object] | None
    check: bool


class RunOptions(StreamOptions, total=False):
    """Options of one program whose end is waited for, with callbacks for its output."""

    on_stdout: Callable[[str], object] | None


class ClientSettings(TypedDict, total=False):
    """Settings of both kinds of client; `Client` says what each means."""

    base_url: str | None
    public_key: str | None
    secret_key: str | None
    account: int | None
    accounts_file: str | os.PathLike[str] | None
    ca_file: str | os.PathLike[str] | None
    allow_plain_http_key: bool | None
    timeout: float | None
    connect_timeout: float | None
    resolve_timeout: float | None
    send_timeout: float | None
    first_byte_timeout: float | None
    read_timeout: float | None
    proxy: str | None
    job_threshold: float | None
    cancel_jobs: bool | None
    retries: int | None
    reply_max_bytes: int | None
    isolation: IsolationPolicy | None
    concurrency: int | None
    queue_max: int | None
    egress_allow: Sequence[str] | None
