import threading

import pytest
from django.db import connections, transaction

from accounts.permissions import Actor
from projects.models import Pipeline, PipelineVersion, VersionIsFixed
from projects.pipelines import drafts
from projects.pipelines.refusal import PipelineRefused
from projects.publishing import publish


def change(pipeline: Pipeline, text: str) -> None:
    steps = [dict(step) for step in pipeline.draft["steps"]]
    steps[0] = {**steps[0], "config": {**steps[0]["config"], "template": text}}
    drafts.save_draft(
        pipeline,
        Actor(name="Bo Builder"),
        definition={"steps": steps},
        revision=pipeline.draft_revision,
    )


def test_first_publish_is_version_1_and_current(make_spinner, builder):
    spinner = make_spinner(publish=False)
    version = publish(spinner, Actor(user=builder), note=" first  words ")
    assert (version.number, version.note) == (1, "first words")
    assert (version.published_by, version.published_by_name) == (builder, "Bo Builder")
    assert spinner.current_version == version
    assert not spinner.draft_differs


def test_a_version_keeps_its_steps_when_the_draft_moves_on(make_spinner, builder):
    spinner = make_spinner()
    change(spinner, "Hello")
    assert spinner.draft_differs
    second = publish(spinner, Actor(user=builder))
    first = spinner.versions.get(number=1)
    assert second.number == 2
    assert first.steps[0]["config"]["template"] == "Hi {{ contact.first_name }}"
    assert second.steps[0]["config"]["template"] == "Hello"


def test_a_published_version_refuses_every_change(make_spinner):
    version = make_spinner().current_version
    version.definition = {"steps": []}
    with pytest.raises(VersionIsFixed):
        version.save()
    with pytest.raises(VersionIsFixed):
        PipelineVersion.objects.filter(pk=version.pk).update(definition={"steps": []})
    with pytest.raises(VersionIsFixed), transaction.atomic():
        PipelineVersion.objects.bulk_update([version], ["definition"])
    version.refresh_from_db()
    assert len(version.steps) == 2


def test_an_unchanged_draft_is_refused(make_spinner, builder):
    spinner = make_spinner()
    with pytest.raises(PipelineRefused, match="same as version 1") as refused:
        publish(spinner, Actor(user=builder))
    assert refused.value.code == "UNCHANGED"
    assert spinner.versions.count() == 1


def test_a_draft_saved_meanwhile_is_refused_with_who_and_when(make_spinner, builder):
    spinner = make_spinner()
    seen = spinner.draft_revision
    change(Pipeline.objects.get(pk=spinner.pk), "Hello")
    with pytest.raises(PipelineRefused, match="Bo Builder saved this draft at") as refused:
        publish(spinner, Actor(user=builder), revision=seen)
    assert refused.value.code == "DRAFT_CHANGED"
    assert spinner.versions.count() == 1


def test_problems_are_refused_with_step_and_field(make_spinner, builder):
    spinner = make_spinner([{"name": "go", "kind": "http", "config": {}}], publish=False)
    with pytest.raises(PipelineRefused) as refused:
        publish(spinner, Actor(user=builder))
    assert refused.value.code == "INVALID"
    assert ("go", "url") in [(p.step_name, p.field) for p in refused.value.problems]
    assert not spinner.versions.exists()


def test_an_archived_one_is_refused(make_spinner, builder):
    spinner = make_spinner(publish=False)
    drafts.archive(spinner)
    with pytest.raises(PipelineRefused, match="archived"):
        publish(spinner, Actor(user=builder))


@pytest.mark.django_db(transaction=True)
def test_publishing_twice_at_once_makes_one_version(make_spinner):
    spinner = make_spinner(publish=False)
    barrier = threading.Barrier(4)
    answers: list[str] = []

    def press() -> None:
        try:
            mine = Pipeline.objects.get(pk=spinner.pk)
            barrier.wait(10)
            answers.append(str(publish(mine, Actor(name="Bo")).number))
        except PipelineRefused as refused:
            answers.append(refused.code)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=press) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(answers) == ["1", "UNCHANGED", "UNCHANGED", "UNCHANGED"]
    assert spinner.versions.count() == 1
