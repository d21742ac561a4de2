"""Cancel, resend, plan limits, pauses, corrections, the queue: rows, events, second calls."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.db.models import F

from accounts.models import Team, Usage, User
from accounts.permissions import Actor
from jobs.execution import claims
from jobs.execution.dispatch import (
    Refused,
    cancel,
    correct_job,
    correct_record,
    force_stop,
    pause_project,
    resend,
    resume_project,
    undo_correction,
)
from jobs.execution.selection import Selection
from jobs.models import Agent, Batch, Job, Worker
from jobs.queueing import pending_reason
from jobs.steps.base import StepInput
from projects.models import Contact, Pipeline, Project, Tag
from tests.jobs.engine_rig import Outside, launch, outside, pipeline_with, run_spinner, work_off
from tests.jobs.test_engine_runs import recount

__all__ = ["outside"]

pytestmark = pytest.mark.django_db

MakeContacts = Callable[..., list[Contact]]
MakeSpinner = Callable[..., Pipeline]


@pytest.fixture
def actor(operator: User) -> Actor:
    return Actor(user=operator)


def test_cancel_of_a_pending_job_ends_it_at_once(
    make_contacts: MakeContacts, make_spinner: MakeSpinner, outside: Outside, actor: Actor
) -> None:
    """D10: it never starts; a second cancel changes nothing."""
    make_contacts(3)
    job = cancel(launch(make_spinner(pipeline_with("act"))), actor)
    assert (job.status, job.cancelled_count, job.started_at) == ("cancelled", 3, None)
    count = job.event_count
    assert cancel(job, actor).event_count == count
    work_off(job)
    assert outside.keys == []
    assert job.status == "cancelled"
    recount(job)


def test_cancel_of_a_running_job_stops_before_the_next_effect(
    make_contacts: MakeContacts, make_spinner: MakeSpinner, outside: Outside, actor: Actor,
    settings: object,
) -> None:  # fmt: skip
    """D11, D14, F16: no effect begins after the cancel; the history says what was done."""
    settings.BATCH_SIZE = 4  # type: ignore[attr-defined]
    settings.BATCHES_IN_FLIGHT = 1  # type: ignore[attr-defined]
    make_contacts(20)
    job = launch(make_spinner(pipeline_with("act")))
    from jobs.execution import journal

    original, calls = journal.commit, []
    monkey = pytest.MonkeyPatch()

    def cancelling(*args: object) -> object:
        calls.append(1)
        if len(calls) == 3:  # the second batch is about to make its intents durable
            stopping = cancel(job, actor)
            assert stopping.is_cancelling
        return original(*args)  # type: ignore[arg-type]

    monkey.setattr(journal, "commit", cancelling)
    work_off(job)
    monkey.undo()
    assert len(outside.keys) == 4
    assert (job.status, job.done_count, job.cancelled_count) == ("cancelled", 4, 16)
    assert job.cancel_requested_by_name == "Olu Operator"
    text = job.events.get(kind="job.cancelled").message
    assert (
        text
        == "Cancelled; the worker stopped. 4 of 20 had been worked on, and that was not undone."
    )
    recount(job)


def test_cancel_of_an_ended_job_is_told(
    make_contacts: MakeContacts, make_spinner: MakeSpinner, actor: Actor
) -> None:
    """D13: its result is kept."""
    make_contacts(1)
    job = run_spinner(make_spinner())
    with pytest.raises(Refused) as refused:
        cancel(job, actor)
    assert refused.value.code == "ALREADY_ENDED"
    assert Job.objects.get(pk=job.pk).status == "completed"


def test_force_stop_takes_the_lease_away(
    make_contacts: MakeContacts, make_spinner: MakeSpinner, outside: Outside, actor: Actor
) -> None:
    """D12: offered after a while; an effect on its way ends as uncertain."""
    make_contacts(2)
    job = launch(make_spinner(pipeline_with("act")))
    claim = claims.claim_next("silent:1")
    assert claim is not None
    job.records.filter(position=1).update(intent_step=2, next_step=2, status="running")
    cancel(job, actor)
    with pytest.raises(Refused) as refused:
        force_stop(job, actor)
    assert refused.value.code == "TOO_EARLY"
    Job.objects.filter(pk=job.pk).update(
        cancel_requested_at=F("cancel_requested_at") - timedelta(minutes=2)
    )
    job = force_stop(job, actor)
    assert (job.status, job.uncertain_count, job.cancelled_count) == ("cancelled", 1, 1)
    assert "silent:1" in job.events.get(kind="job.force_stopped").message
    assert not claims.finish(claim)
    recount(job)


def test_resend_makes_one_job_and_tells_the_other(
    make_contacts: MakeContacts, make_spinner: MakeSpinner, actor: Actor
) -> None:
    """D15, D16, F17: linked to the old one; effort may change; pressed twice makes one."""
    make_contacts(2)
    spinner = make_spinner()
    done = run_spinner(spinner)
    with pytest.raises(Refused):
        resend(done, actor)
    job = cancel(launch(spinner), actor)
    new, is_new = resend(job, actor, effort="max")
    again, is_second_new = resend(job, actor)
    assert (is_new, is_second_new, again.pk) == (True, False, new.pk)
    assert (new.resend_of_id, new.effort_level, new.total_count) == (job.pk, "max", 2)
    work_off(new)
    assert new.status == "completed"
    assert Job.objects.get(pk=job.pk).status == "cancelled"


def test_plan_limit_names_used_allowed_and_reset(
    make_contacts: MakeContacts, make_spinner: MakeSpinner, team: Team
) -> None:
    """P2: nothing starts, and the answer says how much fits."""
    make_contacts(4)
    team.monthly_record_limit = 6
    team.save()
    spinner = make_spinner()
    launch(spinner)
    with pytest.raises(Refused) as refused:
        launch(spinner)
    assert refused.value.code == "PLAN_LIMIT"
    facts = refused.value.facts
    assert (facts["used"], facts["allowed"], facts["fits"]) == (4, 6, 2)
    assert Usage.objects.get(team=team).record_count == 4
    assert Job.objects.count() == 1
    team.monthly_job_limit = 1
    team.save()
    with pytest.raises(Refused, match="1 jobs of this month"):
        launch(spinner, selection=Selection(kind="ids", ids=[Contact.objects.first().pk]))  # type: ignore[union-attr]


def test_one_launch_key_makes_one_job(
    make_contacts: MakeContacts, make_spinner: MakeSpinner
) -> None:
    make_contacts(1)
    spinner = make_spinner()
    assert launch(spinner, launch_key="k").pk == launch(spinner, launch_key="k").pk
    assert Usage.objects.get().job_count == 1


def test_paused_project_and_full_agent_and_schedule_hold_a_job_and_say_why(
    make_contacts: MakeContacts, make_spinner: MakeSpinner, project: Project, actor: Actor
) -> None:
    """D4, G5, G6: one sentence why; the queue's place; nothing is claimed meanwhile."""
    make_contacts(1)
    spinner = make_spinner()
    first, second = launch(spinner), launch(spinner)
    assert pending_reason(first).startswith("No worker is up; place 1 in the queue.")
    Worker.objects.create(name="w:1", host="w", pid=1)
    assert pending_reason(first) == "Next to start; place 1 in the queue."
    assert pending_reason(second) == "In line; place 2 in the queue."
    pause_project(project, actor, reason="release")
    with pytest.raises(Refused):
        pause_project(project, actor, reason="again")
    assert claims.claim_next("w:1") is None
    project.refresh_from_db()
    first.project = second.project = project
    why = pending_reason(first)
    assert f"{project.name} was paused by Olu Operator, " in why
    assert why.endswith(": release.")
    resume_project(project, actor)
    Agent.objects.update(capacity=1)
    claim = claims.claim_next("w:1")
    assert claim is not None
    assert claim.job_id == first.pk
    assert claims.claim_next("w:1") is None
    second = Job.objects.get(pk=second.pk)
    assert pending_reason(second).startswith("All agents are busy; place 1 in the queue.")
    later = launch(spinner, scheduled_for=datetime.now(UTC) + timedelta(hours=1))
    assert pending_reason(later).startswith("Scheduled for ")


