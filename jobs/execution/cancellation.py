"""A job's cancellation: a wish in the database, which the next intent obeys.

A pending job ends at once. A running one is "Cancelling…" until its batches have stopped; then
settle cancels the open records and says what had already been done.
"""

from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from accounts.permissions import Actor
from jobs import events
from jobs.events import EventKind
from jobs.execution import hints, intents, settle
from jobs.execution.errors import Refused
from jobs.models import Batch, Job
from jobs.models.jobs import REPORTED_KINDS
from jobs.statuses import ACTIVE_JOB_STATUSES, BatchStatus


def cancel(job: Job, actor: Actor) -> Job:
    """Ask a job to stop. Refused ALREADY_ENDED where it had ended: its result is kept.

    Pressed again it changes nothing.
    """
    asked = _ask(job, actor)
    job.refresh_from_db()
    if not asked and not job.is_cancelling:
        if job.status == "cancelled":
            return job
        raise Refused(
            f"Job #{job.pk} had already ended ({job.get_status_display().lower()}); "
            "its result is kept.",
            code="ALREADY_ENDED",
        )
    return job


def _ask(job: Job, actor: Actor) -> bool:
    """Batches are locked before the job, everywhere: a claim goes that way too."""
    try:
        with transaction.atomic():
            # Unclaimed batches never start; with none at work the job ends here and now.
            Batch.objects.filter(job_id=job.pk, status=BatchStatus.PENDING).update(
                status=BatchStatus.CANCELLED, finished_at=Now()
            )
            asked = Job.objects.filter(
                pk=job.pk, status__in=ACTIVE_JOB_STATUSES, cancel_requested_at=None
            ).update(
                cancel_requested_at=Now(), cancel_requested_by=actor.user,
                cancel_requested_by_name=actor.name,
            )  # fmt: skip
            if not asked:
                raise _NothingToAsk
            at_work = Batch.objects.filter(job_id=job.pk, status=BatchStatus.RUNNING).count()
            was = Job.objects.values_list("status", flat=True).get(pk=job.pk)
            events.emit(
                job.pk, EventKind.CANCEL_REQUESTED, f"Cancel asked by {actor.name}.", actor=actor,
                payload={} if job.kind in REPORTED_KINDS else {"at_work": at_work, "was": was},
            )  # fmt: skip
            settle.settle(job.pk)
            hints.hint_on_commit()
    except _NothingToAsk:
        return False
    return True


class _NothingToAsk(Exception):
    pass


def force_stop_offered_at(job: Job) -> datetime | None:
    """From when on a cancelling job may be force-stopped."""
    if not job.is_cancelling or job.cancel_requested_at is None:
        return None
    return job.cancel_requested_at + timedelta(seconds=settings.FORCE_STOP_AFTER_SECONDS)


def force_stop(job: Job, actor: Actor) -> Job:
    """Take the leases away: workers are fenced, whatever they still bring is kept as evidence.

    An effect that is on its way may still happen; such records end as uncertain where the step
    is not safe to repeat.
    """
    with transaction.atomic():
        held = Batch.objects.filter(job_id=job.pk, status=BatchStatus.RUNNING)
        leases = dict(held.values_list("pk", "lease_owner"))
        owners = sorted(set(leases.values()))
        held.filter(pk__in=leases).update(
            status=BatchStatus.CANCELLED, fence=F("fence") + 1, lease_owner="",
            lease_expires_at=None, finished_at=Now(),
        )  # fmt: skip
        intents.restore(leases)
        taken = Job.objects.filter(
            pk=job.pk, status__in=ACTIVE_JOB_STATUSES,
            cancel_requested_at__lte=Now()
            - timedelta(seconds=settings.FORCE_STOP_AFTER_SECONDS),
        ).update(force_stopped_at=Now())  # fmt: skip
        if not taken:
            raise _not_yet(job)
        names = ", ".join(owners) or "no worker"
        events.emit(
            job.pk, EventKind.FORCE_STOPPED,
            f"Force-stopped by {actor.name}; the lease was taken from {names}. A call that was on "
            "its way may still arrive.",
            actor=actor, payload={"workers": owners},
        )  # fmt: skip
        settle.settle(job.pk)
    job.refresh_from_db()
    return job


def _not_yet(job: Job) -> Refused:
    job.refresh_from_db()
    if not job.is_active:
        return Refused(f"Job #{job.pk} has already ended.", code="ALREADY_ENDED")
    if job.cancel_requested_at is None:
        return Refused("Cancel the job first; it stops at the next step.", code="TOO_EARLY")
    wait = settings.FORCE_STOP_AFTER_SECONDS
    return Refused(
        f"The worker is still being asked to stop; force stop is offered after {wait} s.",
        code="TOO_EARLY",
    )
