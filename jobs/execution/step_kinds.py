"""Jobs with a kind of step that this worker does not have: left for a worker that does.

While a release is rolled out, or where workers bring different apps, old and new ones work side by
side. Every worker says with its heartbeat which kinds it has. A job is claimed only where all its
kinds are there; where nobody up has them its history says so once, and after ten minutes, time
enough for a rollout, it fails.
"""

import time
from datetime import timedelta

from django.db import transaction
from django.db.models.functions import Now

from jobs import events
from jobs.events import EventKind
from jobs.execution import settle
from jobs.execution.claims import due_jobs
from jobs.execution.program import CannotCompile, LacksKind, Programs
from jobs.execution.stopping import stop_pending_batches
from jobs.models import Job, JobEvent, Worker
from projects.steps import registry

GRACE = timedelta(minutes=10)
LOOK_AGAIN_SECONDS = 15.0


def kinds_here() -> list[str]:
    return sorted(spec.kind for spec in registry.all_specs())


class Lacking:
    """The jobs one worker passes over: its kinds, and a job's version, stay as they are."""

    def __init__(self, programs: Programs) -> None:
        self._programs = programs
        self._known: dict[int, LacksKind] = {}
        self._looked_at = time.monotonic()

    def job_ids(self) -> list[int]:
        return list(self._known)

    def may_claim(self, job_id: int) -> bool:
        """Asked before a claim; a job that is to be passed over is remembered."""
        try:
            self._programs.of(job_id)
        except LacksKind as lacks:
            self._known[job_id] = lacks
            _leave(job_id, lacks)
            return False
        except Job.DoesNotExist:
            return False
        except CannotCompile:
            return True  # whoever claims it fails it, with the reason
        return True

    def look_after(self) -> None:
        """Every now and then: do the jobs that are passed over still have somebody?"""
        if not self._known or time.monotonic() - self._looked_at < LOOK_AGAIN_SECONDS:
            return
        self._looked_at = time.monotonic()
        due = due_jobs().order_by().filter(pk__in=self._known).values_list("pk", flat=True)
        self._known = {pk: self._known[pk] for pk in due}
        for job_id, lacks in self._known.items():
            _leave(job_id, lacks)


def _leave(job_id: int, lacks: LacksKind) -> None:
    """To another worker; where none has the kind, say so, and in the end fail the job."""
    if any(lacks.kind in (kinds or ()) for kinds in _kinds_of_workers_up()):
        return
    job = Job.objects.only("created_at", "resumed_at").get(pk=job_id)
    told = JobEvent.objects.filter(
        job_id=job_id, kind=EventKind.KIND_MISSING, at__gte=job.resumed_at or job.created_at
    )
    if not told.exists():
        events.emit(
            job_id, EventKind.KIND_MISSING,
            f"{lacks} Left for a worker that has it; without one the job fails in "
            f"{GRACE.seconds // 60} minutes.",
            payload={"kind": lacks.kind},
        )  # fmt: skip
    elif told.filter(at__lt=Now() - GRACE).exists():
        with transaction.atomic():
            stop_pending_batches(job_id)
            Job.objects.filter(pk=job_id, stop_error="").update(
                stop_error=str(lacks), error_type="configuration"
            )
            settle.settle(job_id)


def _kinds_of_workers_up() -> list[list[str] | None]:
    """None where an older worker does not say."""
    return list(Worker.objects.up().values_list("step_kinds", flat=True))
