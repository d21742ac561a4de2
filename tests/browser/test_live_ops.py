"""Live Ops reads itself again politely: in the page's time, with requests that are made to fail."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Page, Route, expect

from accounts.models import User
from jobs.models import Job
from projects.models import Project

pytestmark = pytest.mark.browser
WATCH = """
window.polls = 0; window.planned = []; window.said = [];
const plain = window.fetch.bind(window), later = window.setTimeout.bind(window);
window.fetch = (url, options) => {
  if (String(url).endsWith("/live-ops")) window.polls += 1;
  return plain(url, options);
};
window.setTimeout = (act, ms, ...rest) => {
  if (new Error().stack.includes("polite-poll")) window.planned.push(ms / 1000);
  return later(act, ms, ...rest);
};
document.addEventListener("DOMContentLoaded", () => {
  const announcer = document.querySelector("[data-poll-announce]");
  new MutationObserver(() => window.said.push(announcer.textContent))
    .observe(announcer, {childList: true});
});
"""
LOOK = """hidden => {
  const set = (name, value) => Object.defineProperty(document, name, {value, configurable: true});
  set("hidden", hidden);
  set("visibilityState", hidden ? "hidden" : "visible");
  document.dispatchEvent(new Event("visibilitychange"));
}"""


class Watched:
    """Live Ops in a time that stands still until told; its requests can be refused."""

    def __init__(self, page: Page, project: Project) -> None:
        self.page, self.refuse = page, False
        url = reverse("jobs:live_ops", args=[project.slug])
        page.route(f"**{url}", self._answer)
        page.clock.install(time=timezone.now())
        page.add_init_script(WATCH)
        page.clock.pause_at(timezone.now() + timedelta(seconds=30))
        page.goto(url)
        self.planned(1)

    def _answer(self, route: Route) -> None:
        if self.refuse and route.request.headers.get("hx-request") == "true":
            route.fulfill(status=503)
        else:
            route.continue_()

    def planned(self, count: int) -> None:
        """So many polls were planned: the answer to the one before is dealt with."""
        self.page.wait_for_function("count => window.planned.length >= count", arg=count)

    def read(self, name: str) -> Any:
        return self.page.evaluate(f"window.{name}")

    def run(self, seconds: float, *, polls: int) -> None:
        """Let time pass; so many polls go out in it, and each is answered."""
        before, plans = self.read("polls"), len(self.read("planned"))
        self.page.clock.run_for(int(seconds * 1_000))
        assert self.read("polls") == before + polls
        self.planned(plans + polls)


@pytest.fixture
def make_job(project: Project) -> Callable[..., Job]:
    def make(**fields: Any) -> Job:
        now = timezone.now()
        return Job.objects.create(
            **{
                "team": project.team, "project": project, "kind": "workflow", "label": "Renewal",
                "workflow_slug": "renewal", "name": "Renewal", "status": "running",
                "started_at": now, "last_heartbeat_at": now, "total_count": 1, **fields,
            }
        )  # fmt: skip

    return make


def test_polls_when_it_is_worth_it(
    page_as: Callable[..., Page], viewer: User, project: Project, make_job: Callable[..., Job]
) -> None:
    """L4: 30 s idle, 5 s while something runs, none in a hidden tab, one at once on return."""
    page = page_as(viewer)
    ops = Watched(page, project)
    assert ops.read("planned") == [30]
    ops.run(29, polls=0)
    job = make_job()
    ops.run(1, polls=1)
    expect(page.get_by_text("updates every 5 s")).to_be_visible()
    assert ops.read("planned") == [30, 5]
    ops.run(4, polls=0)
    ops.run(1, polls=1)

    page.evaluate(LOOK, True)
    ops.run(600, polls=0)
    Job.objects.filter(pk=job.pk).update(status="completed", completed_at=timezone.now())
    page.evaluate(LOOK, False)
    assert ops.read("polls") == 3
    expect(page.get_by_text("updates every 30 s")).to_be_visible()
    assert ops.read("planned") == [30, 5, 5, 30]
    ops.run(29, polls=0)
    ops.run(1, polls=1)


def test_old_numbers_are_grey_and_say_why(
    page_as: Callable[..., Page], viewer: User, project: Project
) -> None:
    """L3: after two failed polls, and back again with the first that is answered."""
    page = page_as(viewer)
    ops = Watched(page, project)
    region, trouble = page.locator("#live-ops"), page.locator("[data-poll-trouble]")
    times = region.locator(".metric .data-at").all_inner_texts()
    at = re.fullmatch(r"as of (\d\d:\d\d:\d\d)", times[0])
    assert at
    assert times == [at[0]] * 6

    ops.refuse = True
    ops.run(30, polls=1)
    expect(trouble).to_be_hidden()
    expect(region).not_to_have_class("is-stale")
    ops.run(30, polls=1)
    expect(trouble).to_have_text(
        f"These numbers are of {at[1]}: the portal answered 503. Trying again."
    )
    expect(region).to_have_class("is-stale")
    ops.refuse = False
    ops.run(30, polls=1)
    expect(trouble).to_be_hidden()
    expect(region).not_to_have_class("is-stale")


def test_a_screen_reader_hears_one_summary(
    page_as: Callable[..., Page], viewer: User, project: Project, make_job: Callable[..., Job]
) -> None:
    """L10: one sentence for all that stands still, once, and nothing for each row."""
    page = page_as(viewer)
    ops = Watched(page, project)
    silent = timezone.now() - timedelta(minutes=10)
    jobs = [make_job(last_heartbeat_at=silent, stalled_at=silent) for _ in range(3)]
    ops.run(30, polls=1)
    expect(page.locator(".pill", has_text="SILENT")).to_have_count(len(jobs))
    ops.run(5, polls=1)
    assert ops.read("said") == ["3 runs may be stalled."]
    assert (
        page.locator(
            "#live-ops [aria-live], #live-ops [role=status], #live-ops [role=alert]"
        ).count()
        == 0
    )
