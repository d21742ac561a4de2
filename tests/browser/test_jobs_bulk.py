"""Many jobs at once, and the jobs' pages without a script, on a phone and with odd contents."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from accounts.models import User
from jobs.models import BulkAction, Job
from projects.models import Project
from tests.browser.tabs import make_job
from tests.processes.portal import wait_until

pytestmark = pytest.mark.browser
PageAs = Callable[..., Page]
LONG = "a-workflow-whose-name-somebody-made-as-long-as-it-may-be-and-no-space"

# What sticks out of the window, outermost first, if the page can be scrolled sideways.
WIDE = """() => document.documentElement.scrollWidth > innerWidth
  && [...document.querySelectorAll("main *")].filter((e) => e.getBoundingClientRect().right > innerWidth + 1)
    .map((e) => `${e.tagName}.${e.className}`).slice(0, 5)"""


def make_many(project: Project, count: int, **fields: object) -> None:
    Job.objects.bulk_create(
        Job(
            **{
                "team": project.team, "project": project, "kind": "workflow", "label": "Bulk",
                "workflow_slug": "bulk", "name": "bulk", "status": "pending", "total_count": 1,
                "started_at": None, "planned_count": 1, **fields,
            }
        )
        for _ in range(count)
    )  # fmt: skip


def test_all_that_match_are_counted_again_and_the_skipped_are_named(
    page_as: PageAs, operator: User, project: Project
) -> None:
    """J14, J15, J16, J17"""
    make_many(project, 3, status="completed")
    make_many(project, 2, cancel_requested_at=timezone.now(), kind="run", status="running",
              started_at=timezone.now())  # fmt: skip
    make_many(project, 52)
    other = make_job(project, status="pending", started_at=None)
    page = page_as(operator, height=6_000)
    page.goto("/portal/jobs?workflow=bulk")
    bar, ticks = page.locator("[data-bulk-bar]"), page.locator("article .tick")
    expect(ticks).to_have_count(52)
    ticks.first.check(force=True)
    expect(bar.get_by_text("matching this filter")).to_be_hidden()
    # News may replace a row between the two ticks.
    page.evaluate("""() => {
        const row = document.querySelector("article.row");
        const box = row.querySelector(".tick");
        row.replaceWith(row.cloneNode(true));
        document.querySelector("article.row .tick").checked = box.checked;
    }""")
    page.locator("article.row").last.hover()
    ticks.last.click(modifiers=["Shift"], force=True)
    expect(bar).to_contain_text("52 ticked")
    bar.get_by_role("button", name="Clear").click()
    ticks.first.check(force=True)
    bar.get_by_role("button", name="Tick all shown").click()
    expect(bar).to_contain_text("52 ticked")
    expect(bar.get_by_label("all 57 matching this filter")).to_be_focused()
    bar.get_by_label("all 57 matching this filter").check()
    ticks.first.uncheck(force=True)
    expect(bar).to_contain_text("51 ticked")  # not "all" any more
    ticks.first.check(force=True)
    bar.get_by_label("all 57 matching this filter").check()
    expect(bar.get_by_role("button", name="Resend…")).to_be_hidden()  # all are here: none allows it
    make_many(project, 1)
    bar.get_by_role("button", name="Cancel…").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Cancel 53 jobs?")
    expect(page.get_by_text("All 58 matching workflow “bulk”, counted just now")).to_be_visible()
    assert page.locator("main li").all_inner_texts() == [
        "53 will be cancelled.",
        "3 will be skipped: already completed.",
        "2 will be skipped: already being cancelled.",
    ]
    page.get_by_role("button", name="Cancel 53 jobs").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Cancel 58 jobs")
    expect(page.get_by_text("58 of 58 looked at")).to_be_visible()
    assert page.locator("#bulk-progress li").all_inner_texts() == [
        "53 cancelled",
        "3 skipped: already completed",
        "2 skipped: already being cancelled",
    ]
    expect(page.get_by_role("button", name="Stop")).to_have_count(0)
    other.refresh_from_db()
    assert other.status == "pending"
    page.get_by_role("link", name="Its jobs").click()
    expect(page.get_by_text("58 jobs", exact=True)).to_be_visible()


def test_a_bulk_action_is_stopped_in_the_middle(
    page_as: PageAs, operator: User, project: Project
) -> None:
    """J17: the rest is left as it was, and the record of the action says so."""
    make_many(project, 400)
    page = page_as(operator)
    page.goto("/portal/jobs/bulk?action=cancel&all=1&f.workflow=bulk")
    page.get_by_role("button", name="Cancel 400 jobs").click()
    stop = page.get_by_role("button", name="Stop")
    expect(stop).to_be_visible()
    action = BulkAction.objects.get(actor=operator)
    wait_until(lambda: BulkAction.objects.filter(pk=action.pk, acted_count__gt=0).exists())
    stop.click()
    expect(page.locator("#messages")).to_contain_text("what was done stays done")
    progress = page.locator("#bulk-progress")
    expect(progress).to_contain_text(re.compile(r"Aborted\s+[\d,]+ of 400 looked at · ended"))
    action.refresh_from_db()
    assert 0 < action.acted_count < 400
    left = 400 - action.acted_count
    assert Job.objects.filter(project=project, status="pending").count() == left
    assert Job.objects.filter(project=project, status="cancelled").count() == action.acted_count
    expect(progress).to_contain_text(f"{action.acted_count:,} cancelled")
    expect(progress).to_contain_text(f"{left:,} not touched: stopped by Olu Operator")
    page.get_by_role("link", name="Bulk actions").click()
    expect(page.get_by_role("row", name=f"Cancel 400 jobs #{action.pk}")).to_contain_text("Aborted")


def test_without_javascript_jobs_are_filtered_paged_opened_and_cancelled_together(
    page_as: PageAs, operator: User, project: Project
) -> None:
    """X10, J4, J5"""
    make_many(project, 51)
    make_many(project, 1, status="failed", workflow_slug="other")
    page = page_as(operator, java_script_enabled=False)
    page.goto("/portal/jobs")
    page.locator("#workflow-filter-select").select_option("bulk")
    page.get_by_role("button", name="Filter").click()
    rows = page.locator("article.row")
    expect(rows).to_have_count(50)
    page.get_by_role("link", name="Older jobs").click()
    expect(rows).to_have_count(1)
    page.get_by_role("link", name="Newer jobs").click()
    rows.nth(2).locator(".row-link").click()
    page.get_by_role("link", name="Back to jobs").click()
    expect(page).to_have_url(re.compile(r"workflow=bulk"))
    for place in (0, 1):
        rows.nth(place).locator(".tick").check(force=True)
    page.get_by_role("button", name="Cancel…").click()
    page.get_by_role("button", name="Cancel 2 jobs").click()
    wait_until(lambda: Job.objects.filter(project=project, status="cancelled").count() == 2)
    page.reload()
    expect(page.get_by_text("2 of 2 looked at")).to_be_visible()
    page.get_by_role("link", name="Its jobs").click()
    page.get_by_role("link", name="Failed", exact=True).click()
    expect(page.get_by_text("No job matches these filters")).to_be_visible()


@pytest.mark.parametrize("dark", [False, True])
def test_long_names_fit_a_phone(
    page_as: PageAs, operator: User, project: Project, *, dark: bool
) -> None:
    """SPEC 2: 360 px, both themes; nothing is wider than the screen."""
    now = timezone.now()
    long = {
        "workflow_slug": LONG[:64], "label": LONG * 2, "name": f"{LONG} — {'K' * 40}-123456",
        "ticket_key": f"{'K' * 40}-123456", "agent_name": "host." * 20,
        "created_by_name": "Maximiliane-Alexandrine " * 4, "effort_level": "max",
        "input": {"ticket_url": f"https://tracker.example.com/{LONG * 3}", LONG: LONG * 3},
        "steps": [{"name": LONG}], "step_count": 1,
    }  # fmt: skip
    failed = make_job(
        project, status="failed", started_at=now - timedelta(hours=30), completed_at=now,
        error=LONG * 6, error_step=f"1 ({LONG})", error_type="unknown", **long,
    )  # fmt: skip
    run = make_job(project, kind="spinner", total_count=1_234_567, done_count=1_000_000,
                   failed_count=99_999, **{**long, "started_at": now - timedelta(days=2)})  # fmt: skip
    action = BulkAction.objects.create(
        kind="cancel", status="aborted", actor=operator, actor_name=operator.name,
        team_ids=[project.team_id], selection={"filter": f"workflow={LONG[:64]}&status=failed"},
        launch_key=f"wide-{project.pk}", total_count=1_234_567, acted_count=1, finished_at=now,
        abort_requested_by_name=operator.name,
    )  # fmt: skip
    page = page_as(operator, width=360, height=740, dark=dark)
    for path in (
        "", f"/{failed.pk}", f"/{run.pk}", f"/bulk?action=cancel&all=1&f.workflow={LONG[:64]}",
        f"/bulk/{action.pk}", f"/{run.pk}/cancel",
    ):  # fmt: skip
        page.goto(f"/portal/jobs{path}")
        if not path:
            page.locator(".tick").first.check(force=True)
            expect(page.get_by_text("1 ticked")).to_be_visible()
        wide = page.evaluate(WIDE)
        assert not wide, f"/portal/jobs{path}: {wide}"
    back = page.evaluate("getComputedStyle(document.body).backgroundColor")
    shades = [int(part) for part in re.findall(r"\d+", back)[:3]]
    assert (max(shades) < 80) == dark, back
