"""What the editor's form said: a definition, and what the person wants done with it.

The form posts every step's fields (`s0-name`, `s0-c-url`, …), the definition it was drawn from
(`shown`) and the JSON beside it. A field that still reads as it was drawn keeps its old value
untouched, so that a form never changes what nobody edited, and what no field shows is kept.
"""

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from projects.pipelines.drafts import as_definition
from projects.pipelines.refusal import PipelineRefused
from projects.steps import registry
from projects.steps.fields import Field

MAX_STEPS = 200
MAX_ROWS = 200


@dataclass(slots=True)
class Edit:
    """One posted state of the editor. `fresh` are the indexes of steps added since the save."""

    definition: dict[str, Any]
    name: str = ""
    description: str = ""
    default_effort: str = ""
    revision: int = 0
    fresh: set[int] = field(default_factory=set)
    previous: dict[str, Any] | None = None
    json_text: str | None = None
    json_error: str = ""
    has_two_sources: bool = False
    is_form_changed: bool = False  # kept over a redraw while the JSON is not settled
    focus: str = ""
    said: str = ""


def read_edit(post: Mapping[str, str]) -> Edit:
    """Raises PipelineRefused where the page's own fields are broken (never by typing)."""
    shown = _hidden_definition(post.get("shown", ""))
    revision = post.get("revision", "")
    # Coming back from a test: the page carried the definition, not the fields.
    is_resumed = post.get("act") == "resume"
    edit = Edit(
        definition=shown if is_resumed else _posted_definition(post, shown),
        name=post.get("name", ""),
        description=_text(post.get("description", "")),
        default_effort=post.get("default_effort", ""),
        revision=int(revision) if revision.isdecimal() and len(revision) < 10 else 0,
        fresh={index for index in range(_step_count(post)) if post.get(f"s{index}-fresh")},
    )
    if post.get("previous"):
        edit.previous = _hidden_definition(post["previous"])
    _merge_json(edit, post, shown)
    return edit


def _merge_json(edit: Edit, post: Mapping[str, str], shown: dict[str, Any]) -> None:
    """The JSON wins where only it was changed; where both were, the person has to choose."""
    act = post.get("act", "")
    text = _text(post.get("json", ""))
    if text.strip() == as_json(_hidden_definition(post.get("json_was", ""))).strip():
        return
    if act == "use_form" or "json" not in post:
        return
    edit.is_form_changed = bool(post.get("form_changed")) or edit.definition != shown
    try:
        typed = as_definition(json.loads(text))
    except json.JSONDecodeError as error:
        edit.json_text = text
        edit.json_error = f"{error.msg} in line {error.lineno}, column {error.colno}."
        return
    except (PipelineRefused, RecursionError) as error:
        edit.json_text, edit.json_error = text, str(error)
        return
    if typed == edit.definition:
        return
    if edit.is_form_changed and act != "use_json":
        edit.json_text, edit.has_two_sources = text, True
        return
    edit.definition, edit.fresh = typed, set()


def apply(edit: Edit, act: str) -> bool:
    """Carry out a change of the steps; False when `act` is none (save, check, …)."""
    verb, _, rest = act.partition(":")
    before = copy.deepcopy(edit.definition)
    steps: list[dict[str, Any]] = edit.definition["steps"]
    if verb == "undo" and edit.previous is not None:
        edit.definition, edit.previous = edit.previous, before
        edit.fresh, edit.said = set(), "Undone."
        return True
    if verb == "add":
        return _add(edit, rest, before)
    if verb not in {"up", "down", "duplicate", "delete"} or not rest.isdecimal():
        return False
    index = int(rest)
    if index >= len(steps):
        return True
    _MOVES[verb](edit, steps, index)
    edit.previous = before
    return True


