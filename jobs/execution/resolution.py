"""Answers to records that wait, and to those whose effect is uncertain."""

from collections import Counter
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F

from accounts.permissions import SYSTEM, Actor
from jobs import clock, events
from jobs.events import EventKind
from jobs.execution import counting, hints, settle, stalls
from jobs.execution.errors import PRUNED, Refused
from jobs.execution.retrying import requeue
from jobs.models import Callback, Job, LateReport, Record, StepCount
from jobs.statuses import ACTIVE_JOB_STATUSES, JobStatus, RecordStatus, StepStatus
from jobs.steps.callbacks import read_token


def approve(record: Record, actor: Actor, *, note: str = "") -> Record:
    """A person lets a waiting record go on. Refused NOT_WAITING where somebody was first."""
    if record.wait_kind not in ("approval", ""):
        raise Refused("This record does not wait for an approval.", code="NOT_WAITING")
    return resume(
        record, actor, output={"approved_by": actor.name, "note": note}, verb="approved", note=note
    )


def reject(record: Record, actor: Actor, *, note: str = "") -> Record:
    """A person ends a waiting record as failed."""
    if record.wait_kind not in ("approval", ""):
        raise Refused("This record does not wait for an approval.", code="NOT_WAITING")
    error = f"Rejected by {actor.name}" + (f": {note}" if note else ".")
    return fail_waiting(record, actor, error=error, error_type="rejected")


def resolve_callback(token: str, payload: Any) -> Record:
    """The outside answer. Before the wait it is kept until the record comes there; the first
    counts, later ones are kept as evidence. Raises Refused UNKNOWN_TOKEN.
    """
    known = read_token(token)
    record = Record.objects.select_related("job").filter(pk=known[0]).first() if known else None
    names = [step["name"] for step in record.job.steps] if record else []
    if known is None or record is None or known[1] not in names:
        raise Refused("This callback address is not known.", code="UNKNOWN_TOKEN")
    number = names.index(known[1]) + 1
    payload = payload if isinstance(payload, dict) else {"value": payload}
    try:
        with transaction.atomic():
            Callback.objects.create(record=record, step=number, payload=payload)
    except IntegrityError:
        return _late(record, number, payload, "A second answer: the first one counts.")
    if record.status == RecordStatus.WAITING and record.next_step == number:
        output = {"callback": payload}
        return resume(record, SYSTEM, output=output, values=payload, verb="called back")
    if record.next_step > number or record.status not in ("pending", "running", "waiting"):
        return _late(record, number, payload, "The record had gone on without this answer.")
    return record  # early: the executor finds it when the record comes to the step


def mark_done(record: Record, actor: Actor, *, note: str = "") -> Record:
    """A person says that an uncertain effect did happen: the record goes on after it."""
    if record.status != RecordStatus.UNCERTAIN:
        raise Refused("Only an uncertain record can be marked as done.", code="NOT_UNCERTAIN")
    return resume(
        record, actor, output={"marked_done_by": actor.name, "note": note},
        verb="marked as done", note=note, from_status=RecordStatus.UNCERTAIN,
    )  # fmt: skip


def give_up(record: Record, actor: Actor, *, note: str = "") -> Record:
    """A person says that an uncertain effect did not happen and is not to be tried again."""
    if record.status != RecordStatus.UNCERTAIN:
        raise Refused("Only an uncertain record can be given up.", code="NOT_UNCERTAIN")
    with transaction.atomic():
        error = f"Given up by {actor.name}" + (f": {note}" if note else ".")
        changed = Record.objects.filter(pk=record.pk, status=RecordStatus.UNCERTAIN).update(
            status=RecordStatus.FAILED, error=error, error_type="given_up", cause="Given up",
            completed_at=clock.now(),
        )  # fmt: skip
        _check(changed)
        counting.move(record.job_id, Counter({RecordStatus.UNCERTAIN: -1, RecordStatus.FAILED: 1}))
        _emit(record, actor, "given up", note)
    record.refresh_from_db()
    return record


def resume(
    record: Record,
    actor: Actor,
    *,
    output: dict[str, Any],
    verb: str,
    note: str = "",
    values: dict[str, Any] | None = None,
    from_status: str = RecordStatus.WAITING,
) -> Record:
    """Complete the step the record stands at and queue the rest of its way."""
    step = record.error_step or record.next_step
    job = record.job
    with transaction.atomic():
        _reopen_for(job.pk, from_status)
        _check(requeue(job, [record.pk], from_status=from_status))
        journey = _completed(record, step, output)
        Record.objects.filter(pk=record.pk).update(
            next_step=step + 1, journey=journey, values={**record.values, **(values or {})},
            wait_kind="", wait_until=None, wait_token_hash="", wait_prompt="",
        )  # fmt: skip
        if from_status == RecordStatus.WAITING:
            StepCount.objects.filter(job_id=job.pk, step=step, waiting_count__gt=0).update(
                waiting_count=F("waiting_count") - 1, passed_count=F("passed_count") + 1
            )
        else:
            StepCount.objects.filter(job_id=job.pk, step=step, uncertain_count__gt=0).update(
                uncertain_count=F("uncertain_count") - 1, passed_count=F("passed_count") + 1
            )
        _emit(record, actor, verb, note)
        hints.hint_on_commit()
    record.refresh_from_db()
    return record


