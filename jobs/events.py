"""Events: the numbered, append-only history of a job, and what makes screens move."""

import time
from typing import Any

from django.db import models, transaction
from django.db.models import F
from django.utils import timezone

from accounts.permissions import SYSTEM, Actor
from jobs.models import Job, JobEvent

__all__ = ["EventKind", "announce", "announce_soon", "emit"]


class EventKind(models.TextChoices):
    """Past-tense facts. The timeline's phases are read off these (jobs/timeline.py)."""

    CREATED = "job.created"
    QUEUED = "job.queued"
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
        Job.objects.filter(pk=job_id).update(
            event_count=F("event_count") + 1,
            event_bytes=F("event_bytes") + len(message) + len(str(payload)) + len(kind) + 40,
        )
        number = Job.objects.values_list("event_count", flat=True).get(pk=job_id)
        event = JobEvent.objects.create(
            job_id=job_id, number=number, kind=kind, message=message[:500], payload=payload,
            actor=actor.user, actor_name=actor.name, at=timezone.now(),
        )  # fmt: skip
        announce(job_id)
    return event


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
