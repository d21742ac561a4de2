"""Records that failed, stopped or wait, and what a person does about them, with real processes."""

import re
from collections.abc import Callable

import pytest
from django.urls import reverse
from playwright.sync_api import Page, expect

from accounts.models import User
from accounts.permissions import Actor
from jobs.models import Record
from projects.models import Contact, Pipeline, Project
from projects.secrets import set_secret
from tests.browser.receiver import DROPPED, Receiver
from tests.browser.work import DONE, becomes, record_of, send_step, settled, start, step
from tests.processes.portal import wait_until

pytestmark = pytest.mark.browser
CLOCK = re.compile(r"\d\d:\d\d:\d\d")
SECRET = "sk-live-4711-öre"


def test_a_cause_is_retried_as_one_action(
    page_as: Callable[..., Page],
    operator: User,
    project: Project,
    receiver: Receiver,
    make_spinner: Callable[..., Pipeline],
    make_contacts: Callable[..., list[Contact]],
) -> None:
    """R7, R8: failures by cause with count, first and last time; the group that is retried runs
    again and is done, the others stay as they were.
    """
    make_contacts(5)
    for contact in ("c-1", "c-2", "c-3"):
        receiver.answers[contact] = (422, "number not reachable")
    receiver.answers["c-4"] = (403, "no such account")
    spinner = make_spinner(steps=[send_step(receiver.url), DONE])
    run = settled(start(spinner, operator))
    page = page_as(operator)
    page.goto(reverse("jobs:runs", args=[project.slug]))
    page.get_by_role("link", name="See the causes").click()
    rows = page.locator(".causes .row")
    expect(rows).to_have_count(2)
    group = rows.filter(has_text="422")
    expect(group.locator("b")).to_have_text("3")
    expect(group.get_by_text(re.compile(r"\d\d:\d\d:\d\d"))).to_have_count(2)
    expect(rows.filter(has_text="403").locator("b")).to_have_text("1")

    receiver.answers = {"c-4": (403, "no such account")}
    group.get_by_role("button", name="Retry all").click()
    expect(page.get_by_text("3 records run again.")).to_be_visible()
    wait_until(lambda: Record.objects.filter(job=run, status="completed").count() == 4)
    page.reload()
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("403")
    rows.get_by_role("link").click()
    expect(page.locator("#records .contact .title")).to_have_text(["Contact 4"])
    counts = [receiver.count(f"c-{number}") for number in range(1, 6)]
    assert counts == [2, 2, 2, 1, 1]


def test_uncertain_records_are_decided_from_their_evidence(
    page_as: Callable[..., Page],
    operator: User,
    project: Project,
    receiver: Receiver,
    make_spinner: Callable[..., Pipeline],
    make_contacts: Callable[..., list[Contact]],
) -> None:
    """The work list says what was being done and how far it came; "Mark as done" goes on without
    doing it again, "Retry" does it with the same key; the note stands in the journey.
    """
    make_contacts(2)
    receiver.answers = {"c-1": (DROPPED, ""), "c-2": (DROPPED, "")}
    run = start(make_spinner(steps=[send_step(receiver.url), DONE]), operator)
    sent, lost = (becomes(record_of(run, who), "uncertain") for who in ("c-1", "c-2"))
    receiver.answers = {}
    page = page_as(operator)
    page.goto(reverse("jobs:runs", args=[project.slug]))
    page.get_by_role("link", name="Decide each").click()
    expect(page.locator("article.uncertain")).to_have_count(2)
    card = page.get_by_role("article", name="Contact 1")
    expect(card.get_by_text(f"POST {receiver.url[7:]}/send/c-1")).to_be_visible()
    expect(card.get_by_text(sent.idempotency_key(1), exact=True)).to_be_visible()
    expect(card.locator("dt", has_text="left at")).to_be_visible()
    expect(card.locator("dd time").first).to_have_text(CLOCK)
    card.get_by_label("Note").fill("Seen in their log")
    card.get_by_role("button", name="Mark as done").click()
    expect(page.get_by_text("Contact 1 was marked as done and goes on.")).to_be_visible()
    page.get_by_role("article", name="Contact 2").get_by_role("button", name="Retry").click()
    expect(page.get_by_text("Nothing is uncertain")).to_be_visible()

    settled(run)
    assert becomes(lost, "completed").idempotency_key(1) == "-".join((str(run.pk), "2", "1"))
    assert (receiver.count("c-1"), receiver.count("c-2")) == (1, 2)
    keys = [headers["Idempotency-Key"] for who, headers in receiver.seen if who == "c-2"]
    assert keys == [lost.idempotency_key(1)] * 2
    page.goto(reverse("jobs:record", args=[project.slug, sent.pk]))
    expect(page.locator("#step-1")).to_contain_text("Seen in their log")
    expect(page.locator("#step-1")).to_contain_text("Olu Operator")
    history = page.locator("section", has_text="What people did")
    expect(history.get_by_role("listitem")).to_contain_text("marked as done")


