"""The portal's Jobs list (SPEC section 6)."""

import csv
import io
from datetime import timedelta

import pytest
from django.core.cache import cache
from django.urls import reverse
from django.utils import timezone

from accounts.models import Membership
from accounts.templatetags.spindle import ago_words
from jobs.models import Job
from jobs.querysets import keyset
from jobs.rows import length_words, title_case
from jobs.views import list as job_list

URL = "/portal/jobs"


@pytest.fixture(autouse=True)
def empty_cache():
    cache.clear()


@pytest.fixture
def make_job(project):
    def make(slug="se-work", **fields):
        return Job.objects.create(
            **{
                "team": project.team, "project": project, "kind": "workflow",
                "workflow_slug": slug, "label": title_case(slug), "name": f"{slug} — queued",
                "total_count": 1, "step_count": 5, **fields,
            }
        )  # fmt: skip

    return make


def page(client, query=""):
    return client.get(URL + query).content.decode()


def shown(html):
    return [int(part.split('"')[0]) for part in html.split('data-job="')[1:]]


def test_a_row_says_everything(as_user, operator, make_job):
    now = timezone.now()
    job = make_job(
        "se-rca-fix", ticket_key="SCRUM-329", effort_level="max", agent_name="venmate-agent-10",
        status="completed", done_count=1, current_step=5, started_at=now - timedelta(seconds=391),
        completed_at=now,
    )  # fmt: skip
    html = page(as_user(operator))
    for text in (
        "<title>Jobs - Spindle</title>", "SE Rca Fix", "SCRUM-329", f"#{job.pk}", "MAX",
        "5 of 5 steps", "6m 31s", "venmate-agent-10", "Completed", "6m ago", "1 job</span>",
        f'href="/portal/jobs/{job.pk}"', 'id="workflow-filter-select"', "Search tickets…",
        "All workflows", "All agents", "Export CSV", "Run workflow",
        '<dot class="dot completed"'.replace("<dot class=", '<span class='),
    ):  # fmt: skip
        assert text in html, text


def test_tabs_count_running_jobs_under_the_other_filters(as_user, viewer, make_job):
    """J11"""
    for _ in range(3):
        make_job(status="running", started_at=timezone.now())
    make_job("qa-validate", status="running", started_at=timezone.now())
    client = as_user(viewer)
    assert "<b data-running-count>4</b>" in page(client)
    assert "<b data-running-count>3</b>" in page(client, "?status=failed&workflow=se-work")
    html = page(client, "?status=running&workflow=se-work")
    assert 'aria-current="true">Running' in html
    assert len(shown(html)) == 3
    assert "data-running-count" not in page(client, "?workflow=changelog")


def test_filters_combine_and_old_ids_stand_beside_new_ones(as_user, viewer, make_job):
    """J4"""
    old = make_job("agent_se_work", agent_name="host-1", status="failed")
    new = make_job("agent_se_work", agent_name="host-2", status="failed")
    make_job("se-work", agent_name="host-2", status="failed")
    client = as_user(viewer)
    assert shown(page(client, "?workflow=agent_se_work")) == [new.pk, old.pk]
    html = page(client, "?workflow=agent_se_work&agent=host-2&status=failed&effort=")
    assert shown(html) == [new.pk]
    assert '<option value="agent_se_work" selected>' in html
    assert '<option value="se-work">' in html
    assert "Workflow: agent_se_work" in html


@pytest.mark.parametrize(
    ("status", "text"),
    [("", "No jobs yet"), ("running", "No running jobs"), ("waiting", "No waiting jobs"),
     ("completed", "No completed jobs"), ("failed", "No failed jobs"),
     ("cancelled", "No cancelled jobs")],
)  # fmt: skip
def test_each_empty_tab_says_how_to_start(as_user, viewer, team, status, text):
    """J10"""
    html = page(as_user(viewer), f"?status={status}")
    assert text in html
    assert "Run a workflow from the agents page to create a job" in html
    assert 'id="agent-filter-select"' not in html


def test_when_filters_hide_everything_they_are_named(as_user, viewer, make_job):
    """J10: each can be cleared alone."""
    make_job()
    html = page(as_user(viewer), "?workflow=se-work&status=failed")
    assert "No job matches these filters" in html
    assert "Clear workflow: se-work" in html
    assert 'href="/portal/jobs?workflow=se-work"' in html
    assert "Clear all filters" in html


def test_exact_key_or_id_comes_first_whatever_the_filters(as_user, viewer, make_job, other_project):
    """J9"""
    key = make_job(ticket_key="SCRUM-32", status="completed", done_count=1)
    longer = make_job(ticket_key="SCRUM-329", status="failed")
    hidden = Job.objects.create(
        team=other_project.team, project=other_project, kind="workflow", workflow_slug="x",
        label="x", name="x", ticket_key="SCRUM-32", status="failed",
    )  # fmt: skip
    client = as_user(viewer)
    assert shown(page(client, "?ticket=scrum-32&status=failed")) == [key.pk, longer.pk]
    assert shown(page(client, "?ticket=SCRUM-32&status=failed"))[0] == key.pk
    assert shown(page(client, f"?ticket=%23{longer.pk}")) == [longer.pk]
    assert shown(page(client, "?ticket=329")) == [longer.pk]
    assert shown(page(client, f"?ticket={hidden.pk}")) == []


