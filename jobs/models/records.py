"""One contact's passage through a pipeline, and its journey."""

from typing import Any

from django.db import models
from django.db.models import Q
from django.utils import timezone

from accounts.models import Team
from jobs.models.batches import Batch
from jobs.models.jobs import Job
from jobs.querysets.records import RecordQuerySet
from jobs.statuses import RecordStatus
from projects.models import Contact, Pipeline, Project


class Record(models.Model):
    """`journey` is the list of step entries, in order:

    {"step": 2, "name": "send", "kind": "http", "status": "completed", "started_at": ISO text,
     "ms": 12.4, "attempts": 1, "input": {...}, "output": {...}, "error": "", "key": "3120-2-3",
     "log": [{"at": …, "error": …}]}     (step counts from 1; docs/architecture.md)

    `values` holds what steps made for later ones. `intent_step` is the effect step that may be
    on its way (0 when none): written before the effect, cleared with its result.
    """

    job = models.ForeignKey(Job, models.CASCADE, related_name="records", db_index=False)
    # Every index is paid for twice a record: the composite ones below begin with these columns.
    team = models.ForeignKey(Team, models.CASCADE, related_name="+", db_index=False)
    project = models.ForeignKey(Project, models.CASCADE, related_name="+", db_index=False)
    # The job's, kept here so that one spinner's records can be paged by an index of their own.
    pipeline = models.ForeignKey(
        Pipeline, models.SET_NULL, null=True, blank=True, related_name="+", db_index=False
    )
    batch = models.ForeignKey(
        Batch, models.SET_NULL, null=True, related_name="records", db_index=False
    )
    contact = models.ForeignKey(
        Contact, models.SET_NULL, null=True, blank=True, related_name="records", db_index=False
    )
    contact_name = models.CharField(max_length=300, blank=True)
    contact_email = models.CharField(max_length=254, blank=True)
    position = models.PositiveIntegerField()
    status = models.CharField(
        max_length=10, choices=RecordStatus.choices, default=RecordStatus.PENDING
    )
    next_step = models.PositiveSmallIntegerField(default=1)
    intent_step = models.PositiveSmallIntegerField(default=0)
    intent_at = models.DateTimeField(null=True, blank=True)
    # A person's retry of a step that surely failed is a new act, with a new key.
    resend_number = models.PositiveSmallIntegerField(default=0)
    values = models.JSONField(default=dict, blank=True)
    journey = models.JSONField(default=list, blank=True)
    outcome = models.CharField(max_length=120, blank=True)
    outcome_metadata = models.JSONField(default=dict, blank=True)
    error = models.TextField(blank=True)
    error_type = models.CharField(max_length=40, blank=True)
    error_step = models.PositiveSmallIntegerField(default=0)
    # The error without its numbers and ids: failures are grouped by it.
    cause = models.CharField(max_length=200, blank=True)
    wait_kind = models.CharField(max_length=20, blank=True)  # approval, callback, until
    wait_until = models.DateTimeField(null=True, blank=True)
    wait_token_hash = models.CharField(max_length=64, blank=True, editable=False)
    wait_prompt = models.CharField(max_length=300, blank=True)
    wait_on_timeout = models.CharField(max_length=10, blank=True)  # continue, fail
    is_corrected = models.BooleanField(default=False)
    journey_pruned_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    completed_at = models.DateTimeField(null=True, blank=True)
    active_ms = models.FloatField(default=0, help_text="Time at work, without waits.")

    objects = RecordQuerySet.as_manager()

    class Meta:
        ordering = ["job", "position"]
        constraints = [
            models.UniqueConstraint(fields=["job", "position"], name="record_position_once")
        ]
        indexes = [
            models.Index(fields=["job", "status", "position"], name="record_job_status"),
            models.Index(fields=["project", "-id"], name="record_project_recent"),
            models.Index(fields=["project", "status", "-id"], name="record_project_status"),
            models.Index(fields=["batch", "position"], name="record_batch"),
            models.Index(fields=["contact", "-id"], name="record_contact"),
            models.Index(
                fields=["wait_until"], condition=Q(status="waiting"), name="record_wait_due"
            ),
            models.Index(
                fields=["wait_token_hash"],
                condition=~Q(wait_token_hash=""),
                name="record_wait_token",
            ),
            models.Index(
                fields=["project", "cause", "-id"],
                condition=Q(status="failed"),
                name="record_failed_cause",
            ),
            # Its first and last failure: a retried record fails later than its id says.
            models.Index(
                fields=["project", "cause", "completed_at"],
                condition=Q(status="failed"),
                name="record_cause_time",
            ),
            models.Index(fields=["pipeline", "status", "-id"], name="record_pipeline_status"),
            models.Index(
                fields=["project", "outcome", "-id"],
                condition=~Q(outcome=""),
                name="record_outcome",
            ),
            models.Index(
                fields=["project", "-completed_at", "-id"],
                condition=Q(completed_at__isnull=False),
                name="record_ended",
            ),
            models.Index(
                fields=["project", "error_step", "-id"],
                condition=Q(error_step__gt=0),
                name="record_stopped_at",
            ),
        ]

    def __str__(self) -> str:
        return f"Record {self.position} of job #{self.job_id}"

    @property
    def contact_label(self) -> str:
        return self.contact_name or self.contact_email or f"Record {self.position}"

    def idempotency_key(self, step: int) -> str:
        """`<job>-<record position>-<step>`, the same on every attempt; `-rN` after a resend."""
        suffix = f"-r{self.resend_number}" if self.resend_number else ""
        return f"{self.job_id}-{self.position}-{step}{suffix}"

    def entry(self, step: int) -> dict[str, Any] | None:
        """The latest journey entry of a step (numbered from 1)."""
        return next((e for e in reversed(self.journey) if e["step"] == step), None)


class Callback(models.Model):
    """An outside answer for a record's callback step; it may come before the record waits.

    The first one counts. Later ones are kept as late reports.
    """

    record = models.ForeignKey(Record, models.CASCADE, related_name="callbacks")
    step = models.PositiveSmallIntegerField()
    payload = models.JSONField(default=dict)
    received_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["record", "step"], name="callback_once")]

    def __str__(self) -> str:
        return f"Callback for step {self.step} of record {self.record_id}"
