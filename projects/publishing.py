"""Publishing: the draft becomes a numbered version that never changes."""

from typing import Any

from django.db import transaction
from django.db.models import F, Max

from accounts.permissions import Actor
from projects.models import Pipeline, PipelineVersion, Secret
from projects.pipelines.drafts import draft_changed
from projects.pipelines.refusal import PipelineRefused
from projects.steps.validation import Problem, errors, validate


def problems_in(definition: dict[str, Any], team_id: int) -> list[Problem]:
    """Everything wrong with the definition, with step and field, warnings too. One query."""
    names = Secret.objects.filter(team_id=team_id).values_list("name", flat=True)
    return validate(definition, secrets=set(names))


@transaction.atomic
def publish(
    pipeline: Pipeline, actor: Actor, *, note: str = "", revision: int | None = None
) -> PipelineVersion:
    """Make the draft the current version; new runs use it, running ones keep theirs.

    `revision` is the draft_revision the publisher has seen: another one refuses
    (DRAFT_CHANGED), as do an unchanged draft (UNCHANGED), an archived pipeline (ARCHIVED) and a
    draft with problems (INVALID, each with step and field).

    The conditional update at the start locks the row, so that two publishers come one after the
    other: the second finds the first one's version and is refused as unchanged.
    """
    unmoved = Pipeline.objects.filter(pk=pipeline.pk)
    if revision is not None:
        unmoved = unmoved.filter(draft_revision=revision)
    is_locked = unmoved.update(draft_revision=F("draft_revision"))
    current = Pipeline.objects.select_related("current_version").get(pk=pipeline.pk)
    if not is_locked:
        raise draft_changed(current)
    _refuse_unpublishable(current)
    last_number = current.versions.aggregate(last=Max("number"))["last"] or 0
    version = PipelineVersion.objects.create(
        pipeline=current,
        number=last_number + 1,
        definition=current.draft,
        note=" ".join(note.split())[:300],
        published_by=actor.user,
        published_by_name=actor.name[:150],
    )
    Pipeline.objects.filter(pk=current.pk).update(current_version=version)
    pipeline.refresh_from_db()
    return version


def _refuse_unpublishable(pipeline: Pipeline) -> None:
    if pipeline.archived_at is not None:
        raise PipelineRefused(f"{pipeline.name} is archived. Bring it back first.", code="ARCHIVED")
    version = pipeline.current_version
    if version is not None and version.definition == pipeline.draft:
        raise PipelineRefused(
            f"The draft is the same as version {version.number}: there is nothing to publish.",
            code="UNCHANGED",
        )
    problems = errors(problems_in(pipeline.draft, pipeline.team_id))
    if problems:
        count = len(problems)
        things = "one thing" if count == 1 else f"{count} things"
        raise PipelineRefused(
            f"Not published: {things} must be put right first.", code="INVALID", problems=problems
        )
