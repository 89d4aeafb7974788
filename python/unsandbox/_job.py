# SPDX-License-Identifier: MIT OR Apache-2.0
"""The handle of a job that was submitted."""

from __future__ import annotations

# Type checkers take this name for true. The module `typing` itself is dear to import.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._client import Client
    from ._types import ExecutionResult, JobInfo


class Job:
    """A job: what was last heard of it, and the ways to hear more.

    The handle may be dropped; `Client.get_job` gives another one for the same id.
    """

    __slots__ = ("_client", "_info")

    def __init__(self, client: Client, info: JobInfo) -> None:
        self._client = client
        self._info = info

    @property
    def job_id(self) -> str:
        """The id, which is all that is needed to come back for the job."""
        return self._info.job_id

    @property
    def status(self) -> str:
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

    def refresh(self, *, timeout: float | None = None) -> Job:
        """Ask how the job is now.

        Args:
            timeout: Seconds for the call.

        Returns:
            This handle.
        """
        self._info = self._client._get_job(self.job_id, timeout)
        return self

    def wait(self, *, timeout: float | None = None) -> ExecutionResult:
        """Wait for the end of the job.

        Args:
            timeout: Seconds to wait; without it as long as it takes.

        Returns:
            The result, also where the program failed.

        Raises:
            RequestTimeoutError: It has not ended in time; it goes on.
        """
        if self._info.result is not None:
            return self._info.result
        return self._ended(self._client.wait_job(self.job_id, timeout=timeout))

    def cancel(self, *, timeout: float | None = None) -> ExecutionResult:
        """Cancel the job; one that is over is given as it is.

        Args:
            timeout: Seconds for the call.

        Returns:
            The result, with what the program had written by then.
        """
        return self._ended(self._client.cancel_job(self.job_id, timeout=timeout))

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
        return f"Job({self.job_id!r}, status={self.status!r})"
