"""The draft's verbs: create, save, rename, duplicate, restore, archive.

A draft may be unfinished: it is saved whatever is wrong with its fields, and only publishing
insists on a valid one (projects/publishing.py). `draft_revision` rises with every save, and a
save names the revision it started from, so that two editors cannot overwrite each other.
"""

import json
from collections.abc import Iterator
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone
from django.utils.text import slugify

from accounts.models import Team
from accounts.permissions import Actor
from projects.models import Pipeline, PipelineKind, PipelineVersion, Project
from projects.pipelines.refusal import PipelineRefused

# Parts of addresses beside a pipeline's slug (projects/urls.py).
RESERVED_SLUGS = frozenset({"new", "import"})
MAX_DEFINITION_BYTES = 512 * 1024


def create(
    owner: Project | Team,
    actor: Actor,
    *,
    name: str,
    description: str = "",
    definition: dict[str, Any] | None = None,
    job_type_slug: str = "",
    default_effort: str = "",
) -> Pipeline:
    """A new draft: a spinner when `owner` is a project, a workflow when it is a team."""
    project = owner if isinstance(owner, Project) else None
    team = owner.team if isinstance(owner, Project) else owner
    kind = PipelineKind.SPINNER if project else PipelineKind.WORKFLOW
    name = _clean_name(name)
    fields: dict[str, Any] = {
        "team": team,
        "project": project,
        "kind": kind,
        "name": name,
        "description": description.strip(),
        "job_type_slug": "spinner" if project else job_type_slug,
        "default_effort": default_effort,
        "draft": as_definition(definition if definition is not None else {"steps": []}),
        "draft_updated_by_name": actor.name,
    }
    siblings = Pipeline.objects.filter(team=team, project=project, kind=kind)
    for slug in _slugs(name):
        if siblings.filter(slug=slug).exists():
            continue
        try:
            with transaction.atomic():
                return Pipeline.objects.create(slug=slug, **fields)
        except IntegrityError:
            continue  # somebody else took the slug in this very moment
    raise AssertionError("unreachable: slugs are endless")


def save_draft(
    pipeline: Pipeline,
    actor: Actor,
    *,
    definition: dict[str, Any],
    revision: int,
    name: str | None = None,
    description: str | None = None,
    default_effort: str | None = None,
) -> Pipeline:
    """Keep the draft, if nobody has saved another one since `revision`."""
    changes: dict[str, Any] = {
        "draft": as_definition(definition),
        "draft_revision": F("draft_revision") + 1,
        "draft_updated_at": timezone.now(),
        "draft_updated_by_name": actor.name[:150],
    }
    if name is not None:
        changes["name"] = _clean_name(name)
    if description is not None:
        changes["description"] = description.strip()
    if default_effort is not None:
        changes["default_effort"] = default_effort
    saved = Pipeline.objects.filter(pk=pipeline.pk, draft_revision=revision).update(**changes)
    pipeline.refresh_from_db()
    if not saved:
        raise draft_changed(pipeline)
    return pipeline


def restore(
    pipeline: Pipeline, actor: Actor, *, version: PipelineVersion, revision: int
) -> Pipeline:
    """Put an old version's steps into the draft; what is published stays as it is."""
    return save_draft(pipeline, actor, definition=version.definition, revision=revision)


def duplicate(pipeline: Pipeline, actor: Actor, *, name: str = "") -> Pipeline:
    """A new draft with the same steps and no versions of its own."""
    return create(
        pipeline.project or pipeline.team,
        actor,
        name=name or f"Copy of {pipeline.name}"[:120],
        description=pipeline.description,
        definition=pipeline.draft,
        job_type_slug=pipeline.job_type_slug,
        default_effort=pipeline.default_effort,
    )


def archive(pipeline: Pipeline) -> bool:
    """Take it off the lists and refuse new runs; running ones go on. False: it was already."""
    now = timezone.now()
    changed = Pipeline.objects.filter(pk=pipeline.pk, archived_at=None).update(archived_at=now)
    pipeline.refresh_from_db(fields=["archived_at"])
    return bool(changed)


def unarchive(pipeline: Pipeline) -> bool:
    changed = (
        Pipeline.objects.filter(pk=pipeline.pk).exclude(archived_at=None).update(archived_at=None)
    )
    pipeline.refresh_from_db(fields=["archived_at"])
    return bool(changed)


def as_definition(value: Any) -> dict[str, Any]:
    """`value` in the one shape drafts have, or PipelineRefused saying what is not right.

    Fields may hold anything (validation is another step's business), but there are steps, each
    with a name, a kind and a config.
    """
    steps = value.get("steps") if isinstance(value, dict) else None
    if not isinstance(steps, list):
        raise _not_a_pipeline('A pipeline is an object with a list of steps: {"steps": […]}.')
    clean = [_as_step(step, number) for number, step in enumerate(steps, start=1)]
    definition = {**value, "steps": clean}
    if len(json.dumps(definition)) > MAX_DEFINITION_BYTES:
        raise _not_a_pipeline(f"A pipeline may hold at most {MAX_DEFINITION_BYTES // 1024} KB.")
    return definition


def draft_changed(pipeline: Pipeline) -> PipelineRefused:
    at = timezone.localtime(pipeline.draft_updated_at)
    who = pipeline.draft_updated_by_name or "Somebody"
    return PipelineRefused(
        f"{who} saved this draft at {at:%H:%M} on {at.day} {at:%B}, after you opened it. "
        "Nothing of yours was lost or saved: compare the two below, then save again.",
        code="DRAFT_CHANGED",
    )


def _as_step(step: Any, number: int) -> dict[str, Any]:
    if not isinstance(step, dict):
        raise _not_a_pipeline(f"Step {number} is not an object with name, kind and config.")
    config = step.get("config", {})
    if not isinstance(config, dict):
        raise _not_a_pipeline(f'Step {number}: "config" is not an object.')
    for key in ("name", "kind"):
        if not isinstance(step.get(key, ""), str):
            raise _not_a_pipeline(f'Step {number}: "{key}" is not a text.')
    return {**step, "name": step.get("name", ""), "kind": step.get("kind", ""), "config": config}


def _not_a_pipeline(message: str) -> PipelineRefused:
    return PipelineRefused(message, code="NOT_A_PIPELINE")


def _clean_name(name: str) -> str:
    name = " ".join(name.split())
    if not name:
        raise PipelineRefused("It needs a name.", code="NAME_MISSING")
    return name[:120]


def _slugs(name: str) -> Iterator[str]:
    """`renewal-reminder`, `renewal-reminder-2`, …; names in other scripts become `pipeline`."""
    stem = slugify(name)[:56].strip("-") or "pipeline"
    if stem not in RESERVED_SLUGS:
        yield stem
    number = 2
    while True:
        yield f"{stem}-{number}"
        number += 1
