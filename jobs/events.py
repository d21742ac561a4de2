"""Events: the numbered, append-only history of a job, and what makes screens move."""

import time
from collections.abc import Collection
from typing import Any

from django.db import models, transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Now

from accounts.permissions import SYSTEM, Actor
from jobs.models import Job, JobEvent

__all__ = ["EventKind", "announce", "announce_soon", "announce_team", "emit", "emit_for_all"]

SLICE = 500


class EventKind(models.TextChoices):
    """Past-tense facts. The timeline's phases are read off these (jobs/timeline.py)."""

    CREATED = "job.created"
    QUEUED = "job.queued"
    PLAN_HAD_ROOM = "job.plan_had_room"
    CLAIMED = "job.claimed"
    STARTED = "job.started"
    PROGRESSED = "job.progressed"
    STEP_STARTED = "step.started"
    STEP_COMPLETED = "step.completed"
    STEP_FAILED = "step.failed"
    WAITING = "job.waiting"
    RESUMED = "job.resumed"
    CANCEL_REQUESTED = "job.cancel_requested"
    FORCE_STOPPED = "job.force_stopped"
    CANCELLED = "job.cancelled"
    COMPLETED = "job.completed"
    FAILED = "job.failed"
    RESENT = "job.resent"
    RETRIED = "job.retried"
    TORN_DOWN = "job.torn_down"
    LEASE_EXPIRED = "batch.lease_expired"
    BATCH_SPLIT = "batch.split"
    KIND_MISSING = "job.kind_missing"  # no worker that is up has a kind of its steps
    LATE_REPORT = "batch.late_report"
    CORRECTED = "job.corrected"
    CORRECTION_UNDONE = "job.correction_undone"
    RECORD_CORRECTED = "record.corrected"
    RECORD_RETRIED = "record.retried"
    RECORD_RESOLVED = "record.resolved"  # approved, rejected, called back, marked done
    PAUSED = "job.paused"
    UNPAUSED = "job.unpaused"
    STALLED = "job.stalled"
    HEARTBEAT_BACK = "job.heartbeat_back"
    REVEALED = "job.revealed"  # a person looked at a private value of the input
    PRUNED = "job.pruned"


def emit(
    job_id: int,
    kind: str,
    message: str = "",
    *,
    actor: Actor = SYSTEM,
    payload: dict[str, Any] | None = None,
) -> JobEvent:
    """Append one event in the caller's transaction; screens hear of it on commit.

    The job's `event_count` is raised first, which also locks the row, so numbers have no gaps
    and no doubles.
    """
    payload = payload or {}
    with transaction.atomic():
        _count_one_more(Job.objects.filter(pk=job_id), kind, message, payload)
        number = Job.objects.values_list("event_count", flat=True).get(pk=job_id)
        event = JobEvent.objects.create(
            job_id=job_id, number=number, kind=kind, message=message[:500], payload=payload,
            actor=actor.user, actor_name=actor.name, at=Now(),
        )  # fmt: skip
        announce(job_id)
    return event


def emit_for_all(
    job_ids: Collection[int],
    kind: str,
    message: str,
    *,
    actor: Actor = SYSTEM,
    payload: dict[str, Any] | None = None,
) -> None:
    """The same event for each of these jobs, in the caller's transaction and a few statements a
    slice. Tells no screen: that is `announce_team`.
    """
    ids, payload = sorted(job_ids), payload or {}
    with transaction.atomic():
        for start in range(0, len(ids), SLICE):
            jobs = Job.objects.filter(pk__in=ids[start : start + SLICE])
            # Also locks the rows, so that the numbers read next are these events' own.
            _count_one_more(jobs, kind, message, payload)
            JobEvent.objects.bulk_create(
                JobEvent(
                    job_id=job_id, number=number, kind=kind, message=message[:500],
                    payload=payload, actor=actor.user, actor_name=actor.name, at=Now(),
                )
                for job_id, number in jobs.values_list("pk", "event_count")
            )  # fmt: skip


def _count_one_more(jobs: QuerySet[Job], kind: str, message: str, payload: dict[str, Any]) -> None:
    jobs.update(
        event_count=F("event_count") + 1,
        event_bytes=F("event_bytes") + len(message) + len(str(payload)) + len(kind) + 40,
    )


_announced: dict[int, float] = {}
ANNOUNCE_SECONDS = 0.5


def announce_soon(job_id: int) -> None:
    """After a worker's commit: tell screens, at most twice a second a job.

    The end of a job is an event, which is always told, so the last state is never kept back.
    """
    from jobs.live.push import push_job  # the screen path hangs below; see docs/architecture.md

    now = time.monotonic()
    if now - _announced.get(job_id, 0.0) < ANNOUNCE_SECONDS:
        return
    if len(_announced) > 1_000:
        _announced.clear()
    _announced[job_id] = now
    push_job(job_id)


def announce(job_id: int) -> None:
    """Tell screens, once the transaction is committed, that a job changed."""
    from jobs.live.push import push_job  # the screen path hangs below; see docs/architecture.md

    transaction.on_commit(lambda: push_job(job_id))


def announce_team(team_id: int) -> None:
    """The same for a change of many of a team's jobs together: one message, one fresh snapshot."""
    from jobs.live.push import push_team  # the screen path hangs below; see docs/architecture.md

    transaction.on_commit(lambda: push_team(team_id))
