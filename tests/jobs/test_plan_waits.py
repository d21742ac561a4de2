"""Runs that wait for the month's plan: why they say they wait, and how they start."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.db import connection
from django.urls import reverse

from accounts.models import Team, Usage
from accounts.permissions import Actor
from jobs.events import EventKind
from jobs.execution import claims, dispatch, plan_waits, sweep
from jobs.models import Agent, Job, Worker
from jobs.queueing import pending_reason
from tests.jobs.engine_rig import launch, work_off

pytestmark = pytest.mark.django_db


@pytest.fixture
def spinner(make_spinner, make_contacts):
    make_contacts(3)
    return make_spinner()


def allow(team, *, records=None, jobs=None):
    Team.objects.filter(pk=team.pk).update(monthly_record_limit=records, monthly_job_limit=jobs)


def used(team):
    usage = Usage.objects.get(team=team)
    return usage.job_count, usage.record_count


def test_a_run_the_plan_has_no_room_for_says_which_limit_and_who_can_change_it(
    team, spinner, admin_member
):
    """P3, D4: records or jobs, what is left, when it resets, and whom to ask."""
    allow(team, records=5)
    launch(spinner)
    run = launch(spinner, waits_for_plan=True)
    assert (run.status, run.plan_held_at is not None) == ("pending", True)
    assert used(team) == (1, 3)
    why = pending_reason(run)
    assert "needs 3 records, and 2 of this month's 5 are left" in why
    assert "resets on 1 " in why
    assert "an admin of the team (Ada Admin) raises the limit" in why
    told = run.events.get(kind=EventKind.QUEUED).message
    assert told.startswith("Waits for the plan. This needs 3 records")
    allow(team, jobs=1)
    run = Job.objects.get(pk=run.pk)
    assert "the 1 jobs of this month are used up" in pending_reason(run)


def test_a_full_agent_says_its_capacity_and_who_can_change_it(team, spinner, admin_member):
    """P3, G5: the limit is the agent's own."""
    first, second = launch(spinner), launch(spinner)
    Worker.objects.create(name="w:1", host="w", pid=1)
    Agent.objects.update(capacity=1)
    assert claims.claim_next("w:1").job_id == first.pk
    assert pending_reason(Job.objects.get(pk=second.pk)) == (
        "All agents are busy; place 1 in the queue. worker-pool runs 1 of at most 1 at once; "
        "an admin of the team (Ada Admin) can raise its capacity."
    )


def test_a_raised_limit_starts_what_waits_without_sending_it_again(team, spinner):
    """P5: the oldest first; nothing is begun or charged before."""
    allow(team, records=3)
    launch(spinner)
    first, second = (launch(spinner, waits_for_plan=True) for _ in "12")
    assert f"behind job #{first.pk}" in pending_reason(second)
    sweep.sweep()
    work_off(first)
    assert (first.status, used(team)) == ("pending", (1, 3))

    allow(team, records=6)
    assert "starts within seconds" in pending_reason(Job.objects.get(pk=first.pk))
    sweep.sweep()
    work_off(first)
    assert (first.status, used(team)) == ("completed", (2, 6))
    assert first.events.filter(kind=EventKind.PLAN_HAD_ROOM).count() == 1
    second.refresh_from_db()
    assert second.status == "pending"
    # Next month, as if this one had been left behind.
    Usage.objects.update(record_count=0)
    sweep.sweep()
    work_off(second)
    assert second.status == "completed"


def test_what_is_cancelled_while_it_waits_costs_nothing(team, spinner, operator):
    """P5, D10"""
    allow(team, records=3)
    launch(spinner)
    run = launch(spinner, waits_for_plan=True)
    dispatch.cancel(run, Actor(user=operator))
    allow(team, records=100)
    assert plan_waits.let_in() == 0
    run.refresh_from_db()
    assert (run.status, run.cancelled_count, used(team)) == ("cancelled", 3, (1, 3))


def test_what_never_fits_is_refused_rather_than_kept_waiting(team, spinner):
    """P2: more than a whole month allows."""
    allow(team, records=2)
    with pytest.raises(dispatch.Refused) as refused:
        launch(spinner, waits_for_plan=True)
    assert refused.value.code == "PLAN_LIMIT"
    assert not Job.objects.exists()


def test_another_teams_waiting_run_holds_nobody_up(team, spinner, other_project, make_spinner):
    elsewhere = make_spinner(project=other_project)
    other_project.contacts.create(external_id="x-1", name="X")
    for each, whole in ((spinner, 3), (elsewhere, 1)):
        allow(each.team, records=whole)
        launch(each)
        assert launch(each, waits_for_plan=True).plan_held_at
    allow(other_project.team, records=100)
    assert plan_waits.let_in() == 1


def test_pages_and_api_offer_to_queue_it(
    as_user, operator, team, project, spinner, make_contacts, django_assert_max_num_queries
):
    """P2, P3: the forecast, the refusal, the run's page and row, the queue."""
    allow(team, records=4)
    launch(spinner)
    client = as_user(operator)
    query = {"spinner": spinner.pk, "contacts": "all"}
    address = reverse("jobs:start_run_forecast", args=[project.slug])
    offer = "Queue it until the plan has room"
    assert offer in client.get(address, query).content.decode()
    assert offer in client.post(address, {**query, "launch_key": "a"}).content.decode()
    answer = client.post(address, {**query, "launch_key": "b", "wait": "1"}, follow=True)
    run = Job.objects.latest("pk")
    assert run.plan_held_at
    page = answer.content.decode()
    assert f"Run #{run.pk} waits for the plan with 3 contacts" in page
    for shown in (page, client.get(reverse("jobs:queue")).content.decode()):
        assert "needs 3 records, and 1 of this month&#x27;s 4 are left" in shown
    allow(team, records=2)
    assert offer not in client.get(address, query).content.decode()
    for _ in range(5):
        Job.objects.create(
            team=team, project=project, kind="spinner", label="Nurture", name="Nurture",
            workflow_slug="nurture", plan_held_at=run.plan_held_at,
        )  # fmt: skip
    with django_assert_max_num_queries(24):
        client.get(reverse("jobs:runs", args=[project.slug]))


@pytest.mark.django_db(transaction=True)
def test_two_sweeps_at_once_charge_a_waiting_run_once(team, spinner):
    """P4: beat and every worker sweep."""
    for _ in range(10):
        Usage.objects.all().delete()
        allow(team, records=3)
        launch(spinner)
        run = launch(spinner, waits_for_plan=True)
        allow(team, records=9)
        together = Barrier(2)
        with ThreadPoolExecutor(2) as pool:
            tries = [pool.submit(_let_in, together) for _ in range(2)]
            assert sum(one.result() for one in tries) >= 1
        run.refresh_from_db()
        assert run.plan_held_at is None
        assert used(team) == (2, 6)


def _let_in(together):
    try:
        together.wait(timeout=30)
        return plan_waits.let_in()
    finally:
        connection.close()
