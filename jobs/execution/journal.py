"""Making it durable: intents before effects, results in groups, counters in the same transaction."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import F, Max, Q
from django.db.models.functions import Now

from jobs import events
from jobs.events import EventKind
from jobs.execution import bulk, counting, intents, settle, statistics
from jobs.execution.claims import Claim, lease
from jobs.execution.passage import StepDelta
from jobs.execution.program import Program
from jobs.execution.states import RecordState
from jobs.models import Batch, Callback, Job, LateReport, Record
from jobs.statuses import BatchStatus
from projects.models import Contact


class Fenced(Exception):
    pass


@dataclass(slots=True)
class Group:
    """What one commit writes. `intents`: rows for the log of intents. `deferred`: records to go
    on in so many seconds, in a batch of their own."""

    rows: list[tuple[Any, ...]] = field(default_factory=list)
    intents: list[tuple[Any, ...]] = field(default_factory=list)
    changes: Counter[str] = field(default_factory=Counter)
    deltas: dict[int, StepDelta] = field(default_factory=dict)
    told: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    deferred: dict[int, float] = field(default_factory=dict)
    is_last: bool = False


def load(claim: Claim, *, is_run: bool) -> list[RecordState]:
    """The batch's open records, with their contacts, as plain values."""
    found = (
        Record.objects.filter(batch_id=claim.batch_id, status__in=("pending", "running"))
        .order_by("position")
        .values_list(
            "pk", "position", "contact_id", "status", "next_step", "intent_step", "resend_number",
            "values", "journey", "started_at", "active_ms", "intent_at", "wait_kind",
            "wait_on_timeout",
        )
    )  # fmt: skip
    rows = list(found)
    contacts = _contacts([row[2] for row in rows if row[2]]) if is_run else {}
    return [
        RecordState(
            id=pk, position=position, contact=contacts.get(contact_id, {}),
            contact_gone=contact_id not in contacts, status=status, next_step=next_step,
            intent_step=intent_step, resend_number=resend_number, values=values, journey=journey,
            started_at=started_at, active_ms=active_ms, counted_as=status, intent_at=intent_at,
            wait_kind=wait_kind, wait_on_timeout=wait_on_timeout,
        )
        for pk, position, contact_id, status, next_step, intent_step, resend_number, values,
            journey, started_at, active_ms, intent_at, wait_kind, wait_on_timeout in rows
    ]  # fmt: skip


def _contacts(ids: list[int]) -> dict[int, dict[str, Any]]:
    """As Contact.as_template_values(), without the model."""
    rows = Contact.objects.filter(pk__in=ids).values_list(
        "pk", "external_id", "name", "email", "phone", "attributes"
    )
    return {
        pk: {
            **attributes, "id": pk, "external_id": external_id, "name": name,
            "first_name": name.split(" ")[0] if name else "", "email": email, "phone": phone,
        }
        for pk, external_id, name, email, phone, attributes in rows
    }  # fmt: skip


def early_callbacks(record_ids: list[int]) -> dict[tuple[int, int], dict[str, Any]]:
    """Answers that came before their records waited, by (record, step)."""
    rows = Callback.objects.filter(record_id__in=record_ids)
    return {
        (record_id, step): payload
        for record_id, step, payload in rows.values_list("record_id", "step", "payload")
    }


def commit(claim: Claim, program: Program, group: Group, commit_number: int) -> bool:
    """Make a group durable, then tell the screens (seldom enough: jobs/events.py).

    True: the job is stopping (cancelled, or the run itself failed): no effect may begin any more.
    """
    _commit(claim, program, group, commit_number)
    # Read after the commit: a cancel that was committed before any of these effects begins is
    # seen, and the job's row need not be locked for intents.
    is_stopping = _is_stopping(claim.job_id)
    statistics.flush_minutes()
    events.announce_soon(claim.job_id)
    return is_stopping


