"""One execution of a spinner, a workflow, or work another program reports."""

import uuid
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.urls import reverse
from django.utils import timezone

from accounts.models import Team
from jobs.models.agents import Agent
from jobs.models.catalogue import JobType
from jobs.models.state import JobState
from jobs.querysets.jobs import TICKET_NUMBER, JobQuerySet
from jobs.statuses import FINAL_JOB_STATUSES, Effort, JobStatus
from projects.models import Pipeline, PipelineVersion, Project


class JobKind(models.TextChoices):
    SPINNER = "spinner", "Spinner run"
    WORKFLOW = "workflow", "Workflow"
    BUILD = "build", "Build"  # reported by another program
    RUN = "run", "Server run"  # reported by another program
    TASK = "task", "Tracked task"  # a Celery task of the team's own


# Others do the work and say how it goes (jobs/reporting.py).
REPORTED_KINDS = (JobKind.BUILD, JobKind.RUN, JobKind.TASK)


class Job(JobState, models.Model):
    """Totals close at every moment:

    done + failed + skipped + cancelled + uncertain + remaining = total; `waiting_count` of the
    remaining wait. The counters change in the same transactions as the records.
    """

    team = models.ForeignKey(Team, models.CASCADE, related_name="jobs")
    project = models.ForeignKey(Project, models.CASCADE, related_name="jobs")
    kind = models.CharField(max_length=10, choices=JobKind.choices)
    job_type = models.ForeignKey(JobType, models.PROTECT, null=True, blank=True, related_name="+")
    pipeline = models.ForeignKey(
        Pipeline, models.SET_NULL, null=True, blank=True, related_name="jobs"
    )
    version = models.ForeignKey(
        PipelineVersion, models.PROTECT, null=True, blank=True, related_name="jobs"
    )
    # Kept on the job, so that lists need no join and old jobs keep their words.
    workflow_slug = models.CharField(max_length=64)
    label = models.CharField(max_length=200)
    agent = models.ForeignKey(Agent, models.SET_NULL, null=True, blank=True, related_name="jobs")
    agent_name = models.CharField(max_length=120, blank=True)

    name = models.CharField(max_length=300)
    status = models.CharField(max_length=10, choices=JobStatus.choices, default=JobStatus.PENDING)
    effort_level = models.CharField(max_length=10, choices=Effort.choices, blank=True)
    input = models.JSONField(default=dict, blank=True)
    output = models.TextField(blank=True)
    error = models.TextField(blank=True)
    error_type = models.CharField(max_length=40, blank=True)
    error_step = models.CharField(max_length=200, blank=True, help_text='"2 (validate-gate)"')
    ticket_url = models.URLField(max_length=1000, blank=True)
    ticket_key = models.CharField(max_length=60, blank=True)
    current_step = models.PositiveIntegerField(default=0)
    steps = models.JSONField(default=list, blank=True)
    step_count = models.PositiveIntegerField(default=0)
    slack_channel_id = models.CharField(max_length=60, blank=True)
    slack_thread_ts = models.CharField(max_length=60, blank=True)
    workflow_execution_id = models.UUIDField(default=uuid.uuid4, editable=False)

    # {"failure_limit_percent": 5, "pace_per_minute": 600, "concurrency": 100}: all optional.
    options = models.JSONField(default=dict, blank=True)

    # Which contacts (jobs/execution/selection.py). Records are made slice by slice behind the
    # launch: up to `planned_count` they exist, the next has a contact above `planning_cursor`,
    # and contacts above `planning_ceiling` came after the launch.
    selection = models.JSONField(default=dict, blank=True)
    planned_count = models.PositiveIntegerField(default=0)
    planning_cursor = models.BigIntegerField(default=0)
    planning_ceiling = models.BigIntegerField(default=0)
    planning_leased_until = models.DateTimeField(null=True, blank=True)
    # Set when the run itself failed while batches were still at work; they stop as for a cancel.
    stop_error = models.TextField(blank=True)
    # Until when the run's pace is given away (options.pace_per_minute), over all workers.
    paced_until = models.DateTimeField(null=True, blank=True)

    total_count = models.PositiveIntegerField(default=0)
    done_count = models.PositiveIntegerField(default=0)
    failed_count = models.PositiveIntegerField(default=0)
    skipped_count = models.PositiveIntegerField(default=0)
    cancelled_count = models.PositiveIntegerField(default=0)
    uncertain_count = models.PositiveIntegerField(default=0)
    waiting_count = models.PositiveIntegerField(default=0)

    scheduled_for = models.DateTimeField(null=True, blank=True)
    # Since when it waits for the month's plan: not charged yet, so nobody may begin it.
    plan_held_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    started_at = models.DateTimeField(null=True, blank=True)
    completed_at = models.DateTimeField(null=True, blank=True)
    last_heartbeat_at = models.DateTimeField(null=True, blank=True)
    # When it last began to wait: all that was left waited for people, answers or times.
    wait_began_at = models.DateTimeField(null=True, blank=True, editable=False)
    # When it last came back from a wait, or from its end: lengths of work are counted from here.
    resumed_at = models.DateTimeField(null=True, blank=True, editable=False)
    # Set by the sweep when work is silent, cleared when it is heard of again.
    stalled_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_claimed_at = models.DateTimeField(null=True, blank=True)

    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_by_name = models.CharField(max_length=150, blank=True)
    source = models.CharField(max_length=20, default="portal")  # portal, api, cli, automation…
    # One launch a key: a form sent twice, or a program that repeats itself, makes one job.
    launch_key = models.CharField(max_length=64, null=True, blank=True, unique=True)
    external_id = models.CharField(max_length=120, blank=True)  # a reported build's or run's own id
    # One resend a job, however often it is pressed.
    resend_of = models.OneToOneField(
        "self", models.SET_NULL, null=True, blank=True, related_name="resent_as"
    )

    cancel_requested_at = models.DateTimeField(null=True, blank=True)
    cancel_requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+"
    )
    cancel_requested_by_name = models.CharField(max_length=150, blank=True)
    force_stopped_at = models.DateTimeField(null=True, blank=True)

    is_corrected = models.BooleanField(default=False)
    # Rises with every event: the screen drops what is older than what it has.
    event_count = models.PositiveIntegerField(default=0)
    event_bytes = models.PositiveBigIntegerField(default=0)
    events_pruned_at = models.DateTimeField(null=True, blank=True)
    journeys_pruned_at = models.DateTimeField(null=True, blank=True)
    records_pruned_at = models.DateTimeField(null=True, blank=True)
    # Marked, but not all rows are gone yet; they are up to this position.
    is_pruning = models.BooleanField(default=False, editable=False)
    prune_cursor = models.PositiveIntegerField(default=0, editable=False)

    objects = JobQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["team", "-id"], name="job_team_recent"),
            models.Index(fields=["team", "status", "-id"], name="job_team_status"),
            models.Index(fields=["team", "workflow_slug", "-id"], name="job_team_workflow"),
            models.Index(fields=["team", "agent_name", "-id"], name="job_team_agent"),
            # A tab of one workflow or agent, and its count, without reading the other statuses.
            models.Index(
                fields=["team", "workflow_slug", "status", "-id"], name="job_workflow_status"
            ),
            models.Index(fields=["team", "agent_name", "status", "-id"], name="job_agent_status"),
            # By prefix in any collation (PostgreSQL); "=" is served as well.
            models.Index(
                fields=["team", "ticket_key", "-id"],
                opclasses=["int8_ops", "varchar_pattern_ops", "int8_ops"],
                name="job_ticket_prefix",
            ),
            # The number alone: "329" finds SCRUM-329.
            models.Index(
                F("team"), TICKET_NUMBER, condition=~Q(ticket_key=""), name="job_ticket_number"
            ),
            models.Index(fields=["project", "kind", "-id"], name="job_project_kind"),
            models.Index(fields=["pipeline", "-id"], name="job_pipeline_recent"),
            models.Index(
                fields=["team", "id"],
                condition=Q(status__in=["pending", "running", "waiting"]),
                name="job_active",
            ),
            models.Index(
                fields=["pipeline", "effort_level", "-completed_at"],
                condition=Q(status="completed"),
                name="job_durations",
            ),
            # The oldest jobs a team's retention rule has not come to yet, one index a rule.
            *(
                models.Index(
                    fields=["team", "completed_at"],
                    condition=Q(completed_at__isnull=False, **{f"{what}_pruned_at": None}),
                    name=f"job_{what}_to_prune",
                )
                for what in ("journeys", "events", "records")
            ),
            models.Index(fields=["team", "id"], condition=Q(is_pruning=True), name="job_pruning"),
            models.Index(
                fields=["team", "id"], condition=Q(plan_held_at__isnull=False), name="job_plan_held"
            ),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(
                    total_count__gte=F("done_count")
                    + F("failed_count")
                    + F("skipped_count")
                    + F("cancelled_count")
                    + F("uncertain_count")
                    + F("waiting_count")
                ),
                name="job_totals_close",
            ),
            models.CheckConstraint(
                condition=Q(completed_at=None)
                | Q(started_at=None)
                | Q(completed_at__gte=F("started_at")),
                name="job_ends_after_it_starts",
            ),
        ]

    def __str__(self) -> str:
        return f"#{self.pk} {self.name}"

    def get_absolute_url(self) -> str:
        return reverse("jobs:detail", args=[self.pk])

    @property
    def pipeline_id_text(self) -> str:
        return f"pipeline-job-{self.pk}"

    @property
    def short_id(self) -> str:
        return self.workflow_execution_id.hex[:8]

    @property
    def remaining_count(self) -> int:
        return self.total_count - self.finished_count

    @property
    def is_final(self) -> bool:
        return self.status in FINAL_JOB_STATUSES

    @property
    def duration_seconds(self) -> float | None:
        """From start to end, or to now while it is active; None before the start."""
        if self.started_at is None:
            return None
        return ((self.completed_at or timezone.now()) - self.started_at).total_seconds()

    def counts(self) -> dict[str, Any]:
        return {
            "total": self.total_count,
            "done": self.done_count,
            "failed": self.failed_count,
            "skipped": self.skipped_count,
            "cancelled": self.cancelled_count,
            "uncertain": self.uncertain_count,
            "waiting": self.waiting_count,
            "remaining": self.remaining_count,
        }
