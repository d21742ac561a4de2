"""Pending jobs in the true order of dispatch, and one sentence why each is not running."""

from datetime import datetime
from typing import Any

from django.db.models import F, Max, Q, QuerySet, Window
from django.db.models.functions import Now
from django.utils import timezone

from jobs.execution.claims import pools
from jobs.models import Agent, Job, Worker
from jobs.models.agents import OFFLINE_AFTER, AgentKind
from jobs.models.jobs import JobKind
from jobs.statuses import ACTIVE_JOB_STATUSES, JobStatus

COUNTED = 1_000  # places beyond are told as "more than"


def pending_jobs(team_id: int) -> "QuerySet[Any]":
    """A team's pending jobs as the claim takes them (jobs/execution/claims.py): those that may
    start first, by age; then the held ones (paused, scheduled).
    """
    return (
        Job.objects.filter(team_id=team_id, status=JobStatus.PENDING, cancel_requested_at=None)
        .filter(kind__in=(JobKind.SPINNER, JobKind.WORKFLOW))
        .annotate(
            is_held=Q(
                ~Q(project__paused_at=None)
                | Q(scheduled_for__isnull=False, scheduled_for__gt=Now())
            ),
        )
        .order_by("is_held", "pk")
    )


def dispatch_order() -> "QuerySet[Job]":
    """Every team's pending jobs in the order the next free worker takes them."""
    return (
        Job.objects.filter(status__in=ACTIVE_JOB_STATUSES, cancel_requested_at=None)
        .annotate(team_turn=Window(Max("last_claimed_at"), partition_by=F("team_id")))
        .order_by(
            F("team_turn").asc(nulls_first=True), F("last_claimed_at").asc(nulls_first=True), "pk"
        )
    )  # fmt: skip


def queue_place(job: Job) -> int | None:
    """1 for the team's next; None for a job that is not queued (or is held)."""
    if job.status != JobStatus.PENDING or is_held(job):
        return None
    ahead = (
        pending_jobs(job.team_id)
        .filter(is_held=False, pk__lt=job.pk)
        .values("pk")[:COUNTED]
        .count()
    )
    return ahead + 1


def is_held(job: Job) -> bool:
    due: datetime | None = job.scheduled_for
    return job.project.paused_at is not None or (due is not None and due > timezone.now())


def pending_reason(job: Job) -> str:
    """Why a pending job does not run yet, for people; "" for any other."""
    if job.status != JobStatus.PENDING:
        return ""
    if job.cancel_requested_at:
        return "It is being cancelled."
    project = job.project
    if project.paused_at:
        why = f": {project.pause_reason}" if project.pause_reason else ""
        return f"The project was paused by {project.paused_by_name or 'somebody'}{why}."
    if job.scheduled_for and job.scheduled_for > timezone.now():
        return f"Scheduled for {timezone.localtime(job.scheduled_for):%Y-%m-%d %H:%M %Z}."
    if job.agent and job.agent.kind == AgentKind.REMOTE:
        return _remote_reason(job.agent)
    if not live_workers().exists():
        return "No worker is up. Start one: uv run manage.py up (or a worker service)."
    if job.agent and job.agent.is_draining:
        return f"{job.agent.name} is draining and takes no new job."
    free = pools(job.team_id).filter(busy__lt=F("capacity"))
    if job.agent_id:
        free = free.filter(pk=job.agent_id)
    place = queue_place(job)
    if not free.exists():
        who = job.agent.name if job.agent else "Every agent"
        return f"{who} is busy; place {place} in the queue."
    return f"Next in turn; place {place} in the queue."


def live_workers() -> "QuerySet[Worker]":
    return Worker.objects.filter(last_heartbeat_at__gte=Now() - OFFLINE_AFTER)


def _remote_reason(agent: Agent) -> str:
    if agent.is_draining:
        return f"{agent.name} is draining and takes no new job."
    seen = agent.last_heartbeat_at
    if seen is None or seen < timezone.now() - OFFLINE_AFTER:
        return f"{agent.name} is offline; it takes the job when it is back."
    return f"Waiting for {agent.name} to take it."
