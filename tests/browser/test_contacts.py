"""Contacts in a real browser, with a real worker: a file comes in, and is worked with."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from django.urls import reverse
from playwright.sync_api import Page, expect

from accounts.models import User
from projects.models import Contact, ContactImport, Project
from tests.processes.portal import Portal, wait_until

pytestmark = pytest.mark.browser

HEADER = "Kundnr;Namn;E-post;Plan;Stad\n"
ROWS = [f"K-{n};Person {n};p{n}@mail.example;{'pro' if n % 2 else 'free'};Malmö" for n in range(60)]
BAD = ["K-90;No address;not-an-address;pro;Lund", "K-3;Åsa Öst;p3@mail.example;pro;Ystad"]


def counts(page: Page) -> dict[str, str]:
    return dict(
        zip(
            page.locator(".import-counts dt").all_inner_texts(),
            page.locator(".import-counts dd").all_inner_texts(),
            strict=True,
        )
    )


def test_a_file_from_upload_to_the_list(
    page_as: Callable[..., Page],
    operator: User,
    project: Project,
    portal: Portal,
    tmp_path: Path,
) -> None:
    """Preview and mapping, then progress while a worker comes up, a result with a line for each
    row that was not taken, and the list; nothing is written before the person says so.
    """
    file = tmp_path / "kunder.csv"
    file.write_bytes((HEADER + "\n".join([*ROWS, *BAD])).encode("cp1252"))
    page = page_as(operator)
    page.goto(reverse("projects:contacts", args=[project.slug]))
    page.get_by_role("link", name="Import a file").click()
    page.get_by_label("CSV file").set_input_files(file)
    page.get_by_role("button", name="Upload and preview").click()

    expect(page.get_by_text("nothing is imported yet")).to_be_visible()
    expect(page.locator(".sample")).to_contain_text("Malmö")  # the encoding was found
    expect(page.get_by_text("Line 62")).to_be_visible()
    page.get_by_label("Kundnr goes to").select_option("external_id")
    page.get_by_label("Namn goes to").select_option("name")
    page.get_by_label("E-post goes to").select_option("email")
    page.get_by_label("Stad goes to").select_option("")
    page.get_by_label("Tag every contact of this file").fill("spring")
    page.get_by_role("button", name="Update preview").click()
    expect(page.locator(".import-counts .bad dd")).to_have_text("1")
    assert counts(page) == {
        "new": "60", "updated": "0", "unchanged": "0", "duplicates in the file": "1", "bad": "1"
    }  # fmt: skip
    assert not Contact.objects.filter(project=project).exists()

    portal.kill_worker()
    page.get_by_label("Import the good rows even if some are bad").check()
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.get_by_role("heading", name="Waiting for a worker")).to_be_visible()
    portal.start()
    # The page follows by itself.
    expect(page.get_by_role("heading", name="Result")).to_be_visible(timeout=60_000)
    assert counts(page) == {
        "rows read": "62", "created": "60", "updated": "0", "unchanged": "0",
        "duplicates in the file": "1", "bad": "1",
    }  # fmt: skip
    bad = page.get_by_role("row").filter(has_text="not-an-address")
    expect(bad.get_by_role("cell").first).to_have_text("62")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download as CSV").click()
    assert "not-an-address" in Path(download.value.path()).read_text("utf-8-sig")

    page.get_by_role("link", name="Show these contacts").click()
    expect(page.get_by_text("60 contacts")).not_to_have_count(0)
    page.get_by_role("searchbox").press_sequentially("åsa")
    expect(page.locator(".contacts .row")).to_have_count(1)
    page.get_by_role("link", name=re.compile("Åsa Öst")).click()
    expect(page.get_by_role("link", name="kunder.csv")).to_be_visible()
    expect(page.get_by_role("link", name="spring")).to_be_visible()
    assert Contact.objects.get(external_id="K-3", project=project).attributes == {"Plan": "pro"}
    assert ContactImport.objects.get(project=project).status == "completed"


def test_tag_many_at_once(
    page_as: Callable[..., Page],
    operator: User,
    project: Project,
    make_contacts: Callable[..., list[Contact]],
) -> None:
    """The ticked ones, then all that match a filter; and off again."""
    make_contacts(60)
    Project.objects.filter(pk=project.pk).update(contact_count=60)
    page = page_as(operator)
    page.goto(reverse("projects:contacts", args=[project.slug]))
    for box in page.locator("input[name=ids]").all()[:3]:
        box.check()
    page.get_by_text("Tag contacts").click()
    page.get_by_label("Tag", exact=True).last.fill("vip")
    page.get_by_role("button", name="Add tag").click()
    expect(page.get_by_text("3 contacts tagged “vip”.")).to_be_visible()

    page.get_by_label("Tag", exact=True).first.select_option("vip")
    expect(page.locator(".contacts .row")).to_have_count(3)
    page.get_by_text("Tag contacts").click()
    page.get_by_text("Tick all on this page").click()
    expect(page.get_by_text("3 ticked")).to_be_visible()
    page.get_by_label("all 3 matching this filter").check()
    page.get_by_label("Tag", exact=True).last.fill("vip")
    page.get_by_role("button", name="Remove tag").click()
    expect(page.get_by_text("“vip” taken from 3 contacts.")).to_be_visible()
    wait_until(lambda: not project.tags.filter(contacts__isnull=False).exists())
