"""Waits whose time has come: put back into batches, hundreds at once.

What the time meant (go on, or fail as timed out) is decided by the executor, which writes the
journey (jobs/execution/passage.py, `wake`).
"""

from itertools import groupby

from django.db import transaction
from django.db.models.functions import Now

from jobs import events
from jobs.events import EventKind
from jobs.execution import stalls
from jobs.execution.retrying import requeue
from jobs.models import Job, Record
from jobs.statuses import JobStatus, RecordStatus

SLICE = 500
ROUND = 10_000  # records a sweep looks at


def resume_due() -> int:
    """Records whose `wait_until` has passed, by the database's clock; how many."""
    due = (
        Record.objects.filter(
            status=RecordStatus.WAITING, wait_until__lte=Now(), job__cancel_requested_at=None,
            job__stop_error="",
        )
        .order_by("job_id", "position")
        .values_list("job_id", "pk")
    )  # fmt: skip
    count = 0
    for job_id, rows in groupby(list(due[:ROUND]), key=lambda row: row[0]):
        ids = [pk for _, pk in rows]
        for start in range(0, len(ids), SLICE):
            count += _resume(job_id, ids[start : start + SLICE])
    return count


def _resume(job_id: int, ids: list[int]) -> int:
    with transaction.atomic():
        job = Job.objects.get(pk=job_id)
        woken = Job.objects.filter(pk=job_id, status=JobStatus.WAITING).update(
            status=JobStatus.RUNNING, **stalls.at_work_again()
        )
        count = requeue(job, ids, from_status=RecordStatus.WAITING)
        if woken and count:
            events.emit(
                job_id, EventKind.RESUMED,
                f"The time came for {count:,} waiting record{'s' if count != 1 else ''}.",
                payload={"phase": "execution"},
            )  # fmt: skip
    return count
