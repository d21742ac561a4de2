"""The queue as people see it: pending jobs in the order they will be dispatched, and why they wait.

Places are counted within a team: what other teams have queued shows nowhere.
"""

import re
from bisect import bisect_left
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Self

from django.db.models import Count, Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.functional import cached_property

from accounts.models import Team
from accounts.permissions import admins_of
from config.prepared import Prepared
from jobs.execution import plan
from jobs.execution.plan import PlanState
from jobs.models import Agent, Job, ListedJob, Worker
from jobs.models.agents import AgentKind, is_silent
from jobs.models.jobs import JobKind
from jobs.querysets.keyset import COUNT_CAP
from jobs.statuses import ACTIVE_JOB_STATUSES, JobStatus
from projects.models import Project

DISPATCHED_KINDS = (JobKind.SPINNER, JobKind.WORKFLOW)
MOST_NAMED = 3
START_WORKERS = "Start one with: uv run manage.py up."


@dataclass(slots=True)
class Queued:
    """`place` counts from 1; 0 for a job that is held back and so has none."""

    job: Job
    place: int
    reason: str


class Pause(NamedTuple):
    """What a project says of its pause, if it is paused."""

    name: str
    paused_at: datetime | None
    paused_by_name: str
    pause_reason: str


class PendingJob(NamedTuple):
    """What a reason needs of a job; many are read for a list, so no models."""

    id: int
    team_id: int
    project_id: int
    agent_id: int | None
    total_count: int
    cancel_requested_at: datetime | None
    scheduled_for: datetime | None
    plan_held_at: datetime | None
    steps: list[dict[str, str]] | None

    @classmethod
    def of(cls, job: Job | ListedJob) -> Self:
        steps = job.pending_steps if isinstance(job, ListedJob) else job.steps
        return cls._make([*(getattr(job, name) for name in cls._fields[:-1]), steps])


class LineAgent(NamedTuple):
    id: int
    name: str
    kind: str
    capacity: int
    is_draining: bool
    last_heartbeat_at: datetime | None
    busy: int  # jobs it runs


@dataclass
class TeamState:
    """What the reasons of one team's jobs rest on; four queries, and more once a job waits for the
    plan."""

    team_id: int
    has_workers: bool
    agents: Mapping[int, LineAgent]
    paused: Mapping[int, Pause]  # by project
    kinds: frozenset[str] | None = None  # of steps that workers up can do; None: not known

    @cached_property
    def free(self) -> dict[int, int]:
        """Agent id → jobs it could take now."""
        return {
            agent.id: 0 if agent.is_draining else max(agent.capacity - agent.busy, 0)
            for agent in self.agents.values()
        }

    @property
    def pools(self) -> list[int]:
        return [pk for pk, agent in self.agents.items() if agent.kind == AgentKind.POOL]

    @property
    def pool_has_room(self) -> bool:
        return any(self.free[pk] > 0 for pk in self.pools)

    @cached_property
    def plan(self) -> PlanState:
        return plan.state(Team.objects.get(pk=self.team_id))

    @cached_property
    def first_held(self) -> int | None:
        held = pending_of(self.team_id).filter(plan_held_at__isnull=False, cancel_requested_at=None)
        return held.order_by("pk").values_list("pk", flat=True).first()

    @cached_property
    def who_can_change(self) -> str:
        """ "an admin of the team (Ada Admin, Bo Boss)": whom to ask."""
        names = admins_of(self.team_id)
        return f"an admin of the team ({', '.join(names)})" if names else "an admin of the team"


def state_of(team_id: int) -> TeamState:
    busy = dict(_BUSY.rows(team_id=team_id))
    agents = [LineAgent._make([*row, busy.get(row[0], 0)]) for row in _AGENTS.rows(team_id=team_id)]
    workers = [kinds for (kinds,) in _WORKERS.rows()]
    said = [kinds for kinds in workers if kinds is not None]
    kinds: frozenset[str] | None = frozenset().union(*said) if said else None
    paused = {
        project_id: Pause._make(pause) for project_id, *pause in _PAUSED.rows(team_id=team_id)
    }
    return TeamState(team_id, bool(workers), {agent.id: agent for agent in agents}, paused, kinds)


def held_back(now: datetime) -> Q:
    """Pending, yet not in the line: paused project, a time that has not come, a plan without room."""
    return (
        Q(project__paused_at__isnull=False)
        | Q(scheduled_for__gt=now)
        | Q(plan_held_at__isnull=False)
    )


