# SPDX-License-Identifier: MIT OR Apache-2.0
"""What options and settings may be, for type checkers and for annotations of programs around the package.

No other module imports it at run time: importing `typing` is slow.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, TypeAlias, TypedDict

Content: TypeAlias = bytes | bytearray | memoryview | str | IO[bytes] | IO[str]
"""The content of a file: bytes, text (as UTF-8), or an open file."""

FileEntry: TypeAlias = (
    str | os.PathLike[str] | bytes | IO[bytes] | IO[str] | tuple[str | None, Content]
)
"""What stands for a file in a series: a path, bytes, an open file, or a pair of name and content."""

InputFiles: TypeAlias = Mapping[str, Content | Path] | Iterable[FileEntry]
"""A mapping of names to contents (or paths to read), or a series of files."""


class ExecuteOptions(TypedDict, total=False):
    """Options that several programs share; `Client.execute` says what each means."""

    env: Mapping[str, str] | None
    network_mode: str | None
    ttl: int | None
    return_artifact: bool
    return_wasm_artifact: bool
    input_files: InputFiles | None
    stdin: Content | None
    args: Sequence[str] | None
    limits: Mapping[str, int] | None
    runtime: str | None
    timeout: float | None


class RunOptions(ExecuteOptions, total=False):
    """Options of one program whose end is waited for, with callbacks for its output."""

    on_stdout: Callable[[str], object] | None
    on_stderr: Callable[[str], object] | None


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
    job_threshold: int | None
    cancel_jobs: bool | None
    retries: int | None
    reply_max_bytes: int | None
    isolation: str | None
    concurrency: int | None
    queue_max: int | None
    egress_allow: Sequence[str] | None
