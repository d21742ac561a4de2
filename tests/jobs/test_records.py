"""Records over all runs: filters, export, failures by cause, and the two work lists."""

import csv
import io
from datetime import UTC, datetime, timedelta

import pytest
from django.urls import reverse

from jobs.execution import dispatch
from jobs.models import Job, JobEvent, Record
from jobs.querysets.causes import causes_of_project

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


@pytest.fixture
def spinner(make_spinner):
    return make_spinner()


@pytest.fixture
def make_run(project, spinner):
    def make(statuses, *, pipeline=spinner, status="completed", **fields):
        """One record for each of (status, fields)."""
        counts = {}
        for one, _ in statuses:
            column = {"completed": "done"}.get(one, one)
            if one not in ("pending", "running"):
                counts[f"{column}_count"] = counts.get(f"{column}_count", 0) + 1
        steps = [{"name": s["name"], "kind": s["kind"]} for s in pipeline.current_version.steps]
        run = Job.objects.create(
            team=project.team, project=project, kind="spinner", pipeline=pipeline,
            version=pipeline.current_version, workflow_slug=pipeline.slug, label=pipeline.name,
            name=pipeline.name, status=status, total_count=len(statuses), step_count=len(steps),
            planned_count=len(statuses), steps=steps, started_at=NOON, **counts, **fields,
        )  # fmt: skip
        for position, (one, extra) in enumerate(statuses, start=1):
            ended = one not in ("pending", "running", "waiting")
            Record.objects.create(
                **{
                    "job": run, "team": run.team, "project": project, "pipeline": pipeline,
                    "position": position, "status": one, "contact_name": f"Contact {position}",
                    "contact_email": f"c{position}@example.com", "created_at": NOON,
                    "started_at": NOON, "completed_at": NOON if ended else None,
                    **({"error_step": 1} if one in ("failed", "uncertain") else {}), **extra,
                }
            )  # fmt: skip
        return run

    return make


def listed(client, project, **params):
    response = client.get(reverse("jobs:records", args=[project.slug], query=params))
    assert response.status_code == 200
    return [r.pk for r in response.context["records"]]


@pytest.fixture
def mixed(make_run, make_spinner, make_contacts):
    """Two runs of two spinners; returns their records by a short name."""
    contact = make_contacts(1)[0]
    first = make_run(
        [
            ("completed", {"outcome": "sent", "contact": contact}),
            ("failed", {"cause": "HTTP 422", "error": "HTTP 422 for 17"}),
        ]
    )
    other = make_spinner(name="Other", slug="other")
    second = make_run(
        [("waiting", {"wait_kind": "approval"}), ("completed", {"outcome": "opted_out"})],
        pipeline=other, status="waiting",
    )  # fmt: skip
    names = ["sent", "failed", "waiting", "opted_out"]
    records = [*first.records.order_by("position"), *second.records.order_by("position")]
    last = records[3]
    Record.objects.filter(pk=last.pk).update(completed_at=NOON + timedelta(hours=2))
    return {
        **dict(zip(names, records, strict=True)), "first": first, "second": second,
        "other": other, "contact": contact,
    }  # fmt: skip


FILTERS = [
    (lambda m: {}, ["opted_out", "waiting", "failed", "sent"]),
    (lambda m: {"spinner": m["other"].pk}, ["opted_out", "waiting"]),
    (lambda m: {"run": m["first"].pk}, ["sent", "failed"]),
    (lambda m: {"status": "failed"}, ["failed"]),
    (lambda m: {"status": "unprocessed"}, ["waiting"]),
    (lambda m: {"outcome": "opted_out"}, ["opted_out"]),
    (lambda m: {"cause": "HTTP 422"}, ["failed"]),
    (lambda m: {"step": 1}, ["failed"]),
    (lambda m: {"contact": "C-1"}, ["sent"]),
    (lambda m: {"contact": "c1@example.com"}, ["sent"]),
    (lambda m: {"contact": "contact 1"}, ["sent"]),
    (lambda m: {"contact": "nobody"}, []),
    (lambda m: {"ended_from": "2026-11-24T13:00"}, ["opted_out"]),
    (lambda m: {"ended_to": "2026-11-24T13:00", "status": "failed"}, ["failed"]),
    (lambda m: {"run": "no number"}, []),
]


@pytest.mark.parametrize(("params", "expected"), FILTERS)
def test_filters(as_user, viewer, project, mixed, params, expected):
    """J4: every filter stands in the address."""
    found = listed(as_user(viewer), project, **params(mixed))
    assert found == [mixed[name].pk for name in expected]


