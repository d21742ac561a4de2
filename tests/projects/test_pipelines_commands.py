import io
import json

import pytest
from django.core.management import CommandError, call_command

from accounts.permissions import Actor
from projects.models import Pipeline
from projects.pipelines import drafts
from projects.pipelines.starters import STARTERS


def command(*arguments: str) -> str:
    out = io.StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def test_a_spinner_goes_through_a_file_unchanged(make_spinner, tmp_path):
    spinner, file = make_spinner(), tmp_path / "spinner.json"
    command("export_spinner", "spring", "renewal-reminder", "--output", str(file))
    out = command("import_spinner", "spring", str(file), "--name", "Twin", "--publish")
    assert "Published version 1." in out
    twin = Pipeline.objects.get(name="Twin")
    assert twin.current_version.definition == spinner.current_version.definition


def test_a_workflow_goes_through_a_file_unchanged(team, tmp_path):
    definition = STARTERS["ai-ticket"].definition()
    workflow = drafts.create(team, Actor(name="Al"), name="Fix", definition=definition)
    file = tmp_path / "workflow.json"
    file.write_text(command("export_spinner", team.slug, "fix", "--workflow"))
    command("import_spinner", team.slug, str(file), "--workflow", "--into", "fix")
    workflow.refresh_from_db()
    assert (workflow.draft, workflow.draft_revision) == (definition, 2)


def test_draft_and_older_versions_can_be_chosen(make_spinner):
    spinner = make_spinner()
    drafts.save_draft(spinner, Actor(name="Al"), definition={"steps": []}, revision=1)
    steps = [
        json.loads(command("export_spinner", "spring", "renewal-reminder", *flags))["definition"]
        for flags in ((), ("--release", "1"), ("--draft",))
    ]
    assert [len(definition["steps"]) for definition in steps] == [2, 2, 0]


def test_problems_are_printed_with_step_and_field(project, tmp_path):
    file = tmp_path / "bad.json"
    steps = [{"name": "go", "kind": "http", "config": {}}]
    file.write_text(
        json.dumps(
            {"format": "spindle.pipeline/1", "kind": "spinner", "name": "X",
             "definition": {"steps": steps}}
        )
    )  # fmt: skip
    with pytest.raises(CommandError, match=r"Step 1 \(go\), field URL: is missing"):
        command("import_spinner", "spring", str(file))
    assert not Pipeline.objects.exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("export_spinner", "nowhere", "x"), "no project"),
        (("export_spinner", "nowhere", "x", "--workflow"), "no team"),
        (("export_spinner", "spring", "x"), "has no spinner"),
        (("export_spinner", "spring", "renewal-reminder", "--release", "9"), "no version 9"),
        (("import_spinner", "spring", "/nowhere/x.json"), "cannot be read"),
    ],
)
def test_what_is_not_there_is_one_clear_line(arguments, words, make_spinner):
    make_spinner()
    with pytest.raises(CommandError, match=words):
        command(*arguments)
