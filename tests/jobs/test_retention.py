"""Retention: what goes, what stays, in slices that are bounded, and pages that say so."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from accounts.models import Retention, Team
from accounts.permissions import Actor
from accounts.retention import GRACE
from jobs import tasks
from jobs.events import EventKind, emit
from jobs.execution import dispatch, retention
from jobs.execution.corrections import correct_record, undo_correction
from jobs.models import (
    Batch,
    Callback,
    Job,
    JobEvent,
    LateReport,
    Record,
    RecordMinute,
    StepCount,
)

pytestmark = pytest.mark.django_db
AGO = timedelta(days=40)


@pytest.fixture
def make_run(project, make_spinner):
    """An ended run with records, events, a batch, a callback and a late report."""
    spinner = make_spinner()

    def make(count=3, *, status="completed", ended=AGO, **fields):
        at = timezone.now() - ended
        final = status in {"completed", "failed", "cancelled"}
        run = Job.objects.create(
            team=project.team, project=project, kind="spinner", pipeline=spinner,
            version=spinner.current_version, workflow_slug=spinner.slug, label=spinner.name,
            name=spinner.name, status=status, total_count=count, planned_count=count,
            done_count=count - 1, failed_count=1, created_at=at, started_at=at,
            completed_at=at if final else None, steps=[{"name": "compose"}], **fields,
        )  # fmt: skip
        batch = Batch.objects.create(
            job=run, team=run.team, number=1, status="done", record_count=count
        )
        records = Record.objects.bulk_create(
            Record(
                job=run, team=run.team, project=project, pipeline=spinner, batch=batch,
                position=n, contact_name=f"Contact {n}", created_at=at, started_at=at,
                completed_at=at, values={"message": "Hi"}, journey=[{"step": 1, "name": "compose",
                "status": "completed"}], status="failed" if n == 1 else "completed",
                error="HTTP 422" if n == 1 else "", error_step=1 if n == 1 else 0,
                outcome="" if n == 1 else "sent",
            )
            for n in range(1, count + 1)
        )  # fmt: skip
        StepCount.objects.create(job=run, step=1, reached_count=count, passed_count=count - 1)
        Callback.objects.create(record=records[0], step=1, payload={"secret": "x"})
        LateReport.objects.create(job=run, record=records[0], batch=batch, reporter="w", reason="r")
        for kind in (EventKind.CREATED, EventKind.STARTED, EventKind.COMPLETED):
            emit(run.pk, kind, "as it was")
        JobEvent.objects.filter(job=run).update(at=at)
        return run

    return make


@pytest.fixture
def rule(team):
    def set_rule(**days):
        Team.objects.filter(pk=team.pk).update(
            **{f"{what}_retention_days": count for what, count in days.items()}
        )

    return set_rule


def rounds(count=1, **limits):
    """Rounds of a minute each, from now on."""
    now = timezone.now()
    return sum(
        (retention.prune_round(now=now + timedelta(minutes=n), **limits) for n in range(count)),
        start=retention.Counter(),
    )


def test_journeys_go_and_outcomes_stay(make_run, rule):
    run = make_run()
    rule(journey=30)
    assert rounds()["journeys"] == 3
    first, second, _ = Record.objects.filter(job=run).order_by("position")
    assert (first.journey, first.values, first.status, first.error) == (
        [],
        {},
        "failed",
        "HTTP 422",
    )
    assert (second.outcome, second.completed_at is not None) == ("sent", True)
    assert second.journey_pruned_at is not None
    assert not Callback.objects.exists()
    run.refresh_from_db()
    assert (run.is_pruning, run.events.count()) == (False, 4)


def test_events_go_but_the_job_and_the_word_of_the_pruning_stay(make_run, rule):
    run = make_run()
    rule(event=30)
    assert rounds(2) == {"events": 3}
    run.refresh_from_db()
    event = run.events.get()
    assert (event.kind, event.number, run.event_count) == (EventKind.PRUNED, 4, 4)
    assert event.payload == {"days": {"events": 30}}
    assert event.message == "Pruned by the team's rule: events are kept for 30 days."
    assert (run.done_count, run.failed_count, run.records.count()) == (2, 1, 3)


def test_records_go_with_all_that_hangs_on_them(make_run, rule):
    run = make_run()
    rule(record=30, event=30)
    assert rounds(2)["records"] == 3
    for model in (Record, Batch, Callback, LateReport):
        assert not model.objects.exists()
    run.refresh_from_db()
    assert (run.total_count, run.done_count, run.failed_count) == (3, 2, 1)
    assert StepCount.objects.get(job=run).reached_count == 3
    assert run.journeys_pruned_at == run.records_pruned_at == run.events_pruned_at
    assert run.events.get().payload == {"days": {"records": 30, "events": 30}}


def test_a_later_rule_comes_back_for_the_rest(make_run, rule):
    run = make_run()
    rule(journey=30)
    rounds()
    rule(record=35)
    assert retention.prune_round(now=timezone.now() + timedelta(hours=1))["records"] == 3
    assert run.events.filter(kind=EventKind.PRUNED).count() == 2


@pytest.mark.parametrize(
    ("status", "ended"),
    [("running", AGO), ("waiting", AGO), ("pending", AGO), ("completed", timedelta(days=29))],
)
def test_active_and_young_jobs_are_never_touched(make_run, rule, status, ended):
    run = make_run(status=status, ended=ended)
    rule(journey=30, event=30, record=30)
    assert not rounds(2)
    run.refresh_from_db()
    assert (run.records.count(), run.events.count(), run.is_pruning) == (3, 3, False)


def test_without_a_rule_all_stays_for_ever(make_run, rule, other_team):
    make_run(ended=timedelta(days=4_000))
    rule(journey=None, event=0)
    Team.objects.filter(pk=other_team.pk).update(record_retention_days=1)
    assert not rounds(2)
    assert Record.objects.count() == 3


def test_a_round_is_bounded_and_the_next_goes_on(make_run, rule, monkeypatch):
    monkeypatch.setattr(retention, "SLICE", 10)
    big, small = make_run(35), make_run(2)
    rule(journey=30, record=35)
    assert retention.prune_round(rows=20)["records"] == 20
    big.refresh_from_db()
    assert (big.is_pruning, big.prune_cursor, big.records.count()) == (True, 20, 15)
    assert Retention.objects.get().is_behind
    assert not retention.prune_round(seconds=0)
    assert rounds(4, rows=10)["records"] >= 15
    assert not Job.objects.filter(is_pruning=True).exists()
    assert not Record.objects.exists()
    assert not small.batches.exists()
    assert not Retention.objects.get().is_behind


def test_a_round_costs_the_same_for_many_jobs(make_run, rule, django_assert_max_num_queries):
    rule(journey=30, event=30, record=30)
    with django_assert_max_num_queries(15):
        rounds()  # nothing to do
    Retention.objects.all().delete()
    for _ in range(8):
        make_run()
    with django_assert_max_num_queries(50):
        assert rounds()["records"] == 24


def test_teams_take_turns_and_two_rounds_at_once_do_not_meet(make_run, rule):
    make_run()
    rule(record=30)
    now = timezone.now()
    Retention.objects.create(team=Team.objects.get(), round_at=now)
    assert not retention.prune_round(now=now + timedelta(seconds=5))
    assert retention.prune_round(now=now + timedelta(minutes=1))["records"] == 3


def test_a_job_reopened_meanwhile_is_left_alone(make_run, rule, monkeypatch):
    run = make_run()
    rule(record=30)
    mark = retention._mark

    def reopen_first(team, ids, cutoffs, now):
        dispatch.retry_failed(run, Actor(name="Olu"))
        return mark(team, ids, cutoffs, now)

    monkeypatch.setattr(retention, "_mark", reopen_first)
    assert not rounds()
    run.refresh_from_db()
    assert (run.status, run.records_pruned_at, run.records.count()) == ("running", None, 3)


def test_nothing_reopens_a_pruned_job(make_run, rule, operator):
    run = make_run()
    actor = Actor(user=operator)
    failed = run.records.get(status="failed")
    correct_record(failed, actor, status="uncertain", reason="looked at it")
    Job.objects.filter(pk=run.pk).update(completed_at=timezone.now() - AGO)
    rule(journey=30)
    rounds()
    failed.refresh_from_db()
    for verb in (dispatch.retry_record, dispatch.mark_done):
        with pytest.raises(dispatch.Refused, match="start a new run") as refused:
            verb(failed, actor)
        assert refused.value.code == "PRUNED"
    dispatch.give_up(failed, actor)
    with pytest.raises(dispatch.Refused, match="start a new run"):
        dispatch.retry_failed(run, actor)
    run.refresh_from_db()
    assert (run.status, run.failed_count) == ("completed", 1)


def test_a_correction_of_a_pruned_record_cannot_be_undone(make_run, rule, staff):
    run = make_run()
    actor = Actor(user=staff)
    correct_record(run.records.get(status="failed"), actor, status="skipped", reason="twice")
    event = run.events.get(kind=EventKind.RECORD_CORRECTED)
    rule(record=30)
    rounds()
    with pytest.raises(dispatch.Refused, match="pruned"):
        undo_correction(event, actor)


def test_counts_by_the_minute_go_after_400_days(project):
    now = timezone.now()
    for days in (401, 399):
        RecordMinute.objects.create(project=project, minute=now - timedelta(days=days))
    tasks.prune()
    assert RecordMinute.objects.get().minute == now - timedelta(days=399)


# --- Pages ---------------------------------------------------------------------------------------


def html(client, name, *args, **query):
    response = client.get(reverse(name, args=args, query=query or None))
    assert response.status_code == 200
    return " ".join(response.content.decode().split())


def test_pages_say_that_they_were_pruned_and_by_which_rule(
    as_user, viewer, operator, project, make_run, rule
):
    run, with_records = make_run(), make_run(ended=timedelta(days=33))
    rule(journey=30, event=20, record=35)
    rounds()
    emit(run.pk, EventKind.RESENT, "Resent by somebody.")
    client = as_user(viewer)
    page = html(client, "jobs:detail", run.pk)
    assert "Execution history unreachable: it was pruned on" in page
    assert "by the team&#x27;s rule that events are kept for 20 days after a job has ended" in page
    assert "Status mismatch" not in page
    events = html(client, "jobs:events", run.pk)
    assert "This history was pruned" in events
    assert "Resent by somebody." in events
    assert "as it was" not in events

    pane = html(client, "jobs:runs", project.slug, run.pk, status="failed")
    assert "These records were pruned" in pane
    assert "records are kept for 35 days" in pane
    listed = html(client, "jobs:records", project.slug, run=run.pk)
    assert "These records were pruned" in listed
    assert "the team keeps them for 35 days after a run has ended" in listed

    failed = with_records.records.get(status="failed")
    journey = html(as_user(operator), "jobs:record", project.slug, failed.pk)
    assert "This journey was pruned" in journey
    assert "journeys are kept for 30 days after a run has ended" in journey
    assert "start a new run" in journey
    assert "Retry from step" not in journey
    assert "Retry failed" not in html(as_user(operator), "jobs:runs", project.slug, run.pk)


def settings_url(team):
    return reverse("accounts:team", args=[team.slug])


def test_an_admin_sets_the_rules_and_they_hold_an_hour_later(as_user, admin_member, team, make_run):
    make_run()
    client = as_user(admin_member)
    assert "No rule is set: everything is kept." in html(client, "accounts:team", team.slug)
    sent = {"retention": 1, "journey_retention_days": 30, "event_retention_days": "",
            "record_retention_days": 35}  # fmt: skip
    page = client.post(settings_url(team), sent, follow=True).content.decode()
    assert "The rules were changed: nothing is pruned before" in page
    team.refresh_from_db()
    assert (team.journey_retention_days, team.event_retention_days) == (30, None)
    entry = team.audit_entries.first()
    assert entry.details == {
        "journey_retention_days": [None, 30], "record_retention_days": [None, 35]
    }  # fmt: skip

    assert not rounds()
    later = timezone.now() + GRACE + timedelta(minutes=1)
    assert retention.prune_round(now=later)["records"] == 3
    Retention.objects.update(changed_at=timezone.now() - AGO, round_at=timezone.now())
    page = html(client, "accounts:team", team.slug)
    assert "Next round:" in page
    assert "3 records, 0 journeys, 0 events." in page
    Retention.objects.update(round_at=timezone.now() - timedelta(hours=1))
    assert "No round has come since" in html(client, "accounts:team", team.slug)


@pytest.mark.parametrize("days", ["0", "-3", "soon", "40000"])
def test_a_rule_that_makes_no_sense_is_refused(as_user, admin_member, team, days):
    page = as_user(admin_member).post(
        settings_url(team), {"retention": 1, "record_retention_days": days}
    )
    assert "errorlist" in page.content.decode()
    team.refresh_from_db()
    assert team.record_retention_days is None
    assert not Retention.objects.exists()


def test_only_admins_change_the_rules(as_user, builder, viewer, outsider, team):
    for user, answer in ((builder, 403), (viewer, 403), (outsider, 404)):
        sent = as_user(user).post(settings_url(team), {"retention": 1, "record_retention_days": 1})
        assert sent.status_code == answer
    team.refresh_from_db()
    assert team.record_retention_days is None
    assert "for ever" in html(as_user(viewer), "accounts:team", team.slug)