def test_claims_take_turns_over_teams_and_jobs(
    make_contacts: MakeContacts, make_spinner: MakeSpinner, other_project: Project,
    settings: object,
) -> None:  # fmt: skip
    """Fair: the other team's small job comes right after the large ones' first batches."""
    settings.BATCH_SIZE = 2  # type: ignore[attr-defined]
    make_contacts(8)
    make_contacts(1, project=other_project)
    large = launch(make_spinner())
    second = launch(make_spinner(slug="second"))
    other = launch(make_spinner(project=other_project))
    order = []
    for _ in range(5):
        claim = claims.claim_next("w:1")
        assert claim is not None
        order.append(claim.job_id)
    assert order == [large.pk, other.pk, second.pk, large.pk, second.pk]


def test_correction_is_guarded_audited_and_undone(
    make_contacts: MakeContacts, make_spinner: MakeSpinner, staff: User
) -> None:
    """A1, A2: reason, order of states, history, undo."""
    make_contacts(2)
    job = run_spinner(make_spinner())
    actor = Actor(user=staff)
    for status, reason, code in (
        ("failed", " ", "REASON_NEEDED"), ("running", "x", "BAD_TRANSITION"),
        ("completed", "x", "BAD_TRANSITION"),
    ):  # fmt: skip
        with pytest.raises(Refused) as refused:
            correct_job(job, actor, status=status, reason=reason)
        assert refused.value.code == code
    job = correct_job(job, actor, status="failed", reason="wrong list")
    event = job.events.get(kind="job.corrected")
    assert event.payload == {"old": "completed", "new": "failed", "reason": "wrong list"}
    assert (job.status, job.is_corrected, event.actor_name) == ("failed", True, "Staff")
    undo_correction(event, actor)
    with pytest.raises(Refused):
        undo_correction(event, actor)
    record = correct_record(job.records.all()[0], actor, status="failed", reason="bounced")
    assert record.status == "failed"
    recount(job)
    undo_correction(job.events.get(kind="record.corrected"), actor)
    job.refresh_from_db()
    assert (job.status, job.done_count) == ("completed", 2)
    recount(job)


