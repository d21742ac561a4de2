import pytest

from accounts.permissions import Actor
from projects.models import Pipeline, PipelineKind
from projects.pipelines import drafts
from projects.pipelines.refusal import PipelineRefused

BO = Actor(name="Bo Builder")


def test_names_that_clash_get_addresses_of_their_own(project, team):
    made = [drafts.create(project, BO, name=name) for name in ("Nudge", "Nudge", "New", "催促")]
    assert [each.slug for each in made] == ["nudge", "nudge-2", "new-2", "pipeline"]
    workflow = drafts.create(team, BO, name="Nudge")
    assert (workflow.slug, workflow.kind, workflow.project) == (
        "nudge",
        PipelineKind.WORKFLOW,
        None,
    )


def test_a_save_raises_the_revision_and_says_who(make_spinner):
    spinner = make_spinner()
    drafts.save_draft(spinner, BO, definition={"steps": []}, revision=1, name=" New   name ")
    assert (spinner.draft_revision, spinner.draft_updated_by_name) == (2, "Bo Builder")
    assert (spinner.name, spinner.draft) == ("New name", {"steps": []})


def test_a_save_over_somebody_elses_is_refused_and_changes_nothing(make_spinner):
    spinner = make_spinner()
    drafts.save_draft(Pipeline.objects.get(pk=spinner.pk), BO, definition={"steps": []}, revision=1)
    with pytest.raises(PipelineRefused, match="Bo Builder saved this draft") as refused:
        drafts.save_draft(spinner, Actor(name="Al"), definition=spinner.draft, revision=1)
    assert refused.value.code == "DRAFT_CHANGED"
    assert spinner.draft == {"steps": []}


@pytest.mark.parametrize(
    "value",
    [None, [], {}, {"steps": {}}, {"steps": ["x"]}, {"steps": [{"config": []}]},
     {"steps": [{"name": 3}]}, {"steps": [{"name": "x" * 600_000}]}],
)  # fmt: skip
def test_what_is_no_pipeline_is_refused(value):
    with pytest.raises(PipelineRefused) as refused:
        drafts.as_definition(value)
    assert refused.value.code == "NOT_A_PIPELINE"


def test_a_copy_has_the_steps_and_no_versions(make_spinner):
    spinner = make_spinner()
    copy = drafts.duplicate(spinner, BO)
    assert (copy.name, copy.draft) == ("Copy of Renewal reminder", spinner.draft)
    assert not copy.versions.exists()
    assert copy.project == spinner.project


def test_archiving_twice_is_harmless_and_can_be_undone(make_spinner):
    spinner = make_spinner()
    assert drafts.archive(spinner)
    assert not drafts.archive(spinner)
    assert not Pipeline.objects.published().exists()
    assert drafts.unarchive(spinner)
    assert Pipeline.objects.published().get() == spinner


def test_an_old_version_comes_back_into_the_draft(make_spinner):
    spinner = make_spinner()
    drafts.save_draft(spinner, BO, definition={"steps": []}, revision=1)
    drafts.restore(spinner, BO, version=spinner.current_version, revision=2)
    assert spinner.draft == spinner.current_version.definition
    assert spinner.draft_revision == 3
