"""Who is told of a job's end: by their rules, at most once, and members alone (X6)."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts import tokens
from accounts.models import Membership, NoticeRules, User
from accounts.permissions import SYSTEM, Actor
from jobs import reporting, tracked
from jobs.execution import dispatch, remote, retention, settle
from jobs.models import Agent, Delivery, Follow, Job, Notice
from jobs.notices import following, words
from jobs.steps.base import Failed
from tests.jobs.engine_rig import launch, outside, pipeline_with, run_spinner, work_off

__all__ = ["outside"]

WAITING = [{"name": "ask", "kind": "wait", "config": {"for": "approval", "prompt": "Go on?"}}]


def told(job: Job) -> dict[str, str]:
    """Who was told, and of which status."""
    return dict(job.notices.values_list("user__name", "status"))


def rule(user: User, **rules: str) -> None:
    NoticeRules.objects.update_or_create(user=user, defaults=rules)


@pytest.fixture
def workflow(make_spinner, team):
    return make_spinner(
        WAITING, kind="workflow", project=None, team=team, name="QA validate", slug="qa-validate"
    )


# --- Who follows -------------------------------------------------------------------------------


def test_whoever_dispatches_follows_and_programs_do_not(
    make_spinner, make_contacts, project, operator, builder, workflow
):
    """X6: a start, a queued workflow and a resend by people; a token and Spindle follow nothing."""
    make_contacts(2)
    spinner = make_spinner()
    program, _ = tokens.issue(
        project.team, Actor(user=builder), name="CI", role="operator", expires_at=None
    )
    mine = launch(spinner, Actor(user=operator))
    launch(spinner, Actor(token=program))
    launch(spinner, SYSTEM)
    queued = dispatch.dispatch_workflow(workflow, Actor(user=builder), project=project, input={})
    dispatch.cancel(mine, Actor(user=operator))
    resent, _ = dispatch.resend(mine, Actor(user=builder))
    build, _ = reporting.report(project, Actor(user=operator), kind="build", label="B")
    assert set(Follow.objects.values_list("job_id", "user_id")) == {
        (mine.pk, operator.pk), (queued.pk, builder.pk), (resent.pk, builder.pk),
        (build.pk, operator.pk),
    }  # fmt: skip


def test_a_launch_that_fails_leaves_no_follow(make_spinner, make_contacts, operator, team):
    make_contacts(2)
    team.monthly_job_limit = 0
    team.save()
    with pytest.raises(dispatch.Refused):
        launch(make_spinner(), Actor(user=operator))
    assert not Follow.objects.exists()


def test_a_viewer_follows_and_unfollows_by_a_button(as_user, viewer, workflow, project):
    """X6, X10: works without JavaScript, and as a fragment; a second press changes nothing."""
    job = dispatch.dispatch_workflow(workflow, SYSTEM, project=project, input={})
    client, url = as_user(viewer), reverse("jobs:follow", args=[job.pk])
    page = client.get(job.get_absolute_url()).content.decode()
    assert 'name="follow" value="1"' in page
    for _ in range(2):
        answer = client.post(url, {"follow": "1"}, follow=True).content.decode()
        assert "You follow job" in answer
        assert 'name="follow" value="0"' in answer
    assert Follow.objects.filter(job=job, user=viewer).count() == 1
    fragment = client.post(url, {"follow": "0"}, headers={"HX-Request": "true"}).content.decode()
    assert fragment.startswith('<form id="job-follow"')
    assert "You follow this job no more." in fragment
    assert not Follow.objects.exists()


def test_outsider_cannot_follow(as_user, outsider, client, workflow, project):
    """X1."""
    job = dispatch.dispatch_workflow(workflow, SYSTEM, project=project, input={})
    url = reverse("jobs:follow", args=[job.pk])
    assert as_user(outsider).post(url, {"follow": "1"}).status_code == 404
    assert client.post(url, {"follow": "1"}).status_code == 302
    assert not Follow.objects.exists()


# --- Each way a job ends -----------------------------------------------------------------------


def test_a_run_that_ends_tells_its_starter_once(make_spinner, make_contacts, operator):
    """X6."""
    make_contacts(3)
    job = run_spinner(make_spinner(), Actor(user=operator))
    notice = job.notices.get()
    assert (notice.user, notice.status, notice.read_at) == (operator, "completed", None)
    assert words.headline(notice) == "Renewal reminder completed — 3 records"
    assert not settle.settle(job.pk)
    assert job.notices.count() == 1


def test_a_job_that_ends_again_after_a_retry_tells_nobody_twice(
    make_spinner, make_contacts, operator, builder, outside, settings
):
    """X6: at most one notice; who began to follow in between gets theirs."""
    make_contacts(3)
    settings.EMAIL_HOST = "mail.example"
    outside.answer = lambda record, count: Failed("refused", "provider_error")
    job = run_spinner(make_spinner(pipeline_with("act")), Actor(user=operator))
    notice = job.notices.get()
    assert words.headline(notice) == (
        "Renewal reminder completed with failures — 3 of 3 records failed"
    )
    following.follow(job.pk, builder)
    dispatch.retry_failed(job, Actor(user=builder))
    work_off(job)
    assert job.notices.count() == 2
    assert Delivery.objects.values_list("notice__user__name", flat=True).count() == 2


def test_the_one_who_cancels_is_not_told_and_others_are(
    make_spinner, make_contacts, operator, builder
):
    """X6."""
    make_contacts(2)
    job = launch(make_spinner(), Actor(user=operator))
    following.follow(job.pk, builder)
    dispatch.cancel(job, Actor(user=builder))
    assert told(job) == {"Olu Operator": "cancelled"}
    assert (
        words.headline(job.notices.get()) == "Renewal reminder was cancelled — 0 of 2 records done"
    )


def test_a_workflow_that_fails_tells_with_its_ticket(
    make_spinner, project, team, operator, outside
):
    outside.answer = lambda record, count: Failed("refused", "provider_error")
    workflow = make_spinner(
        pipeline_with("act"), kind="workflow", project=None, team=team, name="SE Work", slug="se"
    )
    job = dispatch.dispatch_workflow(
        workflow, Actor(user=operator), project=project, input={},
        ticket_url="https://t.example/OPS-7",
    )  # fmt: skip
    work_off(job)
    assert words.headline(job.notices.get()) == "SE Work (OPS-7) failed"
    assert (
        words.reason(job.notices.get())
        == "The other side could not be reached, or answered with an error."
    )


def test_an_agents_job_and_a_reported_one_tell(project, team, operator, make_spinner):
    """X6: remote agents, builds, server runs, tracked tasks."""
    agent = Agent.objects.create(team=team, name="box-1", kind="remote")
    workflow = make_spinner(kind="workflow", project=None, team=team, name="QA", slug="qa")
    job = dispatch.dispatch_workflow(
        workflow, Actor(user=operator), project=project, input={}, agent=agent
    )
    claimed = remote.claim(agent)
    assert claimed is not None
    remote.finish(agent, job, fence=job.batches.get().fence, status="failed", error="boom")
    assert told(job) == {"Olu Operator": "failed"}

    for kind in ("build", "run", "task"):
        reported, _ = reporting.report(project, Actor(user=operator), kind=kind, label="Built")
        reporting.tell(reported, SYSTEM, status="running")
        reporting.tell(reported, SYSTEM, status="done")
        assert told(reported) == {"Olu Operator": "completed"}
        reporting.tell(reported, SYSTEM, status="done")
        assert reported.notices.count() == 1


def test_a_lost_task_tells(project, operator):
    job, _ = reporting.report(project, Actor(user=operator), kind="task", label="Export")
    Job.objects.filter(pk=job.pk).update(
        status="running", last_heartbeat_at="2026-01-01T00:00Z", started_at="2026-01-01T00:00Z"
    )
    tracked.sweep_tasks()
    assert told(job) == {"Olu Operator": "failed"}


def test_a_correction_tells_only_where_it_ends_the_job(
    make_spinner, make_contacts, operator, staff, workflow, project
):
    job = dispatch.dispatch_workflow(workflow, Actor(user=operator), project=project, input={})
    dispatch.correct_job(job, Actor(user=staff), status="failed", reason="Never began.")
    assert told(job) == {"Olu Operator": "failed"}
    make_contacts(1)
    ended = run_spinner(make_spinner(), Actor(user=operator))
    Notice.objects.all().delete()
    dispatch.correct_job(ended, Actor(user=staff), status="failed", reason="It was wrong.")
    assert told(ended) == {}


# --- By which rule -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fails", "in_app", "email", "bell", "mailed"),
    [
        (False, None, None, True, False),  # the defaults: in-app always, e-mail on failure
        (True, None, None, True, True),
        (False, "on_failure", "always", False, True),
        (True, "on_failure", "never", True, False),
        (True, "never", "never", False, False),
        (False, "always", "always", True, True),
    ],
)
def test_rules(
    make_spinner, make_contacts, operator, outside, settings, fails, in_app, email, bell, mailed
):
    """X6: always, on failure, never; a run with one failed record is a failure."""
    settings.EMAIL_HOST = "mail.example"
    if in_app:
        rule(operator, in_app=in_app, email=email)
    make_contacts(3)
    if fails:
        outside.answer = lambda record, _: (
            Failed("no", "provider_error") if record.key.split("-")[1] == "2" else outside_ok()
        )
    job = run_spinner(make_spinner(pipeline_with("act")), Actor(user=operator))
    assert job.failed_count == int(fails)
    assert Notice.objects.filter(read_at=None).exists() == bell
    assert Delivery.objects.filter(channel="email").exists() == mailed
    assert Notice.objects.exists() == (bell or mailed)


def test_without_a_mail_server_nobody_is_mailed_unasked(
    make_spinner, make_contacts, operator, builder, outside
):
    """X6: a demo's terminal stays readable; whoever asks for mail finds it in the log."""
    make_contacts(1)
    outside.answer = lambda record, count: Failed("refused", "provider_error")
    rule(builder, email="always")
    job = launch(make_spinner(pipeline_with("act")), Actor(user=operator))
    following.follow(job.pk, builder)
    work_off(job)
    assert Notice.objects.count() == 2
    assert [one.user for one in Delivery.objects.all()] == [builder]


