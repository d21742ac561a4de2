"""Who works on what: batches are taken by one conditional UPDATE, for a while, with a fence.

Locks are taken in the order batch, records, job everywhere, so that claims, commits and verbs
cannot wait for one another in a circle.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Count, Exists, F, Max, OuterRef, Q, QuerySet, Subquery, Window
from django.db.models.functions import Coalesce, Now

from jobs import clock, events
from jobs.events import EventKind
from jobs.models import Agent, Batch, Job
from jobs.models.agents import AgentKind
from jobs.models.jobs import JobKind
from jobs.statuses import ACTIVE_JOB_STATUSES, BatchStatus, JobStatus

LOOKED_AT = 20  # jobs a claim tries in turn before it says that there is nothing
PACED_AHEAD = timedelta(seconds=5)


@dataclass(slots=True, frozen=True)
class Claim:
    batch_id: int
    job_id: int
    team_id: int
    fence: int
    attempt: int
    commit_number: int
    is_split: bool
    owner: str


def lease() -> timedelta:
    return timedelta(seconds=settings.LEASE_SECONDS)


def due_jobs() -> "QuerySet[Job]":
    """Jobs with a batch to take now, in the true order of dispatch: teams take turns, and within
    a team its jobs do.
    """
    due = Batch.objects.filter(job_id=OuterRef("pk"), status=BatchStatus.PENDING, due_at__lte=Now())
    return (
        Job.objects.filter(
            Q(scheduled_for=None) | Q(scheduled_for__lte=Now()),
            # A paced run whose next turns are taken: another batch of it would find none.
            Q(paced_until=None) | Q(paced_until__lte=Now() + PACED_AHEAD),
            Q(agent=None) | Q(agent__kind=AgentKind.POOL),
            status__in=ACTIVE_JOB_STATUSES,
            kind__in=(JobKind.SPINNER, JobKind.WORKFLOW),
            cancel_requested_at=None,
            stop_error="",
            project__paused_at=None,
            plan_held_at=None,
        )
        .filter(Exists(due))
        .annotate(team_turn=Window(Max("last_claimed_at"), partition_by=F("team_id")))
        .order_by(
            F("team_turn").asc(nulls_first=True), F("last_claimed_at").asc(nulls_first=True), "pk"
        )
    )


def claim_next(
    owner: str,
    *,
    without_jobs: Collection[int] = (),
    without_teams: Collection[int] = (),
    may_claim: Callable[[int], bool] | None = None,
) -> Claim | None:
    """The next batch in turn, or None. `without_…`: of which this worker has enough. `may_claim`:
    whether this worker can do a job at all.
    """
    due = due_jobs().exclude(pk__in=without_jobs) if without_jobs else due_jobs()
    if without_teams:
        due = due.exclude(team_id__in=without_teams)
    jobs = due.values_list("pk", "status", "agent_id", "team_id")
    # Jobs that wait for an agent stand in front of those that run: where they are many, the
    # database passes them over.
    for looked_at in (jobs, jobs.filter(_may_run())):
        found = list(looked_at[:LOOKED_AT])
        for job_id, status, agent_id, team_id in found:
            if status == JobStatus.PENDING and not _has_free_agent(agent_id, team_id):
                continue
            if may_claim and not may_claim(job_id):
                continue
            claim = _claim_of(job_id, owner)
            if claim:
                return claim
        if len(found) < LOOKED_AT:
            return None
    return None


def _may_run() -> Q:
    """It has begun, or there is an agent for it."""
    free = _pools().filter(busy__lt=F("capacity"))
    return (
        ~Q(status=JobStatus.PENDING)
        | Q(agent=None, team__in=free.values("team"))
        | Q(agent__in=free.values("pk"))
    )


def _claim_of(job_id: int, owner: str) -> Claim | None:
    waiting = Batch.objects.filter(job_id=job_id, status=BatchStatus.PENDING, due_at__lte=Now())
    rows = waiting.order_by("due_at", "number").values_list(
        "pk", "team_id", "fence", "attempt_count", "commit_number", "is_split", Now()
    )
    asked_at = clock.ticks()
    for batch_id, team_id, fence, attempt, commit_number, is_split, now in list(rows[:4]):
        clock.learn(now, asked_at)
        with transaction.atomic():
            taken = waiting.filter(pk=batch_id, fence=fence).update(
                status=BatchStatus.RUNNING, lease_owner=owner,
                lease_expires_at=Now() + lease(), fence=fence + 1, attempt_count=attempt + 1,
            )  # fmt: skip
            if not taken:
                continue  # somebody else has it
            if not _enter_job(job_id):
                transaction.set_rollback(True)
                return None
            return Claim(
                batch_id=batch_id, job_id=job_id, team_id=team_id, fence=fence + 1,
                attempt=attempt + 1, commit_number=commit_number, is_split=is_split, owner=owner,
            )  # fmt: skip
    return None


def _enter_job(job_id: int) -> bool:
    """Mark the job's turn; start it if this is its first. False where it may not run (any more)."""
    open_jobs = Job.objects.filter(
        pk=job_id, status__in=ACTIVE_JOB_STATUSES, cancel_requested_at=None, stop_error=""
    )
    turn = {"last_claimed_at": Now(), "last_heartbeat_at": Now()}
    if open_jobs.filter(status=JobStatus.RUNNING).update(**turn):
        return True
    if not open_jobs.update(**turn):
        return False
    status, agent_id, team_id = open_jobs.values_list("status", "agent_id", "team_id").get()
    if status == JobStatus.RUNNING:
        return True
    agent: Agent | None = None
    if status == JobStatus.PENDING:
        agent = _take_agent(agent_id, team_id)
        if agent is None:
            return False
        open_jobs.update(agent=agent, agent_name=agent.name)
    open_jobs.update(status=JobStatus.RUNNING, started_at=Coalesce(F("started_at"), Now()))
    if agent is None:
        events.emit(job_id, EventKind.RESUMED, "At work again.", payload={"phase": "execution"})
        return True
    tell_start(job_id, agent)
    return True


