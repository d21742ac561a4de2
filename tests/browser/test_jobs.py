"""The portal's Jobs pages in a real browser, with a real worker (SPEC sections 6, 7, 11)."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from accounts.models import User
from accounts.permissions import Actor
from jobs.execution.dispatch import cancel, dispatch_workflow
from jobs.models import BulkAction, Job
from projects.models import Pipeline, Project
from tests.browser.tabs import make_workflow

pytestmark = pytest.mark.browser

TICKET = "https://tracker.example.com/browse/"


@pytest.fixture
def workflow(project: Project) -> Pipeline:
    return make_workflow(project)


@pytest.fixture
def old_jobs(project: Project) -> list[Job]:
    return Job.objects.bulk_create(
        Job(
            team=project.team, project=project, kind="workflow", workflow_slug="se-work",
            label="SE work", name=f"se-work — OLD-{n}", ticket_key=f"OLD-{n}", status="completed",
            total_count=1, done_count=1, step_count=2, current_step=2, agent_name="agent_se_work",
        )
        for n in range(120)
    )  # fmt: skip


def dispatch(workflow: Pipeline, project: Project, user: User, key: str, **fields: Any) -> Job:
    return dispatch_workflow(
        workflow, Actor(user=user), project=project, input={"hint": "look here"},
        ticket_url=TICKET + key, **fields,
    )  # fmt: skip


def test_walk_through_the_list(
    page_as: Callable[..., Page], viewer: User, old_jobs: list[Job]
) -> None:
    """SPEC 6, selector by selector; J4, J5, J9, J10, J12 as a person meets them."""
    page = page_as(viewer)
    page.goto("/portal/jobs")
    expect(page).to_have_title("Jobs - Spindle")
    expect(page.get_by_role("heading", name="Jobs", exact=True, level=1)).to_be_visible()
    expect(page.get_by_text("120 jobs", exact=True)).to_be_visible()
    tabs = page.get_by_role("navigation", name="Status")
    assert tabs.get_by_role("link").all_text_contents() == [
        "All", "Running", "Waiting", "Completed", "Failed", "Cancelled",
    ]  # fmt: skip
    expect(page.get_by_placeholder("Search tickets…")).to_be_visible()
    expect(page.locator("#workflow-filter-select option").first).to_have_text("All workflows")
    expect(page.get_by_label("Agent").locator("option").first).to_have_text("All agents")
    for column in ("ITEM", "AGENT", "STATUS"):
        heading = page.locator(".cols h2", has_text=re.compile(column, re.IGNORECASE))
        expect(heading).to_be_visible()
    rows = page.locator("article.row")
    expect(rows).to_have_count(50)
    rows.last.scroll_into_view_if_needed()
    expect(rows).to_have_count(100)
    page.mouse.wheel(0, 50_000)
    expect(rows).to_have_count(120)
    expect(page.locator("#older-jobs")).to_have_count(0)
    page.locator("#workflow-filter-select").select_option("se-work")
    page.wait_for_url("**/portal/jobs?workflow=se-work")
    page.get_by_placeholder("Search tickets…").fill("OLD-7")
    page.wait_for_url("**ticket=OLD-7**")
    expect(rows.first).to_contain_text("OLD-7")
    expect(rows).to_have_count(11)
    rows.nth(3).locator(".row-link").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("se-work — OLD-7")
    page.get_by_role("link", name="Back to jobs").click()
    assert "ticket=OLD-7" in page.url
    tabs.get_by_role("link", name="Failed").click()
    expect(page.get_by_role("region", name="Exact match")).to_contain_text("OLD-7")
    expect(page.get_by_text("Nothing else matches these filters.")).to_be_visible()
    page.get_by_role("link", name="Clear all").click()
    expect(rows).to_have_count(50)


def test_nothing_moves_by_itself_but_what_is_seen_is_patched(
    page_as: Callable[..., Page], operator: User, project: Project, workflow: Pipeline
) -> None:
    """J1, J2, J6, D8: a job goes from pending to waiting to cancelled under the reader's eyes."""
    page = page_as(operator)
    first = dispatch(workflow, project, operator, "SCRUM-1")
    page.goto("/portal/jobs")
    row = page.locator(f"#job-{first.pk}")
    expect(row.locator(".status")).to_have_text("Waiting", timeout=60_000)
    second = dispatch(workflow, project, operator, "SCRUM-2")
    expect(page.locator("#new-jobs")).to_have_text("1 new", timeout=60_000)
    expect(page.locator("article.row")).to_have_count(1)
    row.get_by_role("button", name="Cancel").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel job").click()
    expect(page.locator("#messages")).to_contain_text(f"Job #{first.pk} is cancelled.")
    expect(row.locator(".status")).to_have_text("Cancelled")
    row.get_by_role("button", name="Resend").click()
    page.get_by_role("dialog").get_by_label("Effort").select_option("max")
    page.get_by_role("dialog").get_by_role("button", name="Resend job").click()
    expect(row.get_by_role("button", name="Resended")).to_be_disabled()
    assert Job.objects.get(resend_of=first).effort_level == "max"
    page.locator("#new-jobs").click()
    expect(page.locator(f"#job-{second.pk}")).to_be_visible()


