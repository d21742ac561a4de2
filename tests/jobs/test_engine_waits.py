"""Records that wait: for a person, an answer, a time, and their turn under a pace."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.db.models.functions import Now

from accounts.models import User
from accounts.permissions import Actor
from jobs.events import EventKind, emit
from jobs.execution import executor, pacing, stalls, sweep
from jobs.execution.dispatch import (
    Refused,
    approve,
    cancel,
    pause_project,
    reject,
    resolve_callback,
    resume_project,
)
from jobs.models import Job, LateReport
from jobs.steps.callbacks import make_token
from jobs.timeline import timeline_of
from projects.models import Contact, Pipeline
from tests.jobs.engine_rig import (
    Outside,
    launch,
    outside,
    pipeline_with,
    recount,
    run_spinner,
    work_off,
)

__all__ = ["outside"]

pytestmark = pytest.mark.django_db

MakeContacts = Callable[..., list[Contact]]
MakeSpinner = Callable[..., Pipeline]


def wait_pipeline(config: dict[str, object]) -> list[dict[str, object]]:
    return [
        {"name": "gate", "kind": "wait", "config": config},
        {"name": "end", "kind": "outcome", "config": {"outcome": "through"}},
    ]


def test_approval_and_rejection(
    make_contacts: MakeContacts, make_spinner: MakeSpinner, operator: User
) -> None:
    """D5: a gate holds the job as waiting until each record is answered."""
    make_contacts(2)
    job = run_spinner(make_spinner(wait_pipeline({"for": "approval", "prompt": "Send it?"})))
    assert (job.status, job.waiting_count) == ("waiting", 2)
    assert job.started_at
    assert job.wait_began_at
    assert job.wait_began_at >= job.started_at
    first, second = job.records.all()
    assert (first.wait_kind, first.wait_prompt) == ("approval", "Send it?")
    Job.objects.filter(pk=job.pk).update(last_heartbeat_at=Now() - timedelta(hours=5))
    approve(first, Actor(user=operator), note="fine")
    stalls.mark()  # five hours of waiting are nobody's silence
    job.refresh_from_db()
    assert job.resumed_at
    assert job.stalled_at is None
    timeline = timeline_of(job)
    assert timeline is not None
    assert timeline.status == "RUNNING"
    with pytest.raises(Refused):
        approve(first, Actor(user=operator))
    second = reject(second, Actor(user=operator), note="no")
    work_off(job)
    assert (job.status, job.done_count, job.failed_count, job.waiting_count) == (
        "completed", 1, 1, 0,
    )  # fmt: skip
    first.refresh_from_db()
    assert first.journey[0]["output"] == {"approved_by": "Olu Operator", "note": "fine"}
    assert all(record.journey[0]["ms"] > 0 for record in (first, second))
    recount(job)


@pytest.mark.parametrize("has_lost_a_worker", [False, True])
def test_a_cancelled_run_s_funnel_waits_for_nobody(
    make_contacts: MakeContacts,
    make_spinner: MakeSpinner,
    operator: User,
    has_lost_a_worker: bool,
) -> None:
    make_contacts(2)
    job = run_spinner(make_spinner(wait_pipeline({"for": "approval", "prompt": "Send it?"})))
    step = job.step_counts.get(step=1)
    assert (step.reached_count, step.waiting_count) == (2, 2)
    if has_lost_a_worker:  # the funnel is counted anew from the journeys
        emit(job.pk, EventKind.LEASE_EXPIRED, "A worker was lost.")
    cancel(job, Actor(user=operator))
    step.refresh_from_db()
    assert (step.reached_count, step.waiting_count) == (2, 0)
    recount(job)


def test_callback_once_early_late_and_forged(
    make_contacts: MakeContacts, make_spinner: MakeSpinner
) -> None:
    """F19: an early answer is used, a second one kept as evidence, a forged one refused."""
    make_contacts(2)
    job = launch(make_spinner(wait_pipeline({"for": "callback"})))
    early, later = job.records.all()
    resolve_callback(make_token(early.pk, "gate"), {"answer": "early"})
    work_off(job)
    early.refresh_from_db()
    assert (early.status, early.values["answer"]) == ("completed", "early")
    assert (job.status, job.waiting_count) == ("waiting", 1)
    token = make_token(later.pk, "gate")
    resolve_callback(token, {"answer": "yes"})
    resolve_callback(token, {"answer": "again"})
    with pytest.raises(Refused):
        resolve_callback(make_token(later.pk, "end") + "0", {})
    work_off(job)
    later.refresh_from_db()
    assert (job.status, later.values["answer"]) == ("completed", "yes")
    assert LateReport.objects.get(job=job).payload == {"answer": "again"}
    recount(job)


@pytest.mark.parametrize(
    ("config", "status"),
    [
        ({"for": "time", "until": "1h"}, "completed"),
        ({"for": "approval", "give_up_after": "1h", "on_timeout": "fail"}, "failed"),
    ],
)
def test_a_wait_ends_when_its_time_comes(
    make_contacts: MakeContacts, make_spinner: MakeSpinner, config: dict[str, object], status: str
) -> None:
    make_contacts(2)
    job = run_spinner(make_spinner(wait_pipeline(config)))
    assert (job.status, job.waiting_count) == ("waiting", 2)
    sweep.sweep()
    assert Job.objects.get(pk=job.pk).status == "waiting"
    began = job.records.all()[0].journey[0]["started_at"]
    job.records.update(wait_until=datetime.now(UTC) - timedelta(seconds=1))
    sweep.sweep()
    sweep.sweep()  # a second sweeper finds nothing
    work_off(job)
    wait = job.records.all()[0].journey[0]
    assert (wait["attempts"], wait["started_at"]) == (1, began)  # one attempt, however long
    assert wait["ms"] > 0
    assert set(job.records.values_list("status", flat=True)) == {status}
    assert job.status == "completed"
    recount(job)


def test_a_pace_spreads_the_effects_over_time(
    make_contacts: MakeContacts, make_spinner: MakeSpinner, outside: Outside
) -> None:
    """1,200 a minute: every call comes 50 ms after the one before; no turn is lost."""
    make_contacts(12)
    called_at: list[float] = []
    outside.before = lambda record: called_at.append(time.monotonic())
    began = time.monotonic()
    job = run_spinner(make_spinner(pipeline_with("act")), options={"pace_per_minute": 1_200})
    assert job.done_count == 12
    assert called_at[-1] - began >= 11 * 0.05 * 0.95
    paced = Job.objects.values_list("paced_until", flat=True).get(pk=job.pk)
    assert paced is not None
    assert job.completed_at is not None
    assert paced - job.completed_at < timedelta(seconds=1)  # one reservation, not one a record


def test_who_leaves_before_its_turn_takes_no_turn_along(
    make_contacts: MakeContacts,
    make_spinner: MakeSpinner,
    outside: Outside,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Turns further off than a batch waits are left to whoever comes then; the pace holds."""
    for module in (pacing, executor):
        monkeypatch.setattr(module, "LONGEST_NAP", 0.2)
    make_contacts(12)
    called_at: list[float] = []
    outside.before = lambda record: called_at.append(time.monotonic())
    began = time.monotonic()
    job = run_spinner(make_spinner(pipeline_with("act")), options={"pace_per_minute": 1_200})
    assert 0 < job.done_count < 12
    deadline = time.monotonic() + 20
    while job.status != "completed" and time.monotonic() < deadline:
        work_off(job)
    assert job.done_count == 12
    assert called_at[-1] - began >= 11 * 0.05 * 0.95
    assert job.paced_until - job.completed_at < timedelta(seconds=1)


