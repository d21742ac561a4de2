"""From an empty folder to a retried record, as somebody does it on the first day."""

import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.processes.portal import free_port
from tests.processes.up import STARTED, Up

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
CONTACTS = Path(__file__).parents[2] / "docs" / "examples" / "contacts.csv"
PATIENCE = 60_000


@pytest.fixture
def visitor(browser: Browser) -> Page:
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(60_000)
    return context.new_page()


def test_up_sign_in_import_publish_start_watch_and_retry(
    start_up: Callable[..., Up], visitor: Page
) -> None:
    up = start_up("--port", str(free_port()), SPINDLE_DEMO_PASSWORD="first-run-pass")
    url, page = up.until(STARTED)[1], visitor
    project = f"{url}/portal/projects/spring-renewals"

    page.goto(url)
    page.get_by_label("E-mail").fill("ada@northwind.example")
    page.get_by_label("Password").fill("first-run-pass")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("navigation").first).to_be_visible()

    page.goto(f"{project}/contacts/import")
    page.get_by_label("CSV file").set_input_files(CONTACTS)
    page.get_by_role("button", name="Upload and preview").click()
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.get_by_role("link", name="Start a run with them")).to_be_visible(timeout=PATIENCE)

    page.goto(f"{project}/spinners/renewal-reminder/edit")
    page.get_by_label("Name of step 2").fill("compose-message")
    page.get_by_role("button", name="Publish…").click()
    page.get_by_role("button", name="Publish version 2").click()
    expect(page.get_by_text("v2", exact=True).first).to_be_visible()

    page.goto(f"{project}/jobs")
    page.get_by_role("link", name="Start a run").first.click()
    page.get_by_label("Spinner", exact=True).select_option(label="Renewal reminder")
    page.get_by_role("button", name="See the forecast").click()
    page.get_by_role("button", name="Start the run").click()
    expect(page.locator("#run-title")).to_contain_text("Renewal reminder")
    _refresh_until_completed(page)

    run_address = page.url
    page.goto(f"{run_address}?status=failed")
    page.locator("#run-records").get_by_role("link", name=re.compile("^Journey")).first.click()
    expect(page.get_by_text("422").first).to_be_visible()
    page.get_by_role("button", name=re.compile("^Retry from step")).click()
    expect(page.get_by_text("What people did")).to_be_visible()
    expect(
        page.get_by_text(re.compile("Ada Admin.*retr|retr.*Ada Admin", re.I)).first
    ).to_be_visible()

    assert up.end() == 0


def _refresh_until_completed(page: Page) -> None:
    """Press Refresh, as a person would, until the run's badge says that it is over."""
    badge = page.locator(".run-title").get_by_text("Completed")
    deadline = time.monotonic() + PATIENCE / 1000
    while not badge.is_visible():
        assert time.monotonic() < deadline, page.inner_text("main")[:2000]
        page.get_by_role("link", name="Refresh").click()
        page.wait_for_timeout(500)
