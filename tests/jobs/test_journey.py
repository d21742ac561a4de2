"""A record's page: every step in order, and what a person can do."""

import pytest
from django.urls import reverse
from django.utils import timezone

from jobs.models import Job, LateReport, Record
from jobs.statuses import RecordStatus

pytestmark = pytest.mark.django_db

STEPS = [
    {"name": "compose", "kind": "template", "config": {}},
    {"name": "has-phone", "kind": "condition", "config": {}},
    {"name": "send", "kind": "http", "config": {}},
    {"name": "record-outcome", "kind": "outcome", "config": {}},
]


def entry(step, name, kind, **fields):
    return {
        "step": step, "name": name, "kind": kind, "status": "completed",
        "started_at": "2026-11-24T08:00:41.000+00:00", "ms": 0.4, "attempts": 1, "input": {},
        "output": {}, "error": "", "key": "", "log": [], **fields,
    }  # fmt: skip


SENT = entry(
    3, "send", "http", status="failed", ms=1200, attempts=3, key="3120-2-3",
    input={"method": "POST", "url": "https://provider.example.com/messages", "token": "•••"},
    error="HTTP 422 number not reachable",
    log=[
        {"at": "2026-11-24T08:00:41+00:00", "error": "HTTP 503"},
        {"at": "2026-11-24T08:00:41.5+00:00", "error": "HTTP 429"},
    ],
)  # fmt: skip
JOURNEY = [
    entry(1, "compose", "template", output={"message": "Hi Bo"}),
    entry(2, "has-phone", "condition"),
    SENT,
]


@pytest.fixture
def make_record(project, make_spinner):
    spinner = make_spinner(steps=STEPS)
    run = Job.objects.create(
        team=project.team, project=project, kind="spinner", pipeline=spinner,
        version=spinner.current_version, workflow_slug=spinner.slug, label=spinner.name,
        name=spinner.name, status="running", total_count=100, started_at=timezone.now(),
        steps=[{"name": s["name"], "kind": s["kind"]} for s in STEPS],
    )  # fmt: skip

    def make(position=2, status=RecordStatus.FAILED, journey=JOURNEY, **fields):
        return Record.objects.create(
            **{
                "job": run, "team": run.team, "project": project, "pipeline": spinner,
                "position": position, "status": status, "journey": journey,
                "contact_name": "Bo Lindqvist", "contact_email": "bo.lindqvist@example.com",
                "created_at": timezone.now(), "started_at": timezone.now(), "next_step": 3,
                "error": SENT["error"], "error_step": 3, "error_type": "rejected_request",
                **fields,
            }
        )  # fmt: skip

    return make


def page_of(client, record):
    response = client.get(reverse("jobs:record", args=[record.project.slug, record.pk]))
    assert response.status_code == 200
    return response, response.content.decode()


def test_shows_every_step_in_order_with_attempts_and_errors(as_user, viewer, make_record):
    """R5, R10"""
    response, page = page_of(as_user(viewer), make_record())
    shown = [(s.number, s.name, s.label) for s in response.context["steps"]]
    assert shown == [
        (1, "compose", "Completed"), (2, "has-phone", "Completed"), (3, "send", "Failed"),
        (4, "record-outcome", "Not reached"),
    ]  # fmt: skip
    for text in (
        "Record 2 of 100", "version 1", "Hi Bo", "POST provider.example.com/messages",
        "3 attempts", "HTTP 503", "HTTP 429", "HTTP 422 number not reachable", "3120-2-3",
        "No outcome was recorded.",
    ):  # fmt: skip
        assert text in page
    attempts = [(a["number"], a["error"]) for a in response.context["steps"][2].log]
    assert attempts == [(1, "HTTP 503"), (2, "HTTP 429"), (3, "HTTP 422 number not reachable")]


