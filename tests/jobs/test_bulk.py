"""Many jobs at once (J14–J17)."""

import re
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.models import Membership
from accounts.permissions import Actor
from jobs import bulk_actions
from jobs.execution import hints
from jobs.models import BulkAction, BulkActionItem, Job
from projects.models import Pipeline, PipelineVersion

STEPS = [{"name": "end", "kind": "outcome", "config": {"outcome": "done"}}]


@pytest.fixture
def make_jobs(project):
    pipeline = Pipeline.objects.create(
        team=project.team, kind="workflow", name="SE work", slug="se-work", draft={"steps": STEPS}
    )
    pipeline.current_version = PipelineVersion.objects.create(
        pipeline=pipeline, number=1, definition={"steps": STEPS}
    )
    pipeline.save()

    def make(*statuses, **fields):
        return [
            Job.objects.create(
                **{
                    "team": project.team, "project": project, "kind": "workflow",
                    "pipeline": pipeline, "version": pipeline.current_version,
                    "workflow_slug": "se-work", "label": "SE work", "name": f"se-work — T-{n}",
                    "status": status, "total_count": 1, "step_count": 1,
                    "started_at": timezone.now() if status == "running" else None, **fields,
                }
            )
            for n, status in enumerate(statuses)
        ]  # fmt: skip

    return make


def start(client, jobs=(), **sent):
    url = reverse("jobs:bulk")
    return client.post(url, {"launch_key": "k1", "job": [job.pk for job in jobs], **sent})


def test_confirmation_says_how_many_act_and_who_is_skipped_why(as_user, operator, make_jobs):
    """J16"""
    jobs = make_jobs("running", "pending", "completed", "completed", "failed")
    Job.objects.filter(pk=jobs[0].pk).update(cancel_requested_at=timezone.now())
    query = "&".join(f"job={job.pk}" for job in jobs)
    html = as_user(operator).get(f"{reverse('jobs:bulk')}?action=cancel&{query}").content.decode()
    assert "Cancel 1 job?" in html
    for text in ("already completed", "already failed", "already being cancelled"):
        assert text in html
    assert re.search(r"<strong>2</strong> will be skipped: already completed \(<a[^>]*>#", html)
    named = re.findall(r">#(\d+)</a>", html.split("already completed")[1].split("</li>")[0])
    assert sorted(map(int, named)) == sorted(job.pk for job in jobs[2:4])


def test_reported_work_is_not_promised_to_be_resent(as_user, operator, make_jobs):
    """J16: as the verb refuses it."""
    jobs = [*make_jobs("failed"), *make_jobs("failed", kind="build", pipeline=None, version=None)]
    query = "&".join(f"job={job.pk}" for job in jobs)
    html = as_user(operator).get(f"{reverse('jobs:bulk')}?action=resend&{query}").content.decode()
    assert "Resend 1 job?" in html
    assert "<strong>1</strong> will be skipped: another program does this work" in html


def test_what_cannot_be_resent_is_told_before(as_user, operator, make_jobs, team):
    """J16: deleted, archived, and beyond the plan, as the action itself skips them."""
    gone = make_jobs("failed", pipeline=None, version=None)
    shelved = Pipeline.objects.create(
        team=team, kind="workflow", name="Old", slug="old", archived_at=timezone.now()
    )
    old = make_jobs("cancelled", "failed", pipeline=shelved, version=None)
    good = make_jobs(*["failed"] * 4)
    team.monthly_job_limit, team.monthly_record_limit = 3, 2
    team.save()
    jobs = [*gone, *old, *good]
    query = "&".join(f"job={job.pk}" for job in jobs)
    html = as_user(operator).get(f"{reverse('jobs:bulk')}?action=resend&{query}").content.decode()
    assert "Resend 3 jobs?" in html
    for line in (
        "<strong>2</strong> will be skipped: what it ran is archived or not published (",
        "<strong>1</strong> will be skipped: what it ran has been deleted (",
        "<strong>1</strong> will be skipped: the plan&#x27;s 3 jobs of this month are used up.",
        "They need 4 records, and 2 of the plan&#x27;s 2 are left this month",
    ):
        assert line in html, line
    start(as_user(operator), jobs, action="resend")
    bulk_actions.work()
    action = BulkAction.objects.get()
    assert (action.acted_count, action.skipped_count) == (2, 5)
    reasons = list(BulkActionItem.objects.values_list("skipped_reason", flat=True))
    assert reasons.count("what it ran is archived or not published") == 2
    assert reasons.count("what it ran has been deleted") == 1


def test_all_matching_the_filter_is_counted_again_and_runs_in_the_background(
    as_user, operator, make_jobs, django_capture_on_commit_callbacks
):
    """J15, J17"""
    jobs = make_jobs(*["failed"] * 7, "completed")
    client = as_user(operator)
    query = "action=resend&all=1&f.status=failed&f.workflow=se-work"
    html = client.get(f"{reverse('jobs:bulk')}?{query}").content.decode()
    assert "All 7 matching status “Failed”, workflow “se-work”" in html
    make_jobs("failed")
    sent = {"action": "resend", "all": "1", "f.status": "failed", "effort": "max"}
    answer = start(client, **sent)
    action = BulkAction.objects.get()
    assert answer["Location"] == action.get_absolute_url()
    assert (action.total_count, action.actor_name) == (8, "Olu Operator")
    assert not Job.objects.filter(resend_of__isnull=False).exists()
    late = make_jobs("failed")[0]
    assert bulk_actions.work() == 1
    action.refresh_from_db()
    assert (action.status, action.acted_count, action.skipped_count) == ("done", 8, 0)
    made = Job.objects.filter(resend_of__in=jobs)
    assert {job.effort_level for job in made} == {"max"}
    assert not Job.objects.filter(resend_of=late).exists()
    assert "8 of 8 looked at" in client.get(action.get_absolute_url()).content.decode()
    listed = client.get(f"/portal/jobs?bulk={action.pk}").content.decode()
    assert listed.count("<article") == 8
    assert "Bulk action: " in listed


