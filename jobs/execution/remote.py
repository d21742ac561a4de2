"""Remote agents: programs of a team's own that take jobs, work on them elsewhere and report.

A job for a remote agent has one batch. Its claim holds the batch by lease and fence, as a
worker's does, and every later report carries the fence: one that comes after the lease was lost,
or from an agent that does not hold the job, changes nothing and is kept as evidence.

    pending ─claim─▶ running ─finish─▶ done, failed, or cancelled where people asked for it
                        └─ lease ran out ─▶ failed (worker_lost), or cancelled

A lost agent's job is never offered again by itself: what it did outside is not known here, so a
person decides on a resend. Locks are taken in the order of claims.py, after the agent's row.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Coalesce, Now

from jobs import clock, events
from jobs.events import EventKind
from jobs.execution import counting, settle, statistics
from jobs.execution.claims import tell_start
from jobs.execution.errors import Refused
from jobs.failures import normalise_cause
from jobs.models import Agent, Batch, Job, LateReport, Record
from jobs.models.agents import AgentKind
from jobs.models.jobs import JobKind
from jobs.rounds import one_by_one
from jobs.statuses import ACTIVE_JOB_STATUSES, BatchStatus, JobStatus, RecordStatus

LEASE = timedelta(seconds=60)
OWNER = "agent:"  # the beginning of a remote lease's owner
LOOKED_AT = 20


@dataclass(slots=True, frozen=True)
class Held:
    """A job in a remote agent's hands."""

    job: Job
    fence: int
    from_step: int


def claim(agent: Agent, *, key: str = "") -> Held | None:
    """The agent's next job in line, or None. With the same `key` again, the same job while it is
    held: an agent whose connection broke asks once more. Raises Refused NOT_REMOTE.
    """
    _check_remote(agent)
    _beat(agent)
    owner = f"{OWNER}{agent.pk}:{key}"
    if key and (batch := _held(agent).filter(lease_owner=owner).first()):
        return _answer(batch.job_id, batch.pk, batch.fence)
    if agent.is_draining:
        return None
    due = _due_of(agent).values_list("pk", "job_id", "fence")
    for batch_id, job_id, fence in list(due[:LOOKED_AT]):
        with transaction.atomic():
            # The agent's row first, so that two claims at once count one another.
            Agent.objects.filter(pk=agent.pk).update(last_job_at=Now())
            if not _has_room(agent):
                return None
            taken = Batch.objects.filter(
                pk=batch_id, fence=fence, status=BatchStatus.PENDING
            ).update(
                status=BatchStatus.RUNNING, lease_owner=owner, lease_expires_at=Now() + LEASE,
                fence=fence + 1, attempt_count=F("attempt_count") + 1,
            )  # fmt: skip
            if not taken:
                continue
            Record.objects.filter(batch_id=batch_id, status=RecordStatus.PENDING).update(
                status=RecordStatus.RUNNING,
                started_at=Coalesce(F("started_at"), Now()),
            )
            if not _enter(job_id, agent):
                transaction.set_rollback(True)
                continue
        return _answer(job_id, batch_id, fence + 1)
    return None


def heartbeat(
    agent: Agent, held: Sequence[tuple[int, int]], *, version: str = ""
) -> list[tuple[int, int, bool]]:
    """A sign of life for the agent and the jobs it names, as (job, fence). Answers those that are
    still its own, as (job, fence, whether people asked to cancel); the others are lost to it.
    """
    _check_remote(agent)
    _beat(agent, version=version)
    kept = []
    for job_id, fence in held:
        if _held(agent).filter(job_id=job_id, fence=fence).update(lease_expires_at=Now() + LEASE):
            Job.objects.filter(pk=job_id).update(last_heartbeat_at=Now())
            asked = Job.objects.filter(pk=job_id).exclude(cancel_requested_at=None).exists()
            kept.append((job_id, fence, asked))
    return kept


def report_step(
    agent: Agent,
    job: Job,
    *,
    fence: int,
    step: int,
    status: str,
    ms: float = 0,
    attempts: int = 1,
    output: dict[str, Any] | None = None,
    error: str = "",
) -> Job:
    """One step started, completed or failed; told twice it changes nothing. Refused LATE_REPORT."""
    said = {"step": step, "status": status, "output": output or {}, "error": error}
    if not 1 <= step <= len(job.steps):
        raise Refused(f"The job has steps 1 to {len(job.steps)}.", code="NO_SUCH_STEP")
    with transaction.atomic():
        is_ours = _extend(agent, job, fence)
        if is_ours:
            _note_step(
                job, step, status, ms=ms, attempts=attempts, output=output or {}, error=error
            )
    if not is_ours:
        raise _late(agent, job, fence, said)
    job.refresh_from_db()
    return job


