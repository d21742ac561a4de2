"""A run from launch to its end, inside one process."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.db.models import F

from accounts.models import User
from accounts.permissions import SYSTEM, Actor
from jobs.execution import planning, sweep
from jobs.execution.dispatch import (
    Refused,
    dispatch_spinner,
    dispatch_workflow,
    retry_failed,
    retry_record,
)
from jobs.execution.selection import Selection
from jobs.models import Batch, Job, LateReport, Record, StepCount
from jobs.steps.base import Continue, Failed, Retry, StepInput, Uncertain
from jobs.timeline import mismatch, timeline_of
from projects.models import Contact, Pipeline, PipelineKind, PipelineVersion, Project
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


def test_pure_run_completes_every_record(
    make_contacts: MakeContacts, make_spinner: MakeSpinner
) -> None:
    """R1, R2, R5: the total is fixed, closes, and every record has its journey."""
    make_contacts(7)
    job = run_spinner(make_spinner())
    assert (job.status, job.done_count, job.remaining_count) == ("completed", 7, 0)
    record = job.records.get(position=3)
    assert record.outcome == "composed"
    assert record.values == {"message": "Hi Contact"}
    assert [entry["status"] for entry in record.journey] == ["completed", "completed"]
    kinds = list(job.events.values_list("kind", flat=True))
    assert kinds == [
        "job.created", "job.queued", "job.claimed", "job.started", "job.completed",
        "job.torn_down",
    ]  # fmt: skip
    assert list(job.step_counts.order_by("step").values_list("reached_count", "passed_count")) == [
        (7, 7), (7, 7),
    ]  # fmt: skip
    recount(job)


def test_each_effect_happens_once_under_its_own_key(
    make_contacts: MakeContacts, make_spinner: MakeSpinner, outside: Outside
) -> None:
    """R9: one call a record, keyed <job>-<position>-<step>; intent gone, attempts counted."""
    make_contacts(30)
    outside.answer = lambda record, count: Continue({"id": record.key}, {"status": 200})
    job = run_spinner(make_spinner(pipeline_with("act")))
    assert sorted(outside.keys) == sorted(f"{job.pk}-{n}-2" for n in range(1, 31))
    record = job.records.get(position=7)
    assert (record.status, record.intent_step, record.values["id"]) == (
        "completed", 0, f"{job.pk}-7-2",
    )  # fmt: skip
    entry = record.entry(2)
    assert entry is not None
    assert (entry["attempts"], entry["key"], entry["output"]) == (
        1, f"{job.pk}-7-2", {"status": 200},
    )  # fmt: skip
    recount(job)


def test_intent_is_durable_before_the_effect_begins(
    make_contacts: MakeContacts,
    make_spinner: MakeSpinner,
    outside: Outside,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """DESIGN 3.2: whatever the world sees has an intent in the database already."""
    make_contacts(3)
    seen: list[int] = []
    spinner = make_spinner(pipeline_with("act"))
    outside.before = lambda record: seen.append(record.record_id)
    job = launch(spinner)
    from jobs.execution import journal

    written: set[int] = set()
    original = journal.commit

    def watched(claim: object, program: object, group: journal.Group, number: int) -> object:
        written.update(row[0] for row in group.rows if row[3] == 2)
        early = set(seen) - written
        assert not early
        return original(claim, program, group, number)  # type: ignore[arg-type]

    monkeypatch.setattr(journal, "commit", watched)
    work_off(job)
    assert set(seen) == written == set(job.records.values_list("pk", flat=True))


def test_definite_failure_is_retried_by_a_person_from_its_step(
    make_contacts: MakeContacts, make_spinner: MakeSpinner, outside: Outside, operator: User
) -> None:
    """R8: only failed records run again, from the failed step, under a new key."""
    make_contacts(4)

    def answer(record: StepInput, count: int) -> Continue | Failed:
        if record.contact["external_id"] == "c-2" and not record.key.endswith("-r1"):
            return Failed("The server answered 422: bad address c2@example.com", "provider_error")
        return Continue()

    outside.answer = answer
    job = run_spinner(make_spinner(pipeline_with("act")))
    assert (job.status, job.done_count, job.failed_count) == ("completed", 3, 1)
    failed = job.records.get(status="failed")
    assert (failed.error_step, failed.cause) == (2, "The server answered 422: bad address …")
    assert retry_failed(job, Actor(user=operator)) == 1
    assert Job.objects.get(pk=job.pk).status == "running"
    work_off(job)
    assert (job.status, job.done_count, job.failed_count) == ("completed", 4, 0)
    failed.refresh_from_db()
    assert [entry["attempts"] for entry in failed.journey] == [1, 2, 1]
    assert outside.keys[-1] == f"{job.pk}-2-2-r1"
    counts = StepCount.objects.get(job=job, step=2)
    assert (counts.reached_count, counts.passed_count, counts.failed_count) == (4, 4, 0)
    with pytest.raises(Refused) as refused:
        retry_failed(job, Actor(user=operator))
    assert refused.value.code == "NOT_FAILED"
    recount(job)


def test_transient_failure_is_retried_in_the_step_with_the_same_key(
    make_contacts: MakeContacts, make_spinner: MakeSpinner, outside: Outside
) -> None:
    """F14, F15: definite failures are tried again under one key, then fail for good."""
    make_contacts(2)
    outside.answer = lambda record, count: (
        Continue() if record.contact["external_id"] == "c-1" and count == 2
        else Retry("503", after_seconds=0.01)
    )  # fmt: skip
    job = run_spinner(make_spinner(pipeline_with("act")))
    assert outside.keys.count(f"{job.pk}-1-2") == 2
    assert outside.keys.count(f"{job.pk}-2-2") == 3
    assert (job.done_count, job.failed_count) == (1, 1)
    failed = job.records.get(status="failed")
    assert failed.error == "503 (after 3 attempts)"
    assert len(failed.journey[1]["log"]) == 2


def test_long_retry_after_leaves_the_batch_until_then(
    make_contacts: MakeContacts, make_spinner: MakeSpinner, outside: Outside
) -> None:
    """F14: a receiver that asks for five minutes gets them; the attempt is not forgotten."""
    make_contacts(2)
    outside.answer = lambda record, count: (
        Continue() if record.contact["external_id"] == "c-1" or count == 2
        else Retry("503", after_seconds=300)
    )  # fmt: skip
    job = run_spinner(make_spinner(pipeline_with("act")))
    assert (job.status, job.done_count) == ("running", 1)
    later = job.batches.get(status="pending")
    assert later.due_at > datetime.now(UTC) + timedelta(seconds=290)
    assert later.records.get().intent_step == 0
    Batch.objects.filter(pk=later.pk).update(due_at=datetime.now(UTC))
    work_off(job)
    assert (job.status, job.done_count) == ("completed", 2)
    assert job.records.get(position=2).journey[1]["attempts"] == 2


def test_uncertain_effect_waits_for_a_person(
    make_contacts: MakeContacts, make_spinner: MakeSpinner, outside: Outside, operator: User
) -> None:
    """F15: nothing is doubled silently; Retry keeps the key, Mark as done goes on after it."""
    from jobs.execution.dispatch import give_up, mark_done

    make_contacts(3)
    outside.answer = lambda record, count: (
        Uncertain("Reset after sending") if count == 1 else Continue()
    )
    job = run_spinner(make_spinner(pipeline_with("act")))
    assert (job.status, job.uncertain_count) == ("completed", 3)
    first, second, third = job.records.all()
    actor = Actor(user=operator)
    mark_done(first, actor, note="seen in their log")
    retry_record(second, actor)
    job.refresh_from_db()
    assert not mismatch(job, timeline_of(job))  # it had ended, and runs again
    give_up(third, actor)
    with pytest.raises(Refused):
        mark_done(third, actor)
    work_off(job)
    assert sorted(outside.keys) == sorted(
        [f"{job.pk}-1-2", f"{job.pk}-2-2", f"{job.pk}-2-2", f"{job.pk}-3-2"]
    )
    assert (job.status, job.done_count, job.failed_count, job.uncertain_count) == (
        "completed", 2, 1, 0,
    )  # fmt: skip
    recount(job)


def test_lost_worker_repeats_safe_and_asks_about_unsafe(
    make_contacts: MakeContacts, make_spinner: MakeSpinner, outside: Outside
) -> None:
    """F03: a crash between effect and result: same key for a safe step, a person for an unsafe."""
    make_contacts(2)
    for kind, status in (("act_safe", "completed"), ("act", "uncertain")):
        job = launch(make_spinner(pipeline_with(kind), slug=kind))
        batch = job.batches.get()
        # As the worker's last commit left it: the intent stands, the result never came.
        Record.objects.filter(job=job, position=1).update(
            status="running", next_step=2, intent_step=2, intent_at=datetime.now(UTC)
        )
        Batch.objects.filter(pk=batch.pk).update(
            status="running", lease_owner="gone:1", fence=1, attempt_count=1,
            lease_expires_at=datetime.now(UTC) - timedelta(seconds=1),
        )  # fmt: skip
        Job.objects.filter(pk=job.pk).update(status="running", started_at=datetime.now(UTC))
        assert sweep.offer_expired() == 1
        work_off(job)
        assert job.records.get(position=1).status == status
        assert job.records.get(position=2).status == "completed"
        assert outside.keys.count(f"{job.pk}-1-2") == (1 if kind == "act_safe" else 0)
        assert "has not been heard of" in job.events.get(kind="batch.lease_expired").message
        recount(job)


def test_a_worker_whose_lease_was_taken_writes_nothing(
    make_contacts: MakeContacts,
    make_spinner: MakeSpinner,
    outside: Outside,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """F10: fenced; what it brought is kept as evidence beside the result."""
    make_contacts(2)
    job = launch(make_spinner(pipeline_with("act_safe")))
    taken = []

    def take_over(record: StepInput) -> None:
        taken.append(record.key)

    outside.before = take_over
    from jobs.execution import journal

    original, calls = journal.commit, []

    def late(claim: object, program: object, group: journal.Group, number: int) -> object:
        calls.append(number)
        if len(calls) == 2:  # the results: somebody else has the batch by now
            Batch.objects.filter(job=job).update(fence=F("fence") + 1, lease_owner="other:2")
        return original(claim, program, group, number)  # type: ignore[arg-type]

    monkeypatch.setattr(journal, "commit", late)
    work_off(job)
    assert job.done_count == 0
    assert set(job.records.values_list("intent_step", flat=True)) == {2}
    report = LateReport.objects.get(job=job)
    assert len(report.payload["records"]) == 2


def test_removed_contact_is_skipped_and_totals_close(
    make_contacts: MakeContacts, make_spinner: MakeSpinner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R12: removed after planning or before it, its place ends as skipped with the reason."""
    contacts = make_contacts(9)
    monkeypatch.setattr(planning, "FIRST_SLICE", 4)
    monkeypatch.setattr(planning, "SLICE", 3)
    job = launch(make_spinner())
    assert (job.total_count, job.planned_count) == (9, 4)
    contacts[1].delete()
    contacts[7].delete()
    Contact.objects.create(project=contacts[0].project, external_id="new")  # not of this run
    work_off(job)
    assert (job.status, job.done_count, job.skipped_count) == ("completed", 7, 2)
    assert set(job.records.filter(status="skipped").values_list("error", flat=True)) == {
        "The contact was removed during the run.", planning.REMOVED,
    }  # fmt: skip
    assert list(job.records.values_list("position", flat=True)) == list(range(1, 10))
    recount(job)