def test_correction_under_a_worker_is_refused(
    make_contacts: MakeContacts, make_spinner: MakeSpinner, staff: User
) -> None:
    """A3: cancel is offered instead."""
    make_contacts(1)
    job = launch(make_spinner())
    claims.claim_next("w:1")
    with pytest.raises(Refused) as refused:
        correct_job(job, Actor(user=staff), status="failed", reason="x")
    assert refused.value.code == "STILL_RUNNING"


def test_selections(
    make_contacts: MakeContacts, make_spinner: MakeSpinner, project: Project,
    other_project: Project, outside: Outside,
) -> None:  # fmt: skip
    contacts = make_contacts(4)
    foreign = make_contacts(1, project=other_project)
    tag = Tag.objects.create(project=project, name="vip")
    contacts[0].tags.add(tag)
    for selection, count in (
        (Selection(), 4),
        (Selection(kind="ids", ids=[contacts[1].pk, foreign[0].pk]), 1),
        (Selection(kind="filter", filter={"q": "contact 2"}), 1),
        (Selection(kind="filter", filter={"tag": [tag.pk]}), 1),
        (Selection(kind="filter", filter={"attribute": "plan", "value": "pro"}), 2),
    ):
        assert selection.count(project) == count
        assert Selection.from_json(selection.as_json()) == selection
        job = run_spinner(
            make_spinner(
                slug=f"s{count}-{selection.kind}{len(selection.filter)}{'tag' in selection.filter}"
            ),
            selection=selection,
        )
        assert (job.done_count, job.status) == (count, "completed")


def test_failed_contacts_of_a_job_run_again(
    make_contacts: MakeContacts, make_spinner: MakeSpinner, project: Project, outside: Outside
) -> None:
    from jobs.steps.base import Continue, Failed

    make_contacts(3)

    def answer(record: StepInput, count: int) -> Continue | Failed:
        return Failed("no") if record.contact["external_id"] == "c-2" else Continue()

    outside.answer = answer
    spinner = make_spinner(pipeline_with("act"))
    job = run_spinner(spinner)
    again = run_spinner(spinner, selection=Selection(kind="failed_of", job_id=job.pk))
    assert (again.total_count, again.failed_count) == (1, 1)


def test_poison_record_fails_alone(
    make_contacts: MakeContacts, make_spinner: MakeSpinner, outside: Outside
) -> None:
    """F12: after two lost workers its batch runs one by one, and the next loss names it."""
    from jobs.execution import sweep

    make_contacts(5)
    job = launch(make_spinner())
    for _ in range(2):
        claim = claims.claim_next("dies:1")
        assert claim is not None
        Batch.objects.filter(pk=claim.batch_id).update(
            lease_expires_at=datetime.now(UTC) - timedelta(1)
        )
        sweep.offer_expired()
    assert job.events.filter(kind="batch.split").count() == 1
    # The third worker marked record 3 and died on it.
    claim = claims.claim_next("dies:1")
    job.records.filter(position__lt=3).update(status="completed", completed_at=datetime.now(UTC))
    Job.objects.filter(pk=job.pk).update(done_count=2)
    job.records.filter(position=3).update(status="running", intent_at=datetime.now(UTC))
    Batch.objects.update(lease_expires_at=datetime.now(UTC) - timedelta(1))
    sweep.offer_expired()
    work_off(job)
    assert (job.status, job.done_count, job.failed_count) == ("completed", 4, 1)
    assert job.records.get(status="failed").position == 3
    assert job.records.get(status="failed").error_type == "worker_lost"
    recount(job)
