"""Launch: one transaction writes job, usage, first slice of records and the first events."""

import time
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Max
from django.db.models.functions import Now

from accounts.models import Team
from accounts.permissions import Actor
from jobs import events
from jobs.events import EventKind
from jobs.execution import hints, plan, planning
from jobs.execution.errors import Refused
from jobs.execution.selection import Selection
from jobs.models import Agent, Batch, Job, JobType, Record
from jobs.models.agents import AgentKind
from jobs.models.jobs import JobKind
from jobs.notices import following
from jobs.statuses import Effort
from projects.models import Pipeline, PipelineVersion, Project


def dispatch_spinner(
    spinner: Pipeline,
    actor: Actor,
    *,
    selection: Selection,
    effort: str = "",
    options: dict[str, Any] | None = None,
    launch_key: str | None = None,
    source: str | None = None,
    scheduled_for: datetime | None = None,
    waits_for_plan: bool = False,
) -> Job:
    """Start a run over the selected contacts; how many they are is fixed here.

    `waits_for_plan`: where the month's plan has no room now, the run is made all the same, waits
    uncharged, and starts by itself when there is (jobs/execution/plan_waits.py).

    `options`: {"failure_limit_percent", "pace_per_minute", "concurrency"}. A second launch with
    the same `launch_key` returns the first one's job. Raises Refused PLAN_LIMIT, NOT_PUBLISHED,
    NO_CONTACTS.
    """
    version = published_version(spinner)
    if spinner.project is None:
        raise Refused("A workflow runs once; it takes no contacts.", code="NOT_PUBLISHED")
    if earlier := _launched(launch_key, spinner.team_id):
        return earlier
    project = spinner.project
    contacts = selection.contacts(project)
    count = contacts.count()
    if not count:
        raise Refused("The selection holds no contacts.", code="NO_CONTACTS")
    job = Job(
        kind=JobKind.SPINNER, project=project, total_count=count, selection=selection.as_json(),
        name=spinner.name, label=spinner.name, options=_checked(options or {}),
        input={"contacts": selection.describe()},
        planning_ceiling=contacts.order_by().aggregate(last=Max("pk"))["last"] or 0,
    )  # fmt: skip
    return launch(
        job, spinner, version, actor, effort=effort, launch_key=launch_key, source=source,
        scheduled_for=scheduled_for, waits_for_plan=waits_for_plan,
    )  # fmt: skip


def dispatch_workflow(
    workflow: Pipeline,
    actor: Actor,
    *,
    project: Project,
    input: dict[str, Any],  # noqa: A002 -- the job's field of that name
    agent: Agent | None = None,
    effort: str = "",
    ticket_url: str = "",
    launch_key: str | None = None,
    source: str | None = None,
) -> Job:
    """Run a workflow once: one record without a contact. Raises Refused as dispatch_spinner."""
    version = published_version(workflow)
    if earlier := _launched(launch_key, workflow.team_id):
        return earlier
    if project.team_id != workflow.team_id or (agent and agent.team_id != workflow.team_id):
        raise Refused("Project, agent and workflow must be of one team.", code="NOT_PUBLISHED")
    key = ticket_key(ticket_url)
    job = Job(
        kind=JobKind.WORKFLOW, project=project, total_count=1, agent=agent,
        agent_name=agent.name if agent else "", input=input, ticket_url=ticket_url,
        ticket_key=key, name=f"{workflow.slug} — {key or 'queued'}", label=workflow.name,
    )  # fmt: skip
    return launch(
        job, workflow, version, actor, effort=effort, launch_key=launch_key, source=source
    )


def ticket_key(url: str) -> str:
    """The last part of a ticket's address: https://x.example/browse/OPS-12?a=b → OPS-12."""
    path = url.split("?")[0].split("#")[0].rstrip("/")
    return path.rsplit("/", 1)[-1][:60] if "/" in path else path[:60]


