"""What nobody waits for: expired leases, due waits, cancels without a worker, lost messages.

Run every few seconds by beat and by the workers; any number at once do no harm, since every
change is a conditional UPDATE.
"""

import logging
from collections.abc import Callable
from datetime import timedelta

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now

from jobs import events
from jobs.events import EventKind
from jobs.execution import intents, plan_waits, planning, remote, settle, stalls, stores, waits
from jobs.execution.hints import hint
from jobs.execution.stopping import stop_pending_batches
from jobs.models import Batch, Job, Worker
from jobs.models.jobs import REPORTED_KINDS
from jobs.rounds import one_by_one
from jobs.statuses import ACTIVE_JOB_STATUSES, BatchStatus
from jobs.tracked import sweep_tasks

log = logging.getLogger("spindle.sweep")

CAREFUL_FROM = 2  # claims lost; from then on the batch's records run one by one
FORGOTTEN_AFTER = timedelta(days=1)


def sweep() -> None:
    """One round. Each part stands for itself, and in each part each row does: what fails is logged,
    hides nothing behind it and comes again in the next round.
    """
    parts: list[Callable[[], int | None]] = [
        waits.resume_due, plan_waits.let_in, settle_stopped, stalls.mark, sweep_tasks,
        _forget_workers,
    ]  # fmt: skip
    if stores.is_calm():
        parts = [offer_expired, remote.sweep_lost, *parts]
    one_by_one(parts, lambda part: part(), what="A part of the sweep")


def _forget_workers() -> None:
    Worker.objects.filter(last_heartbeat_at__lt=Now() - FORGOTTEN_AFTER).delete()


def sweep_and_hint() -> None:
    """As beat does it: pending work whose message was lost is told of again."""
    sweep()
    if planning.is_work_due():
        hint()


def offer_expired() -> int:
    """Batches whose worker has not been heard of since its lease ended; how many."""
    ids = list(_expired().values_list("pk", flat=True))
    count = one_by_one(ids, _offer_again, what="An expired batch")
    if count:
        log.warning("%s batches were offered again: their workers were lost.", count)
    return count


def _expired() -> "QuerySet[Batch]":
    # NULL counts as expired: a running batch without a lease's end would never come back.
    return Batch.objects.filter(
        Q(lease_expires_at__lt=Now()) | Q(lease_expires_at=None), status=BatchStatus.RUNNING
    ).exclude(lease_owner__startswith=remote.OWNER)


def _offer_again(batch_id: int) -> bool:
    """False: another sweep was first, or the worker is back."""
    with transaction.atomic():
        batch = _expired().filter(pk=batch_id).first()
        if batch is None:
            return False
        stopping = Job.objects.filter(pk=batch.job_id).exclude(
            cancel_requested_at=None, stop_error=""
        ).exists()  # fmt: skip
        careful = batch.attempt_count >= CAREFUL_FROM
        taken = _expired().filter(pk=batch.pk, fence=batch.fence).update(
            status=BatchStatus.CANCELLED if stopping else BatchStatus.PENDING,
            fence=F("fence") + 1, lease_owner="", lease_expires_at=None, due_at=Now(),
            is_split=batch.is_split or careful,
            finished_at=Now() if stopping else None,
        )  # fmt: skip
        if not taken:
            return False
        intents.restore([batch.pk])
        _tell(batch, careful=careful, stopping=stopping)
        if stopping:
            settle.settle(batch.job_id)
    return True


def _tell(batch: Batch, *, careful: bool, stopping: bool) -> None:
    next_words = "It ends with the job." if stopping else "The batch is offered again."
    events.emit(
        batch.job_id, EventKind.LEASE_EXPIRED,
        f"Worker {batch.lease_owner or '(unknown)'} has not been heard of; its lease on batch "
        f"{batch.number} ({batch.record_count} records, attempt {batch.attempt_count}) ended. "
        f"{next_words}",
        payload={"batch": batch.number, "worker": batch.lease_owner,
                 "attempt": batch.attempt_count},
    )  # fmt: skip
    if careful and not batch.is_split and not stopping:
        events.emit(
            batch.job_id, EventKind.BATCH_SPLIT,
            f"Batch {batch.number} lost {batch.attempt_count} workers: its records run one by "
            "one now, to find the one that is to blame.",
            payload={"batch": batch.number},
        )  # fmt: skip


def settle_stopped() -> None:
    """Jobs that were asked to stop and have nothing at work any more.

    A batch may have set records aside for later while the stop was asked: nobody takes those.
    """
    working = Batch.objects.filter(status=BatchStatus.RUNNING).values("job_id")
    asked = (
        Job.objects.filter(status__in=ACTIVE_JOB_STATUSES)
        .exclude(cancel_requested_at=None, stop_error="")
        # What other programs do ends when they say so.
        .exclude(kind__in=REPORTED_KINDS, started_at__isnull=False, force_stopped_at=None)
        .exclude(pk__in=working)
    )
    one_by_one(list(asked.values_list("pk", flat=True)), _settle_stopped, what="A stopped job")


def _settle_stopped(job_id: int) -> bool:
    stop_pending_batches(job_id)
    return settle.settle(job_id)
