# SPDX-License-Identifier: MIT OR Apache-2.0
"""What happens to a job, event by event: what `Client.job_events` gives."""

from __future__ import annotations

import codecs
from collections.abc import Iterator

from ._errors import InvalidRequestError
from ._types import JobEvent

# True for type checkers only; importing `typing` at run time is slow.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._native import CancelToken, Client, JobEvents


def begin(
    native: Client,
    job_id: str,
    offsets: tuple[int, int],
    timeout: float | None,
    cancel: CancelToken | None = None,
) -> JobEvents:
    """Ask for the events of a job behind a place in its output.

    Args:
        native: The client of the core.
        job_id: The id.
        offsets: Bytes of standard output and standard error that the caller has.
        timeout: Seconds until the last event; None for as long as it takes.
        cancel: What ends the events from another thread.

    Raises:
        InvalidRequestError: `offsets` are not two numbers of bytes.
    """
    try:
        out, err = (int(it) for it in offsets)
    except (TypeError, ValueError):
        out = err = -1
    if min(out, err) < 0 or max(out, err) >= 1 << 63:
        text = f"offsets must be the bytes of both streams that you have, as (120, 0), got {offsets!r}"
        raise InvalidRequestError(text)
    return native.job_events(job_id, (out, err), {"timeout": timeout, "cancel": cancel})


class Texts:
    """Makes events of their parts; characters that are cut in two wait for their rest."""

    def __init__(self) -> None:
        make = codecs.getincrementaldecoder("utf-8")
        self._decoders = {"stdout": make("replace"), "stderr": make("replace")}

    def events(self, parts: tuple[Any, ...]) -> Iterator[JobEvent]:
        """Give the event, after what is left of a character that will never get its rest."""
        kind, job, stream, data, missing, offsets = parts
        text = ""
        if kind in self._decoders:
            text = self._decoders[kind].decode(data)
        elif kind in ("gap", "finished"):
            for name in (stream,) if kind == "gap" else ("stdout", "stderr"):
                rest = self._decoders[name].decode(b"", True)
                self._decoders[name].reset()
                if rest:
                    yield JobEvent(kind=name, offsets=offsets, stream=name, text=rest)
        yield JobEvent(kind, offsets, stream, text, data, missing, job)


def results(native: Client, job_id: str, offsets: tuple[int, int], timeout: float | None) -> Iterator[JobEvent]:
    """Give the events of a job as they come."""
    texts, events = Texts(), begin(native, job_id, offsets, timeout)
    while (parts := events.next()) is not None:
        yield from texts.events(parts)
