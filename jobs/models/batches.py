"""The claimable slices of a job."""

from django.db import models
from django.db.models import Q
from django.utils import timezone

from accounts.models import Team
from jobs.models.jobs import Job
from jobs.statuses import BatchStatus


class Batch(models.Model):
    """Some hundred records that go through the pipeline together.

    `lease_expires_at` is by the database's clock; `fence` rises with every claim, and every
    write of a worker names the fence it holds, so that one whose lease was taken over writes
    nothing more. `attempt_count` rises at the claim.
    """

    job = models.ForeignKey(Job, models.CASCADE, related_name="batches", db_index=False)
    team = models.ForeignKey(Team, models.CASCADE, related_name="+", db_index=False)
    number = models.PositiveIntegerField()
    status = models.CharField(
        max_length=10, choices=BatchStatus.choices, default=BatchStatus.PENDING
    )
    record_count = models.PositiveIntegerField()
    due_at = models.DateTimeField(default=timezone.now)
    lease_owner = models.CharField(max_length=200, blank=True)
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    fence = models.PositiveIntegerField(default=0)
    attempt_count = models.PositiveSmallIntegerField(default=0)
    # Rises with every group of results committed: a commit whose answer was lost (the database
    # went away) is known by it, and never counted twice.
    commit_number = models.PositiveIntegerField(default=0)
    is_split = models.BooleanField(default=False, help_text="Cut from a batch that kept failing.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "batches"
        ordering = ["job", "number"]
        constraints = [models.UniqueConstraint(fields=["job", "number"], name="batch_number_once")]
        indexes = [
            models.Index(
                fields=["job", "due_at", "number"],
                condition=Q(status="pending"),
                name="batch_due",
            ),
            models.Index(
                fields=["lease_expires_at"], condition=Q(status="running"), name="batch_leased"
            ),
        ]

    def __str__(self) -> str:
        return f"Batch {self.number} of job #{self.job_id}"


class IntentLog(models.Model):
    """What a batch's records are about to do, appended before calls go out; the rows of a commit
    as JSON text (jobs/execution/intents.py). Gone with the batch's end.
    """

    batch = models.ForeignKey(Batch, models.CASCADE, related_name="intents")
    fence = models.PositiveIntegerField()
    records = models.TextField()
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        verbose_name_plural = "intents under way"

    def __str__(self) -> str:
        return f"Intents of batch {self.batch_id}"