@pytest.mark.parametrize("name", ["", "spinner", "status", "cause", "step", "outcome", "run"])
def test_a_filter_costs_no_more_queries_than_the_list(
    as_user, viewer, project, mixed, name, django_assert_max_num_queries
):
    params = {
        "": {}, "spinner": {"spinner": mixed["other"].pk}, "status": {"status": "unprocessed"},
        "cause": {"cause": "HTTP 422"}, "step": {"step": 1}, "outcome": {"outcome": "sent"},
        "run": {"run": mixed["first"].pk},
    }[name]  # fmt: skip
    client = as_user(viewer)
    listed(client, project, **params)
    with django_assert_max_num_queries(13):
        listed(client, project, **params)


def test_times_are_in_the_readers_zone(as_user, viewer, project, mixed):
    """X4: 15:30 in Helsinki is 13:30 UTC, after noon and before two."""
    viewer.time_zone = "Europe/Helsinki"
    viewer.save(update_fields=["time_zone"])
    found = listed(as_user(viewer), project, ended_from="2026-11-24T15:30")
    assert found == [mixed["opted_out"].pk]


def test_says_which_filters_hide_everything(as_user, viewer, project, mixed):
    """J10"""
    url = reverse("jobs:records", args=[project.slug], query={"outcome": "x", "status": "failed"})
    page = as_user(viewer).get(url).content.decode()
    assert "No records match" in page
    assert 'href="/portal/projects/spring/records?status=failed"' in page


def test_export_is_formula_safe_and_holds_the_filtered_rows(as_user, viewer, project, make_run):
    """R13: one row a record with outcome, last step, error and time with its offset."""
    make_run([
        ("failed", {"contact_name": "=HYPERLINK(1)", "error": "HTTP 422", "active_ms": 12.34}),
        ("completed", {"outcome": "sent"}),
    ])  # fmt: skip
    viewer.time_zone = "Europe/Helsinki"
    viewer.save(update_fields=["time_zone"])
    url = reverse("jobs:records_export", args=[project.slug], query={"status": "failed"})
    response = as_user(viewer).get(url)
    text = b"".join(response.streaming_content).decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == 1
    assert rows[0]["contact"] == "'=HYPERLINK(1)"
    assert rows[0]["last_step"] == "compose"
    assert rows[0]["error"] == "HTTP 422"
    assert rows[0]["ended_at"] == "2026-11-24T14:00:00.000+02:00"


@pytest.fixture
def failures(make_run):
    late = {"completed_at": NOON + timedelta(hours=1)}
    return [
        make_run([("failed", {"cause": "HTTP 422"}), ("failed", {"cause": "no phone"})]),
        make_run([("failed", {"cause": "HTTP 422", **late}), ("completed", {})]),
    ]


def test_failures_are_grouped_by_cause(as_user, viewer, project, failures):
    """R7: with count, first and last time; narrowed to a run too."""
    groups = causes_of_project(project)
    assert [(g.cause, g.count, g.first_at, g.last_at) for g in groups] == [
        ("HTTP 422", 2, NOON, NOON + timedelta(hours=1)), ("no phone", 1, NOON, NOON),
    ]  # fmt: skip
    url = reverse("jobs:failures", args=[project.slug], query={"run": failures[1].pk})
    narrowed = as_user(viewer).get(url).context["groups"]
    assert [(g.cause, g.count) for g in narrowed] == [("HTTP 422", 1)]


def test_a_cause_lasts_from_its_first_to_its_last_failure(project, failures):
    """R7: whatever the order of their ids: an early record that was retried failed last."""
    early = Record.objects.filter(cause="HTTP 422").order_by("pk").first()
    Record.objects.filter(pk=early.pk).update(completed_at=NOON + timedelta(hours=5))
    group = causes_of_project(project)[0]
    assert (group.first_at, group.last_at) == (NOON + timedelta(hours=1), NOON + timedelta(hours=5))


def test_counting_a_cause_stops_at_the_cap(project, failures, monkeypatch):
    monkeypatch.setattr("jobs.querysets.causes.COUNT_CAP", 1)
    assert [g.count for g in causes_of_project(project)] == [2, 1]


def test_a_cause_is_retried_as_one_action(as_user, operator, project, failures):
    """R7, R8: over all its runs, and only its records."""
    url = reverse("jobs:retry_cause", args=[project.slug])
    page = as_user(operator).post(url, {"cause": "HTTP 422"}, follow=True).content.decode()
    assert "2 records run again" in page
    left = Record.objects.filter(project=project, status="failed")
    assert [r.cause for r in left] == ["no phone"]
    assert set(Job.objects.values_list("status", flat=True)) == {"running"}


