"""Agents (G1) and the queue (G5, G6)."""

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts.permissions import Actor
from jobs import queueing
from jobs.execution import claims
from jobs.execution.dispatch import dispatch_workflow
from jobs.models import Agent, Job, Worker
from projects.models import Pipeline, PipelineVersion

STEPS = [{"name": "end", "kind": "outcome", "config": {"outcome": "done"}}]


@pytest.fixture
def workflow(team):
    pipeline = Pipeline.objects.create(
        team=team, kind="workflow", name="SE work", slug="se-work", draft={"steps": STEPS}
    )
    pipeline.current_version = PipelineVersion.objects.create(
        pipeline=pipeline, number=1, definition={"steps": STEPS}
    )
    pipeline.save()
    return pipeline


@pytest.mark.parametrize(
    ("fields", "running", "state"),
    [({}, 0, "Online"), ({"capacity": 1}, 1, "Busy"), ({"is_draining": True}, 1, "Draining"),
     ({"last_heartbeat_at": None}, 0, "Offline")],
)  # fmt: skip
def test_an_agent_shows_state_heartbeat_job_and_version(
    as_user, viewer, project, fields, running, state
):
    """G1"""
    agent = Agent.objects.create(
        **{
            "team": project.team, "name": "host-1", "kind": "remote", "version": "2.4.1",
            "label": "Tech Lead", "last_heartbeat_at": timezone.now() - timedelta(seconds=12),
            **fields,
        }
    )  # fmt: skip
    for _ in range(running):
        Job.objects.create(
            team=project.team, project=project, kind="workflow", workflow_slug="se-work",
            label="x", name="x", status="running", agent=agent, agent_name="host-1",
            started_at=timezone.now(), ticket_key="SCRUM-1",
        )  # fmt: skip
    html = as_user(viewer).get(reverse("jobs:agents")).content.decode()
    assert f"</span>{state}</span>" in html
    assert "version 2.4.1" in html
    beat = r"last heartbeat <time[^>]*>\d+s ago" if agent.last_heartbeat_at else "heartbeat never"
    assert re.search(beat, html)
    assert ("SE Work SCRUM-1" in html) == bool(running)
    assert "Run job" not in html
    assert "No worker is up" in html


def test_a_pool_follows_the_workers_heartbeat(as_user, operator, team):
    Agent.objects.create(team=team, name="pool-eu", kind="pool")
    client = as_user(operator)
    assert "</span>Offline</span>" in client.get(reverse("jobs:agents")).content.decode()
    Worker.objects.create(name="w@h", host="h", pid=1, version="0.1")
    html = client.get(reverse("jobs:agents")).content.decode()
    assert "</span>Online</span>" in html
    assert "Run job" in html
    assert "1 worker up" in html


def test_an_admin_adds_and_changes_agents(as_user, admin_member, builder, team):
    assert as_user(builder).get(reverse("jobs:agent_new")).status_code == 403
    client = as_user(admin_member)
    sent = {"team": team.pk, "name": "host-9", "kind": "remote", "capacity": "2", "label": "DevOps"}
    assert client.post(reverse("jobs:agent_new"), sent).status_code == 302
    agent = Agent.objects.get(name="host-9")
    edit = reverse("jobs:agent_edit", args=[agent.pk])
    assert "Give a number" in client.post(edit, {**sent, "capacity": "0"}).content.decode() or (
        "greater than" in client.post(edit, {**sent, "capacity": "0"}).content.decode()
    )
    refused = client.post(edit, {**sent, "is_default": "on"}).content.decode()
    assert "Spinner runs need a worker pool." in refused
    client.post(edit, {**sent, "is_draining": "on", "kind": "pool"})
    agent.refresh_from_db()
    assert (agent.is_draining, agent.kind) == (True, "remote"), "the kind is for good"


def test_run_workflow_makes_one_job_with_ticket_and_effort(
    as_user, operator, workflow, project, team
):
    agent = Agent.objects.create(team=team, name="host-1", kind="remote")
    client = as_user(operator)
    html = client.get(f"{reverse('jobs:run_workflow')}?agent={agent.pk}").content.decode()
    assert "Run job on host-1" in html
    sent = {
        "workflow": workflow.pk, "project": project.pk, "agent": agent.pk, "effort": "max",
        "ticket_url": "https://tracker.example.com/browse/SCRUM-329?focus=1", "hint": "be quick",
        "launch_key": "abc",
    }  # fmt: skip
    first = client.post(reverse("jobs:run_workflow"), sent)
    again = client.post(reverse("jobs:run_workflow"), sent)
    job = Job.objects.get()
    assert first["Location"] == again["Location"] == f"/portal/jobs/{job.pk}"
    assert (job.ticket_key, job.effort_level, job.agent) == ("SCRUM-329", "max", agent)
    assert job.input == {"ticket_url": sent["ticket_url"], "hint": "be quick"}
    assert job.name == "se-work — SCRUM-329"


