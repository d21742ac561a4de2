"""Corrections by staff: guarded by the order of states, with a reason, audited, undoable."""

from collections import Counter
from typing import Any

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from accounts.permissions import Actor
from jobs import clock, events
from jobs.events import EventKind
from jobs.execution import counting
from jobs.execution.errors import Refused
from jobs.models import Batch, Job, JobEvent, Record
from jobs.notices import making
from jobs.statuses import (
    FINAL_JOB_STATUSES,
    FINAL_RECORD_STATUSES,
    JOB_TRANSITIONS,
    BatchStatus,
    JobStatus,
    RecordStatus,
)


def correct_job(job: Job, actor: Actor, *, status: str, reason: str) -> Job:
    """Set a job's status. Only to a final one, in the order of states, and not under a worker.

    Refused REASON_NEEDED, BAD_TRANSITION (names the rule), STILL_RUNNING (offers to cancel).
    """
    _need(reason)
    with transaction.atomic():
        was = Job.objects.values_list("status", flat=True).get(pk=job.pk)
        rule = _job_rule(job, was, status)
        if rule:
            raise rule
        Batch.objects.filter(job_id=job.pk, status=BatchStatus.PENDING).update(
            status=BatchStatus.CANCELLED, finished_at=Now()
        )
        _set_job(job.pk, was, status)
        events.emit(
            job.pk, EventKind.CORRECTED,
            f"Status corrected from {was} to {status} by {actor.name}: {reason}", actor=actor,
            payload={"old": was, "new": status, "reason": reason},
        )  # fmt: skip
        if was not in FINAL_JOB_STATUSES:
            making.make(job.pk, status, by_user_id=actor.user.pk if actor.user else None)
    job.refresh_from_db()
    return job


def correct_record(record: Record, actor: Actor, *, status: str, reason: str) -> Record:
    """Set a record's status to another final one; the job's counters follow."""
    _need(reason)
    if status not in FINAL_RECORD_STATUSES:
        raise Refused(
            "A record can be corrected to a final status only; use Retry to run it again.",
            code="BAD_TRANSITION",
        )
    with transaction.atomic():
        was = Record.objects.values_list("status", flat=True).get(pk=record.pk)
        if was == status:
            raise Refused(f"The record is {status} already.", code="BAD_TRANSITION")
        if was not in FINAL_RECORD_STATUSES:
            raise Refused(
                "The record has not ended yet: cancel the job or wait.", code="STILL_RUNNING"
            )
        _set_record(record, was, status)
        events.emit(
            record.job_id, EventKind.RECORD_CORRECTED,
            f"{record.contact_label}: status corrected from {was} to {status} by {actor.name}: "
            f"{reason}",
            actor=actor,
            payload={"record": record.pk, "old": was, "new": status, "reason": reason},
        )  # fmt: skip
    record.refresh_from_db()
    return record


def undo_correction(event: JobEvent, actor: Actor) -> JobEvent:
    """Put the status back to what it was before one correction, if nothing changed it since."""
    if event.kind not in (EventKind.CORRECTED, EventKind.RECORD_CORRECTED):
        raise Refused("Only a correction can be undone.", code="NOT_UNDOABLE")
    old, new = event.payload["old"], event.payload["new"]
    with transaction.atomic():
        undone = JobEvent.objects.filter(
            job_id=event.job_id, kind=EventKind.CORRECTION_UNDONE, payload__event=event.number
        )
        if undone.exists():
            raise Refused("This correction was undone already.", code="NOT_UNDOABLE")
        record_id: Any = event.payload.get("record")
        if record_id:
            record = Record.objects.filter(pk=record_id).first()
            if record is None:
                raise Refused("The record has been pruned.", code="NOT_UNDOABLE")
            _set_record(record, new, old)
        elif old not in FINAL_JOB_STATUSES:
            raise Refused(
                "The job was still active then and its work was stopped by the correction: "
                "resend it or retry its failed records instead.",
                code="NOT_UNDOABLE",
            )
        else:
            _set_job(event.job_id, new, old)
        return events.emit(
            event.job_id, EventKind.CORRECTION_UNDONE,
            f"{actor.name} undid the correction from {old} to {new}.", actor=actor,
            payload={"event": event.number, "old": new, "new": old, "record": record_id},
        )  # fmt: skip


def _job_rule(job: Job, was: str, status: str) -> Refused | None:
    if status not in JobStatus.values or status == was:
        return Refused(f"The job is {was} already.", code="BAD_TRANSITION")
    if status not in FINAL_JOB_STATUSES:
        return Refused(
            "A job can be corrected to completed, failed or cancelled only; only workers start "
            "one (retry its failed records or resend it).",
            code="BAD_TRANSITION",
        )
    if status not in JOB_TRANSITIONS[was]:
        return Refused(f"A job cannot go from {was} to {status}.", code="BAD_TRANSITION")
    if Batch.objects.filter(job_id=job.pk, status=BatchStatus.RUNNING).exists():
        return Refused("A worker is still on this job: cancel it instead.", code="STILL_RUNNING")
    if status == JobStatus.COMPLETED and was in ("pending", "running", "waiting"):
        remaining = Job.objects.get(pk=job.pk).remaining_count
        if remaining:
            return Refused(
                f"{remaining:,} records have not ended: a run is completed only at remaining zero.",
                code="BAD_TRANSITION",
            )
    return None


def _set_job(job_id: int, was: str, status: str) -> None:
    job = Job.objects.get(pk=job_id)
    changed = Job.objects.filter(pk=job_id, status=was).update(
        status=status,
        completed_at=job.completed_at or max(clock.now(), job.started_at or clock.now()),
        is_corrected=True,
    )
    if not changed:
        raise Refused("The job changed meanwhile: look at it again.", code="BAD_TRANSITION")
    if was not in FINAL_JOB_STATUSES:
        from jobs.execution.settle import cancel_open_records

        cancel_open_records(job)


def _set_record(record: Record, was: str, status: str) -> None:
    fields: dict[str, Any] = {"status": status, "is_corrected": True}
    if status == RecordStatus.FAILED and not record.error_step:
        fields["error_step"] = F("next_step")
    changed = Record.objects.filter(pk=record.pk, status=was).update(**fields)
    if not changed:
        raise Refused("The record changed meanwhile: look at it again.", code="BAD_TRANSITION")
    counting.move(record.job_id, Counter({was: -1, status: 1}))


def _need(reason: str) -> None:
    if not reason.strip():
        raise Refused("A correction needs a reason.", code="REASON_NEEDED")
