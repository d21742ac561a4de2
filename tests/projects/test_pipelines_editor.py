"""The editor's form: what it posts becomes the draft, and nothing typed is ever lost."""

import copy
import html
import json
import re
from typing import Any

import pytest

from accounts.permissions import Actor
from projects.models import Pipeline, Secret
from projects.pipelines import drafts
from projects.pipelines.starters import STARTERS

STEPS: list[dict[str, Any]] = [
    {
        "name": "has-phone", "kind": "condition",
        "config": {
            "rows": [{"field": "contact.phone", "operator": "is_not_empty"}],
            "on_true": "continue", "on_false": "skip", "on_false_step": "done",
        },
    },
    {
        "name": "send", "kind": "http",
        "config": {
            "method": "PUT", "url": "https://api.example.com/x",
            "headers": [{"name": "X-A", "value": ""}, "not a row"],
            "timeout_seconds": "ten", "left_over": [1, 2],
        },
    },
    {"name": "odd", "kind": "mystery", "config": {"a": {"b": 1}}, "comment": "kept"},
    {"name": "done", "kind": "outcome", "config": {"outcome": "sent"}},
]  # fmt: skip


def fields_of(page: str) -> dict[str, str]:
    """What a browser would post of the editor's form."""
    form = page[page.index('id="editor-form"') : page.index("</form>", page.index("editor-form"))]
    posted: dict[str, str] = {}
    for tag in re.findall(r"<input[^>]*>", form):
        attributes = dict(re.findall(r'([a-z-]+)="([^"]*)"', tag))
        is_off = attributes.get("type") == "checkbox" and " checked" not in tag
        if "name" in attributes and not is_off:
            posted[attributes["name"]] = html.unescape(attributes.get("value", "on"))
    for name, text in re.findall(
        r'<textarea[^>]* name="([^"]+)"[^>]*>\n(.*?)</textarea>', form, re.S
    ):
        posted[name] = html.unescape(text).replace("\n", "\r\n")
    for name, options in re.findall(r'<select[^>]* name="([^"]+)"[^>]*>(.*?)</select>', form, re.S):
        chosen = re.search(r'value="([^"]*)" selected', options) or re.search(
            r'value="([^"]*)"', options
        )
        posted[name] = html.unescape(chosen[1]) if chosen else ""
    return posted


@pytest.fixture
def spinner(make_spinner) -> Pipeline:
    return make_spinner(copy.deepcopy(STEPS), publish=False)


@pytest.fixture
def editor(spinner, as_user, builder):
    """`editor(act, **changes)`: opens the page, changes fields, presses a button."""
    client = as_user(builder)

    def press(act: str, *, page: Any = None, **changes: str) -> Any:
        page = page or client.get(spinner.url_of("edit"))
        posted = {**fields_of(page.content.decode()), "act": act}
        posted.update({name.replace("__", "-"): value for name, value in changes.items()})
        return client.post(spinner.url_of("edit"), posted)

    return press


def names(answer: Any) -> list[str]:
    posted = fields_of(answer.content.decode())
    return [posted[f"s{n}-name"] for n in range(int(posted["step_count"]))]


def test_saving_an_untouched_form_changes_nothing(spinner, editor):
    answer = editor("save")
    assert answer.status_code == 302
    spinner.refresh_from_db()
    assert spinner.draft == {"steps": STEPS}
    assert spinner.draft_revision == 2


@pytest.mark.parametrize("starter", ["email", "http-approval", "ai-summary"])
def test_no_starting_point_is_changed_by_its_form(starter, spinner, editor):
    definition = STARTERS[starter].definition()
    drafts.save_draft(spinner, Actor(name="Al"), definition=definition, revision=1)
    editor("save")
    spinner.refresh_from_db()
    assert spinner.draft == definition


def test_typed_values_are_saved_with_their_types(spinner, editor):
    editor(
        "save", s1__c__timeout_seconds="12", s1__c__url="https://b", s1__c__follow_redirects="on",
        **{"s0-c-rows-1-field": "contact.plan", "s0-c-rows-1-value": "pro", "s1-c-headers-0-name": ""},
    )  # fmt: skip
    spinner.refresh_from_db()
    condition, send = spinner.draft["steps"][:2]
    assert condition["config"]["rows"][1] == {"field": "contact.plan", "value": "pro"}
    assert send["config"]["timeout_seconds"] == 12
    assert send["config"]["follow_redirects"] is True
    assert send["config"]["headers"] == ["not a row"]
    assert send["config"]["left_over"] == [1, 2]


def test_line_ends_of_browsers_do_not_reach_the_draft(spinner, editor):
    drafts.save_draft(
        spinner, Actor(name="Al"), definition=STARTERS["email"].definition(), revision=1
    )
    editor("save", s1__c__template="Hi\r\nyou\r\n")
    spinner.refresh_from_db()
    assert spinner.draft["steps"][1]["config"]["template"] == "Hi\nyou\n"


def test_a_renamed_step_stays_the_target_of_those_that_lead_to_it(spinner, editor):
    editor("save", s3__name="finish")
    spinner.refresh_from_db()
    assert spinner.draft["steps"][0]["config"]["on_false_step"] == "finish"


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        ("add:template", ["has-phone", "send", "odd", "done", "template"]),
        ("up:1", ["send", "has-phone", "odd", "done"]),
        ("down:0", ["send", "has-phone", "odd", "done"]),
        ("duplicate:1", ["has-phone", "send", "send-2", "odd", "done"]),
        ("delete:2", ["has-phone", "send", "done"]),
        ("up:0", ["has-phone", "send", "odd", "done"]),
        ("down:99", ["has-phone", "send", "odd", "done"]),
        ("add:nothing", ["has-phone", "send", "odd", "done"]),
    ],
)
def test_steps_are_changed_on_the_page_and_kept_only_by_saving(act, expected, spinner, editor):
    answer = editor(act, s1__c__url="https://typed.example.com")
    assert names(answer) == expected
    assert "https://typed.example.com" in answer.content.decode()
    spinner.refresh_from_db()
    assert spinner.draft == {"steps": STEPS}


