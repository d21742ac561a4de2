"""What people do to single jobs, and what they are told of the time it takes, in real browsers."""

import csv
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import Page, Route, expect

from accounts.models import User
from accounts.permissions import SYSTEM, Actor
from jobs import usual
from jobs.execution import dispatch, remote
from jobs.models import Agent, Job, Record
from projects.models import Pipeline, Project
from tests.browser.tabs import Tab, make_job, make_workflow
from tests.processes.portal import wait_until

pytestmark = pytest.mark.browser
PageAs = Callable[..., Page]


def start(project: Project, user: User, key: str, **fields: Any) -> Job:
    """A job of the gated workflow, which is made with the first."""
    workflow = Pipeline.objects.filter(team=project.team, kind="workflow").first()
    return dispatch.dispatch_workflow(
        workflow or make_workflow(project), Actor(user=user), project=project, input={},
        ticket_url=f"https://tracker.example.com/browse/{key}", **fields,
    )  # fmt: skip


def test_two_people_resend_one_job_at_the_same_moment(
    page_as: PageAs, operator: User, builder: User, project: Project
) -> None:
    """D15, D16: one new job; both see it and whose it is; effort is the winner's choice."""
    job = start(project, operator, "MVP-7")
    dispatch.cancel(job, Actor(user=operator))
    wait_until(lambda: Job.objects.get(pk=job.pk).status == "cancelled")
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)
        if len(held) == 2:
            for one in held:
                one.continue_()

    pages = {page_as(operator): "max", page_as(builder): "medium"}
    for page, effort in pages.items():
        page.goto(f"/portal/jobs/{job.pk}")
        page.get_by_role("button", name="Resend").click()
        page.get_by_role("dialog").get_by_label("Effort").select_option(effort)
        page.route("**/resend", hold)
    for page in pages:
        page.get_by_role("dialog").get_by_role("button", name="Resend job").click()
    for page in pages:
        expect(page.get_by_role("button", name="Resended")).to_be_disabled()
    new = Job.objects.get(resend_of=job)
    assert new.effort_level == {"Olu Operator": "max", "Bo Builder": "medium"}[new.created_by_name]
    said = []
    for page in pages:
        expect(page.get_by_text(f"Resent as #{new.pk} by {new.created_by_name}")).to_be_visible()
        said.append(page.locator("#messages p").inner_text().removesuffix(" Open"))
    assert sorted(said) == [
        f"Job #{job.pk} had been resent already by {new.created_by_name}, as job #{new.pk}.",
        f"Job #{job.pk} was resent as job #{new.pk}.",
    ]
    page.get_by_role("link", name=f"#{new.pk}").click()
    expect(page.get_by_text(f"Resend of #{job.pk}")).to_be_visible()


def test_a_failed_job_tells_what_to_do_and_what_its_history_says(
    page_as: PageAs, viewer: User, project: Project
) -> None:
    """SPEC 7, 10; D2, D3, D6: a real failure, then a row that disagrees, then no history."""
    steps = [
        {"name": "text", "kind": "template", "config": {"field": "a", "template": "x"}},
        {"name": "call", "kind": "http", "config": {"method": "GET", "url": "http://10.0.0.1/"}},
        {"name": "end", "kind": "outcome", "config": {"outcome": "done"}},
    ]
    job = dispatch.dispatch_workflow(
        make_workflow(project, steps), SYSTEM, project=project, effort="high",
        input={"trigger_issue_key": "MVP-9", "docs": "https://docs.example.com/a"},
    )  # fmt: skip
    wait_until(lambda: Job.objects.get(pk=job.pk).status == "failed")
    page = page_as(viewer)
    page.goto(f"/portal/jobs/{job.pk}?from_status=failed")
    expect(page).to_have_title(f"Job #{job.pk} - Spindle")
    expect(page.get_by_role("heading", level=1)).to_contain_text("qa-validate — queued")
    card = page.get_by_role("region", name="Input")
    expect(card.locator("dt", has_text="trigger_issue_key")).to_be_visible()
    expect(card.get_by_role("link", name="https://docs.example.com/a")).to_be_visible()
    error = page.get_by_role("region", name="Error")
    expect(error).to_contain_text(re.compile(r"Step 2 \(call\) failed.*What to do: ", re.S))
    expect(error.locator("pre")).to_be_hidden()
    error.get_by_text("Raw error").click()
    expect(error.get_by_role("button", name="Copy")).to_be_visible()
    timeline = page.get_by_role("region", name="Timeline")
    summary = rf"Job: FAILED \| \d+ events \| [\d.]+ KB \| {job.short_id}"
    expect(timeline.locator(".summary")).to_have_text(re.compile(summary))
    phases = timeline.locator("[data-phase]").evaluate_all("all => all.map(p => p.dataset.phase)")
    assert phases == ["Init", "Agent Setup", "Execution", "Teardown"]
    expect(timeline.locator('[data-step="2"]')).to_contain_text("failed")
    expect(timeline.locator('[data-step="3"]')).to_contain_text("not reached")
    expect(page.get_by_role("button", name="Resend")).to_have_count(0)  # a viewer reads
    page.get_by_role("link", name=str(job.workflow_execution_id)).click()
    expect(page.get_by_text("step.failed")).to_be_visible()
    job.events.filter(kind="job.failed").update(kind="job.completed")
    page.goto(f"/portal/jobs/{job.pk}?from_status=failed")
    says = "Status mismatch: portal says 'failed' but orchestrator says 'COMPLETED'"
    expect(error).to_contain_text(says)
    job.events.all().delete()
    page.reload()
    expect(timeline).to_contain_text("Execution history unreachable")
    expect(error).to_contain_text("Step 2 (call) failed")
    page.get_by_role("link", name="Back to failed jobs").click()
    expect(page).to_have_url(re.compile(rf"/portal/jobs\?status=failed#job-{job.pk}$"))


