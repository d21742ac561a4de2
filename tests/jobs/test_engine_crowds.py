"""Many rows that cannot be helped never hide the one that can."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now
from django.utils import timezone

from accounts.permissions import Actor
from jobs.execution import claims, planning, remote, sweep, waits
from jobs.execution.dispatch import approve, dispatch_workflow
from jobs.execution.selection import Selection
from jobs.models import Agent, Batch, IntentLog, Job, Record
from jobs.models.jobs import JobKind
from projects.models import Contact, Pipeline, Project
from tests.jobs.engine_rig import (
    Outside,
    launch,
    outside,
    pipeline_with,
    run_spinner,
    work_off,
)

__all__ = ["outside"]

pytestmark = pytest.mark.django_db

MakeContacts = Callable[..., list[Contact]]
MakeSpinner = Callable[..., Pipeline]
MANY = 8  # more than a claim looks at here
CROWD, BUILDS = 10_000, 1_000


@pytest.fixture
def few_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "LOOKED_AT", MANY - 2)


def test_a_run_goes_on_behind_many_that_wait_for_its_pool(
    make_contacts: MakeContacts, make_spinner: MakeSpinner, few_looked_at: None
) -> None:
    """F22: pending jobs come first in turn; more of them than a claim looks at stopped it all."""
    make_contacts(2)
    spinner = make_spinner()
    running = launch(spinner)
    Agent.objects.update(capacity=1)
    claim = claims.claim_next("first")
    assert claim is not None
    claims.release(claim)
    waiting = [launch(spinner) for _ in range(MANY)]
    again = claims.claim_next("second")
    assert again is not None
    assert again.job_id == running.pk
    claims.release(again)
    assert claims.claim_next("third", without_jobs=[running.pk]) is None
    work_off(running)
    for job in (running, *waiting):
        job.refresh_from_db()
        assert job.status == "completed"


def test_another_team_begins_behind_many_that_have_no_agent(
    make_contacts: MakeContacts,
    make_spinner: MakeSpinner,
    other_project: Project,
    few_looked_at: None,
) -> None:
    """F22: one team's draining pool is nobody else's concern."""
    make_contacts(1)
    spinner = make_spinner()
    for _ in range(MANY):
        launch(spinner)
    Agent.objects.update(is_draining=True)
    make_contacts(1, project=other_project)
    other = launch(make_spinner(project=other_project, slug="other"))
    claim = claims.claim_next("worker")
    assert claim is not None
    assert claim.job_id == other.pk


def test_a_team_s_hanging_calls_leave_a_place_for_every_other_team(
    make_contacts: MakeContacts,
    make_spinner: MakeSpinner,
    outside: Outside,
    other_project: Project,
    settings: Any,
) -> None:
    """F13: as many runs as a worker takes at once, and more of them pending; another team's
    begins before one of them ends."""
    settings.BATCHES_IN_FLIGHT = 1
    make_contacts(1)
    spinner = make_spinner(pipeline_with("act"))
    hanging = [launch(spinner) for _ in range(6)]
    Agent.objects.update(capacity=10)
    make_contacts(1, project=other_project)
    other = launch(make_spinner(pipeline_with("act"), project=other_project, slug="other"))
    hang = {f"{job.pk}-1-2" for job in hanging}
    outside.seconds = lambda record: 0.7 if record.key in hang else 0.0
    work_off(other)
    assert outside.keys.index(f"{other.pk}-1-2") == 4
    assert other.completed_at
    assert other.completed_at < min(Job.objects.get(pk=job.pk).completed_at for job in hanging)


# --- The sweep --------------------------------------------------------------------------------


def crowd_of_batches(job: Job, **fields: Any) -> None:
    """Thousands at work, heard of just now: nothing for the sweep."""
    Batch.objects.bulk_create(
        Batch(job=job, team=job.team, number=n, record_count=1, **{
            "status": "running", "lease_owner": f"host:{n}", **fields,
        })
        for n in range(100, 100 + CROWD)
    )  # fmt: skip


def test_stale_batches_are_found_behind_a_crowd(
    make_contacts: MakeContacts, make_spinner: MakeSpinner, outside: Outside
) -> None:
    """F22: 10,000 batches in front that need nothing, 210 whose rescue fails; of the stale ones
    one has a lease without an end; they come from a wait that has none."""
    make_contacts(2)
    busy = launch(make_spinner())
    crowd_of_batches(busy, lease_expires_at=timezone.now() + timedelta(hours=1))
    ill = Batch.objects.filter(job=busy, number__lt=100 + 210)
    ill.update(lease_expires_at=Now() - timedelta(hours=2))
    IntentLog.objects.bulk_create(
        IntentLog(batch_id=pk, fence=0, records="no JSON")
        for pk in ill.values_list("pk", flat=True)
    )
    pipeline = [
        {"name": "gate", "kind": "wait", "config": {"for": "approval", "prompt": "Well?"}},
        *pipeline_with("act"),
    ]
    job = run_spinner(make_spinner(pipeline, slug="stale"))
    stale = []
    for record in job.records.all():
        approve(record, Actor())
        claim = claims.claim_next("lost:1", without_jobs=[busy.pk])
        assert claim is not None
        stale.append(claim.batch_id)
    over, unknown = stale
    Batch.objects.filter(pk=over).update(lease_expires_at=Now() - timedelta(minutes=1))
    Batch.objects.filter(pk=unknown).update(lease_expires_at=None)
    sweep.sweep()
    assert job.events.filter(kind="batch.lease_expired").count() == 2
    assert set(job.batches.filter(pk__in=stale).values_list("status", flat=True)) == {"pending"}
    assert ill.filter(status="running").count() == 210


def test_a_stopped_run_and_a_lost_task_are_found_behind_a_crowd(
    make_contacts: MakeContacts, make_spinner: MakeSpinner, project: Project
) -> None:
    """F22: 1,000 builds somebody asked to stop, which only their reporter can end; a run stopped
    as it set its last batch aside; a task and a run that were never heard of."""
    make_contacts(1)
    long_ago = timezone.now() - timedelta(hours=1)
    made = {
        "project": project,
        "team": project.team,
        "created_at": long_ago,
        "started_at": long_ago,
    }
    Job.objects.bulk_create(
        Job(
            kind=JobKind.BUILD, name="build", status="running", cancel_requested_at=long_ago, **made
        )
        for _ in range(BUILDS)
    )
    stopped = launch(make_spinner())
    Job.objects.filter(pk=stopped.pk).update(cancel_requested_at=Now(), status="running")
    task = Job.objects.create(kind=JobKind.TASK, name="task", status="running", **made)
    silent = launch(make_spinner(slug="silent"))
    Job.objects.filter(pk=silent.pk).update(status="running", started_at=long_ago)
    silent.batches.update(due_at=long_ago)
    sweep.sweep()
    for job in (stopped, task, silent):
        job.refresh_from_db()
    assert stopped.status == "cancelled"
    assert (task.status, task.error_type) == ("failed", "worker_lost")
    assert silent.stalled_at is not None
    assert "since" in silent.events.get(kind="job.stalled").message
    assert Job.objects.filter(kind=JobKind.BUILD, status="running").count() == BUILDS


def test_a_lost_agent_s_job_without_a_lease_s_end_is_found(
    make_spinner: MakeSpinner, project: Project
) -> None:
    """F22: an agent's batch whose lease has no end comes back as any other lost one."""
    agent = Agent.objects.create(team=project.team, name="se", kind="remote")
    workflow = make_spinner(kind="workflow", project=None, slug="fix", team=project.team)
    job = dispatch_workflow(workflow, Actor(), project=project, input={}, agent=agent)
    held = remote.claim(agent)
    assert held is not None
    job.batches.update(lease_expires_at=None)
    sweep.sweep()
    job.refresh_from_db()
    assert (job.status, job.error_type) == ("failed", "worker_lost")