def test_records_set_aside_while_the_stop_was_asked_end_with_the_run(
    make_contacts: MakeContacts,
    make_spinner: MakeSpinner,
    outside: Outside,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The cancel saw no pending batch, then the batch in hand left one: it never hangs."""
    for module in (pacing, executor):
        monkeypatch.setattr(module, "LONGEST_NAP", 0.1)
    make_contacts(8)
    job = run_spinner(make_spinner(pipeline_with("act")), options={"pace_per_minute": 600})
    assert 0 < job.done_count < 8
    Job.objects.filter(pk=job.pk).update(cancel_requested_at=datetime.now(UTC))
    sweep.sweep()
    recount(job)
    assert (job.status, job.done_count + job.cancelled_count) == ("cancelled", 8)


def test_what_rests_is_not_silent(
    make_contacts: MakeContacts, make_spinner: MakeSpinner, operator: User
) -> None:
    """A paused project's run, and one whose records are all set aside for later, are not marked."""
    make_contacts(2)
    job = launch(make_spinner())
    long_ago = Now() - timedelta(hours=5)
    Job.objects.filter(pk=job.pk).update(
        status="running", started_at=long_ago, last_heartbeat_at=long_ago
    )

    def is_marked() -> bool:
        stalls.mark()
        job.refresh_from_db()
        return job.stalled_at is not None

    job.batches.update(due_at=Now() + timedelta(minutes=10))
    assert not is_marked()
    job.batches.update(due_at=long_ago)
    pause_project(job.project, Actor(user=operator), reason="month's end")
    assert not is_marked()
    resume_project(job.project, Actor(user=operator))
    assert not is_marked()  # the workers have a minute from here
    Job.objects.filter(pk=job.pk).update(last_heartbeat_at=long_ago)
    assert is_marked()
