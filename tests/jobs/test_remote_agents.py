"""Remote agents over the API: claim, report, finish, be cancelled, be lost, come back late."""

from datetime import timedelta

import pytest
from django.core.cache import cache
from django.utils import timezone

from accounts.models import Role
from accounts.permissions import SYSTEM, Actor
from jobs.execution import dispatch, engine, sweep
from jobs.models import Agent, Batch, Job, LateReport
from tests.jobs.test_api import Program, token_of

STEPS = [
    {"name": "analyze", "kind": "template", "config": {"field": "a", "template": "{{ job.id }}"}},
    {"name": "push", "kind": "template", "config": {"field": "b", "template": "x"}},
]


@pytest.fixture
def agent(team) -> Agent:
    cache.clear()
    return Agent.objects.create(team=team, name="host-1", kind="remote", capacity=1)


@pytest.fixture
def program(team) -> Program:
    return Program(token_of(team)[1])


@pytest.fixture
def start(make_spinner, project, team, agent, operator):
    workflow = make_spinner(
        STEPS, kind="workflow", project=None, team=team, slug="se-work", name="SE work"
    )

    def start() -> Job:
        return dispatch.dispatch_workflow(
            workflow, Actor(user=operator), project=project, input={"hint": "look"}, agent=agent,
            ticket_url="https://tracker.example.com/browse/SCRUM-1", effort="max",
        )  # fmt: skip

    return start


def claim(program: Program, agent: Agent, **headers: str):
    return program.post(f"/api/agents/{agent.pk}/claim", {}, **headers)


def test_a_remote_agent_takes_a_job_reports_its_steps_and_finishes_it(program, agent, start):
    """G1: one at a time by its capacity, in order; pools leave its jobs alone."""
    job, second = start(), start()
    engine.run_here()
    job.refresh_from_db()
    assert job.status == "pending"

    taken = claim(program, agent, idempotency_key="first").json()
    assert (taken["id"], taken["workflow"], taken["effort"]) == (job.pk, "se-work", "max")
    assert taken["input"] == {"hint": "look"}
    assert [step["name"] for step in taken["steps"]] == ["analyze", "push"]
    assert claim(program, agent, idempotency_key="first").json() == taken, "asked once more"
    assert claim(program, agent).status_code == 204, "its capacity is one"

    at = f"/api/agents/{agent.pk}/jobs/{job.pk}"
    fence = taken["fence"]
    for step, status in ((1, "started"), (1, "completed"), (1, "completed"), (2, "started")):
        answer = program.post(f"{at}/steps", {"fence": fence, "step": step, "status": status})
        assert answer.json() == {"id": job.pk, "status": "running", "cancel_requested": False}
    beat = program.post(
        f"/api/agents/{agent.pk}/heartbeat",
        {
            "version": "1.2",
            "jobs": [{"job": job.pk, "fence": fence}, {"job": second.pk, "fence": 1}],
        },
    ).json()
    assert beat == {
        "jobs": [{"job": job.pk, "fence": fence, "cancel_requested": False}], "lost": [second.pk],
    }  # fmt: skip
    done = program.post(f"{at}/finish", {"fence": fence, "status": "done", "output": "PR #7"})
    assert done.json()["status"] == "completed"

    job.refresh_from_db()
    agent.refresh_from_db()
    assert (job.output, job.done_count, job.agent_name, agent.version) == (
        "PR #7",
        1,
        "host-1",
        "1.2",
    )
    assert list(job.events.values_list("kind", flat=True)) == [
        "job.created", "job.queued", "job.claimed", "job.started", "step.started",
        "step.completed", "step.started", "job.completed", "job.torn_down",
    ]  # fmt: skip
    assert claim(program, agent).json()["id"] == second.pk