def launch(
    job: Job,
    pipeline: Pipeline,
    version: PipelineVersion,
    actor: Actor,
    *,
    effort: str,
    launch_key: str | None,
    source: str | None,
    scheduled_for: datetime | None = None,
    resend_of: Job | None = None,
    waits_for_plan: bool = False,
) -> Job:
    job.team_id = pipeline.team_id
    job.pipeline, job.version, job.workflow_slug = pipeline, version, pipeline.slug
    job.job_type = JobType.objects.filter(slug=pipeline.job_type_slug).first()
    job.effort_level = effort or pipeline.default_effort
    if job.effort_level and job.effort_level not in Effort.values:
        raise Refused(f"Effort is max, high or medium, not {effort!r}.", code="BAD_EFFORT")
    job.steps = [{"name": step["name"], "kind": step["kind"]} for step in version.steps]
    job.step_count = len(version.steps)
    job.created_by, job.created_by_name = actor.user, actor.name
    job.source, job.launch_key = source or actor.source, launch_key
    job.scheduled_for, job.resend_of, job.created_at = scheduled_for, resend_of, Now()
    try:
        with transaction.atomic():
            began = time.monotonic()
            refusal = _charge(job, pipeline, may_wait=waits_for_plan)
            ensure_pool(pipeline.team_id)
            job.save(force_insert=True)
            following.begin(job.pk, actor)
            events.emit(
                job.pk, EventKind.CREATED, _created_text(job), actor=actor,
                payload={"phase": "init", "version": version.number, "total": job.total_count},
            )  # fmt: skip
            if job.kind == JobKind.WORKFLOW:
                _plan_single(job)
            else:
                planning.plan_first_slice(job)
            ms = (time.monotonic() - began) * 1000
            events.emit(
                job.pk, EventKind.QUEUED,
                f"Waits for the plan. {refusal}" if refusal else "Queued for the workers.",
                payload={"phase": "init", "ms": round(ms, 1)},
            )  # fmt: skip
            hints.hint_on_commit()
    except IntegrityError:
        # Another launch with the same key, or another resend of the same job, was first.
        if earlier := _launched(launch_key, pipeline.team_id):
            return earlier
        raise
    job.refresh_from_db()
    return job


def _charge(job: Job, pipeline: Pipeline, *, may_wait: bool) -> Refused | None:
    """Charge the plan; or mark the job as waiting for it, and return what the plan said."""
    try:
        plan.charge(pipeline.team, records=job.total_count)
    except Refused as refusal:
        team = Team.objects.get(pk=pipeline.team_id)  # its limits of this moment
        if not may_wait or not plan.state(team).ever_fits(job.total_count):
            raise
        job.plan_held_at = Now()
        return refusal
    return None


def _plan_single(job: Job) -> None:
    batch = Batch.objects.create(
        job=job, team_id=job.team_id, number=1, record_count=1, due_at=Now(), created_at=Now()
    )
    Record.objects.create(
        job=job, team_id=job.team_id, project_id=job.project_id,
        pipeline_id=job.pipeline_id, batch=batch, position=1,
        contact_name=job.ticket_key or job.label, created_at=Now(),
    )  # fmt: skip
    Job.objects.filter(pk=job.pk).update(planned_count=1)


def ensure_pool(team_id: int) -> Agent:
    """The team's default worker pool, made at its first launch."""
    pool = Agent.objects.filter(team_id=team_id, kind=AgentKind.POOL, is_default=True).first()
    if pool is None:
        pool, _ = Agent.objects.get_or_create(
            team_id=team_id, name="worker-pool",
            defaults={"kind": AgentKind.POOL, "is_default": True, "label": "Worker pool"},
        )  # fmt: skip
    return pool


def published_version(pipeline: Pipeline) -> PipelineVersion:
    if pipeline.current_version is None:
        raise Refused(f"{pipeline.name} is a draft: publish it first.", code="NOT_PUBLISHED")
    if pipeline.archived_at:
        raise Refused(f"{pipeline.name} is archived: restore it first.", code="NOT_PUBLISHED")
    return pipeline.current_version


def _launched(launch_key: str | None, team_id: int) -> Job | None:
    if not launch_key:
        return None
    return Job.objects.filter(launch_key=launch_key, team_id=team_id).first()


def _checked(options: dict[str, Any]) -> dict[str, Any]:
    allowed = {"failure_limit_percent": 100, "pace_per_minute": 1_000_000, "concurrency": 1_000}
    kept = {}
    for key, value in options.items():
        if value in (None, ""):
            continue
        if key not in allowed or not 1 <= int(value) <= allowed[key]:
            raise Refused(
                f"{key} should be a number from 1 to {allowed.get(key, 0):,}.", code="BAD_OPTION"
            )
        kept[key] = int(value)
    return kept


def _created_text(job: Job) -> str:
    if job.kind == JobKind.WORKFLOW:
        return f"Created by {job.created_by_name}."
    return f"Created by {job.created_by_name} for {job.total_count:,} contacts."
