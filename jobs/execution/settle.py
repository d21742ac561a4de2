"""The end of a job: by one conditional UPDATE, when nothing of it is at work any more."""

import time
from dataclasses import dataclass

from django.db import transaction
from django.db.models import Case, F, When
from django.db.models.functions import Now

from jobs import cancel_words, events
from jobs.events import EventKind
from jobs.execution import counting, statistics
from jobs.models import Batch, Job, Record, StepCount
from jobs.models.jobs import REPORTED_KINDS, JobKind
from jobs.notices import making
from jobs.statuses import (
    ACTIVE_JOB_STATUSES,
    OPEN_RECORD_STATUSES,
    BatchStatus,
    JobStatus,
    RecordStatus,
)

OPEN_BATCHES = (BatchStatus.PENDING, BatchStatus.RUNNING)


@dataclass(slots=True, frozen=True)
class Ending:
    status: str
    kind: str
    message: str
    error: str = ""
    error_type: str = ""
    error_step: str = ""
    output: str = ""


def settle(job_id: int) -> bool:
    """Close the job if its work has stopped. True when this call ended it; called often."""
    open_batches = Batch.objects.filter(job_id=job_id, status__in=OPEN_BATCHES)
    # A commit holds the job's row already: of two batches that end at once, one sees the other's.
    if open_batches.exists():
        return False
    with transaction.atomic():
        locked = Job.objects.filter(pk=job_id, status__in=ACTIVE_JOB_STATUSES).update(
            status=F("status")
        )
        if not locked or open_batches.exists():
            return False
        job = Job.objects.get(pk=job_id)
        if job.kind in REPORTED_KINDS:
            return _settle_reported(job)
        if job.cancel_requested_at or job.stop_error:
            cancel_open_records(job)
            job.refresh_from_db()
        elif job.planned_count < job.total_count:
            return False
        elif job.remaining_count:
            _wait(job)
            return False
        return _end(job, _ending(job))


def _settle_reported(job: Job) -> bool:
    """Whoever does the work ends it, unless it had not begun or people cut it off."""
    if not job.cancel_requested_at or (job.started_at and not job.force_stopped_at):
        return False
    Job.objects.filter(pk=job.pk).update(cancelled_count=F("cancelled_count") + job.remaining_count)
    return _end(job, _ending(job))


def _wait(job: Job) -> None:
    """Only waiting records are left: so does the job."""
    waits = Job.objects.filter(
        pk=job.pk, status__in=(JobStatus.RUNNING, JobStatus.PENDING), waiting_count__gt=0
    ).update(status=JobStatus.WAITING, wait_began_at=Now())
    if waits:
        count = job.waiting_count
        events.emit(
            job.pk, EventKind.WAITING,
            f"{count:,} record{'s wait' if count != 1 else ' waits'} for an answer or a time.",
        )  # fmt: skip


def _ending(job: Job) -> Ending:
    if job.cancel_requested_at:
        return Ending(JobStatus.CANCELLED, EventKind.CANCELLED, cancel_words.cancelled_text(job))
    if job.stop_error:
        return Ending(
            JobStatus.FAILED, EventKind.FAILED, job.stop_error, error=job.stop_error,
            error_type=job.error_type or "failure_limit",
        )  # fmt: skip
    if job.kind == JobKind.WORKFLOW:
        return _workflow_ending(job)
    text = counting.summary(job)
    return Ending(JobStatus.COMPLETED, EventKind.COMPLETED, f"Completed: {text}.", output=text)


def _workflow_ending(job: Job) -> Ending:
    record = Record.objects.get(job_id=job.pk)
    if record.status == RecordStatus.COMPLETED:
        output = str(record.outcome_metadata.get("message") or record.outcome or "Completed")
        return Ending(
            JobStatus.COMPLETED, EventKind.COMPLETED, f"Completed: {output}"[:500], output=output
        )
    number = record.error_step or record.next_step
    name = job.steps[number - 1]["name"] if 0 < number <= len(job.steps) else ""
    return Ending(
        JobStatus.FAILED, EventKind.FAILED, f"Step {number} ({name}) failed: {record.error}"[:500],
        error=record.error, error_type=record.error_type or "unknown",
        error_step=f"{number} ({name})",
    )  # fmt: skip


def _end(job: Job, ending: Ending) -> bool:
    began = time.monotonic()
    # By the database's clock, as the start was: a worker's may be minutes off.
    ended = Job.objects.filter(pk=job.pk, status__in=ACTIVE_JOB_STATUSES).update(
        status=ending.status,
        completed_at=Case(When(started_at__gt=Now(), then=F("started_at")), default=Now()),
        error=ending.error, error_type=ending.error_type,
        error_step=ending.error_step, output=ending.output,
        **({"resumed_at": Now()} if job.status == JobStatus.WAITING else {}),
    )  # fmt: skip
    if not ended:
        return False
    if job.events.filter(kind=EventKind.LEASE_EXPIRED).exists():
        statistics.recount_steps(job.pk)
    events.emit(job.pk, ending.kind, ending.message, payload={"counts": job.counts()})
    # Whoever cancelled it knows.
    is_cancelled = ending.status == JobStatus.CANCELLED
    making.make(
        job.pk, ending.status, by_user_id=job.cancel_requested_by_id if is_cancelled else None
    )
    if job.started_at:
        from jobs import usual  # it reads jobs; settle only tells it

        learned = (
            usual.learn(job.pipeline_id, job.effort_level)
            if job.pipeline_id and ending.status == JobStatus.COMPLETED
            else None
        )
        ms = (time.monotonic() - began) * 1000
        words = "Counters closed, usage settled" + (", durations learned." if learned else ".")
        events.emit(
            job.pk, EventKind.TORN_DOWN, words, payload={"phase": "teardown", "ms": round(ms, 1)}
        )
    return True


def cancel_open_records(job: Job) -> None:
    """What never began is cancelled; what was on its way when its worker was lost is uncertain.

    Records that were not planned yet have no row: they are counted as cancelled.
    """
    open_records = Record.objects.filter(job_id=job.pk, status__in=OPEN_RECORD_STATUSES)
    uncertain = open_records.filter(intent_step__gt=0).update(
        status=RecordStatus.UNCERTAIN, error="The job was stopped while this step was on its way.",
        error_type="uncertain_effect", error_step=F("intent_step"), completed_at=Now(),
        cause="Stopped while a step was on its way",
    )  # fmt: skip
    cancelled = open_records.update(
        status=RecordStatus.CANCELLED, completed_at=Now(), wait_kind="", wait_until=None,
        wait_token_hash="",
    )  # fmt: skip
    # The funnel's link would lead to records that wait no more.
    StepCount.objects.filter(job_id=job.pk, waiting_count__gt=0).update(waiting_count=0)
    unplanned = job.total_count - job.planned_count
    Job.objects.filter(pk=job.pk).update(
        cancelled_count=F("cancelled_count") + cancelled + unplanned,
        uncertain_count=F("uncertain_count") + uncertain,
        waiting_count=0,
    )