def test_a_failure_names_its_step_and_can_be_retried_from_there(program, agent, start):
    job = start()
    fence = claim(program, agent).json()["fence"]
    at = f"/api/agents/{agent.pk}/jobs/{job.pk}"
    program.post(f"{at}/steps", {"fence": fence, "step": 1, "status": "completed", "ms": 12})
    program.post(
        f"{at}/finish",
        {
            "fence": fence,
            "status": "failed",
            "error": "rejected",
            "error_type": "git_push_rejected",
        },
    )
    job.refresh_from_db()
    assert (job.status, job.error_step, job.error) == ("failed", "2 (push)", "rejected")
    dispatch.retry_failed(job, SYSTEM)
    again = claim(program, agent).json()
    assert (again["id"], again["from_step"]) == (job.pk, 2)
    assert again["fence"] != 0


def test_a_cancel_is_seen_and_the_agent_says_when_it_has_stopped(program, agent, start, operator):
    """D11."""
    job = start()
    fence = claim(program, agent).json()["fence"]
    at = f"/api/agents/{agent.pk}/jobs/{job.pk}"
    unasked = program.post(f"{at}/finish", {"fence": fence, "status": "cancelled"})
    assert (unasked.status_code, unasked.json()["code"]) == (409, "NOT_ASKED")
    dispatch.cancel(job, Actor(user=operator))
    told = program.post(f"{at}/steps", {"fence": fence, "step": 1, "status": "started"}).json()
    assert told == {"id": job.pk, "status": "running", "cancel_requested": True}
    ended = program.post(f"{at}/finish", {"fence": fence, "status": "cancelled"}).json()
    assert (ended["status"], ended["cancel_requested"]) == ("cancelled", False)


@pytest.mark.parametrize(("asked", "ends"), [(False, "failed"), (True, "cancelled")])
def test_a_silent_agent_loses_its_job_and_what_it_brings_later_is_kept(
    program, agent, start, operator, asked, ends
):
    """G2, G3: the late report changes neither the lost job nor its resend."""
    job = start()
    fence = claim(program, agent).json()["fence"]
    if asked:
        dispatch.cancel(job, Actor(user=operator))
    Batch.objects.filter(job=job).update(lease_expires_at=timezone.now() - timedelta(seconds=1))
    sweep.sweep()
    job.refresh_from_db()
    assert job.status == ends
    assert job.events.filter(message__contains="has not been heard of for 60 seconds").exists()
    if not asked:
        assert job.error_type == "worker_lost"
    resent, _ = dispatch.resend(job, SYSTEM)

    late = program.post(
        f"/api/agents/{agent.pk}/jobs/{job.pk}/finish",
        {"fence": fence, "status": "done", "output": "late"},
    )
    assert (late.status_code, late.json()["code"]) == (409, "LATE_REPORT")
    report = LateReport.objects.get(job=job)
    assert (report.reporter, report.fence, report.payload["output"]) == ("host-1", fence, "late")
    job.refresh_from_db()
    resent.refresh_from_db()
    assert (job.status, job.output, resent.status) == (ends, "", "pending")


def test_only_the_holder_reports_and_only_its_team_may(program, agent, start, team, other_team):
    """X1, X3: another agent's report is kept, another team's finds nothing."""
    job = start()
    fence = claim(program, agent).json()["fence"]
    other = Agent.objects.create(team=team, name="host-2", kind="remote")
    path = f"/api/agents/{other.pk}/jobs/{job.pk}/steps"
    foreign = program.post(path, {"fence": fence, "step": 1, "status": "started"})
    assert (foreign.status_code, foreign.json()["code"]) == (409, "LATE_REPORT")
    assert LateReport.objects.get(job=job).reporter == "host-2"
    stranger = Program(token_of(other_team, Role.ADMIN)[1])
    assert claim(stranger, agent).status_code == 404
    assert claim(Program(token_of(team, Role.VIEWER)[1]), agent).status_code == 403
    pool = Agent.objects.create(team=team, name="pool-1")
    assert claim(program, pool).json()["code"] == "NOT_REMOTE"
    Agent.objects.filter(pk=other.pk).update(is_draining=True)
    assert claim(program, other).status_code == 204