def tell_start(job_id: int, agent: Agent) -> None:
    created_at, steps = Job.objects.values_list("created_at", "steps").get(pk=job_id)
    waited = max(0.0, (clock.now() - created_at).total_seconds())
    events.emit(
        job_id, EventKind.CLAIMED, f"Taken by {agent.name} after {waited:.1f} s in the queue.",
        payload={"phase": "agent_setup", "agent": agent.name, "queued_seconds": round(waited, 3)},
    )  # fmt: skip
    events.emit(
        job_id, EventKind.STARTED, f"Started: {len(steps)} steps.",
        payload={"phase": "execution", "agent": agent.name},
    )  # fmt: skip


def _pools() -> "QuerySet[Any]":
    """Pools that take jobs, with how many each runs as `busy`; ended jobs are not looked at."""
    running = (
        Job.objects.filter(
            team_id=OuterRef("team_id"), agent_id=OuterRef("pk"),
            status__in=ACTIVE_JOB_STATUSES,
        )
        .filter(status=JobStatus.RUNNING)
        .order_by()
        .values("team_id")
        .annotate(count=Count("pk"))
        .values("count")
    )  # fmt: skip
    return Agent.objects.filter(kind=AgentKind.POOL, is_draining=False).annotate(
        busy=Coalesce(Subquery(running), 0)
    )


def _candidates(agent_id: int | None, team_id: int) -> "QuerySet[Agent]":
    free = _pools().filter(team_id=team_id, busy__lt=F("capacity"))
    free = free.order_by("-is_default", "busy", "pk")
    return free.filter(pk=agent_id) if agent_id else free


def _has_free_agent(agent_id: int | None, team_id: int) -> bool:
    return _candidates(agent_id, team_id).exists()


def _take_agent(agent_id: int | None, team_id: int) -> Agent | None:
    """A pool with room. Its row is locked first, so that two starts at once count one another."""
    agent: Agent
    for agent in _candidates(agent_id, team_id)[:5]:
        Agent.objects.filter(pk=agent.pk).update(last_job_at=Now())
        if _candidates(agent.pk, team_id).exists():
            return agent
    return None


def finish(claim: Claim) -> bool:
    """The batch is through. False: its lease had been taken over."""
    return bool(
        Batch.objects.filter(pk=claim.batch_id, fence=claim.fence, status=BatchStatus.RUNNING)
        .update(
            status=BatchStatus.DONE, lease_owner="", lease_expires_at=None,
            finished_at=Now(),
        )
    )  # fmt: skip


def release(claim: Claim) -> bool:
    """Give a batch back untouched (a worker that stops): the next takes it at once, and this
    attempt does not count.
    """
    return bool(
        Batch.objects.filter(pk=claim.batch_id, fence=claim.fence, status=BatchStatus.RUNNING)
        .update(
            status=BatchStatus.PENDING, lease_owner="", lease_expires_at=None,
            attempt_count=F("attempt_count") - 1,
        )
    )  # fmt: skip


def extend(owner: str, claims: Collection[Claim]) -> int:
    """Heartbeat: extend the leases that are still ours, by the database's clock."""
    ids = [claim.batch_id for claim in claims]
    extended = Batch.objects.filter(
        pk__in=ids, status=BatchStatus.RUNNING, lease_owner=owner
    ).update(lease_expires_at=Now() + lease())
    jobs = {claim.job_id for claim in claims}
    Job.objects.filter(pk__in=jobs, status=JobStatus.RUNNING).update(last_heartbeat_at=Now())
    return extended