def test_older_jobs_come_by_key_and_rows_keep_their_place(as_user, viewer, make_job, settings):
    """J12: the link without JavaScript and the fragment with it hold the same rows."""
    jobs = [make_job(ticket_key=f"T-{n}", status="failed", failed_count=1) for n in range(120)]
    newest = [job.pk for job in reversed(jobs)]
    client = as_user(viewer)
    first = page(client, "?status=failed")
    assert shown(first) == newest[:50]
    assert "Loading more…" in first
    assert "Older jobs" in first
    query = f"?status=failed&after={newest[49]}"
    assert shown(page(client, query)) == newest[50:100]
    fragment = client.get(
        URL + query, headers={"HX-Request": "true", "HX-Target": "older-jobs"}
    ).content.decode()
    assert "<html" not in fragment
    assert shown(fragment) == newest[50:100]
    last = page(client, f"?status=failed&after={newest[99]}")
    assert shown(last) == newest[100:]
    assert "Older jobs" not in last
    assert "Newer jobs" in last
    assert "from_status=failed" in first
    assert "from=status%3Dfailed%26after%3D" in last


def test_jobs_of_several_teams_are_merged_by_age(as_user, viewer, make_job, other_project):
    Membership.objects.create(team=other_project.team, user=viewer, role="viewer")
    made = []
    for n in range(110):
        mine = n % 3 == 0
        made.append(
            make_job().pk if mine
            else make_job(team=other_project.team, project=other_project).pk
        )  # fmt: skip
    client = as_user(viewer)
    seen, query = [], ""
    for _ in range(3):
        found = shown(page(client, query))
        seen += found
        query = f"?after={found[-1]}"
    assert seen == made[::-1]
    back = shown(page(client, f"?before={seen[60]}"))
    assert back == seen[10:60]


def test_query_count_does_not_depend_on_rows(
    as_user, operator, make_job, django_assert_max_num_queries
):
    """The recorded budget of the list."""
    client = as_user(operator)
    for n in range(60):
        make_job(
            status=["running", "failed", "completed"][n % 3], started_at=timezone.now(),
            agent_name=f"host-{n}", ticket_key=f"T-{n}",
        )  # fmt: skip
    page(client)
    with django_assert_max_num_queries(9):
        page(client)
    with django_assert_max_num_queries(5):
        client.get(f"{URL}?after=40", headers={"HX-Request": "true", "HX-Target": "older-jobs"})


def test_buttons_follow_status_and_role(as_user, operator, viewer, make_job):
    """X3, J14"""
    running = make_job(status="running", started_at=timezone.now())
    failed = make_job(status="failed")
    resent = make_job(status="cancelled")
    make_job(resend_of=resent)
    cancelling = make_job(
        status="running", started_at=timezone.now(), cancel_requested_at=timezone.now()
    )
    html = page(as_user(operator))
    assert f"/portal/jobs/{running.pk}/cancel" in html
    assert f"/portal/jobs/{failed.pk}/resend" in html
    assert "disabled>Resended</button>" in html
    assert f"/portal/jobs/{resent.pk}/resend" not in html
    assert f"/portal/jobs/{cancelling.pk}/cancel" not in html
    assert "Cancelling…" in html
    quiet = page(as_user(viewer))
    assert "data-act>" not in quiet
    assert 'class="tick"' not in quiet


def test_updates_hold_only_the_asked_rows_and_the_number_of_new_ones(
    as_user, viewer, make_job, other_project
):
    """J1, J2: the page asks after a message; nothing else moves."""
    old = make_job(status="failed")
    new = make_job(status="failed")
    make_job(status="completed", done_count=1)
    foreign = make_job(team=other_project.team, project=other_project)
    url = reverse("jobs:updates")
    html = as_user(viewer).get(
        f"{url}?status=failed&rows={old.pk},{foreign.pk}&newest={old.pk}"
    ).content.decode()  # fmt: skip
    assert shown(html) == [old.pk]
    assert 'data-new="1"' in html
    assert str(new.pk) not in shown(html)


def test_counts_stop_at_the_cap(as_user, viewer, make_job, monkeypatch):
    """J11"""
    monkeypatch.setattr(job_list, "COUNT_CAP", 3)
    monkeypatch.setitem(keyset.capped_count.__kwdefaults__, "cap", 3)
    for _ in range(5):
        make_job()
    assert "3+ jobs" in page(as_user(viewer))


def test_export_holds_exactly_the_filtered_rows_and_no_formula(as_user, viewer, make_job):
    make_job("se-work", status="failed", ticket_key="=1+1", error="@SUM(A1)")
    make_job("se-work", status="completed", done_count=1)
    response = as_user(viewer).get(reverse("jobs:export") + "?status=failed")
    text = b"".join(response.streaming_content).decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["status"] for row in rows] == ["failed"]
    assert rows[0]["ticket"] == "'=1+1"
    assert rows[0]["error"] == "'@SUM(A1)"
    assert rows[0]["created"].endswith("+00:00")


def test_an_unknown_filter_value_is_said(as_user, viewer, make_job):
    make_job()
    html = page(as_user(viewer), "?status=bogus&bulk=x")
    assert "bogus is not one of the available choices" in html


@pytest.mark.parametrize(
    ("slug", "words"),
    [("se-rca-fix", "SE Rca Fix"), ("agent_se_work", "Agent SE Work"), ("qa-validate", "QA Validate"),
     ("renewal-reminder", "Renewal Reminder")],
)  # fmt: skip
def test_workflow_names_in_title_case(slug, words):
    assert title_case(slug) == words


def test_lengths_and_ages_in_words():
    assert [length_words(s) for s in (0.412, 48, 391, 724, 7384)] == [
        "412ms", "48s", "6m 31s", "12m 04s", "2h 03m",
    ]  # fmt: skip
    assert [ago_words(s) for s in (1, 30, 390, 7300, 200_000)] == [
        "just now", "30s ago", "6m ago", "2h ago", "2d ago",
    ]  # fmt: skip
