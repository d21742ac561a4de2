"""Work that Spindle does not do itself but is told of: builds, server runs, tracked tasks.

    report ─▶ PENDING ─running─▶ RUNNING ─done─▶ COMPLETED, or CANCELLED where it was asked to stop
                 │                  │ └─failed─▶ FAILED
                 └─────cancel───────┴─stopping─▶ (cancel_requested_at: "Stopping server…")

Whoever does the work ends it; a cancel is a wish that they see. Each change is one conditional
UPDATE with its event; a second report of the same thing changes nothing. Not charged to the plan.
"""

from typing import Any

from django.db import IntegrityError, transaction
from django.db.models.functions import Now

from accounts.permissions import Actor
from jobs import clock, events
from jobs.events import EventKind
from jobs.execution.errors import Refused
from jobs.models import Job, JobType
from jobs.models.jobs import JobKind
from jobs.notices import following, making
from jobs.statuses import ACTIVE_JOB_STATUSES, JobStatus
from projects.models import Project

# The words of programs, and the statuses they lead to ("stopping" is a wish, not a status).
SAID = {
    "pending": JobStatus.PENDING,
    "running": JobStatus.RUNNING,
    "stopping": JobStatus.RUNNING,
    "done": JobStatus.COMPLETED,
    "failed": JobStatus.FAILED,
    "cancelled": JobStatus.CANCELLED,
}
LABELS = {JobKind.BUILD: "Build", JobKind.RUN: "Server run"}


def said_status(status: str, *, is_cancelling: bool) -> str:
    """A job's status in the words of programs."""
    if is_cancelling:
        return "stopping"
    return "done" if status == JobStatus.COMPLETED else status


def report(
    project: Project,
    actor: Actor,
    *,
    kind: str,
    label: str = "",
    status: str = "pending",
    external_id: str = "",
    agent_name: str = "",
    input: dict[str, Any] | None = None,  # noqa: A002 -- the job's field of that name
    total_count: int = 0,
    options: dict[str, Any] | None = None,
    launch_key: str | None = None,
    source: str | None = None,
) -> tuple[Job, bool]:
    """A new job that others work on: (job, True), or the one this key made before: (job, False)."""
    if earlier := _reported(launch_key, project):
        return earlier, False
    label = label or LABELS.get(JobKind(kind), "Task")
    job = Job(
        team_id=project.team_id, project=project, kind=kind, label=label, name=label,
        job_type=JobType.objects.filter(slug=kind).first(), workflow_slug="",
        external_id=external_id, agent_name=agent_name, input=input or {}, options=options or {},
        total_count=total_count, planned_count=total_count, created_by=actor.user,
        created_by_name=actor.name, source=source or actor.source, launch_key=launch_key,
    )  # fmt: skip
    try:
        with transaction.atomic():
            job.save(force_insert=True)
            following.begin(job.pk, actor)
            events.emit(
                job.pk, EventKind.CREATED, f"Reported by {actor.name}.", actor=actor,
                payload={"phase": "init", "external_id": external_id},
            )  # fmt: skip
            if status == "running":
                _run(job, actor)
    except IntegrityError:
        if earlier := _reported(launch_key, project):
            return earlier, False
        raise
    job.refresh_from_db()
    return job, True


def tell(
    job: Job,
    actor: Actor,
    *,
    status: str,
    output: str = "",
    error: str = "",
    error_type: str = "",
) -> Job:
    """What the one who does the work says of it. Refused ALREADY_ENDED, BAD_TRANSITION."""
    with transaction.atomic():
        changed = _TELLS[status](job, actor, output=output, error=error, error_type=error_type)
        job.refresh_from_db()
        if not changed and said_status(job.status, is_cancelling=job.is_cancelling) != status:
            _refuse(job, status)
    return job


def _refuse(job: Job, status: str) -> None:
    if job.is_final:
        raise Refused(
            f"It has already ended ({said_status(job.status, is_cancelling=False)}).",
            code="ALREADY_ENDED", status=said_status(job.status, is_cancelling=False),
        )  # fmt: skip
    if status == "running" and job.is_cancelling:
        return  # it goes on running until it has stopped; the answer says that it should
    raise Refused(
        f"It cannot go from {said_status(job.status, is_cancelling=job.is_cancelling)} "
        f"to {status}.",
        code="BAD_TRANSITION",
    )


