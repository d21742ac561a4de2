"""Pause and resume a project: its pending work is not claimed; what is at work finishes."""

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone

from accounts.permissions import Actor
from jobs import events
from jobs.events import EventKind
from jobs.execution import hints
from jobs.execution.errors import Refused
from jobs.models import Job
from projects.models import Project

TOLD = 200  # so many active jobs get the sentence in their history


def pause_project(project: Project, actor: Actor, *, reason: str) -> Project:
    with transaction.atomic():
        changed = Project.objects.filter(pk=project.pk, paused_at=None).update(
            paused_at=timezone.now(), paused_by=actor.user, paused_by_name=actor.name,
            pause_reason=reason[:300],
        )  # fmt: skip
        if not changed:
            raise Refused("The project is paused already.", code="NOT_ACTIVE")
        why = f": {reason}" if reason else ""
        _tell(project, EventKind.PAUSED, f"The project was paused by {actor.name}{why}.", actor)
    project.refresh_from_db()
    return project


def resume_project(project: Project, actor: Actor) -> Project:
    with transaction.atomic():
        changed = Project.objects.filter(pk=project.pk).exclude(paused_at=None).update(
            paused_at=None, paused_by=None, paused_by_name="", pause_reason=""
        )  # fmt: skip
        if not changed:
            raise Refused("The project is not paused.", code="NOT_ACTIVE")
        # The pause was nobody's silence.
        Job.objects.running().filter(project=project).update(last_heartbeat_at=Now())
        _tell(project, EventKind.UNPAUSED, f"The project was resumed by {actor.name}.", actor)
        hints.hint_on_commit()
    project.refresh_from_db()
    return project


def _tell(project: Project, kind: str, message: str, actor: Actor) -> None:
    active = Job.objects.active().filter(project=project, done_count__lt=F("total_count"))
    for job_id in active.order_by("pk").values_list("pk", flat=True)[:TOLD]:
        events.emit(job_id, kind, message, actor=actor)
