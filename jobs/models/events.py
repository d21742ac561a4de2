"""The execution history: what happened to a job, in order, never changed."""

from django.conf import settings
from django.db import models
from django.utils import timezone

from jobs.models.batches import Batch
from jobs.models.jobs import Job
from jobs.models.records import Record


class JobEvent(models.Model):
    """A past-tense fact, numbered within its job. Kinds stand in jobs/events.py."""

    job = models.ForeignKey(Job, models.CASCADE, related_name="events")
    number = models.PositiveIntegerField()
    kind = models.CharField(max_length=40)
    message = models.CharField(max_length=500, blank=True)
    payload = models.JSONField(default=dict, blank=True)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    actor_name = models.CharField(max_length=150, blank=True)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["job", "number"]
        constraints = [models.UniqueConstraint(fields=["job", "number"], name="event_number_once")]

    def __str__(self) -> str:
        return f"{self.number} {self.kind}"


class LateReport(models.Model):
    """What a worker or agent brought after its lease was gone: evidence, never a result."""

    job = models.ForeignKey(Job, models.CASCADE, related_name="late_reports")
    batch = models.ForeignKey(Batch, models.SET_NULL, null=True, blank=True, related_name="+")
    record = models.ForeignKey(
        Record, models.SET_NULL, null=True, blank=True, related_name="late_reports"
    )
    reporter = models.CharField(max_length=200)
    fence = models.PositiveIntegerField(default=0)
    payload = models.JSONField(default=dict)
    reason = models.CharField(max_length=300)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-at"]

    def __str__(self) -> str:
        return f"Late report of {self.reporter} for job #{self.job_id}"
