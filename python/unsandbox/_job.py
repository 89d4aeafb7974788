# SPDX-License-Identifier: MIT OR Apache-2.0
"""The handle of a job that was submitted."""

from __future__ import annotations

import time

from ._errors import RequestTimeoutError
from ._hints import JOB_NAMES, missing, not_awaited

# True for type checkers only; importing `typing` at run time is slow.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ._client import Client
    from ._shapes import Status
    from ._types import ExecutionResult, JobEvent, JobInfo

#: How long a wait with `on_update` goes on before it looks at the state: at first, and at most. The end
#: of a job is not found by looking, but waited for.
FIRST_LOOK_SECONDS = 0.1
LAST_LOOK_SECONDS = 2.0


class JobState:
    """What was last heard of a job, as the handles of both kinds of client show it."""

    __slots__ = ("_info",)

    def __init__(self, info: JobInfo) -> None:
        self._info = info

    @property
    def job_id(self) -> str:
        """The id, which is all that is needed to come back for the job."""
        return self._info.job_id

    @property
    def status(self) -> Status:
        """The state last heard of: "pending", "running", or one of the ends."""
        return self._info.status

    @property
    def done(self) -> bool:
        """Whether the job was over when last heard of."""
        return self._info.done

    @property
    def result(self) -> ExecutionResult | None:
        """The result, or None where the job was not over when last heard of."""
        return self._info.result

    @property
    def info(self) -> JobInfo:
        """All that was last heard of the job."""
        return self._info

    if not TYPE_CHECKING:

        def __await__(self):
            name = type(self).__name__
            call = "await job.wait()" if name.startswith("Async") else "job.wait()"
            not_awaited(f"a job ({name})", f"{call} gives its result")

        def __getattr__(self, name):
            raise missing(f"{type(self).__name__!r} object", name, dir(type(self)), JOB_NAMES)

    def _ended(self, result: ExecutionResult) -> ExecutionResult:
        from ._types import JobInfo

        old = self._info
        self._info = JobInfo(
            job_id=old.job_id,
            status=result.status,
            language=result.language or old.language,
            detected_language=result.detected_language or old.detected_language,
            network_mode=result.network_mode or old.network_mode,
            created_at=old.created_at,
            started_at=old.started_at,
            completed_at=old.completed_at,
            result=result,
            done=True,
            json=old.json,
        )
        return result

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.job_id!r}, status={self.status!r})"


class Looks:
    """The times at which a wait that reports looks at the state of its job."""

    def __init__(self, timeout: float | None) -> None:
        self._until = None if timeout is None else time.monotonic() + timeout
        self._pause = FIRST_LOOK_SECONDS

    def left(self) -> float | None:
        """Seconds until the deadline, never quite none: what is late is refused by the call itself."""
        return None if self._until is None else max(self._until - time.monotonic(), 0.001)

    def late(self) -> bool:
        """Whether the deadline has passed."""
        return self._until is not None and time.monotonic() >= self._until

    def next(self) -> float:
        """Seconds until the next look."""
        pause, self._pause = self._pause, min(self._pause * 2, LAST_LOOK_SECONDS)
        left = self.left()
        return pause if left is None else min(pause, left)


