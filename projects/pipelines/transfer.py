"""Pipelines as JSON files: what is exported is what imports again."""

import json
from typing import Any

from accounts.models import Team
from accounts.permissions import Actor
from projects.models import Pipeline, PipelineKind, PipelineVersion, Project
from projects.pipelines.drafts import as_definition, create, save_draft
from projects.pipelines.refusal import PipelineRefused
from projects.publishing import problems_in
from projects.steps.validation import errors

FORMAT = "spindle.pipeline/1"
MAX_FILE_BYTES = 1024 * 1024


def as_document(pipeline: Pipeline, version: PipelineVersion | None = None) -> dict[str, Any]:
    """The file's content: the given version, or the draft. Secrets appear by name only."""
    return {
        "format": FORMAT,
        "kind": pipeline.kind,
        "name": pipeline.name,
        "description": pipeline.description,
        "definition": version.definition if version else pipeline.draft,
    }


def as_json(document: dict[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"


def file_name(pipeline: Pipeline, version: PipelineVersion | None = None) -> str:
    part = f"v{version.number}" if version else "draft"
    return f"{pipeline.kind}-{pipeline.slug}-{part}.json"


def read_document(content: bytes | str) -> dict[str, Any]:
    """A file's document, checked for format and shape, or PipelineRefused (NOT_A_FILE)."""
    if len(content) > MAX_FILE_BYTES:
        raise _not_a_file("The file is larger than 1 MB; a pipeline never is.")
    try:
        text = content.decode("utf-8-sig") if isinstance(content, bytes) else content
        document = json.loads(text)
    except UnicodeDecodeError:
        raise _not_a_file("The file is not UTF-8 text.") from None
    except json.JSONDecodeError as error:
        raise _not_a_file(
            f"The file is not JSON: {error.msg} in line {error.lineno}, column {error.colno}."
        ) from None
    except RecursionError:
        raise _not_a_file("The file is nested too deeply.") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise _not_a_file(f'This is not a Spindle pipeline: "format" is not "{FORMAT}".')
    if document.get("kind") not in PipelineKind.values:
        raise _not_a_file('"kind" is neither "spinner" nor "workflow".')
    for key in ("name", "description"):
        if not isinstance(document.get(key, ""), str):
            raise _not_a_file(f'"{key}" is not a text.')
    return {**document, "definition": as_definition(document.get("definition"))}


def import_pipeline(
    owner: Project | Team,
    actor: Actor,
    *,
    content: bytes | str,
    name: str = "",
    into: Pipeline | None = None,
) -> Pipeline:
    """Make a new draft of the file, or put its steps into the draft of `into`.

    A file with problems is refused whole (INVALID, with step and field): nothing is half-imported.
    """
    document = read_document(content)
    kind = PipelineKind.SPINNER if isinstance(owner, Project) else PipelineKind.WORKFLOW
    if document["kind"] != kind:
        raise _not_a_file(
            f"The file holds a {document['kind']}; here {kind.label.lower()}s are imported."
        )
    team_id = owner.team_id if isinstance(owner, Project) else owner.pk
    problems = errors(problems_in(document["definition"], team_id))
    if problems:
        raise PipelineRefused(
            "Nothing was imported: the file has steps that would not work.",
            code="INVALID",
            problems=problems,
        )
    if into is not None:
        return save_draft(
            into, actor, definition=document["definition"], revision=into.draft_revision
        )
    return create(
        owner,
        actor,
        name=name or document.get("name", ""),
        description=document.get("description", ""),
        definition=document["definition"],
    )


def _not_a_file(message: str) -> PipelineRefused:
    return PipelineRefused(message, code="NOT_A_FILE")
