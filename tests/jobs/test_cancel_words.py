"""D14: a cancelled job says what became of whoever was at work, and what was not undone."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.permissions import SYSTEM, Actor
from jobs import cancel_words, reporting
from jobs.execution import dispatch, remote, sweep
from jobs.execution.claims import claim_next
from jobs.models import Agent, Batch, Job, Record
from jobs.statuses import BatchStatus
from projects.models import Pipeline, PipelineVersion
from tests.jobs.engine_rig import launch, work_off
from tests.jobs.test_engine_waits import wait_pipeline

BY = "Cancelled by Olu Operator; "


@pytest.fixture
def actor(operator):
    return Actor(user=operator)


@pytest.fixture
def at_work(make_contacts, make_spinner):
    """A run of 5 contacts that a worker has just taken."""
    make_contacts(5)
    job = launch(make_spinner())
    assert claim_next("worker-1")
    return Job.objects.get(pk=job.pk)


@pytest.fixture
def remote_job(team, project, operator):
    agent = Agent.objects.create(team=team, name="host-1", kind="remote", capacity=1)
    steps = [{"name": "edit", "kind": "set", "config": {"values": []}},
             {"name": "push", "kind": "set", "config": {"values": []}}]  # fmt: skip
    workflow = Pipeline.objects.create(
        team=team, kind="workflow", name="SE work", slug="se-work", draft={"steps": steps}
    )
    workflow.current_version = PipelineVersion.objects.create(
        pipeline=workflow, number=1, definition={"steps": steps}
    )
    workflow.save(update_fields=["current_version"])
    job = dispatch.dispatch_workflow(
        workflow, Actor(user=operator), project=project, agent=agent, input={}
    )
    held = remote.claim(agent)
    assert held
    remote.report_step(agent, job, fence=held.fence, step=1, status="completed")
    return agent, held.fence, Job.objects.get(pk=job.pk)


def expire(job):
    Batch.objects.filter(job=job, status=BatchStatus.RUNNING).update(
        lease_expires_at=timezone.now() - timedelta(seconds=1)
    )
    sweep.sweep()


def told(job):
    job.refresh_from_db()
    assert job.status == "cancelled"
    return cancel_words.story(job)


def test_a_worker_that_dies_while_it_is_asked_was_already_gone(at_work, actor):
    dispatch.cancel(at_work, actor)
    expire(at_work)
    assert told(at_work) == (
        f"{BY}the worker was already gone. 0 of 5 had been worked on, and that was not undone."
    )


def test_a_worker_that_died_before_the_cancel_was_already_gone(at_work, actor):
    expire(at_work)
    dispatch.cancel(at_work, actor)
    assert "the worker was already gone." in told(at_work)


def test_a_worker_that_does_not_answer_could_not_be_reached(at_work, actor, settings):
    settings.FORCE_STOP_AFTER_SECONDS = 0
    dispatch.cancel(at_work, actor)
    dispatch.force_stop(Job.objects.get(pk=at_work.pk), actor)
    assert told(at_work).startswith(
        f"{BY}the worker could not be reached and was cut off; a call on its way may still arrive."
    )


def test_of_a_job_that_waits_nobody_had_to_be_stopped(make_contacts, make_spinner, actor):
    make_contacts(2)
    job = launch(make_spinner(wait_pipeline({"for": "approval", "prompt": "Send it?"})))
    work_off(job)
    dispatch.cancel(job, actor)
    assert told(job) == (
        f"{BY}nobody was at work on it. 0 of 2 had been worked on, and that was not undone. "
        "2 more had begun: the steps they had finished stay done."
    )


def test_a_remote_agent_stopped_or_was_gone_or_was_cut_off(remote_job, actor, settings):
    agent, fence, job = remote_job
    dispatch.cancel(job, actor)
    remote.finish(agent, job, fence=fence, status="cancelled")
    done = "It had come to step 1 of 2; what was done was not undone."
    assert told(job) == f"{BY}host-1 stopped. {done}"


def test_a_remote_agent_that_fell_silent_was_gone(remote_job, actor):
    _, _, job = remote_job
    dispatch.cancel(job, actor)
    expire(job)
    assert told(job).startswith(f"{BY}host-1 was already gone. It had come to step 1 of 2;")


def test_a_remote_agent_that_does_not_answer_is_cut_off(remote_job, actor, settings):
    settings.FORCE_STOP_AFTER_SECONDS = 0
    _, _, job = remote_job
    dispatch.cancel(job, actor)
    dispatch.force_stop(Job.objects.get(pk=job.pk), actor)
    assert told(job).startswith(f"{BY}host-1 could not be reached and was cut off;")


@pytest.mark.parametrize("kind", ["build", "run"])
def test_reported_work_says_who_stopped_it(project, actor, kind, settings):
    settings.FORCE_STOP_AFTER_SECONDS = 0
    jobs = [
        reporting.report(project, actor, kind=kind, status=status, agent_name="ci")[0]
        for status in ("pending", "running", "running")
    ]
    for job in jobs:
        dispatch.cancel(job, actor)
    assert told(jobs[0]) == "Cancelled by Olu Operator before it began: nothing was done."
    reporting.tell(jobs[1], SYSTEM, status="cancelled")
    assert told(jobs[1]).startswith("Cancelled by Olu Operator. Stopped, says ")
    assert told(jobs[1]).endswith(" What it had done was not undone.")
    dispatch.force_stop(Job.objects.get(pk=jobs[2].pk), actor)
    assert told(jobs[2]) == (
        f"{BY}ci could not be reached and was cut off; a call on its way may still arrive. "
        "What it had done is not known here and was not undone."
    )


def test_without_its_history_the_row_still_says_what_is_known(remote_job, actor):
    _, _, job = remote_job
    dispatch.cancel(job, actor)
    expire(job)
    job.events.all().delete()
    assert told(job) == "Cancelled by Olu Operator: what had been done was not undone."
    assert Record.objects.get(job=job).status == "cancelled"