def finish(
    agent: Agent,
    job: Job,
    *,
    fence: int,
    status: str,
    output: str = "",
    error: str = "",
    error_type: str = "",
    step: int = 0,
) -> Job:
    """The end: "done", "failed" (at `step`, else at the one that ran last) or, where people asked
    for it, "cancelled". Refused LATE_REPORT, NOT_ASKED.
    """
    if status == "cancelled" and not job.cancel_requested_at:
        raise Refused("Nobody asked to cancel this job: report done or failed.", code="NOT_ASKED")
    said = {"status": status, "output": output, "error": error}
    with transaction.atomic():
        is_ours = _extend(agent, job, fence)
        if is_ours:
            if status != "cancelled":
                _end_record(
                    job, status, output=output, error=error, error_type=error_type, step=step
                )
            _close(job, BatchStatus.CANCELLED if status == "cancelled" else BatchStatus.DONE)
    if not is_ours:
        raise _late(agent, job, fence, said)
    job.refresh_from_db()
    return job


def sweep_lost() -> int:
    """Jobs whose remote agent has not been heard of in time have failed; how many (G2)."""
    ids = list(_expired().values_list("pk", flat=True))
    return one_by_one(ids, _lose_expired, what="A lost agent's job")


def _expired() -> "QuerySet[Batch]":
    return Batch.objects.filter(
        Q(lease_expires_at__lt=Now()) | Q(lease_expires_at=None),
        status=BatchStatus.RUNNING, lease_owner__startswith=OWNER,
    )  # fmt: skip


def _lose_expired(batch_id: int) -> bool:
    with transaction.atomic():
        batch = _expired().filter(pk=batch_id).select_related("job").first()
        if batch is None or not _expired().filter(pk=batch_id, fence=batch.fence).update(
            fence=F("fence") + 1
        ):
            return False
        _lose(batch)
    return True


def _beat(agent: Agent, *, version: str = "") -> None:
    fields: dict[str, Any] = {"last_heartbeat_at": Now()}
    if version:
        fields["version"] = version
    Agent.objects.filter(pk=agent.pk).update(**fields)


def _check_remote(agent: Agent) -> None:
    if agent.kind != AgentKind.REMOTE:
        raise Refused(
            f"{agent.name} is a worker pool: Spindle's own workers do its jobs.", code="NOT_REMOTE"
        )


def _held(agent: Agent) -> "QuerySet[Batch]":
    return Batch.objects.filter(
        status=BatchStatus.RUNNING, lease_owner__startswith=f"{OWNER}{agent.pk}:"
    )


def _open() -> Q:
    return Q(
        job__status__in=ACTIVE_JOB_STATUSES, job__cancel_requested_at=None, job__stop_error="",
        job__project__paused_at=None, job__plan_held_at=None,
    ) & (Q(job__scheduled_for=None) | Q(job__scheduled_for__lte=Now()))  # fmt: skip


def _due_of(agent: Agent) -> "QuerySet[Batch]":
    return Batch.objects.filter(
        _open(),
        job__agent=agent,
        job__kind=JobKind.WORKFLOW,
        status=BatchStatus.PENDING,
        due_at__lte=Now(),
    ).order_by("job_id", "number")


def _has_room(agent: Agent) -> bool:
    """By what it holds: a retried job runs already while it waits for its agent."""
    capacity = Agent.objects.values_list("capacity", flat=True).get(pk=agent.pk)
    return _held(agent).count() < capacity


def _enter(job_id: int, agent: Agent) -> bool:
    jobs = Job.objects.filter(
        pk=job_id, status__in=ACTIVE_JOB_STATUSES, cancel_requested_at=None, stop_error=""
    )
    turn = {"last_claimed_at": Now(), "last_heartbeat_at": Now()}
    started = jobs.filter(status=JobStatus.PENDING).update(
        **turn, status=JobStatus.RUNNING, started_at=Coalesce(F("started_at"), Now())
    )
    if started:
        tell_start(job_id, agent)
        return True
    return bool(jobs.filter(status=JobStatus.RUNNING).update(**turn))


def _answer(job_id: int, batch_id: int, fence: int) -> Held:
    job = Job.objects.for_detail().get(pk=job_id)
    step = Record.objects.filter(batch_id=batch_id).values_list("next_step", flat=True).first()
    return Held(job, fence, step or 1)


def _extend(agent: Agent, job: Job, fence: int) -> bool:
    """Whether the job is this agent's under this fence; if so, for a while longer."""
    _check_remote(agent)
    _beat(agent)
    return bool(
        _held(agent).filter(job_id=job.pk, fence=fence).update(lease_expires_at=Now() + LEASE)
    )


