"""Runs that wait for the month's plan: made but not charged, let in when there is room.

The oldest of a team comes first, and those behind it wait for it, so that a large one is not
passed by small ones for ever. A launch that fits is never held up by one that waits.
"""

from django.db import transaction
from django.db.models import QuerySet

from jobs import events
from jobs.events import EventKind
from jobs.execution import hints, plan
from jobs.execution.errors import Refused
from jobs.models import Job
from jobs.rounds import one_by_one
from jobs.statuses import ACTIVE_JOB_STATUSES, JobStatus

JOBS = 50  # a round lets in of each team


def held() -> "QuerySet[Job]":
    return Job.objects.filter(
        plan_held_at__isnull=False, status__in=ACTIVE_JOB_STATUSES, cancel_requested_at=None
    ).filter(status=JobStatus.PENDING)


def let_in() -> int:
    """One round of the sweep: charge and queue what the plan has room for; how many."""
    teams = held().order_by("team_id").values_list("team_id", flat=True).distinct()
    return one_by_one(list(teams), _let_in_of, what="A team's runs that wait for its plan")


def _let_in_of(team_id: int) -> int:
    count = 0
    for job in held().filter(team_id=team_id).select_related("team").order_by("pk")[:JOBS]:
        # Asked before: a round that changes nothing should write nothing.
        if not plan.state(job.team).fits(job.total_count) or not _let_in(job):
            break
        count += 1
    return count


def _let_in(job: Job) -> bool:
    """False: another launch took the room."""
    with transaction.atomic():
        try:
            plan.charge(job.team, records=job.total_count)
        except Refused:
            return False
        if not held().filter(pk=job.pk).update(plan_held_at=None):
            transaction.set_rollback(True)  # cancelled, or let in by another sweep
            return True
        events.emit(
            job.pk, EventKind.PLAN_HAD_ROOM, "The plan has room: queued for the workers.",
            payload={"records": job.total_count},
        )  # fmt: skip
        hints.hint_on_commit()
    return True
