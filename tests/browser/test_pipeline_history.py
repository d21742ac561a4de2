"""What became of a spinner and of its runs over time."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Page, expect

from accounts.models import Team, User
from accounts.permissions import Actor
from jobs.execution import retention
from jobs.models import Job
from projects.models import Contact, Pipeline, Project
from projects.publishing import publish
from tests.browser.receiver import Receiver
from tests.browser.work import DONE, record_of, send_step, settled, start

pytestmark = pytest.mark.browser


def test_versions_and_runs_are_told_apart(
    page_as: Callable[..., Page],
    builder: User,
    project: Project,
    receiver: Receiver,
    make_spinner: Callable[..., Pipeline],
    make_contacts: Callable[..., list[Contact]],
) -> None:
    """A chart of the runs, the run before beside the newest step by step, and what the version
    between them changed, in words a person can read.
    """
    make_contacts(4)
    send = send_step(receiver.url)
    spinner = make_spinner(steps=[send, DONE])
    before = settled(start(spinner, builder))
    text = {
        "name": "compose", "kind": "template",
        "config": {"field": "message", "template": "Hi {{ contact.name }}"},
    }  # fmt: skip
    slower = {**send, "config": {**send["config"], "timeout_seconds": 5}}
    spinner.draft = {"steps": [text, slower, DONE]}
    spinner.save(update_fields=["draft"])
    publish(spinner, Actor(user=builder), note="Greets by name")
    receiver.answers = {"c-1": (422, "no"), "c-2": (422, "no")}
    now = settled(start(spinner, builder))

    page = page_as(builder)
    page.goto(spinner.get_absolute_url())
    chart = page.get_by_role("img", name="Length of the last 2 runs")
    expect(chart.locator("rect.completed")).to_have_count(2)
    expect(chart.locator("rect.failed")).to_have_count(1)
    page.get_by_role("link", name=f"Compare run #{now.pk} with the one before").click()
    expect(page.get_by_text(f"#{now.pk} beside #{before.pk}")).to_be_visible()
    rows = page.get_by_role("row")
    expect(rows.filter(has_text="compose")).to_contain_text("new step")
    expect(rows.filter(has=page.get_by_role("rowheader", name="send"))).to_contain_text(
        "more failures"
    )
    page.get_by_role("link", name="1 step added").click()

    changed = page.locator(".difference .change")
    expect(changed).to_have_count(3)
    expect(changed.nth(0)).to_contain_text("added")
    expect(changed.nth(0).locator("ins", has_text="Hi {{ contact.name }}")).to_be_visible()
    expect(changed.nth(1).get_by_text("Time limit (seconds)")).to_be_visible()
    expect(changed.nth(1).locator("ins")).to_have_text("5")
    expect(changed.nth(2)).to_contain_text("unchanged")
    page.get_by_role("link", name="Back to the history").click()
    newest = page.locator(".versions .row").first
    expect(newest).to_contain_text("Greets by name")
    expect(newest).to_contain_text("Bo Builder")


def test_pages_say_what_a_rule_took_away(
    page_as: Callable[..., Page],
    viewer: User,
    operator: User,
    team: Team,
    project: Project,
    make_spinner: Callable[..., Pipeline],
    make_contacts: Callable[..., list[Contact]],
) -> None:
    """First the journeys go, then the records: each page says when and by which rule, and what
    is left is still there.
    """
    make_contacts(2)
    run = settled(start(make_spinner(), operator))
    ended = timezone.now() - timedelta(days=40)
    Job.objects.filter(pk=run.pk).update(started_at=ended, completed_at=ended)
    Team.objects.filter(pk=team.pk).update(journey_retention_days=30)
    retention.prune_round()
    record = record_of(run, "c-1")
    page = page_as(viewer)
    page.goto(reverse("jobs:record", args=[project.slug, record.pk]))
    expect(page.get_by_text("This journey was pruned")).to_be_visible()
    expect(page.get_by_text("journeys are kept for 30 days after a run")).to_be_visible()
    expect(page.locator(".journey-step")).to_have_count(0)
    expect(page.get_by_text("composed", exact=True)).to_be_visible()

    Team.objects.filter(pk=team.pk).update(record_retention_days=35)
    retention.prune_round(now=timezone.now() + timedelta(hours=2))
    page.goto(reverse("jobs:runs", args=[project.slug, run.pk]))
    expect(page.get_by_text("These records were pruned")).to_be_visible()
    expect(page.get_by_text("records are kept for 35 days after a run")).to_be_visible()
    expect(page.get_by_role("link", name="2 done", exact=True)).to_be_visible()
    page.goto(f"{reverse('jobs:records', args=[project.slug])}?run={run.pk}")
    expect(page.get_by_text("These records were pruned")).to_be_visible()
