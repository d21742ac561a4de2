"""The counters of a job: changed by the transactions that change its records."""

from collections import Counter
from typing import Any

from django.db.models import F

from jobs.models import Job
from jobs.statuses import RecordStatus

COLUMNS: dict[str, str] = {
    RecordStatus.COMPLETED: "done_count",
    RecordStatus.FAILED: "failed_count",
    RecordStatus.SKIPPED: "skipped_count",
    RecordStatus.CANCELLED: "cancelled_count",
    RecordStatus.UNCERTAIN: "uncertain_count",
    RecordStatus.WAITING: "waiting_count",
}


def differences(changes: Counter[str]) -> dict[str, Any]:
    """`{record status: difference}` as arguments of an update; pending and running count nothing."""
    return {
        COLUMNS[status]: F(COLUMNS[status]) + difference
        for status, difference in changes.items()
        if difference and status in COLUMNS
    }


def move(job_id: int, changes: Counter[str]) -> None:
    columns = differences(changes)
    if columns:
        Job.objects.filter(pk=job_id).update(**columns)


def summary(job: Job) -> str:
    """ "4,990 done, 10 failed" """
    parts = [
        (job.done_count, "done"), (job.failed_count, "failed"), (job.skipped_count, "skipped"),
        (job.cancelled_count, "cancelled"), (job.uncertain_count, "uncertain"),
        (job.waiting_count, "waiting"),
    ]  # fmt: skip
    return ", ".join(f"{count:,} {word}" for count, word in parts if count) or "nothing to do"