def outside_ok():
    from jobs.steps.base import Continue

    return Continue()


def test_only_active_members_are_told(make_spinner, make_contacts, operator, viewer, builder):
    """X1, X6."""
    make_contacts(1)
    job = launch(make_spinner(), Actor(user=operator))
    for user in (viewer, builder):
        following.follow(job.pk, user)
    Membership.objects.filter(user=viewer).delete()
    User.objects.filter(pk=builder.pk).update(is_active=False)
    work_off(job)
    assert told(job) == {"Olu Operator": "completed"}


def test_an_end_costs_the_engine_one_statement_where_nobody_follows(
    make_spinner, make_contacts, operator, django_assert_num_queries
):
    from jobs.notices import making

    make_contacts(1)
    nobodys = launch(make_spinner(), SYSTEM)
    somebodys = launch(nobodys.pipeline, Actor(user=operator))
    making.make(nobodys.pk, "completed")
    with django_assert_num_queries(1):
        making.make(nobodys.pk, "completed")
    with django_assert_num_queries(3):
        making.make(somebodys.pk, "completed")
    with django_assert_num_queries(1):
        making.make(somebodys.pk, "completed")
    assert Notice.objects.count() == 1


def test_old_notices_go_with_their_follows_and_deliveries(
    make_spinner, make_contacts, operator, viewer
):
    """X6: after 90 days; a job that has not ended keeps its followers, however old it is."""
    make_contacts(1)
    rule(operator, in_app="always", email="always")
    ended = run_spinner(make_spinner(), Actor(user=operator))
    quiet = run_spinner(ended.pipeline, SYSTEM)
    following.follow(quiet.pk, viewer)
    young = run_spinner(ended.pipeline, Actor(user=operator))
    open_job = launch(ended.pipeline, Actor(user=operator))
    old = timezone.now() - retention.NOTICES_KEPT - timedelta(hours=1)
    Follow.objects.exclude(job=young).update(created_at=old)
    Notice.objects.filter(job=ended).update(created_at=old)
    Job.objects.filter(pk=quiet.pk).update(completed_at=old, started_at=old)
    retention.prune_round()
    assert set(Follow.objects.values_list("job_id", flat=True)) == {young.pk, open_job.pk}
    assert [notice.job_id for notice in Notice.objects.all()] == [young.pk]
    assert [one.notice.job_id for one in Delivery.objects.all()] == [young.pk]
