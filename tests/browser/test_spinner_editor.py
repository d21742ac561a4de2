"""Building a spinner: by keyboard with scripts, and without any script at all."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from accounts.models import User
from projects.models import Pipeline, Project

pytestmark = pytest.mark.browser


def test_a_spinner_is_built_tested_and_published(
    page_as: Callable[..., Page],
    builder: User,
    project: Project,
    make_contacts: Callable[..., list],
) -> None:
    make_contacts(1)
    page = page_as(builder)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
    page.goto(f"/portal/projects/{project.slug}/spinners/new")
    page.get_by_label("Name").fill("Nudge")
    page.get_by_role("button", name="Create the draft").click()

    # Added in place; the cursor goes to the new step, the JSON follows what is typed.
    page.get_by_role("button", name="Outcome").click()
    expect(page.locator("#s0-name")).to_be_focused()
    page.get_by_label("Outcome (required)").fill("nudged")
    expect(page.locator("[data-json]")).to_have_value(re.compile('"nudged"'))
    page.locator("#add-step summary").click()
    page.get_by_role("button", name="Text Writes").click()
    expect(page.locator("#s1-name")).to_be_focused()
    page.get_by_label("Save as (required)").fill("message")
    page.get_by_label("Text (required)").fill("Hi {{ contact.first_name }}")

    # Leaving unsaved text asks first (seen without the browser's dialog, which blocks the page).
    assert page.evaluate("() => !dispatchEvent(new Event('beforeunload', { cancelable: true }))")

    page.locator("#s1-name").focus()
    page.keyboard.press("Alt+ArrowUp")
    expect(page.locator("#s0-name")).to_have_value("template")
    expect(page.get_by_role("status").filter(has_text="is step 1 now")).to_be_visible()

    page.get_by_role("button", name="Test", exact=True).click()
    expect(page.get_by_text("Hi Contact", exact=True)).to_be_visible()
    assert Pipeline.objects.get(project=project).draft == {"steps": []}

    page.get_by_role("button", name="Back to the editor").click()
    expect(page.locator("#s1-c-outcome")).to_have_value("nudged")
    page.get_by_role("button", name="Publish…").click()
    page.wait_for_url("**/publish")
    expect(page.get_by_text("2 steps added")).to_be_visible()
    page.get_by_role("button", name="Publish version 1").click()
    expect(page.get_by_text("Published version 1.")).to_be_visible()
    version = Pipeline.objects.get(project=project).current_version
    assert [step["kind"] for step in version.steps] == ["template", "outcome"]
    assert problems == []


def test_without_scripts_the_editor_does_the_same(
    page_as: Callable[..., Page], builder: User, make_spinner: Callable[..., Pipeline]
) -> None:
    spinner = make_spinner()
    page = page_as(builder, java_script_enabled=False, width=360)
    page.goto(spinner.url_of("edit"))
    page.get_by_role("button", name="Move record-outcome up").click()
    page.locator("#s0-c-outcome").fill("first")
    page.get_by_role("button", name="Delete compose").click()
    expect(page.locator("#s0-c-outcome")).to_have_value("first")
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("#s1-name")).to_have_value("compose")
    page.locator(".editor-foot").get_by_role("button", name="Save draft").click()
    expect(page.get_by_text("Saved.")).to_be_visible()
    spinner.refresh_from_db()
    assert [step["name"] for step in spinner.draft["steps"]] == ["record-outcome", "compose"]
    assert spinner.draft["steps"][0]["config"]["outcome"] == "first"
