"""Records and batches of a launched job, made slice by slice from its selection.

The launch makes the first slice itself and answers; workers make the rest ahead of the
execution. The number of records was fixed at the launch: contacts above `planning_ceiling` came
later and are left out; where a contact has gone, its place is filled by a skipped record.
"""

from django.conf import settings
from django.db import transaction
from django.db.models import F, Max, Q, QuerySet
from django.db.models.functions import Now

from jobs import clock
from jobs.execution import bulk, claims
from jobs.execution.selection import Selection
from jobs.models import Batch, Job, Record
from jobs.models.jobs import JobKind
from jobs.statuses import ACTIVE_JOB_STATUSES, RecordStatus

FIRST_SLICE = 2_000  # made in the launch's own transaction; about 60 ms on PostgreSQL
SLICE = 2_500  # 0.2 s, in which no batch begins
LOOKAHEAD = 20_000  # so many open records are enough for any number of workers

REMOVED = "The contact was removed before its turn came."


def plan_first_slice(job: Job) -> None:
    plan_slice(job, size=min(FIRST_SLICE, job.total_count))


def is_work_due() -> bool:
    """Whether a worker should come: there is a batch to take, or the next records are to be made.

    Who was making them may have been killed, and nobody else may have anything to do.
    """
    return claims.due_jobs().order_by().exists() or _hungry().exists()


def plan_next() -> bool:
    """Take one job whose open records run short and make its next slice. False: none needs it."""
    hungry = _hungry().order_by("last_claimed_at", "pk")
    for job_id in hungry.values_list("pk", flat=True)[:3]:
        until = Now() + claims.lease()
        taken = hungry.order_by().filter(pk=job_id).update(planning_leased_until=until)
        if taken:
            plan_slice(Job.objects.get(pk=job_id), size=SLICE)
            return True
    return False


def _hungry() -> "QuerySet[Job]":
    settled = (
        F("done_count") + F("failed_count") + F("skipped_count") + F("cancelled_count")
        + F("uncertain_count") + F("waiting_count")
    )  # fmt: skip
    return Job.objects.filter(
        Q(planning_leased_until=None) | Q(planning_leased_until__lt=Now()),
        Q(planned_count__lt=settled + LOOKAHEAD),
        kind=JobKind.SPINNER,
        status__in=ACTIVE_JOB_STATUSES,
        cancel_requested_at=None,
        stop_error="",
        planned_count__lt=F("total_count"),
    )


def plan_slice(job: Job, *, size: int) -> None:
    """Make the next `size` records; the cursor moves in the same transaction."""
    size = min(size, job.total_count - job.planned_count)
    now, batch_size = clock.now(), settings.BATCH_SIZE
    with transaction.atomic():
        moved = Job.objects.filter(pk=job.pk, planned_count=job.planned_count).update(
            planned_count=F("planned_count") + size, planning_leased_until=None
        )
        if not moved:
            return  # another worker made this slice
        first_number = 1 + (
            Batch.objects.filter(job_id=job.pk).aggregate(last=Max("number"))["last"] or 0
        )
        counts = [min(batch_size, size - start) for start in range(0, size, batch_size)]
        bulk.insert_batches(
            job_id=job.pk, team_id=job.team_id, first_number=first_number,
            record_counts=counts,
        )  # fmt: skip
        contacts = (
            Selection.from_json(job.selection)
            .contacts(job.project)
            .filter(pk__gt=job.planning_cursor, pk__lte=job.planning_ceiling)
            .order_by("pk")[:size]
        )
        made = bulk.insert_records(
            contacts, job_id=job.pk, team_id=job.team_id, project_id=job.project_id,
            pipeline_id=job.pipeline_id, first_position=job.planned_count + 1, first_batch_number=first_number,
            batch_size=batch_size, now=now,
        )  # fmt: skip
        if made < size:
            _fill(job, first_number, made, size)
        cursor = (
            Record.objects.filter(job_id=job.pk, position__gt=job.planned_count)
            .aggregate(last=Max("contact_id"))["last"]
        )  # fmt: skip
        Job.objects.filter(pk=job.pk).update(planning_cursor=cursor or job.planning_ceiling)


def _fill(job: Job, first_number: int, made: int, size: int) -> None:
    """The selection has fewer contacts than it had at launch: close the totals."""
    now, batch_size = clock.now(), settings.BATCH_SIZE
    used_batches = -(-made // batch_size)
    Batch.objects.filter(job_id=job.pk, number__gte=first_number + used_batches).delete()
    if made % batch_size:
        Batch.objects.filter(job_id=job.pk, number=first_number + used_batches - 1).update(
            record_count=made % batch_size
        )
    Record.objects.bulk_create(
        (
            Record(
                job_id=job.pk, team_id=job.team_id, project_id=job.project_id,
                pipeline_id=job.pipeline_id, position=position,
                status=RecordStatus.SKIPPED, error=REMOVED, created_at=now, completed_at=now,
            )
            for position in range(
                job.planned_count + made + 1, job.planned_count + size + 1
            )
        ),
        batch_size=1_000,
    )  # fmt: skip
    Job.objects.filter(pk=job.pk).update(skipped_count=F("skipped_count") + size - made)
