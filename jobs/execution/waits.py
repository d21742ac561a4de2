"""Waits whose time has come: put back into batches, hundreds at once.

What the time meant (go on, or fail as timed out) is decided by the executor, which writes the
journey (jobs/execution/passage.py, `wake`).
"""

from django.db import transaction
from django.db.models.functions import Now

from jobs import events
from jobs.events import EventKind
from jobs.execution import stalls
from jobs.execution.retrying import requeue
from jobs.models import Job, Record
from jobs.rounds import one_by_one
from jobs.statuses import ACTIVE_JOB_STATUSES, JobStatus, RecordStatus

SLICE = 500
ROUND = 10_000  # records a sweep wakes, about


def resume_due() -> int:
    """Records whose `wait_until` has passed, by the database's clock; how many.

    Every job with such records gets its share of the round, so that a small one does not wait
    for a large one to be through.
    """
    due = Record.objects.filter(
        status=RecordStatus.WAITING, wait_until__lte=Now(), job__cancel_requested_at=None,
        job__stop_error="", job__status__in=ACTIVE_JOB_STATUSES,
    )  # fmt: skip
    jobs = list(due.order_by().values_list("job_id", flat=True).distinct())
    share = max(SLICE, ROUND // max(1, len(jobs)))

    def resume(job_id: int) -> int:
        of_job = due.filter(job_id=job_id).order_by("position").values_list("pk", flat=True)
        ids = list(of_job[:share])
        slices = [ids[start : start + SLICE] for start in range(0, len(ids), SLICE)]
        return sum(_resume(job_id, some) for some in slices)

    return one_by_one(jobs, resume, what="Due waits of a job")


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
