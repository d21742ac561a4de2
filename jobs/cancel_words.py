"""What a cancelled job's history says of its end (D14): what became of whoever was at work, and
what was not undone. Its page shows the same sentences.
"""

from django.db.models import QuerySet

from jobs.events import EventKind
from jobs.models import Job, JobEvent, StepCount
from jobs.models.agents import AgentKind
from jobs.models.jobs import REPORTED_KINDS, JobKind

UNKNOWN_WORK = "What it had done is not known here and was not undone."


def cancelled_text(job: Job) -> str:
    """At the end of a job, in its transaction."""
    if job.started_at is None:
        return "Cancelled before it began: nothing was done."
    return f"Cancelled; {_who_stopped(job)}. {_not_undone(job)}"


def story(job: Job) -> str:
    """For the page of a cancelled job; one query."""
    said = (
        _events(job, EventKind.CANCELLED).order_by("-number").values_list("message", flat=True)
    ).first()
    by = f" by {job.cancel_requested_by_name}" if job.cancel_requested_by_name else ""
    if said is None and job.is_corrected:
        return "Set to cancelled by hand: its history says why."
    if said is None:
        did = "nothing was done" if job.started_at is None else "what had been done was not undone"
        return f"Cancelled{by}: {did}."
    if said.startswith("Cancelled"):
        return f"Cancelled{by}{said.removeprefix('Cancelled')}"
    return f"Cancelled{by}. {said}"


def _who_stopped(job: Job) -> str:
    who = _who(job)
    if job.force_stopped_at:
        return f"{who} could not be reached and was cut off; a call on its way may still arrive"
    lost = _events(job, EventKind.LEASE_EXPIRED)
    if lost.filter(at__gte=job.cancel_requested_at).exists():
        return f"{who} was already gone"
    asked = _events(job, EventKind.CANCEL_REQUESTED).order_by("-number").first()
    if asked is None or asked.payload.get("at_work", 1):
        return f"{who} stopped"
    if asked.payload.get("was") == "running" and lost.exists():
        return f"{who} was already gone"
    return "nobody was at work on it"


def _who(job: Job) -> str:
    is_remote = job.agent is not None and job.agent.kind == AgentKind.REMOTE
    return job.agent_name if job.agent_name and (is_remote or _is_reported(job)) else "the worker"


def _not_undone(job: Job) -> str:
    if _is_reported(job):
        return UNKNOWN_WORK
    finished = job.done_count + job.failed_count + job.uncertain_count
    if job.kind == JobKind.WORKFLOW and not finished:
        step = f"It had come to step {max(job.current_step, 1)} of {job.step_count}"
        return f"{step}; what was done was not undone."
    text = f"{finished:,} of {job.total_count:,} had been worked on, and that was not undone."
    begun = (
        StepCount.objects.filter(job_id=job.pk, step=1).values_list("reached_count", flat=True)
    ).first()
    if (under_way := (begun or 0) - finished) > 0:
        text += f" {under_way:,} more had begun: the steps they had finished stay done."
    if job.uncertain_count:
        text += f" Of {job.uncertain_count:,} it is uncertain whether a call arrived."
    return text


def _is_reported(job: Job) -> bool:
    return job.kind in REPORTED_KINDS


def _events(job: Job, kind: str) -> QuerySet[JobEvent]:
    return JobEvent.objects.filter(job_id=job.pk, kind=kind)