def _note_step(
    job: Job, number: int, status: str, *, ms: float, attempts: int, output: dict[str, Any],
    error: str,
) -> None:  # fmt: skip
    record = Record.objects.get(job_id=job.pk)
    is_new, entry = _entry(record, job, number)
    state = "running" if status == "started" else status
    if not is_new and entry["status"] == state:
        Job.objects.filter(pk=job.pk).update(last_heartbeat_at=Now())
        return
    kinds = {
        "running": EventKind.STEP_STARTED, "completed": EventKind.STEP_COMPLETED,
        "failed": EventKind.STEP_FAILED,
    }  # fmt: skip
    entry |= {
        "status": state, "ms": round(ms, 3), "attempts": attempts, "output": output,
        "error": error[:2_000],
    }  # fmt: skip
    Record.objects.filter(pk=record.pk).update(
        journey=record.journey, next_step=number + 1 if state == "completed" else number
    )
    Job.objects.filter(pk=job.pk).update(current_step=number, last_heartbeat_at=Now())
    text = f"Step {number} ({entry['name']}) {status}"
    events.emit(
        job.pk, kinds[state], f"{text}: {error}"[:500] if error else text,
        payload={"phase": "execution", "step": number, "name": entry["name"],
                 "attempts": attempts, "ms": entry["ms"]},
    )  # fmt: skip


def _entry(record: Record, job: Job, number: int) -> tuple[bool, dict[str, Any]]:
    """The journey's entry of a step, made where it is the first word of it."""
    for entry in record.journey:
        if entry["step"] == number:
            return False, entry
    step = job.steps[number - 1]
    entry = {
        "step": number, "name": step["name"], "kind": step["kind"], "status": "running",
        "started_at": clock.now().isoformat(), "ms": 0, "attempts": 1, "input": {},
        "output": {}, "error": "", "key": "", "log": [],
    }  # fmt: skip
    record.journey.append(entry)
    return True, entry


def _end_record(
    job: Job, status: str, *, output: str, error: str, error_type: str, step: int
) -> None:
    record = Record.objects.get(job_id=job.pk)
    now = clock.now()
    fields: dict[str, Any] = {"completed_at": now, "started_at": record.started_at or now}
    if status == "done":
        fields |= {
            "status": RecordStatus.COMPLETED, "outcome": "completed",
            "outcome_metadata": {"message": output} if output else {},
        }  # fmt: skip
    else:
        error = error or "The agent reported a failure."
        number = step or min(max(record.next_step, 1), max(len(job.steps), 1))
        fields |= {
            "status": RecordStatus.FAILED, "error": error[:5_000], "error_step": number,
            "error_type": error_type or "unknown", "cause": normalise_cause(error),
        }  # fmt: skip
    changed = Record.objects.filter(pk=record.pk, status=RecordStatus.RUNNING).update(**fields)
    if changed:
        counting.move(job.pk, Counter({fields["status"]: 1}))


def _close(job: Job, status: str) -> None:
    statistics.recount_steps(job.pk)
    Batch.objects.filter(job_id=job.pk, status=BatchStatus.RUNNING).update(
        status=status, lease_owner="", lease_expires_at=None, finished_at=Now()
    )
    settle.settle(job.pk)


def _lose(batch: Batch) -> None:
    job, name = batch.job, batch.job.agent_name
    if not job.cancel_requested_at:
        _end_record(
            job, "failed", output="", error_type="worker_lost", step=0,
            error=f"{name} was not heard of for {LEASE.seconds} seconds. What it had done is not "
            "known here and was not undone.",
        )  # fmt: skip
    events.emit(
        job.pk, EventKind.LEASE_EXPIRED,
        f"{name} has not been heard of for {LEASE.seconds} seconds: the job is lost to it.",
        payload={"worker": name, "attempt": batch.attempt_count},
    )  # fmt: skip
    _close(job, BatchStatus.CANCELLED if job.cancel_requested_at else BatchStatus.DONE)


def _late(agent: Agent, job: Job, fence: int, said: dict[str, Any]) -> Refused:
    """Keep what an agent brings that does not (or no longer) hold the job (G3)."""
    why = (
        "The job had ended."
        if job.is_final
        else "The agent does not hold the job under this fence."
    )
    with transaction.atomic():
        LateReport.objects.create(
            job=job, record=job.records.first(), reporter=agent.name, fence=fence, payload=said,
            reason=why,
        )  # fmt: skip
        events.emit(
            job.pk, EventKind.LATE_REPORT,
            f"{agent.name} reported {said['status']} too late; it is kept as evidence.",
            payload={"fence": fence},
        )  # fmt: skip
    return Refused(
        f"{why} What you sent is kept as a late report and changes nothing.", code="LATE_REPORT"
    )