def test_a_job_moves_up_when_the_first_in_line_leaves(
    page_as: PageAs, operator: User, project: Project
) -> None:
    """D4, G5: under the reader's eyes."""
    agent = Agent.objects.create(team=project.team, name="host-1", kind="remote", capacity=1)
    _, first, second = (start(project, operator, f"OPS-{n}", agent=agent) for n in range(3))
    assert remote.claim(agent)
    page = page_as(operator)
    page.goto("/portal/queue")
    rows = page.get_by_role("region", name="Queue of Northwind").locator("article")
    expect(rows.first).to_contain_text(f"#{first.pk}")
    expect(rows.nth(1)).to_contain_text("host-1 is busy; place 2 in the queue.")
    listed = page.context.new_page()
    listed.goto("/portal/jobs")
    row = listed.locator(f"#job-{second.pk} .why")
    expect(row).to_contain_text("Place 2: host-1 is busy.")
    rows.nth(1).locator(".row-link").click()
    state = page.locator("#job-state")
    expect(state).to_contain_text("Pending: host-1 is busy; place 2 in the queue.")
    dispatch.cancel(first, Actor(user=operator))
    expect(state).to_contain_text("Pending: host-1 is busy; place 1 in the queue.")
    listed.bring_to_front()  # what is hidden asks for nothing
    expect(row).to_contain_text("Place 1: host-1 is busy.")
    page.bring_to_front()
    dispatch.cancel(second, Actor(user=operator))
    expect(page.locator("#job-status")).to_contain_text("Cancelled")
    second.refresh_from_db()
    assert second.started_at is None


def test_what_is_usual_is_learned_and_said_wherever_a_job_is_late(
    page_as: PageAs, tab: Callable[[User], Tab], viewer: User, project: Project
) -> None:
    """SPEC 9: in the detail, the list and the indicator; a stall shows while one looks."""
    workflow = make_workflow(project)
    now = timezone.now()
    for seconds in (120, 120, 180, 240, 240, 240):
        begun = now - timedelta(hours=1)
        make_job(project, pipeline=workflow, status="completed", done_count=1, started_at=begun,
                 completed_at=begun + timedelta(seconds=seconds))  # fmt: skip
    usual.learn(workflow.pk, at_once=True)
    job = make_job(project, pipeline=workflow, started_at=now - timedelta(minutes=6))
    run = make_job(
        project, kind="spinner", label="Nurture", name="Nurture", total_count=1_000,
        done_count=400, started_at=now - timedelta(seconds=200),
    )  # fmt: skip
    Record.objects.bulk_create(
        Record(job=run, team=run.team, project=project, position=n, status="completed",
               created_at=now, completed_at=now - timedelta(seconds=(400 - n) / 2))
        for n in range(1, 401)
    )  # fmt: skip
    mine = tab(viewer)
    page = mine.page
    page.goto(f"/portal/jobs/{job.pk}")
    expect(page.locator("#job-length")).to_contain_text("usually 2–4 min")
    expect(page.get_by_text("may be stalled")).to_have_count(0)
    Job.objects.filter(pk=job.pk).update(started_at=now - timedelta(minutes=9))  # no event
    expect(page.locator("#job-status")).to_contain_text("may be stalled")
    page.goto(f"/portal/jobs/{run.pk}")
    likely = page.locator("#job-state", has_text="likely to end").locator("time")
    end = datetime.fromisoformat(likely.get_attribute("datetime") or "")
    assert abs((end - now).total_seconds() - 300) < 60  # 400 in 200 s leave 600 for 300 s
    page.goto("/portal/jobs?stalled=true")
    expect(page.locator("article.row")).to_have_count(1)
    expect(page.locator(f"#job-{job.pk}")).to_contain_text("may be stalled")
    mine.open()
    expect(mine.row(job)).to_contain_text(re.compile(r"STALLED\?.*usually 2m–4m", re.S))
    expect(mine.row(run).locator(".pill")).to_be_hidden()


