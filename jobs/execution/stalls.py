"""Running jobs nobody has heard of: marked, told in their history, cleared when they are back."""

from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q
from django.db.models.functions import Coalesce, Now

from jobs import events
from jobs.events import EventKind
from jobs.models import Batch, Job
from jobs.models.jobs import JobKind
from jobs.rounds import one_by_one
from jobs.statuses import ACTIVE_JOB_STATUSES, BatchStatus, JobStatus
from projects.models import Project

SILENT_AFTER = timedelta(seconds=60)
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
    silent = (
        # A job that was never heard of is silent since its start.
        running.annotate(heard_at=Coalesce("last_heartbeat_at", "started_at", "created_at"))
        .filter(stalled_at=None, heard_at__lt=Now() - SILENT_AFTER)
        .exclude(_may_rest())
    )

    def mark_silent(job: Any) -> None:
        with transaction.atomic():
            if silent.filter(pk=job.pk).update(stalled_at=Now()):
                events.emit(
                    job.pk, EventKind.STALLED,
                    f"Nothing has been heard of this job since {job.heard_at:%H:%M:%S} UTC.",
                    payload={"last_heartbeat_at": str(job.heard_at)},
                )  # fmt: skip

    one_by_one(list(silent.only("id")), mark_silent, what="A silent job")
    back = running.filter(last_heartbeat_at__gt=F("stalled_at"))

    def clear(job: Job) -> None:
        with transaction.atomic():
            if back.filter(pk=job.pk).update(stalled_at=None):
                events.emit(
                    job.pk, EventKind.HEARTBEAT_BACK,
                    f"Heard of again after {_gap(job)}.",
                    payload={"silent_since": str(job.stalled_at)},
                )  # fmt: skip

    one_by_one(
        list(back.only("id", "stalled_at", "last_heartbeat_at")), clear, what="A job heard of again"
    )


def rests() -> Q:
    """Of the kinds this engine works on, and no batch of it is at work."""
    # The few batches at work are read once; looked for job by job they are read for each of them.
    working = Batch.objects.filter(status=BatchStatus.RUNNING).values("job_id")
    return ~Q(pk__in=working) & Q(kind__in=OWN_KINDS)


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
