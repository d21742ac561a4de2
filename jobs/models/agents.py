"""Who does the work: agents as teams see them, and the worker processes behind worker pools."""

from datetime import datetime, timedelta
from typing import Self

from django.db import models
from django.db.models.functions import Now
from django.utils import timezone

from accounts.models import Team

HEARTBEAT_SECONDS = 10
OFFLINE_AFTER = timedelta(seconds=45)


def is_silent(beat: datetime | None, now: datetime) -> bool:
    """Whether the last heartbeat is too old, or there never was one."""
    return beat is None or now - beat > OFFLINE_AFTER


class AgentKind(models.TextChoices):
    POOL = "pool", "Worker pool"
    REMOTE = "remote", "Remote"


class AgentQuerySet(models.QuerySet["Agent"]):
    def visible_to(self, user: object) -> Self:
        if not getattr(user, "is_authenticated", False) or not getattr(user, "is_active", False):
            return self.none()
        return self.filter(team__memberships__user=user)


class Agent(models.Model):
    """A pool's heartbeat is that of Spindle's own workers; a remote agent sends its own.

    `capacity` is how many jobs it runs at once; `last_job_at` changes whenever it starts one, which
    also makes two starts at once take turns.
    """

    team = models.ForeignKey(Team, models.CASCADE, related_name="agents")
    name = models.CharField(max_length=120)
    kind = models.CharField(max_length=10, choices=AgentKind.choices, default=AgentKind.POOL)
    label = models.CharField(max_length=120, blank=True, help_text="Role, e.g. Tech Lead.")
    capacity = models.PositiveIntegerField(default=4)
    is_draining = models.BooleanField(default=False)
    is_default = models.BooleanField(default=False, help_text="Takes the team's spinner runs.")
    version = models.CharField(max_length=60, blank=True)
    last_heartbeat_at = models.DateTimeField(null=True, blank=True)
    last_job_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = AgentQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["team", "name"], name="agent_name_once"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def initials(self) -> str:
        return self.name[:2].upper()


class WorkerQuerySet(models.QuerySet["Worker"]):
    def up(self) -> Self:
        """Heard of lately, by the database's clock, which their heartbeats are set by."""
        return self.filter(last_heartbeat_at__gte=Now() - OFFLINE_AFTER)


class Worker(models.Model):
    """One Celery worker process on one machine, as its heartbeat last told."""

    name = models.CharField(max_length=200, unique=True)
    host = models.CharField(max_length=200)
    pid = models.PositiveIntegerField()
    version = models.CharField(max_length=60, blank=True)
    started_at = models.DateTimeField(default=timezone.now)
    last_heartbeat_at = models.DateTimeField(default=timezone.now, db_index=True)
    last_claim_at = models.DateTimeField(null=True, blank=True)
    doing = models.CharField(max_length=300, blank=True)
    # Which kinds of step it can do; None where it does not say (a release before this).
    step_kinds = models.JSONField(null=True, blank=True, editable=False)

    objects = WorkerQuerySet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name