def _add(edit: Edit, rest: str, before: dict[str, Any]) -> bool:
    kind, _, before_step = rest.partition(":")
    try:
        spec = registry.get(kind)
    except registry.UnknownKind:
        return True
    steps = edit.definition["steps"]
    place = min(int(before_step), len(steps)) if before_step.isdecimal() else len(steps)
    if len(steps) >= MAX_STEPS:
        edit.said = f"A pipeline has at most {MAX_STEPS} steps."
        return True
    step = {
        "name": _free_name(kind, steps),
        "kind": kind,
        "config": copy.deepcopy(spec.blank_config()),
    }
    _insert(edit, place, step)
    edit.previous = before
    edit.focus = f"s{place}-name"
    edit.said = f"Added {step['name']} as step {place + 1}."
    return True


def _insert(edit: Edit, place: int, step: dict[str, Any]) -> None:
    edit.definition["steps"].insert(place, step)
    edit.fresh = {index + (index >= place) for index in edit.fresh} | {place}


def _swap(edit: Edit, steps: list[dict[str, Any]], index: int, other: int) -> None:
    steps[index], steps[other] = steps[other], steps[index]
    swapped = {index: other, other: index}
    edit.fresh = {swapped.get(each, each) for each in edit.fresh}
    edit.said = f"{steps[other]['name']} is step {other + 1} now."


def _up(edit: Edit, steps: list[dict[str, Any]], index: int) -> None:
    target = max(0, index - 1)
    _swap(edit, steps, index, target)
    edit.focus = f"s{target}-up"


def _down(edit: Edit, steps: list[dict[str, Any]], index: int) -> None:
    target = min(len(steps) - 1, index + 1)
    _swap(edit, steps, index, target)
    edit.focus = f"s{target}-down"


def _duplicate(edit: Edit, steps: list[dict[str, Any]], index: int) -> None:
    twin = copy.deepcopy(steps[index])
    twin["name"] = _free_name(twin["name"] or twin["kind"], steps)
    _insert(edit, index + 1, twin)
    edit.fresh.discard(index + 1)
    edit.focus = f"s{index + 1}-name"
    edit.said = f"Added {twin['name']} as step {index + 2}."


def _delete(edit: Edit, steps: list[dict[str, Any]], index: int) -> None:
    gone = steps.pop(index)
    edit.fresh = {each - (each > index) for each in edit.fresh if each != index}
    edit.focus = f"s{min(index, len(steps) - 1)}-name" if steps else "add-step"
    edit.said = f"Deleted step {gone['name']}."


_MOVES = {"up": _up, "down": _down, "duplicate": _duplicate, "delete": _delete}


def as_json(definition: dict[str, Any]) -> str:
    return json.dumps(definition, ensure_ascii=False, indent=2)


def as_line(definition: dict[str, Any]) -> str:
    """For hidden fields: one line, which no browser changes on its way."""
    return json.dumps(definition, ensure_ascii=True, separators=(",", ":"))