def pending_of(team_id: int) -> QuerySet[Job]:
    """A team's pending jobs that Spindle dispatches; what other programs report starts elsewhere."""
    return Job.objects.filter(
        team_id=team_id, status__in=ACTIVE_JOB_STATUSES, kind__in=DISPATCHED_KINDS
    ).filter(status=JobStatus.PENDING)


def in_line(team_id: int, now: datetime | None = None) -> QuerySet[Job]:
    """A team's pending jobs in true order: jobs never claimed go first, the oldest first."""
    now = now or timezone.now()
    return (
        pending_of(team_id).exclude(held_back(now)).filter(cancel_requested_at=None).order_by("pk")
    )


def queued(jobs: Iterable[Job], *, team_id: int, first_place: int = 1) -> list[Queued]:
    """Places and reasons of one team's jobs, given in order."""
    now = timezone.now()
    state = state_of(team_id)
    place = first_place
    rows = []
    for job in jobs:
        is_later = bool(job.scheduled_for and job.scheduled_for > now)
        is_held = job.project_id in state.paused or bool(job.plan_held_at) or is_later
        rows.append(
            Queued(job, 0 if is_held else place, reason(PendingJob.of(job), state, place, now))
        )
        place += 0 if is_held else 1
    return rows


def pending_reason(job: Job) -> str:
    """One sentence: why this pending job has not started (D4); "" for any other."""
    return pending_reasons([job.pk]).get(job.pk, "") if job.status == JobStatus.PENDING else ""


def stands_without_worker(job: Job) -> bool:
    """Of work that Spindle's own workers have begun, and none of them is up any more."""
    if job.status != JobStatus.RUNNING or job.kind not in DISPATCHED_KINDS:
        return False
    is_remote = job.agent is not None and job.agent.kind == AgentKind.REMOTE
    return not is_remote and not Worker.objects.up().exists()


def pending_reasons(job_ids: Collection[int]) -> dict[int, str]:
    """The same for many jobs, by id; one query more than `reasons_of`."""
    return reasons_of(PendingJob._make(row) for row in _PENDING.rows(job_ids=list(job_ids)))


def reasons_of(jobs: Iterable[PendingJob]) -> dict[int, str]:
    """By id, of jobs that Spindle dispatches: five queries for each of their teams."""
    now = timezone.now()
    by_team: dict[int, list[PendingJob]] = {}
    for job in jobs:
        by_team.setdefault(job.team_id, []).append(job)
    reasons = {}
    for team_id, of_team in by_team.items():
        state = state_of(team_id)
        line = _LINE.rows(team_id=team_id, before=max(job.id for job in of_team))
        before = [job_id for job_id, project_id in line if project_id not in state.paused]
        for job in of_team:
            reasons[job.id] = reason(job, state, bisect_left(before, job.id) + 1, now)
    return reasons


def paused_words(project: Project | Pause) -> str:
    """Who paused a project, when and why, in one sentence (G6)."""
    why = f": {project.pause_reason}" if project.pause_reason else ""
    since = timezone.localtime(project.paused_at)
    return f"{project.name} was paused by {project.paused_by_name}, {since:%d %b %H:%M %Z}{why}."


def reason(job: PendingJob, state: TeamState, place: int, now: datetime) -> str:
    if job.cancel_requested_at:
        return "Being cancelled."
    if pause := state.paused.get(job.project_id):
        return paused_words(pause)
    if job.scheduled_for and job.scheduled_for > now:
        return f"Scheduled for {timezone.localtime(job.scheduled_for):%d %b %Y, %H:%M %Z}."
    if job.plan_held_at:
        return _of_plan(job, state)
    where = f"place {place:,} in the queue" if place <= COUNT_CAP else "far back in the queue"
    agent = state.agents.get(job.agent_id or 0)
    is_for_workers = agent is None or agent.kind == AgentKind.POOL
    if is_for_workers and state.has_workers and (kind := _missing_kind(job, state)):
        return f"No worker that is up has the step kind {kind!r}; {where}."
    if agent is not None:
        return _of_agent(agent, state, where, now)
    if not state.has_workers:
        return f"No worker is up; {where}. {START_WORKERS}"
    if not state.pool_has_room and state.agents:
        return f"All agents are busy; {where}. {_of_capacity(state, state.pools)}".rstrip()
    return f"Next to start; {where}." if place == 1 else f"In line; {where}."