class Job(JobState):
    """A job: what was last heard of it, and the ways to hear more.

    The handle may be dropped; `Client.get_job` gives another one for the same id.

    Examples:
        >>> job = client.execute_async("bash", "echo begun; sleep 60")
        >>> job.done, job.result
        (False, None)
        >>> job.cancel().status, job.status
        ('cancelled', 'cancelled')
    """

    __slots__ = ("_client",)

    def __init__(self, client: Client, info: JobInfo) -> None:
        super().__init__(info)
        self._client = client

    def refresh(self, *, timeout: float | None = None) -> Job:
        """Ask how the job is now.

        Args:
            timeout: Seconds for the call.

        Returns:
            This handle.

        Raises:
            JobLostError: The server was restarted, or has dropped the job.

        Examples:
            >>> job = client.execute_async("bash", "true")
            >>> while not job.refresh().done:
            ...     pass
            >>> job.status
            'completed'
        """
        self._info = self._client._get_job(self.job_id, timeout)
        return self

    def wait(
        self,
        *,
        timeout: float | None = None,
        on_update: Callable[[Job], object] | None = None,
        check: bool = False,
    ) -> ExecutionResult:
        """Wait for the end of the job.

        Args:
            timeout: Seconds to wait; without it as long as it takes.
            on_update: Called with this handle once at the beginning and at each change of its status
                that is seen, the last one included, in the thread that waits. What it raises ends the
                wait; the job goes on.
            check: Whether a program that failed is an error.

        Returns:
            The result, also where the program failed.

        Raises:
            ExecutionError: The program failed, and `check` is True.
            RequestTimeoutError: It has not ended in time; it goes on.
            JobLostError: The server was restarted, or has dropped the job.

        Examples:
            >>> job = client.execute_async("bash", "sleep 60")
            >>> job.wait(timeout=0.1)
            Traceback (most recent call last):
            unsandbox.RequestTimeoutError: ...
            >>> job.cancel().ok
            False
        """
        if on_update is not None:
            result = self._watch(timeout, on_update)
        elif self._info.result is not None:
            result = self._info.result
        else:
            result = self._ended(self._client.wait_job(self.job_id, timeout=timeout))
        return result.check() if check else result

    def _watch(
        self, timeout: float | None, on_update: Callable[[Job], object]
    ) -> ExecutionResult:
        looks = Looks(timeout)
        told = None
        while True:
            if not self.done:
                self.refresh(timeout=looks.left())
            if self.status != told:
                told = self.status
                on_update(self)
            if self._info.result is not None:
                return self._info.result
            try:
                self._ended(self._client.wait_job(self.job_id, timeout=looks.next()))
            except RequestTimeoutError:
                if looks.late():
                    raise

    def events(
        self, *, offsets: tuple[int, int] = (0, 0), timeout: float | None = None
    ) -> Iterator[JobEvent]:
        """Give what happens to the job as it happens, and what has happened before; see `Client.job_events`.

        Args:
            offsets: Bytes of standard output and standard error that the caller has: output comes from there on.
            timeout: Seconds until the last event; without it as long as it takes.

        Returns:
            An iterator of events. The last one, "finished", has the result.

        Raises:
            RequestTimeoutError: The job has not ended in time; it goes on.
            JobLostError: The server was restarted, or has dropped the job.

        Examples:
            >>> for event in client.execute_async("bash", "echo hello; exit 3").events():
            ...     if event.kind == "stdout":
            ...         print(repr(event.text))
            ...     elif event.kind == "finished":
            ...         print(event.job.result.exit_code)
            'hello\\n'
            3
        """
        return self._client.job_events(self.job_id, offsets=offsets, timeout=timeout)

    def cancel(self, *, timeout: float | None = None) -> ExecutionResult:
        """Cancel the job; one that is over is given as it is.

        Args:
            timeout: Seconds for the call.

        Returns:
            The result, with what the program had written by then.

        Raises:
            JobLostError: The server was restarted, or has dropped the job.

        Examples:
            >>> job = client.execute_async("bash", "echo begun; sleep 60")
            >>> while job.refresh().status == "pending":
            ...     pass
            >>> job.cancel().exit_code
            -1
        """
        return self._ended(self._client.cancel_job(self.job_id, timeout=timeout))

    def delete(self, *, timeout: float | None = None) -> None:
        """Delete the job, which has to have ended, with its result and its artifacts.

        This handle keeps what was last heard of the job.

        Args:
            timeout: Seconds for the call.

        Raises:
            ConflictError: The job waits or runs; cancel it first.
            NotFoundError, JobLostError: It was deleted before, by this client or another one.
            InvalidRequestError: The endpoint deletes no jobs, as the service.

        Examples:
            >>> job = client.execute_async("bash", "echo done")
            >>> job.wait().ok
            True
            >>> job.delete()
            >>> job.refresh()
            Traceback (most recent call last):
            unsandbox.NotFoundError: ...
        """
        self._client.delete_job(self.job_id, timeout=timeout)
