"""A run from its start to its end, through the pages alone."""

import re
import time
from collections.abc import Callable

import pytest
from django.urls import reverse
from playwright.sync_api import Page, expect

from accounts.models import User
from accounts.permissions import Actor
from jobs.execution import dispatch
from jobs.execution.selection import Selection
from jobs.models import Job
from projects.models import Contact, Pipeline, Project
from tests.processes.portal import wait_until

pytestmark = pytest.mark.browser

GATED = [
    {
        "name": "is-pro", "kind": "condition",
        "config": {
            "rows": [{"field": "contact.plan", "operator": "equals", "value": "pro"}],
            "on_true": "continue", "on_false": "skip", "on_false_step": "done",
        },
    },
    {"name": "ask", "kind": "wait", "config": {"for": "approval", "prompt": "Send the offer?"}},
    {"name": "done", "kind": "outcome", "config": {"outcome": "sent"}},
]  # fmt: skip
DEADLINE = 30


def shares(page: Page) -> dict[str, int]:
    """What the header says: {"done": 180, "waiting": 120, …, "in all": 300}."""
    texts = page.locator(".shares li").all_inner_texts()
    found = (re.match(r"\s*([\d,]+)\s+(.+)", text.strip(), re.S) for text in texts)
    return {m[2].strip(): int(m[1].replace(",", "")) for m in found if m}


def refresh_until(page: Page, **wanted: int) -> dict[str, int]:
    """Press Refresh until the numbers are there; at every moment they sum to the total."""
    deadline = time.monotonic() + DEADLINE
    while True:
        seen = shares(page)
        total = seen.pop("in all")
        assert sum(seen.values()) == total == 300, seen
        if all(seen.get(name.replace("_", " "), 0) == count for name, count in wanted.items()):
            return seen
        assert time.monotonic() < deadline, (seen, wanted)
        with page.expect_response(lambda r: "/jobs/" in r.url and r.request.method == "GET"):
            page.get_by_role("link", name="Refresh").click()
        expect(page.locator("[data-refresh][aria-busy]")).to_have_count(0)


def test_approve_some_and_cancel_the_rest(
    page_as: Callable[..., Page],
    operator: User,
    project: Project,
    make_spinner: Callable[..., Pipeline],
    make_contacts: Callable[..., list[Contact]],
) -> None:
    """R1, R2: 300 records, 120 wait, 20 are approved, the rest is cancelled; totals close."""
    make_contacts(120, attributes={"plan": "pro"})
    make_contacts(180, attributes={"plan": "free"})
    make_spinner(steps=GATED)
    page = page_as(operator)
    page.goto(reverse("jobs:runs", args=[project.slug]))
    page.get_by_role("link", name="Start a run").first.click()
    page.get_by_role("button", name="See the forecast").click()
    expect(page.get_by_text("300 · one for each contact")).to_be_visible()
    page.get_by_role("button", name="Start the run").click()
    expect(page.get_by_text("started over 300 contacts")).to_be_visible()

    refresh_until(page, done=180, waiting=120)
    page.get_by_role("link", name="See them").click()
    for box in page.locator("input[name=record]").all()[:20]:
        box.check()
    expect(page.get_by_text("20 ticked")).to_be_visible()
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_text("20 records approved")).to_be_visible()

    page.goto(reverse("jobs:runs", args=[project.slug]))
    refresh_until(page, done=200, waiting=100)
    page.get_by_role("button", name="Cancel").click()
    seen = refresh_until(page, done=200, cancelled=100)
    assert seen["to do"] == 0
    run = Job.objects.get(project=project)
    assert (run.status, run.remaining_count) == ("cancelled", 0)


def test_refresh_keeps_what_is_chosen(
    page_as: Callable[..., Page],
    operator: User,
    project: Project,
    make_spinner: Callable[..., Pipeline],
    make_contacts: Callable[..., list[Contact]],
) -> None:
    """J1, J2, J3: nothing moves by itself; "+N" says that something is new; Refresh keeps run,
    filter, page, open details and scroll, and each state has its own address.
    """
    make_contacts(120)
    spinner = make_spinner()
    actor = Actor(user=operator)
    older, newer = (
        dispatch.dispatch_spinner(spinner, actor, selection=Selection()) for _ in range(2)
    )
    ended(older, newer)
    page = page_as(operator, height=600)
    page.goto(reverse("jobs:runs", args=[project.slug]))
    expect(page.locator("[data-health=connected]")).to_be_visible()
    expect(page.locator("#run-title")).to_contain_text(f"run #{newer.pk}")
    page.locator(f"#run-{older.pk}").click()
    expect(page.locator("#run-title")).to_contain_text(f"run #{older.pk}")
    expect(page.locator(f"#run-{older.pk}")).to_have_attribute("aria-current", "true")
    page.locator("#run-records").get_by_role("link", name="Next").click()
    expect(page.get_by_text("51–100 of 120 records")).to_be_visible()
    expect(page).to_have_url(re.compile(rf"/jobs/{older.pk}\?after=50$"))

    page.get_by_text("Steps", exact=True).click()
    page.evaluate("scrollTo(0, 900)")
    third = dispatch.dispatch_spinner(spinner, actor, selection=Selection())
    expect(page.locator("[data-new]")).to_have_text("+1", timeout=60_000)
    ended(third)
    expect(page.locator(f"#run-{third.pk}")).to_have_count(0)

    page.get_by_role("link", name="Refresh").dispatch_event("click")
    expect(page.locator(f"#run-{third.pk}")).to_have_count(1)
    expect(page.locator("[data-new]")).to_be_hidden()
    expect(page.locator(f"#run-{older.pk}")).to_have_attribute("aria-current", "true")
    expect(page.get_by_text("51–100 of 120 records")).to_be_visible()
    expect(page.locator("#run-funnel")).to_have_attribute("open", "")
    assert abs(page.evaluate("scrollY") - 900) < 5

    page.go_back()
    expect(page.get_by_text("1–50 of 120 records")).to_be_visible()
    page.go_back()
    expect(page.locator("#run-title")).to_contain_text(f"run #{newer.pk}")


def ended(*runs: Job) -> None:
    """What ends later is news again, and would be counted."""
    ids = [run.pk for run in runs]
    wait_until(
        lambda: Job.objects.filter(pk__in=ids, status="completed").count() == len(ids), DEADLINE
    )
