"""Maintained counts, so that no page counts records.

`histogram` is a list of counts per bucket; bucket i holds lengths up to 2**(i/2) ms (jobs/
durations.py reads percentiles off it).
"""

from django.db import models

from jobs.models.jobs import Job
from jobs.statuses import Effort
from projects.models import Pipeline, Project


class StepCount(models.Model):
    """The funnel of one step of one job (step counts from 1)."""

    job = models.ForeignKey(Job, models.CASCADE, related_name="step_counts")
    step = models.PositiveSmallIntegerField()
    reached_count = models.PositiveIntegerField(default=0)
    passed_count = models.PositiveIntegerField(default=0)
    failed_count = models.PositiveIntegerField(default=0)
    skipped_count = models.PositiveIntegerField(default=0)
    waiting_count = models.PositiveIntegerField(default=0)
    uncertain_count = models.PositiveIntegerField(default=0)
    total_ms = models.FloatField(default=0)
    histogram = models.JSONField(default=list, blank=True)
    first_started_at = models.DateTimeField(null=True, blank=True)
    last_ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["job", "step"], name="step_count_once")]

    def __str__(self) -> str:
        return f"Step {self.step} of job #{self.job_id}"


class RecordMinute(models.Model):
    """How many of a project's records ended in one minute."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="+")
    minute = models.DateTimeField()
    done_count = models.PositiveIntegerField(default=0)
    failed_count = models.PositiveIntegerField(default=0)
    other_count = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "minute"], name="record_minute_once")
        ]

    def __str__(self) -> str:
        return f"{self.project_id} {self.minute}"


class StepMinute(models.Model):
    """The lengths of one pipeline's step in one minute."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="+")
    pipeline = models.ForeignKey(Pipeline, models.CASCADE, related_name="+")
    step_name = models.CharField(max_length=64)
    minute = models.DateTimeField()
    count = models.PositiveIntegerField(default=0)
    total_ms = models.FloatField(default=0)
    histogram = models.JSONField(default=list, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["project", "pipeline", "step_name", "minute"], name="step_minute_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.step_name} {self.minute}"


class DurationRange(models.Model):
    """The usual length of a pipeline's jobs (p10 to p90 of the last completed ones), in seconds."""

    pipeline = models.ForeignKey(Pipeline, models.CASCADE, related_name="duration_ranges")
    effort_level = models.CharField(max_length=10, choices=Effort.choices, blank=True)
    sample_count = models.PositiveIntegerField()
    low_seconds = models.FloatField()
    high_seconds = models.FloatField()
    # For spinners: seconds a record, so that a run of another size can be foretold.
    record_seconds = models.FloatField(null=True, blank=True)
    record_low_seconds = models.FloatField(null=True, blank=True)
    record_high_seconds = models.FloatField(null=True, blank=True)
    corrected_count = models.PositiveIntegerField(default=0)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["pipeline", "effort_level"], name="duration_once")
        ]

    def __str__(self) -> str:
        return f"{self.pipeline}: {self.low_seconds:.0f}–{self.high_seconds:.0f} s"
