"""The pages of spinners and workflows; who may open them says tests/access_matrix.py."""

import json

import pytest

from accounts.permissions import Actor
from jobs.models import Job
from projects.models import Pipeline
from projects.pipelines import drafts
from projects.pipelines.starters import STARTERS
from projects.publishing import publish

BO = Actor(name="Bo Builder")


def test_the_viewer_reads_the_draft_without_a_form(make_spinner, as_user, viewer):
    page = as_user(viewer).get(make_spinner().url_of("edit")).content.decode()
    assert "Editing needs the role Builder" in page
    assert "data-step-editor" not in page


@pytest.mark.parametrize("starter", STARTERS.values(), ids=STARTERS)
def test_each_starting_point_can_be_published(starter, project, team, as_user, builder):
    kind = starter.kinds[0]
    owner = project if kind == "spinner" else team
    root = f"/portal/projects/{owner.slug}/spinners" if kind == "spinner" else (
        f"/portal/workflows/{owner.slug}"
    )  # fmt: skip
    answer = as_user(builder).post(f"{root}/new", {"name": "Mine", "starter": starter.slug})
    pipeline = Pipeline.objects.get()
    assert answer.url == pipeline.url_of("edit")
    assert pipeline.draft == starter.definition()
    if starter.steps:
        publish(pipeline, BO)


def test_publishing_asks_with_the_difference_and_then_publishes(make_spinner, as_user, builder):
    spinner = make_spinner()
    steps = [*spinner.draft["steps"][:1], *STARTERS["ai-summary"].definition()["steps"]]
    drafts.save_draft(spinner, BO, definition={"steps": steps}, revision=1)
    client = as_user(builder)
    page = client.get(spinner.url_of("publish")).content.decode()
    assert "It becomes version 2" in page
    assert "1 step added, 1 changed" in page
    client.post(spinner.url_of("publish"), {"revision": spinner.draft_revision, "note": "Why not"})
    spinner.refresh_from_db()
    assert (spinner.current_version.number, spinner.current_version.note) == (2, "Why not")
    assert spinner.current_version.published_by == builder


def test_publishing_a_stale_page_says_who_saved(make_spinner, as_user, builder):
    spinner = make_spinner()
    drafts.save_draft(spinner, BO, definition=STARTERS["email"].definition(), revision=1)
    answer = as_user(builder).post(spinner.url_of("publish"), {"revision": 1})
    assert answer.status_code == 409
    assert "Bo Builder saved this draft" in answer.content.decode()
    assert spinner.versions.count() == 1


def test_the_history_tells_what_each_version_changed(make_spinner, as_user, viewer, builder):
    spinner = make_spinner()
    drafts.save_draft(spinner, BO, definition=STARTERS["email"].definition(), revision=1)
    publish(spinner, BO, note="To e-mail")
    page = as_user(viewer).get(spinner.url_of("history")).content.decode()
    assert "To e-mail" in page
    assert "steps added" in page
    assert "Restore" not in page
    as_user(builder).post(spinner.url_of("restore", 1), {"revision": spinner.draft_revision})
    spinner.refresh_from_db()
    assert spinner.draft == spinner.versions.get(number=1).definition


def test_unknown_versions_are_not_found(make_spinner, as_user, viewer):
    spinner, client = make_spinner(), as_user(viewer)
    for url in (
        spinner.url_of("version", 7),
        spinner.url_of("compare") + "?from=7",
        spinner.url_of("compare") + "?to=x",
        spinner.url_of("export") + "?version=" + "9" * 40,
    ):
        assert client.get(url).status_code == 404, url


def test_a_file_goes_out_and_comes_in_again(make_spinner, as_user, builder, project):
    spinner, client = make_spinner(), as_user(builder)
    answer = client.get(spinner.url_of("export") + "?version=1")
    assert 'filename="spinner-renewal-reminder-v1.json"' in answer["Content-Disposition"]
    url = f"/portal/projects/{project.slug}/spinners/import"
    client.post(url, {"text": answer.content.decode(), "name": "Twin"})
    twin = Pipeline.objects.get(name="Twin")
    assert twin.draft == spinner.draft
    broken = json.loads(answer.content)
    broken["definition"]["steps"][0]["config"]["template"] = "{{ contact."
    refused = client.post(url, {"text": json.dumps(broken)})
    assert refused.status_code == 422
    assert "compose" in refused.content.decode()
    assert Pipeline.objects.count() == 2


def test_copy_and_archive(make_spinner, as_user, builder, project):
    spinner, client = make_spinner(), as_user(builder)
    client.post(spinner.url_of("duplicate"))
    assert Pipeline.objects.filter(name="Copy of Renewal reminder").exists()
    client.post(spinner.url_of("archive"))
    spinners = f"/portal/projects/{project.slug}/spinners"
    assert ">Renewal reminder<" not in client.get(spinners).content.decode()
    assert ">Renewal reminder<" in client.get(f"{spinners}?show=archived").content.decode()
    client.post(spinner.url_of("archive"), {"undo": "1"})
    spinner.refresh_from_db()
    assert spinner.archived_at is None


def test_workflows_of_all_my_teams_are_listed(team, other_team, as_user, viewer, outsider):
    drafts.create(team, BO, name="Mine")
    drafts.create(other_team, BO, name="Theirs")
    page = as_user(viewer).get("/portal/workflows").content.decode()
    assert "Mine" in page
    assert "Theirs" not in page
    assert "New workflow" not in page
    assert "New workflow" in as_user(outsider).get("/portal/workflows").content.decode()


def test_a_test_shows_the_journey_and_sends_nothing(make_spinner, make_contacts, as_user, builder):
    spinner = make_spinner(STARTERS["http-approval"].steps)
    [contact] = make_contacts(1)
    page = as_user(builder).get(spinner.url_of("test")).content.decode()
    assert f"The journey {contact} would make" in page
    assert "Not sent" in page
    assert "https://api.example.com/contacts/" in page
    assert not Job.objects.exists()
