import json

import pytest

from accounts.permissions import Actor
from projects.models import Pipeline
from projects.pipelines import transfer
from projects.pipelines.refusal import PipelineRefused

BO = Actor(name="Bo Builder")


def test_an_exported_file_imports_to_an_equal_definition(make_spinner, project):
    spinner = make_spinner(description="Åäö")
    content = transfer.as_json(transfer.as_document(spinner, spinner.current_version))
    twin = transfer.import_pipeline(project, BO, content=content.encode())
    assert twin.draft == spinner.current_version.definition
    assert (twin.name, twin.description) == (spinner.name, "Åäö")
    assert twin.slug == "renewal-reminder-2"


def test_a_file_can_replace_a_draft(make_spinner, project):
    spinner, other = make_spinner(), make_spinner([], name="Other", slug="other", publish=False)
    content = transfer.as_json(transfer.as_document(spinner))
    transfer.import_pipeline(project, BO, content=content, into=other)
    assert (other.draft, other.draft_revision) == (spinner.draft, 2)


def document(**changes):
    return json.dumps(
        {"format": transfer.FORMAT, "kind": "spinner", "name": "X", "definition": {"steps": []},
         **changes}
    )  # fmt: skip


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xff\xfe{}", "not UTF-8"),
        ("{", "not JSON: .* line 1"),
        ("[" * 100_000, "nested too deeply|not JSON"),
        ("{}", "not a Spindle pipeline"),
        (document(kind="robot"), "neither"),
        (document(kind="workflow"), "holds a workflow"),
        (document(definition={"steps": 3}), "list of steps"),
        (document(name=3), '"name" is not a text'),
        ("x" * 2_000_000, "larger than 1 MB"),
    ],
)
def test_what_cannot_be_imported_is_refused_whole(project, content, words):
    with pytest.raises(PipelineRefused, match=words):
        transfer.import_pipeline(project, BO, content=content)
    assert not Pipeline.objects.exists()


def test_problems_name_step_and_field(project):
    steps = [{"name": "go", "kind": "http", "config": {}}]
    with pytest.raises(PipelineRefused) as refused:
        transfer.import_pipeline(project, BO, content=document(definition={"steps": steps}))
    assert [(p.step_name, p.field) for p in refused.value.problems] == [("go", "url")]
    assert not Pipeline.objects.exists()