def test_a_running_page_follows_its_job_and_then_rests(
    page_as: Callable[..., Page], operator: User, project: Project, workflow: Pipeline
) -> None:
    """SPEC 7, selector by selector; D1, D5, D7, D8."""
    job = dispatch(workflow, project, operator, "MVP-1588", effort="high")
    page = page_as(operator)
    page.goto(f"/portal/jobs/{job.pk}?from_status=waiting")
    expect(page).to_have_title(f"Job #{job.pk} - Spindle")
    expect(page.get_by_role("heading", level=1)).to_contain_text("qa-validate — MVP-1588")
    expect(page.get_by_text(f"pipeline-job-{job.pk}")).to_be_visible()
    expect(page.get_by_text("Workflow execution ID")).to_be_visible()
    expect(page.get_by_role("link", name=TICKET + "MVP-1588")).to_be_visible()
    expect(page.locator("#job-status")).to_contain_text("Waiting", timeout=60_000)
    expect(page.get_by_text("Ship it?")).to_be_visible()
    for phase in ("Init", "Agent Setup", "Execution", "Teardown"):
        expect(page.locator(f'[data-phase="{phase}"]')).to_be_visible()
    expect(page.locator('[data-step="1"]')).to_contain_text("gate")
    cancel(job, Actor(user=operator))
    expect(page.locator("#job-status")).to_contain_text("Cancelled", timeout=60_000)
    expect(page.locator("#job-poll")).to_have_attribute("data-ended", "")
    expect(page.get_by_text("Cancelled by Olu Operator")).to_be_visible()
    expect(page.get_by_role("button", name="Resend")).to_be_visible()
    page.get_by_role("link", name="Back to waiting jobs").click()
    expect(page.get_by_text("No waiting jobs")).to_be_visible()


def test_ticked_rows_are_cancelled_in_the_background(
    page_as: Callable[..., Page], operator: User, project: Project, workflow: Pipeline
) -> None:
    """J14, J16, J17"""
    jobs = [dispatch(workflow, project, operator, f"T-{n}") for n in range(3)]
    page = page_as(operator)
    page.goto("/portal/jobs")
    page.get_by_label(f"Select job #{jobs[0].pk}").check(force=True)
    page.get_by_label(f"Select job #{jobs[2].pk}").check(force=True)
    bar = page.locator("[data-bulk-bar]")
    expect(bar).to_contain_text("2 ticked")
    expect(bar.get_by_role("button", name="Resend")).to_be_hidden()
    bar.get_by_role("button", name="Cancel…").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Cancel 2 jobs?")
    page.get_by_role("button", name="Cancel 2 jobs").click()
    expect(page.get_by_text("2 of 2 looked at")).to_be_visible(timeout=60_000)
    assert BulkAction.objects.get(actor=operator).acted_count == 2
    page.get_by_role("link", name="Its jobs").click()
    expect(page.locator("article.row")).to_have_count(2)


def test_without_javascript_a_workflow_is_run_cancelled_and_resent(
    page_as: Callable[..., Page], operator: User, project: Project, workflow: Pipeline
) -> None:
    """X10"""
    page = page_as(operator, java_script_enabled=False, width=360)
    page.goto("/portal/agents")
    page.get_by_role("link", name="Run workflow").click()
    page.get_by_label("Workflow").select_option(label="QA validate")
    page.get_by_label("Ticket URL").fill(TICKET + "OPS-12")
    page.get_by_role("button", name="Run workflow").click()
    job = Job.objects.get(ticket_key="OPS-12", team=project.team)
    page.goto("/portal/jobs?workflow=qa-validate")
    page.locator(f"#job-{job.pk}").get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Cancel job").click()
    page.goto("/portal/jobs?workflow=qa-validate")
    page.locator(f"#job-{job.pk}").get_by_role("button", name="Resend").click()
    page.get_by_role("button", name="Resend job").click()
    expect(page.locator("#messages")).to_contain_text("was resent as job")
    assert Job.objects.filter(resend_of=job).count() == 1