def test_a_step_can_be_added_before_another_and_undone(spinner, editor):
    added = editor("add:set", add_after="1")
    assert names(added) == ["has-phone", "set", "send", "odd", "done"]
    assert (
        "Is missing" not in re.search(r'id="step-2".*?</li>', added.content.decode(), re.S)[0]
    )  # what was added a moment ago is not scolded for being empty
    assert names(editor("undo", page=added)) == ["has-phone", "send", "odd", "done"]


def test_errors_stand_at_their_field_and_the_draft_is_saved_all_the_same(
    spinner, editor, as_user, builder
):
    editor("save", s1__c__max_attempts="99")
    spinner.refresh_from_db()
    assert spinner.draft["steps"][1]["config"]["max_attempts"] == 99
    page = as_user(builder).get(spinner.url_of("edit")).content.decode()
    field = page[page.index('name="s1-c-max_attempts"') :]
    assert 'aria-invalid="true"' in field[: field.index(">")]
    assert "Should be at most 10" in field[: field.index("data-control")]
    assert 'value="99"' in page


def test_two_editors_are_told_and_neither_loses_a_word(spinner, editor):
    mine = spinner.draft_revision
    drafts.save_draft(
        Pipeline.objects.get(pk=spinner.pk), Actor(name="Ada Admin"),
        definition={"steps": STEPS[:2]}, revision=mine,
    )  # fmt: skip
    answer = editor("save", revision=str(mine), s1__c__url="https://mine.example.com", name="Mine")
    assert answer.status_code == 409
    page = answer.content.decode()
    assert "Ada Admin saved this draft" in page
    assert "From the saved draft to yours" in page
    assert "https://mine.example.com" in page
    editor("save", page=answer)
    spinner.refresh_from_db()
    assert spinner.name == "Mine"
    assert spinner.draft["steps"][1]["config"]["url"] == "https://mine.example.com"


def test_the_json_alone_changed_is_what_is_saved(spinner, editor):
    editor("save", json=json.dumps({"steps": STEPS[3:]}))
    spinner.refresh_from_db()
    assert spinner.draft == {"steps": STEPS[3:]}


def test_form_and_json_both_changed_ask_which_holds(spinner, editor):
    text = json.dumps({"steps": STEPS[3:]})
    asked = editor("save", json=text, s3__c__outcome="other")
    assert asked.status_code == 422
    assert "Which should hold?" in asked.content.decode()
    assert fields_of(asked.content.decode())["json"] == text
    assert "Which should hold?" in editor("save", page=asked).content.decode()
    assert names(editor("use_json", page=asked)) == ["done"]
    kept = editor("use_form", page=asked)
    assert names(kept) == ["has-phone", "send", "odd", "done"]
    editor("save", page=kept)
    spinner.refresh_from_db()
    assert spinner.draft["steps"][3]["config"]["outcome"] == "other"


@pytest.mark.parametrize("text", ["{oops", '{"steps": 3}', "[" * 50_000])
def test_broken_json_is_said_and_kept(text, spinner, editor):
    answer = editor("save", json=text)
    assert answer.status_code == 422
    assert 'id="json-error"' in answer.content.decode()
    assert fields_of(answer.content.decode())["json"] == text
    spinner.refresh_from_db()
    assert spinner.draft == {"steps": STEPS}


def test_publish_saves_and_leads_to_the_question_once_all_is_right(spinner, editor):
    assert editor("publish").url == spinner.url_of("edit")
    fine = json.dumps(STARTERS["email"].definition())
    assert editor("publish", json=fine).url == spinner.url_of("publish")


def test_secrets_are_offered_by_name_only(spinner, editor, team):
    Secret.objects.create(team=team, name="API_KEY", ciphertext=b"never shown")
    page = editor("add:ai").content.decode()
    assert ">API_KEY</option>" in page
    assert "never shown" not in page


def test_a_page_sent_incompletely_saves_nothing(spinner, editor):
    answer = editor("save", shown="{")
    assert answer.url == spinner.url_of("edit")
    spinner.refresh_from_db()
    assert spinner.draft_revision == 1


def test_a_test_leads_back_to_the_editor_with_everything_typed(spinner, editor, as_user, builder):
    client = as_user(builder)
    drafts.save_draft(
        spinner, Actor(name="Al"), definition=STARTERS["http-approval"].definition(), revision=1
    )
    posted = fields_of(client.get(spinner.url_of("edit")).content.decode())
    posted |= {"name": "Mine", "s0-c-prompt": "Really?"}
    page = client.post(spinner.url_of("test"), posted).content.decode()
    form = page[page.index(f'action="{spinner.url_of("edit")}"') :]
    carried = dict(re.findall(r'name="([a-z_]+)" value="([^"]*)"', form[: form.index("</form>")]))
    carried = {name: html.unescape(value) for name, value in carried.items()}
    back = client.post(spinner.url_of("edit"), {**carried, "act": "resume"}).content.decode()
    assert fields_of(back)["name"] == "Mine"
    assert fields_of(back)["s0-c-prompt"] == "Really?"
    assert fields_of(back)["revision"] == "2"