def as_input(value: Any) -> str:
    """A config value as its field shows it; what is not a text there, as JSON."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def _posted_definition(post: Mapping[str, str], shown: dict[str, Any]) -> dict[str, Any]:
    steps = []
    renamed: dict[str, str] = {}
    for index in range(_step_count(post)):
        prefix = f"s{index}"
        origin = shown["steps"][index] if index < len(shown["steps"]) else {}
        step = {
            **origin,
            "name": post.get(f"{prefix}-name", origin.get("name", "")).strip(),
            "kind": post.get(f"{prefix}-kind", origin.get("kind", "")),
        }
        step["config"] = _posted_config(post, prefix, step["kind"], origin.get("config", {}))
        if origin.get("name") and step["name"] and origin["name"] != step["name"]:
            renamed[origin["name"]] = step["name"]
        steps.append(step)
    for step in steps:
        _follow_renames(step, renamed)
    return {**shown, "steps": steps}


def _follow_renames(step: dict[str, Any], renamed: dict[str, str]) -> None:
    """A renamed step stays the target of the steps that lead to it."""
    for each in _fields_of(step["kind"]):
        target = step["config"].get(each.name)
        if each.type == "step" and isinstance(target, str) and target in renamed:
            step["config"][each.name] = renamed[target]


def _posted_config(
    post: Mapping[str, str], prefix: str, kind: str, origin: dict[str, Any]
) -> dict[str, Any]:
    config = dict(origin)
    for each in _fields_of(kind):
        name = f"{prefix}-c-{each.name}"
        if f"{name}-is" not in post:
            continue  # this field was not drawn
        if each.type == "rows":
            _keep(config, each, _posted_rows(post, name, each, origin.get(each.name)))
        elif each.type == "flag":
            is_on = name in post
            if is_on != bool(origin.get(each.name, each.default)):
                config[each.name] = is_on
        else:
            _keep_text(config, each, _text(post.get(name, "")))
    return config


def _keep_text(config: dict[str, Any], each: Field, text: str) -> None:
    if text == as_input(config.get(each.name, each.default)):
        return
    if text == "" and (each.type == "number" or each.default in ("", None)):
        config.pop(each.name, None)
    else:
        config[each.name] = _number(text) if each.type == "number" else text


def _keep(config: dict[str, Any], each: Field, rows: list[Any] | None) -> None:
    if rows is None:
        return
    if not rows and not each.default:
        config.pop(each.name, None)
    else:
        config[each.name] = rows


def _posted_rows(post: Mapping[str, str], name: str, each: Field, origin: Any) -> list[Any] | None:
    """The rows, without empty ones; None when nothing in them was changed."""
    before = origin if isinstance(origin, list) else each.default or []
    count = post.get(f"{name}-is", "")
    rows: list[Any] = []
    for number in range(min(int(count), MAX_ROWS) if count.isdecimal() else 0):
        old = before[number] if number < len(before) else {}
        if not isinstance(old, dict):
            rows.append(old)  # not a row the form can show: kept as it is
            continue
        row = dict(old)
        for column in each.columns:
            _keep_cell(row, column, post, f"{name}-{number}-{column.name}")
        if not _is_blank(row, each):
            rows.append(row)
    return None if rows == before else rows


def _keep_cell(row: dict[str, Any], column: Field, post: Mapping[str, str], name: str) -> None:
    if column.type == "flag":
        is_on = name in post
        if is_on != bool(row.get(column.name, column.default)):
            row[column.name] = is_on
        return
    text = _text(post.get(name, ""))
    if text != as_input(row.get(column.name, column.default)):
        row[column.name] = _number(text) if column.type == "number" else text


def _is_blank(row: dict[str, Any], each: Field) -> bool:
    """A row that says no more than the empty one at the end of the list did."""
    defaults = {column.name: as_input(column.default) for column in each.columns}
    return all(as_input(value) in ("", "false", defaults.get(name)) for name, value in row.items())


def _number(text: str) -> int | float | str:
    """What cannot be read stays as it was typed, for validation to name."""
    for kind in (int, float):
        try:
            value = kind(text.replace(",", ".") if kind is float else text)
        except ValueError:
            continue
        return value if value == value and abs(value) != float("inf") else text
    return text


def _fields_of(kind: str) -> tuple[Field, ...]:
    try:
        return registry.get(kind).fields
    except registry.UnknownKind:
        return ()


def _free_name(stem: str, steps: list[dict[str, Any]]) -> str:
    taken = {step["name"] for step in steps}
    if stem not in taken:
        return stem
    base = stem.rstrip("0123456789").rstrip("-") or stem
    number = 2
    while f"{base}-{number}" in taken:
        number += 1
    return f"{base}-{number}"


def _hidden_definition(text: str) -> dict[str, Any]:
    try:
        return as_definition(json.loads(text or '{"steps":[]}'))
    except (json.JSONDecodeError, RecursionError):
        raise PipelineRefused(
            "The page was sent incompletely. Nothing was saved; open the editor again.",
            code="NOT_A_PIPELINE",
        ) from None


def _step_count(post: Mapping[str, str]) -> int:
    count = post.get("step_count", "0")
    return min(int(count), MAX_STEPS) if count.isdecimal() and len(count) < 6 else 0


def _text(value: str) -> str:
    """Browsers send line ends as CRLF."""
    return value.replace("\r\n", "\n")
