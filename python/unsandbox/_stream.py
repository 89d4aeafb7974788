# SPDX-License-Identifier: MIT OR Apache-2.0
"""Standard output line by line, as the program writes it: what `Client.stream` gives."""

from __future__ import annotations

import queue
import threading
import weakref
from collections import deque
from collections.abc import Iterator

from ._errors import ExecutionError
from ._native import CancelToken
from ._types import ExecutionResult

# True for type checkers only; importing `typing` at run time is slow.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

#: How long the end of a program that is given up is waited for.
_END_SECONDS = 5.0


class Lines:
    """Cuts text into lines, and keeps what came at the end of it."""

    __slots__ = ("_check", "_end", "_ready", "_rest", "result")

    def __init__(self, check: bool) -> None:
        self._check = check
        self._ready: deque[str] = deque()
        self._rest: list[str] = []
        self._end: BaseException | None = None
        self.result: ExecutionResult | None = None

    def take(self, item: str | ExecutionResult | BaseException) -> bool:
        """Take a piece of text, or the end; whether it was the end."""
        if isinstance(item, str):
            *whole, rest = item.split("\n")
            for line in whole:
                self._ready.append("".join((*self._rest, line, "\n")))
                self._rest.clear()
            if rest:
                self._rest.append(rest)
            return False
        if self._rest:
            self._ready.append("".join(self._rest))
            self._rest.clear()
        if isinstance(item, BaseException):
            self._end = item
        else:
            self.result = item
            if self._check and not item.success:
                self._end = ExecutionError(item)
        return True

    def next(self) -> str | None:
        """Give a line that is whole; None for none."""
        return self._ready.popleft() if self._ready else None

    def drop(self) -> None:
        """Forget what has not been given."""
        self._ready.clear()
        self._end = None

    def finish(self) -> None:
        """Raise what the stream ended with, once."""
        end, self._end = self._end, None
        if end is not None:
            raise end


class OutputStream(Iterator[str]):
    """Standard output of a program, line by line as it comes.

    An iterator of lines with their "\\n", and a context manager. Leaving the loop early, or the `with`,
    ends the program; so does `close`.

    Examples:
        >>> with client.stream("bash", "echo one; echo two") as lines:
        ...     for line in lines:
        ...         print(repr(line))
        'one\\n'
        'two\\n'
        >>> lines.result.exit_code
        0
    """

    def __init__(self, execute: Callable[..., ExecutionResult], *, check: bool) -> None:
        self._lines = Lines(check)
        self._items: queue.SimpleQueue[str | ExecutionResult | BaseException] = queue.SimpleQueue()
        self._over = False
        token = CancelToken()
        # Without a reference to this object, whose end it has to notice.
        thread = threading.Thread(
            target=_produce, args=(execute, self._items, token), name="unsandbox-stream", daemon=True
        )
        self._stop = weakref.finalize(self, _stop, token, thread)
        thread.start()

    @property
    def result(self) -> ExecutionResult | None:
        """The result once the last line has been given; None before that, and where the program was ended early."""
        return self._lines.result

    def __next__(self) -> str:
        while (line := self._lines.next()) is None:
            if self._over:
                self._lines.finish()
                raise StopIteration
            try:
                self._over = self._lines.take(self._items.get())
            except BaseException:
                # An interrupt.
                self.close()
                raise
        return line

    def __iter__(self) -> Iterator[str]:
        # A generator: the loop drops it where it is left, and that ends the program.
        try:
            while True:
                try:
                    line = self.__next__()
                except StopIteration:
                    return
                yield line
        finally:
            self.close()

    def close(self) -> None:
        """End the program, if it still runs; there are no further lines.

        Examples:
            >>> lines = client.stream("bash", "echo one; sleep 60")
            >>> next(lines)
            'one\\n'
            >>> lines.close()
            >>> list(lines), lines.result
            ([], None)
        """
        self._over = True
        self._lines.drop()
        self._stop()

    def __enter__(self) -> OutputStream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _produce(
    execute: Callable[..., ExecutionResult],
    items: queue.SimpleQueue[str | ExecutionResult | BaseException],
    token: CancelToken,
) -> None:
    try:
        items.put(execute(on_stdout=items.put, cancel=token))
    except BaseException as error:
        items.put(error)


def _stop(token: CancelToken, thread: threading.Thread) -> None:
    token.cancel()
    if thread is not threading.current_thread() and thread.ident is not None:
        thread.join(_END_SECONDS)
