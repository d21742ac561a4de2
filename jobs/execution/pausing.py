"""Pause and resume a project: its pending work is not claimed; what is at work finishes."""

from collections.abc import Collection

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from accounts.permissions import Actor
from jobs import events
from jobs.events import EventKind
from jobs.execution import hints, stalls
from jobs.execution.errors import Refused
from jobs.models import Job
from projects.models import Project


def pause_project(project: Project, actor: Actor, *, reason: str) -> Project:
    with transaction.atomic():
        changed = Project.objects.filter(pk=project.pk, paused_at=None).update(
            paused_at=Now(), paused_by=actor.user, paused_by_name=actor.name,
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
        # The pause was nobody's silence, and no work of whatever rested.
        running = Job.objects.running().filter(project=project)
        running.update(last_heartbeat_at=Now())
        rested = set(running.filter(stalls.rests()).values_list("pk", flat=True))
        running.filter(pk__in=rested).update(**stalls.at_work_again())
        _tell(
            project, EventKind.UNPAUSED, f"The project was resumed by {actor.name}.", actor,
            rested=rested,
        )  # fmt: skip
        hints.hint_on_commit()
    project.refresh_from_db()
    return project


def _tell(
    project: Project, kind: str, message: str, actor: Actor, *, rested: Collection[int] = ()
) -> None:
    """A sentence in the history of every active job, by which their lengths are counted too
    (jobs/usual.py); screens are told once, however many jobs there are.
    """
    active = Job.objects.active().filter(project=project, done_count__lt=F("total_count"))
    job_ids = set(active.values_list("pk", flat=True))
    events.emit_for_all(job_ids & set(rested), kind, message, actor=actor, payload={"rested": True})
    events.emit_for_all(job_ids - set(rested), kind, message, actor=actor)
    events.announce_team(project.team_id)