def test_two_tries_that_failed_alike_are_two_attempts(as_user, viewer, make_record):
    """A retry by a person that fails with the same words is told, not folded into the first."""
    again = {**SENT, "attempts": 2, "error": "HTTP 422", "log": [{"error": "HTTP 422"}]}
    response, _ = page_of(as_user(viewer), make_record(journey=[*JOURNEY[:2], again]))
    attempts = [(a["number"], a["error"]) for a in response.context["steps"][2].log]
    assert attempts == [(1, "HTTP 422"), (2, "HTTP 422")]
    # Out of tries: the last try is logged, then named as the step's error.
    spent = {**again, "error": "HTTP 503 (after 2 attempts)",
             "log": [{"error": "HTTP 503"}, {"error": "HTTP 503"}]}  # fmt: skip
    response, _ = page_of(as_user(viewer), make_record(position=3, journey=[*JOURNEY[:2], spent]))
    attempts = [(a["number"], a["error"]) for a in response.context["steps"][2].log]
    assert attempts == [(1, "HTTP 503"), (2, "HTTP 503 (after 2 attempts)")]
    # The third went well: the two before it keep their numbers.
    well = {**again, "status": "completed", "attempts": 3, "error": "",
            "log": [{"error": "HTTP 503"}, {"error": "HTTP 429"}]}  # fmt: skip
    response, _ = page_of(as_user(viewer), make_record(position=4, journey=[*JOURNEY[:2], well]))
    attempts = [(a["number"], a["error"]) for a in response.context["steps"][2].log]
    assert attempts == [(1, "HTTP 503"), (2, "HTTP 429")]


def test_says_which_condition_skipped_a_step(as_user, viewer, make_record):
    """R6"""
    journey = [
        entry(2, "has-phone", "condition", output={"went_to": "record-outcome", "reason": "no phone"}),
        entry(3, "send", "http", status="skipped", output={"skipped_by": "has-phone"}),
    ]  # fmt: skip
    _, page = page_of(as_user(viewer), make_record(status="completed", journey=journey, error=""))
    assert "has-phone" in page
    assert "no phone" in page


def test_previous_and_next_failed_of_the_same_run(as_user, viewer, make_record):
    first, _, middle, last = (
        make_record(position=n, status="completed" if n == 2 else "failed") for n in (1, 2, 3, 4)
    )
    response, _ = page_of(as_user(viewer), middle)
    assert response.context["previous_failed"] == first
    assert response.context["next_failed"] == last


def test_only_an_operator_is_offered_the_retry(as_user, viewer, operator, make_record):
    """X3"""
    record = make_record()
    assert "Retry from step 3" in page_of(as_user(operator), record)[1]
    assert "Retry from step 3" not in page_of(as_user(viewer), record)[1]


def test_a_callback_says_what_is_awaited_but_not_the_address(as_user, operator, make_record):
    record = make_record(
        status="waiting", error="", error_step=0, wait_kind="callback", wait_token_hash="ab" * 32,
        wait_until=timezone.now(),
    )  # fmt: skip
    _, page = page_of(as_user(operator), record)
    assert "answer from outside" in page
    assert "at the latest" in page
    assert "abab" not in page
    assert "Approve" not in page


def test_an_uncertain_record_shows_its_evidence(as_user, operator, make_record):
    record = make_record(
        status="uncertain", error="timed out after sending",
        journey=[*JOURNEY[:2], {**SENT, "status": "uncertain", "error": "timed out after sending"}],
    )  # fmt: skip
    LateReport.objects.create(
        job=record.job, record=record, reporter="worker-1", reason="The lease was gone."
    )
    _, page = page_of(as_user(operator), record)
    for text in ("Did it happen?", "3120-2-3", "Mark as done", "Give up", "The lease was gone."):
        assert text in page


def test_a_pruned_journey_says_so(as_user, viewer, make_record):
    _, page = page_of(as_user(viewer), make_record(journey=[], journey_pruned_at=timezone.now()))
    assert "This journey was pruned" in page


def test_all_records_of_a_contact_newest_first(as_user, viewer, make_record, make_contacts):
    """R11"""
    contact = make_contacts(1)[0]
    records = [make_record(position=n, contact=contact) for n in (1, 2)]
    make_record(position=3)
    url = reverse("jobs:contact_records", args=[contact.project.slug, contact.pk])
    response = as_user(viewer).get(url)
    assert [r.pk for r in response.context["records"]] == [records[1].pk, records[0].pk]
    fragment = as_user(viewer).get(
        url, headers={"HX-Request": "true", "HX-Target": "contact-records"}
    )
    assert "<html" not in fragment.content.decode()
