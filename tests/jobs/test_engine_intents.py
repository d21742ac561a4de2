"""The log of intents: durable before a call goes out, in the rows once a worker is lost."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F
from django.db.models.functions import Now

from accounts.models import User
from accounts.permissions import Actor
from jobs.execution import claims, engine, groups, journal, sweep
from jobs.execution.dispatch import cancel, force_stop
from jobs.models import Batch, IntentLog, Job, Record
from jobs.steps.base import Continue, Retry, StepInput
from projects.models import Contact, Pipeline
from tests.jobs.engine_rig import Outside, launch, outside, pipeline_with, recount, work_off

__all__ = ["outside"]

MakeContacts = Callable[..., list[Contact]]
MakeSpinner = Callable[..., Pipeline]
pytestmark = pytest.mark.django_db
MANY = groups.FEW + 5


def lose_worker_after_commits(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """From the commit after `count` on the worker is gone: nothing more is written."""
    original, seen = journal.commit, []

    def commit(*args: Any) -> bool:
        seen.append(1)
        if len(seen) > count:
            raise journal.Fenced("gone")
        return original(*args)

    monkeypatch.setattr(journal, "commit", commit)
    monkeypatch.setattr(journal, "keep_as_evidence", lambda *args: None)
    engine.run_here("lost:1")
    monkeypatch.undo()


def expire() -> None:
    Batch.objects.filter(status="running").update(lease_expires_at=Now() - timedelta(hours=1))
    sweep.sweep()


def test_a_call_goes_out_after_its_intent_is_in_the_log(
    make_contacts: MakeContacts,
    make_spinner: MakeSpinner,
    outside: Outside,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_contacts(MANY)
    logged: set[int] = set()
    early: list[int] = []
    original = journal.commit

    def watched(claim: Any, program: Any, group: journal.Group, number: int) -> bool:
        answer = original(claim, program, group, number)
        logged.update(row[0] for row in group.intents)
        return answer

    def before(record: StepInput) -> None:
        if record.record_id not in logged:
            early.append(record.record_id)

    monkeypatch.setattr(journal, "commit", watched)
    outside.before = before
    job = launch(make_spinner(pipeline_with("act")))
    work_off(job)
    assert not early
    assert logged == set(job.records.values_list("pk", flat=True))
    assert job.done_count == MANY
    assert not IntentLog.objects.exists(), "the log goes with the batch's end"
    recount(job)


@pytest.mark.parametrize(
    ("kind", "status", "calls"), [("act", "uncertain", MANY), ("act_safe", "completed", 2 * MANY)]
)
def test_a_lost_worker_s_intents_come_back_from_the_log(
    make_contacts: MakeContacts,
    make_spinner: MakeSpinner,
    outside: Outside,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    status: str,
    calls: int,
) -> None:
    """F01: unsafe calls become uncertain, safe ones go out again under the same key."""
    make_contacts(MANY)
    job = launch(make_spinner(pipeline_with(kind)))
    lose_worker_after_commits(monkeypatch, 1)
    assert len(outside.keys) == MANY, "all calls were out"
    assert set(job.records.values_list("status", "intent_step")) == {("pending", 0)}
    expire()
    assert set(job.records.values_list("status", "intent_step")) == {("running", 2)}
    assert not IntentLog.objects.exists()
    work_off(job)
    assert set(job.records.values_list("status", flat=True)) == {status}
    assert len(outside.keys) == calls
    assert len(set(outside.keys)) == MANY
    assert job.records.first().values["message"]  # type: ignore[union-attr]
    recount(job)


def test_rows_that_know_more_than_the_log_stay_as_they_are(
    make_contacts: MakeContacts,
    make_spinner: MakeSpinner,
    outside: Outside,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_contacts(MANY)
    still_out = ("1", "2", "3")
    outside.seconds = lambda record: (
        3 * groups.RESULT_SECONDS if record.key.split("-")[1] in still_out else 0.0
    )
    job = launch(make_spinner(pipeline_with("act")))
    lose_worker_after_commits(monkeypatch, 2)
    assert job.records.filter(status="completed").count() == MANY - 3
    expire()
    assert job.records.filter(status="completed").count() == MANY - 3
    assert list(
        job.records.filter(status="running", intent_step=2).values_list("position", flat=True)
    ) == [1, 2, 3]
    work_off(job)
    assert (job.done_count, job.uncertain_count) == (MANY - 3, 3)
    recount(job)


def test_a_second_attempt_is_known_from_the_first(
    make_contacts: MakeContacts,
    make_spinner: MakeSpinner,
    outside: Outside,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A definite failure is in the rows; the attempt after it only in the log."""
    make_contacts(MANY)
    outside.answer = lambda record, count: (
        Retry("busy", after_seconds=0.0) if count == 1 else Continue()
    )
    job = launch(make_spinner(pipeline_with("act")))
    original, second = journal.commit, []

    def commit(claim: Any, program: Any, group: journal.Group, number: int) -> bool:
        if second and not group.intents:
            raise journal.Fenced("gone")
        answer = original(claim, program, group, number)
        attempts = Record.objects.get(pk=group.rows[0][0]).journey if group.rows else []
        if attempts and attempts[-1]["log"]:
            second.append(1)
        return answer

    monkeypatch.setattr(journal, "commit", commit)
    monkeypatch.setattr(journal, "keep_as_evidence", lambda *args: None)
    engine.run_here("lost:1")
    monkeypatch.undo()
    expire()
    work_off(job)
    twice = [key for key in set(outside.keys) if outside.keys.count(key) == 2]
    assert twice
    assert job.uncertain_count == len(twice), "whatever had gone out a second time is in doubt"
    assert job.uncertain_count + job.done_count == MANY
    recount(job)


def test_a_long_call_is_seen_in_its_row(
    make_contacts: MakeContacts,
    make_spinner: MakeSpinner,
    outside: Outside,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_contacts(MANY)
    monkeypatch.setattr(groups, "SHOW_SECONDS", 0.05)
    seen: list[dict[int, str]] = []
    original = journal.commit

    def watched(claim: Any, program: Any, group: journal.Group, number: int) -> bool:
        answer = original(claim, program, group, number)
        seen.append({row[1]: row[3] for row in group.rows})
        return answer

    outside.seconds = lambda record: 0.4
    monkeypatch.setattr(journal, "commit", watched)
    job = launch(make_spinner(pipeline_with("act")))
    work_off(job)
    assert next(rows for rows in seen if rows) == {"running": 2}
    assert job.done_count == MANY


def test_force_stop_takes_the_intents_from_the_log(
    make_contacts: MakeContacts,
    make_spinner: MakeSpinner,
    outside: Outside,
    monkeypatch: pytest.MonkeyPatch,
    operator: User,
) -> None:
    """D12: what was on its way ends as uncertain, though its row never said so."""
    make_contacts(MANY)
    job = launch(make_spinner(pipeline_with("act")))
    lose_worker_after_commits(monkeypatch, 1)
    cancel(job, Actor(user=operator))
    Job.objects.filter(pk=job.pk).update(
        cancel_requested_at=F("cancel_requested_at") - timedelta(minutes=2)
    )
    job = force_stop(job, Actor(user=operator))
    assert (job.status, job.uncertain_count, job.cancelled_count) == ("cancelled", MANY, 0)
    assert not IntentLog.objects.exists()
    assert claims.claim_next("next:1") is None
    recount(job)