def fail_waiting(record: Record, actor: Actor, *, error: str, error_type: str) -> Record:
    step, now = record.next_step, clock.now()
    journey = [dict(entry) for entry in record.journey]
    if journey and journey[-1]["step"] == step:
        journey[-1] |= {"status": StepStatus.FAILED, "error": error, "ms": _waited(journey[-1])}
    with transaction.atomic():
        changed = Record.objects.filter(pk=record.pk, status=RecordStatus.WAITING).update(
            status=RecordStatus.FAILED, error=error, error_type=error_type, error_step=step,
            cause=error[:200], completed_at=now, journey=journey, wait_kind="", wait_until=None,
            wait_token_hash="",
        )  # fmt: skip
        _check(changed)
        counting.move(record.job_id, Counter({RecordStatus.WAITING: -1, RecordStatus.FAILED: 1}))
        StepCount.objects.filter(job_id=record.job_id, step=step, waiting_count__gt=0).update(
            waiting_count=F("waiting_count") - 1, failed_count=F("failed_count") + 1
        )
        _emit(record, actor, "rejected" if error_type == "rejected" else "timed out", "")
        settle.settle(record.job_id)
    record.refresh_from_db()
    return record


def _completed(record: Record, step: int, output: dict[str, Any]) -> list[dict[str, Any]]:
    journey = [dict(entry) for entry in record.journey]
    if journey and journey[-1]["step"] == step:
        if journey[-1]["status"] == StepStatus.WAITING:
            journey[-1]["ms"] = _waited(journey[-1])
        journey[-1] |= {"status": StepStatus.COMPLETED, "output": output, "error": ""}
    else:
        name = record.job.steps[step - 1]["name"] if step <= len(record.job.steps) else ""
        journey.append(
            {"step": step, "name": name, "kind": "", "status": StepStatus.COMPLETED,
             "started_at": clock.now().isoformat(), "ms": 0, "attempts": 1, "input": {},
             "output": output, "error": "", "key": "", "log": []}
        )  # fmt: skip
    return journey


def _waited(entry: dict[str, Any]) -> float:
    """Milliseconds since the step of this entry began."""
    began = datetime.fromisoformat(entry["started_at"])
    return round(max(0.0, (clock.now() - began).total_seconds()) * 1000, 3)


def _reopen_for(job_id: int, from_status: str) -> None:
    """A waiting job runs on; an uncertain record may belong to a job that had ended."""
    allowed = [JobStatus.WAITING]
    if from_status == RecordStatus.UNCERTAIN:
        allowed += [JobStatus.COMPLETED, JobStatus.FAILED]
    changed = Job.objects.filter(
        pk=job_id, status__in=allowed, cancel_requested_at=None, journeys_pruned_at=None
    ).update(
        status=JobStatus.RUNNING, completed_at=None, error="", error_type="", error_step="",
        output="", **stalls.at_work_again(),
    )  # fmt: skip
    if changed:
        events.emit(job_id, EventKind.RESUMED, "At work again.", payload={"phase": "execution"})
    active = Job.objects.filter(
        pk=job_id, status__in=ACTIVE_JOB_STATUSES, cancel_requested_at=None
    ).update(status=F("status"))
    if not changed and not active:
        if Job.objects.filter(pk=job_id, journeys_pruned_at__isnull=False).exists():
            raise Refused(PRUNED, code="PRUNED")
        raise Refused("The job has ended or is being cancelled.", code="NOT_ACTIVE")


def _check(changed: int) -> None:
    if not changed:
        raise Refused("Somebody else was first: look at it again.", code="NOT_WAITING")


def _late(record: Record, step: int, payload: dict[str, Any], reason: str) -> Record:
    LateReport.objects.create(
        job_id=record.job_id, record=record, reporter=f"callback of step {step}",
        payload=payload, reason=reason,
    )  # fmt: skip
    events.emit(
        record.job_id, EventKind.LATE_REPORT, f"{record.contact_label}: {reason}",
        payload={"record": record.pk, "step": step},
    )  # fmt: skip
    return record


def _emit(record: Record, actor: Actor, verb: str, note: str) -> None:
    text = f"{record.contact_label}: {verb} by {actor.name}" + (f" ({note})" if note else "")
    events.emit(
        record.job_id, EventKind.RECORD_RESOLVED, f"{text}.", actor=actor,
        payload={"record": record.pk, "verb": verb, "note": note},
    )  # fmt: skip