def test_uncertain_records_are_decided_with_a_note(as_user, operator, project, make_run):
    run = make_run([("uncertain", {"error": "timed out after sending"}) for _ in range(3)])
    client = as_user(operator)
    page = client.get(reverse("jobs:uncertain", args=[project.slug])).content.decode()
    assert page.count("timed out after sending") == 3
    for record, action, status in zip(
        run.records.all(), ("retry", "mark_done", "give_up"), ("pending", "pending", "failed"),
        strict=True,
    ):  # fmt: skip
        url = reverse("jobs:record_action", args=[project.slug, record.pk])
        client.post(url, {"action": action, "note": "seen at the provider"})
        record.refresh_from_db()
        assert record.status == status
    notes = JobEvent.objects.filter(job=run, kind="record.resolved")
    assert [e.payload["note"] for e in notes] == ["seen at the provider"] * 2


def test_waiting_records_are_approved_and_rejected_in_bulk(as_user, operator, project, make_run):
    run = make_run(
        [("waiting", {"wait_kind": "approval"}) for _ in range(4)]
        + [("waiting", {"wait_kind": "callback"})],
        status="waiting",
    )
    ids = list(run.records.order_by("position").values_list("pk", flat=True))
    client, url = as_user(operator), reverse("jobs:approvals", args=[project.slug])
    page = client.post(url, {"action": "approve", "record": ids[:2]}, follow=True).content.decode()
    assert "2 records approved" in page
    page = client.post(
        url, {"action": "reject", "record": [ids[2], ids[4], ids[0]], "note": "no"}, follow=True
    ).content.decode()
    assert "1 record rejected" in page
    assert "left alone" in page
    run.refresh_from_db()
    assert (run.failed_count, run.waiting_count, run.remaining_count) == (1, 2, 4)
    statuses = list(run.records.order_by("position").values_list("status", flat=True))
    assert statuses == ["pending", "pending", "failed", "waiting", "waiting"]


def test_a_refusal_is_said_and_changes_nothing(as_user, operator, project, make_run):
    run = make_run([("completed", {})])
    record = run.records.get()
    url = reverse("jobs:record_action", args=[project.slug, record.pk])
    page = as_user(operator).post(url, {"action": "retry"}, follow=True).content.decode()
    assert "Only a failed or uncertain record can be retried" in page
    record.refresh_from_db()
    assert record.status == "completed"


@pytest.mark.parametrize(
    ("action", "status"), [("cancel", "cancelled"), ("retry_failed", "running")]
)
def test_a_run_is_acted_on(as_user, operator, project, make_run, action, status):
    if action == "cancel":
        run = make_run([("pending", {}), ("completed", {})], status="pending")
    else:
        run = make_run([("failed", {}), ("completed", {})])
    url = reverse("jobs:run_action", args=[project.slug, run.pk])
    response = as_user(operator).post(url, {"action": action})
    assert response.url == reverse("jobs:runs", args=[project.slug, run.pk])
    run.refresh_from_db()
    assert run.status == status


def test_a_resend_pressed_twice_makes_one_run(as_user, operator, project, spinner, make_contacts):
    """D16"""
    from accounts.permissions import Actor
    from jobs.execution.selection import Selection

    make_contacts(2)
    actor = Actor(user=operator)
    run = dispatch.dispatch_spinner(spinner, actor, selection=Selection())
    dispatch.cancel(run, actor)
    url = reverse("jobs:run_action", args=[project.slug, run.pk])
    client = as_user(operator)
    first = client.post(url, {"action": "resend", "effort": "max"})
    second = client.post(url, {"action": "resend"})
    assert first.url == second.url
    again = Job.objects.get(resend_of=run)
    assert again.effort_level == "max"
    assert (
        "Resended" in client.get(reverse("jobs:runs", args=[project.slug, run.pk])).content.decode()
    )


def test_a_project_is_paused_and_resumed(as_user, operator, project, make_run):
    """R9"""
    run = make_run([("pending", {})], status="pending")
    url = reverse("jobs:run_action", args=[project.slug, run.pk])
    client = as_user(operator)
    page = client.post(url, {"action": "pause"}, follow=True).content.decode()
    assert "is paused</strong>" in page
    project.refresh_from_db()
    assert project.paused_by == operator
    client.post(url, {"action": "resume"})
    project.refresh_from_db()
    assert project.paused_at is None


@pytest.mark.parametrize("name", ["record", "record_action", "runs", "run_action"])
def test_rows_of_other_teams_and_projects_are_not_found(
    as_user, outsider, viewer, operator, project, make_run, name
):
    run = make_run([("failed", {})])
    row = run.pk if name.startswith("run") else run.records.get().pk
    url = reverse(f"jobs:{name}", args=[project.slug, row])
    method = "post" if name.endswith("action") else "get"
    assert getattr(as_user(outsider), method)(url).status_code == 404
    if method == "post":
        assert as_user(viewer).post(url, {"action": "retry"}).status_code == 403
    missing = reverse(f"jobs:{name}", args=[project.slug, row + 999])
    assert getattr(as_user(operator), method)(missing).status_code == 404
