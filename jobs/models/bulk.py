"""One person's act on many jobs, done in the background and kept as a record."""

from typing import Any

from django.conf import settings
from django.db import models
from django.urls import reverse
from django.utils import timezone

from jobs.models.jobs import Job
from jobs.statuses import Effort


class BulkKind(models.TextChoices):
    CANCEL = "cancel", "Cancel"
    RESEND = "resend", "Resend"


class BulkStatus(models.TextChoices):
    """PENDING ─▶ RUNNING ─▶ DONE; an abort ends either in ABORTED, what was done stays done."""

    PENDING = "pending", "Waiting to start"
    RUNNING = "running", "Running"
    DONE = "done", "Done"
    ABORTED = "aborted", "Aborted"


class BulkAction(models.Model):
    """Works down from `ceiling_id` (jobs made after the confirmation are not touched) to
    `cursor_id`, in slices. `selection` is {"ids": [...]} or {"filter": "status=failed&…"}; the
    teams are fixed at the confirmation and the actor's right in each is checked again per slice.
    """

    kind = models.CharField(max_length=10, choices=BulkKind.choices)
    status = models.CharField(max_length=10, choices=BulkStatus.choices, default=BulkStatus.PENDING)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="bulk_actions"
    )
    actor_name = models.CharField(max_length=150)
    team_ids = models.JSONField(default=list)
    selection = models.JSONField(default=dict)
    effort_level = models.CharField(max_length=10, choices=Effort.choices, blank=True)
    launch_key = models.CharField(max_length=64, unique=True)
    ceiling_id = models.BigIntegerField(default=0)
    cursor_id = models.BigIntegerField(null=True, blank=True)
    total_count = models.PositiveIntegerField(default=0)
    acted_count = models.PositiveIntegerField(default=0)
    skipped_count = models.PositiveIntegerField(default=0)
    lease_owner = models.CharField(max_length=64, blank=True)
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    abort_requested_at = models.DateTimeField(null=True, blank=True)
    abort_requested_by_name = models.CharField(max_length=150, blank=True)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(
                fields=["lease_expires_at"],
                condition=models.Q(status__in=["pending", "running"]),
                name="bulk_open",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} of {self.total_count:,} jobs by {self.actor_name}"

    def get_absolute_url(self) -> str:
        return reverse("jobs:bulk_action", args=[self.pk])

    @property
    def is_open(self) -> bool:
        return self.status in {BulkStatus.PENDING, BulkStatus.RUNNING}

    @property
    def handled_count(self) -> int:
        return self.acted_count + self.skipped_count

    @property
    def untouched_count(self) -> int:
        return max(self.total_count - self.handled_count, 0)

    def describe(self) -> dict[str, Any]:
        return {"id": self.pk, "kind": self.kind, "acted": self.acted_count}


class BulkActionItem(models.Model):
    """What became of one job; written in the transaction of its verb, so none is acted on twice."""

    bulk_action = models.ForeignKey(BulkAction, models.CASCADE, related_name="items")
    job = models.ForeignKey(Job, models.CASCADE, related_name="bulk_items")
    # The job a resend made.
    made_job = models.ForeignKey(Job, models.SET_NULL, null=True, related_name="+", db_index=False)
    skipped_reason = models.CharField(max_length=200, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["bulk_action", "job"], name="bulk_item_once")
        ]

    def __str__(self) -> str:
        return f"Job #{self.job_id} in bulk action {self.bulk_action_id}"
