# SPDX-License-Identifier: MIT OR Apache-2.0
"""Standard input from a file, a pipe or anything with `read`: copied to the program while it runs.

A thread of Python's own reads: it may block for ever in the caller's object, which no thread of the
native module could leave when the interpreter ends.
"""

from __future__ import annotations

import io
import os
import stat
import threading

from ._errors import InvalidRequestError
from ._native import Feed

# True for type checkers only; importing `typing` at run time is slow.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any

    from ._native import CancelToken

_BLOCK = 65_536


def is_stream(stdin: object) -> bool:
    """Whether standard input is to be read while the program runs: neither text nor bytes, nor in memory."""
    if isinstance(stdin, (str, bytes, bytearray, memoryview, io.BytesIO, io.StringIO)):
        return False
    return isinstance(stdin, os.PathLike) or hasattr(stdin, "read") or hasattr(stdin, "fileno")


def whole(stdin: Any) -> bytes:
    """Read standard input to its end, for what cannot be given a stream."""
    source, owned = _opened(stdin)
    try:
        read = _reader(source)
        return b"".join(iter(lambda: _encoded(read()), b""))
    finally:
        if owned:
            source.close()


class Feeding:
    """Copies a stream to a call; leaving it ends the copying, and raises what the stream raised."""

    def __init__(self, stdin: Any, cancel: CancelToken) -> None:
        # Here, so that a file that is missing is told before anything runs.
        self._source, self._owned = _opened(stdin)
        self._cancel = cancel
        self._feed = Feed()
        self._raised: BaseException | None = None

    def __enter__(self) -> Feed:
        threading.Thread(target=self._copy, name="unsandbox-feed", daemon=True).start()
        return self._feed

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._feed.close()
        # An interrupt of the caller is not replaced.
        if self._raised is not None and (error is None or isinstance(error, Exception)):
            raise self._raised from None

    def _copy(self) -> None:
        try:
            read = _reader(self._source)
            while piece := _encoded(read()):
                if not self._feed.write(piece):
                    break
        except BaseException as error:
            self._raised = error
            # A program must not take what it has got for all of it.
            self._cancel.cancel()
        finally:
            self._feed.end()
            if self._owned:
                self._source.close()


def _opened(stdin: Any) -> tuple[Any, bool]:
    """An object to read from, and whether it is to be closed."""
    if isinstance(stdin, os.PathLike):
        return open(stdin, "rb", buffering=0), True
    if not hasattr(stdin, "read"):
        return open(os.dup(stdin.fileno()), "rb", buffering=0), True
    return stdin, False


def _reader(source: Any) -> Callable[[], object]:
    """The way to read an object that gives what is there, and does not wait for more."""
    if isinstance(source, io.TextIOBase) and not _is_regular(source):
        return lambda: source.readline(_BLOCK)
    if hasattr(source, "read1"):
        return lambda: source.read1(_BLOCK)
    if isinstance(source, io.IOBase):
        return lambda: source.read(_BLOCK)
    return _of_any_kind(source)


def _of_any_kind(source: Any) -> Callable[[], object]:
    """Reads an object that may take no size."""
    pieces = iter((source.read(),))
    return lambda: next(pieces, b"")


def _is_regular(source: Any) -> bool:
    try:
        return stat.S_ISREG(os.fstat(source.fileno()).st_mode)
    except (OSError, AttributeError):
        return False


def _encoded(piece: object) -> bytes:
    if isinstance(piece, str):
        return piece.encode()
    if isinstance(piece, (bytes, bytearray, memoryview)):
        return bytes(piece)
    if piece is None:
        raise InvalidRequestError("stdin gave no data because it does not block; give one that blocks")
    raise InvalidRequestError(
        f"stdin must be read as bytes or text, but its read() gave {type(piece).__name__}"
    )
