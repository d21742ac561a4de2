"""A run that fails as a whole: what is under way ends, what nobody has taken never starts."""

from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models.functions import Now

from jobs.execution import settle
from jobs.models import Batch, Job
from jobs.statuses import BatchStatus

if TYPE_CHECKING:
    from jobs.execution.claims import Claim


def stop_pending_batches(job_id: int) -> None:
    Batch.objects.filter(job_id=job_id, status=BatchStatus.PENDING).update(
        status=BatchStatus.CANCELLED, finished_at=Now()
    )


def stop_job(claim: "Claim", error: str, error_type: str) -> None:
    """The job cannot run at all: give its batch back unworked and fail it."""
    with transaction.atomic():
        ours = Batch.objects.filter(pk=claim.batch_id, fence=claim.fence).update(
            status=BatchStatus.CANCELLED, lease_owner="", lease_expires_at=None,
            finished_at=Now(),
        )  # fmt: skip
        if not ours:
            return
        stop_pending_batches(claim.job_id)
        Job.objects.filter(pk=claim.job_id, stop_error="").update(
            stop_error=error, error_type=error_type
        )
        settle.settle(claim.job_id)