def test_a_journey_from_its_failure_to_its_outcome(
    page_as: Callable[..., Page],
    operator: User,
    project: Project,
    receiver: Receiver,
    make_spinner: Callable[..., Pipeline],
    make_contacts: Callable[..., list[Contact]],
) -> None:
    """R5, R8, R10, R11, X5: every step with times and attempts, what was not reached, the next
    failed record, the retry from the failed step, the gate, no secret anywhere.
    """
    set_secret(project.team, "API_KEY", SECRET, Actor(user=operator))
    make_contacts(4)
    for contact in ("c-1", "c-3"):
        receiver.answers[contact] = (503, f"overloaded, Bearer {SECRET} was fine")
    key = [{"name": "Authorization", "value": "Bearer {{ secrets.API_KEY }}"}]
    send = send_step(receiver.url, repeat="key", max_attempts=2, headers=key)
    text = step("compose", "template", field="message", template="Hi {{ contact.name }}")
    ask = step("ask", "wait", prompt="Count {{ contact.name }} as a customer?")
    spinner = make_spinner(steps=[text, send, ask, DONE])
    run = settled(start(spinner, operator), "waiting")
    first, third = record_of(run, "c-1"), record_of(run, "c-3")
    page = page_as(operator)
    page.goto(reverse("jobs:record", args=[project.slug, first.pk]))
    expect(page.get_by_text("version 1", exact=True)).to_be_visible()
    failed = page.locator("#step-2")
    expect(failed.get_by_text("2 attempts", exact=True)).to_be_visible()
    expect(failed.locator(".journey-start")).to_have_text(CLOCK)
    expect(failed.locator(".journey-time")).to_have_text(re.compile(r"\d"))
    expect(failed.locator("dt", has_text=re.compile("attempt [12]"))).to_have_count(2)
    expect(page.locator("#step-1").get_by_text("Hi Contact 1")).to_be_visible()
    for number in (3, 4):
        expect(page.locator(f"#step-{number}").get_by_text("Not reached")).to_be_visible()
    assert "4711" not in page.content()
    expect(failed.get_by_text("••••••").first).to_be_visible()
    assert receiver.seen[0][1]["Authorization"].startswith("Bearer sk-live-4711")
    expect(page.locator("[aria-disabled]", has_text="Previous failed")).to_be_visible()
    page.get_by_role("link", name="Next failed").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Contact 3")

    receiver.answers = {}
    page.get_by_role("button", name="Retry from step 2").click()
    expect(page.get_by_text("Contact 3 runs again.")).to_be_visible()
    composed = third.entry(1)
    assert becomes(third, "waiting").entry(1) == composed
    page.reload()
    again = page.locator("#step-2")
    expect(again.get_by_text("3 attempts", exact=True)).to_be_visible()
    expect(again.locator("dt", has_text="attempt")).to_have_text(["attempt 1", "attempt 2"])
    asked = page.locator(".decision").get_by_text("Count Contact 3 as a customer?")
    expect(asked).to_be_visible()
    page.get_by_label("Note").fill("She called")
    page.get_by_role("button", name="Approve").click()
    becomes(third, "completed")
    page.reload()
    expect(page.locator("#step-3")).to_contain_text("She called")
    expect(page.locator("section", has_text="Outcome").get_by_text("sent")).to_be_visible()

    page.goto(reverse("jobs:record", args=[project.slug, record_of(run, "c-2").pk]))
    page.get_by_label("Note").fill("Left the town")
    page.get_by_role("button", name="Reject").click()
    expect(page.get_by_text("Rejected by Olu Operator: Left the town").first).to_be_visible()

    other = start(make_spinner(name="Thanks", slug="thanks"), operator)
    settled(other)
    page.get_by_role("link", name="All its records").click()
    titles = page.locator("#contact-records .contact .sub")
    expect(titles).to_have_text(
        [f"run #{other.pk} · version 1", f"run #{run.pk} · version 1"], use_inner_text=True
    )