def test_failure_limit_stops_the_run(
    make_contacts: MakeContacts, make_spinner: MakeSpinner, outside: Outside,
    settings: object,
) -> None:  # fmt: skip
    settings.BATCH_SIZE = 5  # type: ignore[attr-defined]
    settings.BATCHES_IN_FLIGHT = 1  # type: ignore[attr-defined]
    make_contacts(40)
    outside.answer = lambda record, count: Failed("422")
    job = run_spinner(make_spinner(pipeline_with("act")), options={"failure_limit_percent": 20})
    assert (job.status, job.error_type) == ("failed", "failure_limit")
    assert 8 < job.failed_count < 40
    assert job.cancelled_count == 40 - job.failed_count
    recount(job)


@pytest.fixture
def workflow(project: Project) -> Pipeline:
    definition = {"steps": pipeline_with("act")}
    pipeline = Pipeline.objects.create(
        team=project.team, kind=PipelineKind.WORKFLOW, name="SE RCA fix", slug="se-rca-fix"
    )
    pipeline.current_version = PipelineVersion.objects.create(
        pipeline=pipeline, number=1, definition=definition
    )
    pipeline.save()
    return pipeline


def test_workflow_runs_once_with_step_events(
    workflow: Pipeline, project: Project, outside: Outside
) -> None:
    job = dispatch_workflow(
        workflow, SYSTEM, project=project, input={"hint": "x"},
        ticket_url="https://t.example/browse/OPS-7?x=1",
    )  # fmt: skip
    assert (job.name, job.ticket_key) == ("se-rca-fix — OPS-7", "OPS-7")
    work_off(job)
    assert (job.status, job.output, job.current_step) == ("completed", "sent", 3)
    kinds = list(job.events.values_list("kind", flat=True))
    assert kinds.count("step.started") == kinds.count("step.completed") == 3