_PLACE = re.compile(r"; (place [\d,]+|far back) in the queue\.")


def place_first(text: str) -> str:
    """ "host-1 is busy; place 2 in the queue." → "Place 2: host-1 is busy.", where there is little
    room to read on.
    """
    found = _PLACE.search(text)
    if found is None:
        return text
    return f"{found[1].capitalize()}: {text[: found.start()]}.{text[found.end() :]}"


def _missing_kind(job: PendingJob, state: TeamState) -> str:
    """A kind of its steps that no worker has; "" where all are there, or nobody says."""
    if state.kinds is None:
        return ""
    return min({step["kind"] for step in job.steps or []} - state.kinds, default="")


def _of_plan(job: PendingJob, state: TeamState) -> str:
    """Which limit of the plan holds it, until when, and who can change it (P3)."""
    plan_state = state.plan
    if state.first_held is not None and state.first_held < job.id:
        return f"Waits for the plan behind job #{state.first_held}, which came first."
    if plan_state.fits(job.total_count):
        return "The plan has room again: it starts within seconds."
    if not plan_state.has_job_left:
        limit = f"the {plan_state.jobs_allowed or 0:,} jobs of this month are used up"
    else:
        limit = (
            f"it needs {job.total_count:,} record{'s' * (job.total_count != 1)}, and "
            f"{plan_state.records_left or 0:,} of this month's {plan_state.records_allowed or 0:,} "
            "are left"
        )
    return (
        f"Waits for the plan: {limit}. It starts by itself when the month resets on "
        f"{plan_state.resets_on:%-d %B %Y}, or as soon as {state.who_can_change} raises the limit."
    )


def _of_capacity(state: TeamState, agent_ids: list[int]) -> str:
    """The limit that makes a job wait for its turn, and who can change it (P3)."""
    full = [pk for pk in agent_ids if not state.agents[pk].is_draining]
    if not full:
        return ""
    told = ", ".join(
        f"{state.agents[pk].name} runs {state.agents[pk].busy:,} of at most "
        f"{state.agents[pk].capacity:,}" for pk in full[:MOST_NAMED]
    )  # fmt: skip
    return f"{told} at once; {state.who_can_change} can raise its capacity."


def _of_agent(agent: LineAgent, state: TeamState, where: str, now: datetime) -> str:
    name = agent.name
    if agent.is_draining:
        return f"{name} is draining and takes no more jobs; {where}."
    if agent.kind == AgentKind.REMOTE:
        if is_silent(agent.last_heartbeat_at, now):
            return f"No free agent: {name} is offline; {where}."
    elif not state.has_workers:
        return f"No worker is up for {name}; {where}. {START_WORKERS}"
    if state.free.get(agent.id, 0) <= 0:
        return f"{name} is busy; {where}. {_of_capacity(state, [agent.id])}"
    return (
        f"Next to start on {name}; {where}."
        if "place 1 " in where
        else f"In line for {name}; {where}."
    )


_PENDING = Prepared(
    lambda job_ids: Job.objects.filter(
        id__in=job_ids, status=JobStatus.PENDING, kind__in=DISPATCHED_KINDS
    ).values_list(*PendingJob._fields)
)
_PAUSED = Prepared(
    lambda team_id: (
        Project.objects.filter(team_id=team_id, paused_at__isnull=False)
        .order_by()
        .values_list("id", *Pause._fields)
    )
)
_AGENTS = Prepared(
    lambda team_id: Agent.objects.filter(team_id=team_id).values_list(*LineAgent._fields[:-1])
)
# Off the running jobs alone: joined to the agents, every job they ever had would be read.
_BUSY = Prepared(
    lambda team_id: (
        Job.objects.running()
        .filter(team_id=team_id, agent__isnull=False)
        .order_by()
        .values_list("agent_id")
        .annotate(count=Count("pk"))
    )
)
_WORKERS = Prepared(lambda: Worker.objects.up().values_list("step_kinds"))
# As in_line, but of paused projects too; narrow, for it may be long.
_LINE = Prepared(
    lambda team_id, before: (
        pending_of(team_id)
        .filter(cancel_requested_at=None, plan_held_at=None, pk__lt=before)
        .exclude(scheduled_for__gt=Now())
        .order_by("pk")
        .values_list("pk", "project_id")[: COUNT_CAP + 1]
    )
)