def test_the_same_form_sent_twice_is_one_action(as_user, operator, make_jobs):
    jobs = make_jobs("running")
    client = as_user(operator)
    first = start(client, jobs, action="cancel")
    assert start(client, jobs, action="cancel")["Location"] == first["Location"]
    assert BulkAction.objects.count() == 1


def test_an_abort_leaves_the_rest_untouched(as_user, operator, viewer, make_jobs):
    """J17"""
    jobs = make_jobs(*["pending"] * 4)
    start(as_user(operator), jobs, action="cancel")
    action = BulkAction.objects.get()
    url = reverse("jobs:bulk_abort", args=[action.pk])
    assert as_user(viewer).post(url).status_code == 403
    as_user(operator).post(url)
    bulk_actions.work()
    action.refresh_from_db()
    assert (action.status, action.acted_count) == ("aborted", 0)
    assert set(Job.objects.values_list("status", flat=True)) == {"pending"}


def test_a_worker_that_takes_over_does_nothing_twice(operator, make_jobs, monkeypatch):
    jobs = make_jobs(*["failed"] * 5)
    action = bulk_actions.start(
        "resend", Actor(user=operator), team_ids=[jobs[0].team_id],
        selection={"ids": [job.pk for job in jobs]}, launch_key="x",
    )  # fmt: skip
    lost = bulk_actions.claim_next()
    assert bulk_actions.claim_next() is None
    monkeypatch.setattr(bulk_actions, "SLICE", 2)
    assert bulk_actions.work_slice(lost)
    BulkAction.objects.update(lease_expires_at=timezone.now() - timedelta(seconds=1))
    bulk_actions.work()
    lost.refresh_from_db(fields=["cursor_id"])
    assert not bulk_actions.work_slice(lost)
    action.refresh_from_db()
    assert (action.acted_count, action.skipped_count, action.status) == (5, 0, "done")
    assert Job.objects.filter(resend_of__in=jobs).count() == 5
    assert BulkActionItem.objects.count() == 5


def test_many_cancels_send_one_hint(operator, make_jobs, monkeypatch):
    """A message each would keep every other task waiting behind them."""
    jobs = make_jobs(*["running"] * 5)
    bulk_actions.start(
        "cancel", Actor(user=operator), team_ids=[jobs[0].team_id],
        selection={"ids": [job.pk for job in jobs]}, launch_key="x",
    )  # fmt: skip
    sent = []
    monkeypatch.setattr("jobs.tasks.run_batches.apply_async", lambda **_: sent.append(1))
    monkeypatch.setattr("jobs.execution.hints.transaction.on_commit", lambda act: act())
    bulk_actions.work()
    assert BulkAction.objects.get().acted_count == 5
    assert sent == [1]
    hints.hint()
    assert sent == [1, 1]


def test_rights_are_asked_again_while_it_runs(operator, make_jobs, other_project):
    """X2: and jobs of teams the actor is not in are never chosen."""
    jobs = make_jobs("running", "running")
    foreign = make_jobs("running", team=other_project.team, project=other_project)[0]
    bulk_actions.start(
        "cancel", Actor(user=operator), team_ids=[jobs[0].team_id],
        selection={"ids": [job.pk for job in [*jobs, foreign]]}, launch_key="x",
    )  # fmt: skip
    Membership.objects.filter(user=operator).update(role="viewer")
    bulk_actions.work()
    action = BulkAction.objects.get()
    assert (action.total_count, action.acted_count, action.skipped_count) == (2, 0, 2)
    assert not Job.objects.exclude(cancel_requested_at=None).exists()


def test_a_filter_that_does_not_parse_chooses_nothing(team, make_jobs):
    make_jobs("running")
    assert not bulk_actions.chosen_jobs([team.pk], {"filter": "status=bogus"}).exists()


def test_the_list_holds_ones_own_actions_and_the_teams(
    as_user, operator, builder, outsider, make_jobs, other_team
):
    """J17, X1: what touched a team that is not one's own is not seen."""
    jobs = make_jobs("failed", "failed")
    start(as_user(operator), jobs, action="resend")
    shared = BulkAction.objects.get()
    beyond = BulkAction.objects.create(
        kind="cancel", actor_name="Olu Operator", team_ids=[jobs[0].team_id, other_team.pk],
        selection={"filter": "status=failed"}, launch_key="z", total_count=1_204, status="aborted",
        acted_count=4,
    )  # fmt: skip
    url = reverse("jobs:bulk_actions")
    for user in (operator, builder):
        html = as_user(user).get(url).content.decode()
        assert f'href="{shared.get_absolute_url()}">Resend 2 jobs</a>' in html
        assert "ticked jobs" in html
        assert "Olu Operator" in html
        assert beyond.get_absolute_url() not in html
    assert "None yet." in as_user(outsider).get(url).content.decode()
    beyond.actor = outsider
    beyond.save()
    html = as_user(outsider).get(url).content.decode()
    assert "Cancel 1,204 jobs" in html
    assert "all matching status “Failed”" in html
    assert "4 cancelled, 0 skipped, 1,200 not touched" in html
    assert '<span class="dot cancelled" aria-hidden="true"></span>Aborted' in html