def test_a_part_that_fails_stops_no_other(
    make_contacts: MakeContacts,
    make_spinner: MakeSpinner,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """F22: waits come due although the parts before them broke."""

    def broken() -> int:
        raise ValueError("broken")

    make_contacts(1)
    gate = {"name": "gate", "kind": "wait", "config": {"for": "time", "until": "1h"}}
    job = run_spinner(make_spinner([gate]))
    job.records.update(wait_until=Now() - timedelta(seconds=1))
    monkeypatch.setattr(sweep, "offer_expired", broken)
    sweep.sweep()
    work_off(job)
    assert job.status == "completed"
    assert "A part of the sweep (broken) failed" in caplog.text


def test_a_small_run_s_wait_ends_while_a_large_one_s_do(
    make_contacts: MakeContacts, make_spinner: MakeSpinner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F22: each run with due waits has its share of a round."""
    monkeypatch.setattr(waits, "ROUND", 10)
    monkeypatch.setattr(waits, "SLICE", 3)
    gate = [{"name": "gate", "kind": "wait", "config": {"for": "time", "until": "1h"}}]
    contacts = make_contacts(30)
    spinner = make_spinner(gate)
    large = run_spinner(spinner)
    small = run_spinner(spinner, selection=Selection(kind="ids", ids=[contacts[0].pk]))
    Record.objects.update(wait_until=Now() - timedelta(seconds=1))
    assert waits.resume_due() == 5 + 1
    assert large.records.filter(status="waiting").count() == 25
    assert not small.records.filter(status="waiting").exists()


def test_records_nobody_makes_any_more_call_a_worker(
    make_contacts: MakeContacts, make_spinner: MakeSpinner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F01: killed while it made the next ones, when no batch was left for anybody else."""
    hints: list[int] = []
    monkeypatch.setattr(planning, "FIRST_SLICE", 2)
    monkeypatch.setattr(sweep, "hint", lambda: hints.append(1))
    make_contacts(4)
    job = launch(make_spinner())
    Batch.objects.filter(job=job).update(due_at=Now() + timedelta(hours=1))
    Job.objects.filter(pk=job.pk).update(planning_leased_until=Now() + timedelta(seconds=30))
    sweep.sweep_and_hint()
    assert hints == []
    Job.objects.filter(pk=job.pk).update(planning_leased_until=Now() - timedelta(seconds=1))
    sweep.sweep_and_hint()
    assert hints == [1]
    assert planning.plan_next()
    Batch.objects.filter(job=job).update(due_at=Now() + timedelta(hours=1))
    sweep.sweep_and_hint()
    assert hints == [1]
    assert job.records.count() == 4
