"""A job that ends rings the bell of its starter's open page; the notice leads to the job."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from accounts.models import User
from jobs.models import Notice
from projects.models import Contact, Pipeline
from tests.browser.work import settled, start

pytestmark = pytest.mark.browser


def test_the_bell_rises_live_and_falls_when_the_job_is_opened(
    page_as: Callable[..., Page],
    operator: User,
    viewer: User,
    make_spinner: Callable[..., Pipeline],
    make_contacts: Callable[..., list[Contact]],
) -> None:
    """X6, X10: on another page, without a request; others hear nothing."""
    make_contacts(2)
    page, others = page_as(operator), page_as(viewer)
    for one in (page, others):
        one.goto("/portal/agents")
        one.wait_for_selector("[data-health=connected]")
        expect(one.locator("[data-bell-words]")).to_have_text("No unread notices")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    run = settled(start(make_spinner(), operator))
    expect(page.locator("[data-bell-words]")).to_have_text("1 unread notice")
    expect(page.locator("[data-bell-count]")).to_have_text("1")
    expect(page.locator("[data-bell-said]")).to_have_text("1 unread notice")
    assert not asked
    expect(others.locator("[data-bell-words]")).to_have_text("No unread notices")

    page.get_by_role("link", name="1 unread notice").click()
    page.get_by_role("link", name="Renewal reminder completed — 2 records").click()
    expect(page).to_have_url(f"{page.url.partition('/portal')[0]}/portal/jobs/{run.pk}")
    expect(page.locator("[data-bell-words]")).to_have_text("No unread notices")
    expect(page.locator("[data-bell-count]")).to_be_hidden()
    assert Notice.objects.filter(job=run).count() == 1

    follow = page.locator("#job-follow button")
    expect(follow).to_have_text("Following")
    follow.click()
    expect(follow).to_have_text("Follow")
    expect(follow).to_be_focused()