def test_the_panel_says_the_same_with_and_without_its_script(
    page_as: PageAs, tab: Callable[[User], Tab], viewer: User, project: Project
) -> None:
    """S5: time in the state, from when that began."""
    now = timezone.now()
    long = {"started_at": now - timedelta(hours=5), "created_at": now - timedelta(hours=6)}
    gate = make_job(project, status="waiting", wait_began_at=now - timedelta(minutes=70), **long)
    make_job(project, status="pending", **{**long, "started_at": None})
    make_job(project, kind="spinner", label="Nurture", total_count=1_842, done_count=1_000,
             failed_count=12, status="waiting", wait_began_at=now - timedelta(days=2), **long)  # fmt: skip
    make_job(project, kind="build", ticket_key="MVP-3", cancel_requested_at=now,
             agent_name="host-1", **long)  # fmt: skip
    plain = page_as(viewer, java_script_enabled=False)
    plain.goto("/portal/agents")
    plain.locator(".active-jobs > summary").click()
    live = tab(viewer)
    live.open()
    expect(live.row(gate)).to_contain_text("for 1h 10m")
    texts = [
        [" ".join(row.split()) for row in page.locator("[data-panel] li").all_inner_texts()]
        for page in (plain, live.page)
    ]
    assert texts[0] == texts[1]
    assert texts[0] == [
        "SE Work Cancelling… host-1 · MVP-3",
        "SE Work Waiting for 1h 10m",
        "Nurture Waiting Spinner · 1,012 of 1,842 contacts · 12 failed · for 2d",
        "SE Work Queued for 6h 0m",
    ]


def test_the_export_holds_the_rows_of_the_filter(
    page_as: PageAs, viewer: User, project: Project
) -> None:
    """J19: not one more or less, and nothing a spreadsheet would run."""
    ended = timezone.now()
    wanted = [
        make_job(project, status="failed", ticket_key=f"EXP-{n}", name=name, workflow_slug="export",
                 started_at=ended, completed_at=ended)
        for n, name in enumerate(["=HYPERLINK(0)", "+1", "-1", "@SUM(1)", "export — EXP-4"])
    ]  # fmt: skip
    make_job(project, status="failed", ticket_key="EXP-1")
    make_job(project, status="completed", ticket_key="EXP-1", workflow_slug="export")
    page = page_as(viewer)
    page.goto("/portal/jobs?status=failed")
    page.locator("#workflow-filter-select").select_option("export")
    page.wait_for_url("**workflow=export**")
    with page.expect_download() as download:
        page.get_by_role("link", name="Export CSV").click()
    text = download.value.path().read_text("utf-8-sig")
    rows = list(csv.DictReader(text.splitlines()))
    assert [int(row["id"]) for row in rows] == [job.pk for job in reversed(wanted)]
    assert {row["status"] for row in rows} == {"failed"}
    assert [row["name"] for row in rows] == [
        "export — EXP-4", "'@SUM(1)", "'-1", "'+1", "'=HYPERLINK(0)",
    ]  # fmt: skip
    assert all(datetime.fromisoformat(row["ended"]).tzinfo for row in rows)


def test_a_job_is_cancelled_and_resent_by_keyboard(
    page_as: PageAs, operator: User, project: Project
) -> None:
    """SPEC 2: from the row's link to its buttons, and back where one was."""
    job = start(project, operator, "KEY-1")
    page = page_as(operator)
    page.goto("/portal/jobs")
    row = page.locator(f"#job-{job.pk}")
    row.locator(".row-link").focus()
    cancel = row.get_by_role("button", name="Cancel")
    for _ in range(4):
        page.keyboard.press("Tab")
        if cancel.evaluate("one => one === document.activeElement"):
            break
    expect(cancel).to_be_focused()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name=re.compile("Cancel"))
    expect(dialog).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(cancel).to_be_focused()
    page.keyboard.press("Space")
    expect(dialog.get_by_role("button", name="Cancel job")).to_be_focused()
    page.keyboard.press("Enter")
    expect(row.locator(".status")).to_have_text("Cancelled")
    expect(page.locator("#messages")).to_contain_text(f"Job #{job.pk} is cancelled.")
    expect(row.get_by_role("button", name="Resend")).to_be_focused()
    row.locator(".row-link").press("Enter")
    page.get_by_role("button", name="Resend").press("Enter")
    page.get_by_role("dialog").get_by_role("button", name="Resend job").press("Enter")
    expect(page.get_by_role("button", name="Resended")).to_be_disabled()
    expect(page.locator("main")).to_be_focused()  # no button is left to stand on
