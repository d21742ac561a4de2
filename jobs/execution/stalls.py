"""Running jobs nobody has heard of: marked, told in their history, cleared when they are back."""

from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q
from django.db.models.functions import Now

from jobs import events
from jobs.events import EventKind
from jobs.models import Batch, Job
from jobs.models.jobs import JobKind
from jobs.statuses import ACTIVE_JOB_STATUSES, BatchStatus, JobStatus
from projects.models import Project

SILENT_AFTER = timedelta(seconds=60)
SLICE = 200
# Work that other programs report is as quiet as they like.
OWN_KINDS = (JobKind.SPINNER, JobKind.WORKFLOW)


def at_work_again() -> dict[str, Any]:
    """Columns of a job that runs on after a wait or a pause: that time was nobody's silence."""
    return {"resumed_at": Now(), "last_heartbeat_at": Now()}


def mark() -> None:
    """One round of the sweep: mark what fell silent, clear what spoke again."""
    running = Job.objects.filter(
        status__in=ACTIVE_JOB_STATUSES, status=JobStatus.RUNNING, kind__in=OWN_KINDS
    )
    silent = running.filter(stalled_at=None, last_heartbeat_at__lt=Now() - SILENT_AFTER).exclude(
        _may_rest()
    )
    for job in silent.only("id", "last_heartbeat_at", "agent_name")[:SLICE]:
        with transaction.atomic():
            if silent.filter(pk=job.pk).update(stalled_at=Now()):
                events.emit(
                    job.pk, EventKind.STALLED,
                    f"Nothing has been heard of this job since "
                    f"{job.last_heartbeat_at:%H:%M:%S} UTC.",
                    payload={"last_heartbeat_at": str(job.last_heartbeat_at)},
                )  # fmt: skip
    back = running.filter(last_heartbeat_at__gt=F("stalled_at"))
    for job in back.only("id", "stalled_at", "last_heartbeat_at")[:SLICE]:
        with transaction.atomic():
            if back.filter(pk=job.pk).update(stalled_at=None):
                events.emit(
                    job.pk, EventKind.HEARTBEAT_BACK,
                    f"Heard of again after {_gap(job)}.",
                    payload={"silent_since": str(job.stalled_at)},
                )  # fmt: skip


def rests() -> Q:
    """Of the kinds this engine works on, and no batch of it is at work."""
    working = Batch.objects.filter(job_id=OuterRef("pk"), status=BatchStatus.RUNNING)
    return Q(~Exists(working), kind__in=OWN_KINDS)


def _may_rest() -> Q:
    """It rests and should: its project is paused, or all that is left waits for its time (a long
    back-off)."""
    pending = Batch.objects.filter(job_id=OuterRef("pk"), status=BatchStatus.PENDING)
    later = Exists(pending) & ~Exists(pending.filter(due_at__lt=Now() - SILENT_AFTER))
    paused = Exists(Project.objects.filter(pk=OuterRef("project_id"), paused_at__isnull=False))
    return rests() & (Q(paused) | Q(later))


def _gap(job: Job) -> str:
    assert job.stalled_at is not None and job.last_heartbeat_at is not None  # noqa: PT018
    seconds = (job.last_heartbeat_at - job.stalled_at + SILENT_AFTER).total_seconds()
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"
