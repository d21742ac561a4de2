"""What nobody waits for: expired leases, due waits, cancels without a worker, lost messages.

Run every few seconds by beat and by the workers; any number at once do no harm, since every
change is a conditional UPDATE.
"""

import logging
from datetime import timedelta

from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils import timezone

from jobs import events
from jobs.events import EventKind
from jobs.execution import intents, plan_waits, remote, settle, stalls, stores, waits
from jobs.execution.claims import due_jobs
from jobs.execution.hints import hint
from jobs.execution.stopping import stop_pending_batches
from jobs.models import Batch, Job, Worker
from jobs.statuses import ACTIVE_JOB_STATUSES, BatchStatus
from jobs.tracked import sweep_tasks

log = logging.getLogger("spindle.sweep")

SLICE = 200
CAREFUL_FROM = 2  # claims lost; from then on the batch's records run one by one
FORGOTTEN_AFTER = timedelta(days=1)


def sweep() -> None:
    """One round. Each part stands for itself; what is left over comes in the next round."""
    if stores.is_calm():
        offer_expired()
        remote.sweep_lost()
    waits.resume_due()
    plan_waits.let_in()
    settle_stopped()
    stalls.mark()
    sweep_tasks()
    Worker.objects.filter(last_heartbeat_at__lt=Now() - FORGOTTEN_AFTER).delete()


def sweep_and_hint() -> None:
    """As beat does it: pending work whose message was lost is told of again."""
    sweep()
    if due_jobs().order_by().exists():
        hint()


def offer_expired() -> int:
    """Batches whose worker has not been heard of since its lease ended; how many."""
    # NULL counts as expired: a running batch without a lease's end would never come back.
    expired = Batch.objects.filter(
        Q(lease_expires_at__lt=Now()) | Q(lease_expires_at=None), status=BatchStatus.RUNNING
    ).exclude(lease_owner__startswith=remote.OWNER)
    count = 0
    for batch in list(expired.order_by("lease_expires_at")[:SLICE]):
        with transaction.atomic():
            stopping = Job.objects.filter(pk=batch.job_id).exclude(
                cancel_requested_at=None, stop_error=""
            ).exists()  # fmt: skip
            careful = batch.attempt_count >= CAREFUL_FROM
            taken = expired.filter(pk=batch.pk, fence=batch.fence).update(
                status=BatchStatus.CANCELLED if stopping else BatchStatus.PENDING,
                fence=F("fence") + 1, lease_owner="", lease_expires_at=None, due_at=Now(),
                is_split=batch.is_split or careful,
                finished_at=timezone.now() if stopping else None,
            )  # fmt: skip
            if not taken:
                continue
            count += 1
            intents.restore([batch.pk])
            _tell(batch, careful=careful, stopping=stopping)
            if stopping:
                settle.settle(batch.job_id)
    if count:
        log.warning("%s batches were offered again: their workers were lost.", count)
    return count


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
    asked = Job.objects.filter(status__in=ACTIVE_JOB_STATUSES).exclude(
        cancel_requested_at=None, stop_error=""
    )
    for job_id in list(asked.values_list("pk", flat=True)[:SLICE]):
        stop_pending_batches(job_id)
        settle.settle(job_id)