def _run(job: Job, actor: Actor, **_: str) -> bool:
    changed = Job.objects.filter(pk=job.pk, status=JobStatus.PENDING).update(
        status=JobStatus.RUNNING, started_at=Now(), last_heartbeat_at=Now()
    )
    if changed:
        events.emit(job.pk, EventKind.STARTED, f"Started by {actor.name}.", actor=actor)
    return bool(changed)


def _stop(job: Job, actor: Actor, **_: str) -> bool:
    changed = Job.objects.filter(
        pk=job.pk, status__in=ACTIVE_JOB_STATUSES, cancel_requested_at=None
    ).update(cancel_requested_at=Now(), cancel_requested_by_name=actor.name)
    if changed:
        events.emit(
            job.pk, EventKind.CANCEL_REQUESTED, f"{actor.name} is stopping it.", actor=actor
        )
    return bool(changed)


def _done(job: Job, actor: Actor, *, output: str, **_: str) -> bool:
    if Job.objects.filter(pk=job.pk, cancel_requested_at=None).exists():
        return end(job.pk, actor, JobStatus.COMPLETED, output=output)
    return _cancelled(job, actor, output=output)


def _failed(job: Job, actor: Actor, *, output: str, error: str, error_type: str) -> bool:
    return end(
        job.pk, actor, JobStatus.FAILED, output=output, error=error or "It failed.",
        error_type=error_type or "unknown",
    )  # fmt: skip


def _cancelled(job: Job, actor: Actor, *, output: str, **_: str) -> bool:
    return end(job.pk, actor, JobStatus.CANCELLED, output=output)


def _pending(job: Job, actor: Actor, **_: str) -> bool:
    return False


_TELLS = {
    "pending": _pending, "running": _run, "stopping": _stop, "done": _done, "failed": _failed,
    "cancelled": _cancelled,
}  # fmt: skip
_ENDED = {
    JobStatus.COMPLETED: (EventKind.COMPLETED, "Completed"),
    JobStatus.FAILED: (EventKind.FAILED, "Failed"),
    JobStatus.CANCELLED: (EventKind.CANCELLED, "Stopped"),
}


def end(
    job_id: int,
    actor: Actor,
    status: JobStatus,
    *,
    output: str = "",
    error: str = "",
    error_type: str = "",
) -> bool:
    """Close it, whatever was left of its count; True when this call ended it."""
    with transaction.atomic():
        job = Job.objects.get(pk=job_id)
        now = clock.now()
        rest = {
            JobStatus.COMPLETED: "done_count", JobStatus.FAILED: "failed_count",
            JobStatus.CANCELLED: "cancelled_count",
        }[status]  # fmt: skip
        started = job.started_at or (None if status == JobStatus.CANCELLED else now)
        ended = Job.objects.filter(
            pk=job_id, status__in=ACTIVE_JOB_STATUSES, done_count=job.done_count
        ).update(
            status=status, completed_at=max(now, started or now), started_at=started,
            output=output, error=error, error_type=error_type,
            **{rest: getattr(job, rest) + job.remaining_count},
        )  # fmt: skip
        if ended:
            kind, word = _ENDED[status]
            text = f"{word}: {error}"[:500] if error else f"{word}, says {actor.name}."
            if status == JobStatus.CANCELLED and job.started_at:
                text += " What it had done was not undone."
            events.emit(job_id, kind, text, actor=actor)
            making.make(job_id, status, by_user_id=_whose_act(job, actor, status))
    return bool(ended)


def _whose_act(job: Job, actor: Actor, status: str) -> int | None:
    """Who ended it: the one who reports the end, or asked it to stop; None for a program."""
    if actor.user is not None:
        return actor.user.pk
    return job.cancel_requested_by_id if status == JobStatus.CANCELLED else None


def _reported(launch_key: str | None, project: Project) -> Job | None:
    if not launch_key:
        return None
    return Job.objects.filter(launch_key=launch_key, team_id=project.team_id).first()
