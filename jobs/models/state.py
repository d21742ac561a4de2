"""What follows from a job's columns, of the model as of a list's row."""

from datetime import datetime
from typing import Protocol

from jobs.statuses import ACTIVE_JOB_STATUSES


class _Columns(Protocol):
    @property
    def status(self) -> str: ...
    @property
    def cancel_requested_at(self) -> datetime | None: ...
    @property
    def done_count(self) -> int: ...
    @property
    def failed_count(self) -> int: ...
    @property
    def skipped_count(self) -> int: ...
    @property
    def cancelled_count(self) -> int: ...
    @property
    def uncertain_count(self) -> int: ...


class JobState:
    __slots__ = ()

    @property
    def finished_count(self: _Columns) -> int:
        return (
            self.done_count
            + self.failed_count
            + self.skipped_count
            + self.cancelled_count
            + self.uncertain_count
        )

    @property
    def processed_count(self: _Columns) -> int:
        """Records that were worked on to an end; a cancel closes the rest unprocessed."""
        return self.done_count + self.failed_count + self.skipped_count + self.uncertain_count

    @property
    def is_active(self: _Columns) -> bool:
        return self.status in ACTIVE_JOB_STATUSES

    @property
    def is_cancelling(self: _Columns) -> bool:
        return self.cancel_requested_at is not None and self.status in ACTIVE_JOB_STATUSES