def _commit(claim: Claim, program: Program, group: Group, commit_number: int) -> None:
    """One transaction: fence, records, counters, statistics, events; the last one settles too.

    `commit_number` is the group's own: a second call with the same group after a broken
    connection finds it and changes nothing. Raises Fenced where the lease was taken over.
    """
    with transaction.atomic():
        ours = Batch.objects.filter(
            pk=claim.batch_id, fence=claim.fence, lease_owner=claim.owner,
            status=BatchStatus.RUNNING, commit_number=commit_number - 1,
        ).update(commit_number=commit_number, **_batch_after(group))  # fmt: skip
        if not ours:
            _already(claim, commit_number)
            return
        if group.intents:
            intents.append(claim.batch_id, claim.fence, group.intents)
        elif group.is_last:
            intents.forget(claim.batch_id)
        written = bulk.update_records(claim.batch_id, group.rows)
        if written != len(group.rows):
            raise Fenced(f"{len(group.rows) - written} records are no longer in this batch")
        if group.deferred:
            _defer(claim, group.deferred)
        _count(claim, program, group)


def _batch_after(group: Group) -> dict[str, Any]:
    if group.is_last:
        return {
            "status": BatchStatus.DONE, "lease_owner": "", "lease_expires_at": None,
            "finished_at": Now(),
        }  # fmt: skip
    return {"lease_expires_at": Now() + lease()}


def _already(claim: Claim, commit_number: int) -> None:
    """Zero rows: either this very group was committed before, or somebody else has the batch."""
    done = Batch.objects.filter(
        pk=claim.batch_id, fence=claim.fence, commit_number=commit_number
    ).exists()
    if not done:
        raise Fenced("the lease was taken over")


def _count(claim: Claim, program: Program, group: Group) -> None:
    """The part that locks the job's row: kept last, so that it is held shortly, and left out
    where a group only holds intents.
    """
    if not (group.changes or group.deltas or group.told or group.is_last):
        return
    Job.objects.filter(pk=claim.job_id).update(
        last_heartbeat_at=Now(), **counting.differences(group.changes)
    )
    statistics.add(program, group.deltas, group.changes)
    for kind, message, payload in group.told:
        events.emit(claim.job_id, kind, message, payload=payload)
        if kind == EventKind.STEP_STARTED:
            Job.objects.filter(pk=claim.job_id).update(current_step=payload["step"])
    if group.changes:
        _check_failure_limit(claim.job_id, program.options, group.changes)
    if group.is_last:
        settle.settle(claim.job_id)


def _is_stopping(job_id: int) -> bool:
    return Job.objects.filter(~Q(cancel_requested_at=None) | ~Q(stop_error=""), pk=job_id).exists()


def _check_failure_limit(job_id: int, options: dict[str, Any], changes: Counter[str]) -> None:
    limit = options.get("failure_limit_percent")
    if not limit or not changes.get("failed"):
        return
    stopped = Job.objects.filter(
        pk=job_id, stop_error="", cancel_requested_at=None,
        failed_count__gt=F("total_count") * limit / 100.0,
    ).update(
        stop_error=f"More than {limit} % of the records failed, so the run was stopped.",
        error_type="failure_limit",
    )  # fmt: skip
    if stopped:
        from jobs.execution.stopping import stop_pending_batches

        stop_pending_batches(job_id)


def _defer(claim: Claim, deferred: dict[int, float]) -> None:
    """Records that go on later leave this batch for one that is due then."""
    number = 1 + (Batch.objects.filter(job_id=claim.job_id).aggregate(n=Max("number"))["n"] or 0)
    batch = Batch.objects.create(
        job_id=claim.job_id, team_id=claim.team_id, number=number, record_count=len(deferred),
        created_at=Now(),
    )  # fmt: skip
    wait = timedelta(seconds=max(deferred.values()))
    Batch.objects.filter(pk=batch.pk).update(due_at=Now() + wait)
    Record.objects.filter(pk__in=list(deferred), batch_id=claim.batch_id).update(batch_id=batch.pk)


def keep_as_evidence(claim: Claim, program: Program, group: Group, reason: str) -> None:
    """What a fenced worker still brought: kept beside the result, never instead of it."""
    brought = [
        {"record": row[0], "status": row[1], "next_step": row[2], "outcome": row[7]}
        for row in group.rows
    ]
    if not brought:
        return
    LateReport.objects.create(
        job_id=claim.job_id, batch_id=claim.batch_id, reporter=claim.owner, fence=claim.fence,
        payload={"records": brought[:500]}, reason=reason[:300],
    )  # fmt: skip
    events.emit(
        claim.job_id, EventKind.LATE_REPORT,
        f"{claim.owner} brought {len(brought)} results after its lease was taken over; "
        "they are kept as evidence.",
        payload={"fence": claim.fence},
    )  # fmt: skip