def test_workflow_that_fails_says_which_step(
    workflow: Pipeline, project: Project, outside: Outside
) -> None:
    """D6: the job names step and cause; a retry of its record reopens it."""
    outside.answer = lambda record, count: Failed("No access", "configuration")
    job = dispatch_workflow(workflow, SYSTEM, project=project, input={})
    work_off(job)
    assert (job.status, job.error_step, job.error, job.error_type) == (
        "failed", "2 (act)", "No access", "configuration",
    )  # fmt: skip
    outside.answer = lambda record, count: Continue()
    retry_record(job.records.get(), SYSTEM)
    work_off(job)
    assert (job.status, job.error) == ("completed", "")


def test_unusable_definition_fails_the_run_and_not_the_worker(
    make_contacts: MakeContacts, make_spinner: MakeSpinner
) -> None:
    make_contacts(3)
    broken = {"name": "torn", "kind": "template", "config": {"field": "x", "template": "{{ a"}}
    job = run_spinner(make_spinner([broken]))
    assert (job.status, job.error_type) == ("failed", "configuration")
    assert "torn" in job.error
    recount(job)


def test_draft_and_empty_selection_are_refused(
    make_contacts: MakeContacts, make_spinner: MakeSpinner
) -> None:
    draft = make_spinner(publish=False)
    for selection, code in ((Selection(), "NOT_PUBLISHED"),):
        with pytest.raises(Refused) as refused:
            dispatch_spinner(draft, SYSTEM, selection=selection)
        assert refused.value.code == code
    empty = make_spinner(slug="empty")
    with pytest.raises(Refused) as refused:
        dispatch_spinner(empty, SYSTEM, selection=Selection())
    assert refused.value.code == "NO_CONTACTS"