def test_only_ones_own_workflows_projects_and_agents_can_be_chosen(
    as_user, operator, workflow, project, other_project
):
    sent = {"workflow": workflow.pk, "project": other_project.pk, "launch_key": "abc"}
    html = as_user(operator).post(reverse("jobs:run_workflow"), sent).content.decode()
    assert "Select a valid choice" in html
    assert not Job.objects.exists()


def test_the_queue_shows_the_order_in_which_jobs_really_start(
    as_user, viewer, operator, workflow, project
):
    """G5"""
    actor = Actor(user=operator)
    jobs = [dispatch_workflow(workflow, actor, project=project, input={}) for _ in range(4)]
    Job.objects.filter(pk=jobs[1].pk).update(scheduled_for=timezone.now() + timedelta(hours=1))
    html = as_user(viewer).get(reverse("jobs:queue")).content.decode()
    line, _, held = html.partition('aria-label="Held back"')
    shown = [
        int(part.split('"')[0])
        for part in line.split('class="row-link" href="/portal/jobs/')[1:]
        if part[0].isdigit()
    ]
    assert shown == [jobs[0].pk, jobs[2].pk, jobs[3].pk]
    assert "Scheduled for" in held
    assert "place 3 in the queue" in line
    started = [claims.claim_next("w").job_id for _ in range(3)]
    assert started == shown


def test_pause_says_who_when_and_why_and_holds_the_jobs(
    as_user, operator, viewer, workflow, project
):
    """G6"""
    job = dispatch_workflow(workflow, Actor(user=operator), project=project, input={})
    client = as_user(operator)
    client.post(reverse("jobs:pause", args=[project.slug]), {"act": "pause", "reason": "upgrade"})
    html = as_user(viewer).get(reverse("jobs:queue")).content.decode()
    assert "is paused by Olu Operator since" in html
    assert html.count("upgrade") >= 2
    assert 'aria-label="Held back"' in html
    assert claims.claim_next("w") is None
    assert "Resume" not in html
    client.post(reverse("jobs:pause", args=[project.slug]), {"act": "resume"})
    assert claims.claim_next("w").job_id == job.pk


def test_what_is_busy_is_read_off_the_running_jobs_alone(project, operator):
    """J12, G5: an agent's long past costs nothing."""
    agent = Agent.objects.create(team=project.team, name="host-1", capacity=2)
    states = ["completed"] * 30 + ["running"] * 2 + ["pending"] * 3
    jobs = [
        Job.objects.create(
            team=project.team, project=project, kind="workflow", label="x", name="x",
            status=state, agent=agent, agent_name=agent.name, total_count=1,
        )
        for state in states
    ]  # fmt: skip
    Worker.objects.create(name="w1", host="h", pid=1)
    state = queueing.state_of(project.team_id)
    assert (state.agents[agent.pk].busy, state.free) == (2, {agent.pk: 0})
    with CaptureQueriesContext(connection) as queries:
        reasons = queueing.pending_reasons([job.pk for job in jobs])
    assert len(queries) <= 7
    assert not [q for q in queries if "JOIN" in q["sql"] and "jobs_agent" in q["sql"]]
    places = [f"host-1 is busy; place {n} in the queue." for n in (1, 2, 3)]
    assert [reasons[job.pk].split(" host-1 runs 2")[0] for job in jobs[-3:]] == places
    assert reasons == {
        job.pk: queueing.pending_reason(job) for job in jobs if job.status == "pending"
    }


@pytest.mark.parametrize(
    ("text", "short"),
    [("host-1 is busy; place 2 in the queue. It runs 2 at once.", "Place 2: host-1 is busy. It runs 2 at once."),
     ("In line; place 1,204 in the queue.", "Place 1,204: In line."),
     ("All agents are busy; far back in the queue.", "Far back: All agents are busy."),
     ("Scheduled for 01 May 2031, 08:00 UTC.", "Scheduled for 01 May 2031, 08:00 UTC.")],
)  # fmt: skip
def test_a_row_says_the_place_first(text, short):
    """D4: before a narrow row cuts it off."""
    assert queueing.place_first(text) == short
