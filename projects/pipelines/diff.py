"""What changed between two definitions, step by step and field by field, old → new."""

import difflib
import json
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from projects.steps import registry

# A step with another name is the same step renamed when this share of its entries stayed.
LIKE_ENOUGH = 0.5

Mark = Literal["same", "added", "removed"]


@dataclass(slots=True, frozen=True)
class Line:
    mark: Mark
    text: str


@dataclass(slots=True, frozen=True)
class FieldChange:
    """`old` and `new` as text ("" where there was none); `lines` where the text has several.

    `path` is where it stands in the config (`headers 1.name`), `label` what the form calls it.
    """

    path: str
    old: str
    new: str
    label: str = ""
    lines: list[Line] = field(default_factory=list)


@dataclass(slots=True)
class StepChange:
    """`marks` holds any of added, removed, moved, renamed, changed; empty: the same."""

    name: str
    kind: str
    marks: list[str]
    old_name: str = ""
    old_position: int = 0
    new_position: int = 0
    fields: list[FieldChange] = field(default_factory=list)


@dataclass(slots=True)
class Difference:
    steps: list[StepChange]

    @property
    def is_empty(self) -> bool:
        return not any(step.marks for step in self.steps)

    @property
    def summary(self) -> str:
        """`1 step added, 2 changed`, or `no difference`."""
        parts: list[str] = []
        for mark in ("added", "removed", "renamed", "moved", "changed"):
            count = sum(mark in step.marks for step in self.steps)
            if count:
                noun = (" step" if count == 1 else " steps") if not parts else ""
                parts.append(f"{count}{noun} {mark}")
        return ", ".join(parts) or "no difference"


def difference(old: dict[str, Any], new: dict[str, Any]) -> Difference:
    """Steps are the same step by name; a removed and an added one, when they say much the same."""
    old_steps, new_steps = old.get("steps", []), new.get("steps", [])
    pairs = _pairs(old_steps, new_steps)
    moved = _moved(pairs)
    partner = {new_index: old_index for old_index, new_index in pairs}
    paired_old = {old_index for old_index, _ in pairs}
    changes = [
        _step_change(old_steps, partner.get(index), step, index, is_moved=index in moved)
        for index, step in enumerate(new_steps)
    ]
    for index, step in enumerate(old_steps):
        if index not in paired_old:
            removed = StepChange(
                name=step["name"], kind=step["kind"], marks=["removed"], old_position=index + 1,
                fields=_field_changes(step, {"config": {}}),
            )  # fmt: skip
            changes.insert(_place_of_removed(changes, index), removed)
    return Difference(changes)


def _step_change(
    old_steps: Sequence[dict[str, Any]],
    old_index: int | None,
    step: dict[str, Any],
    index: int,
    *,
    is_moved: bool,
) -> StepChange:
    change = StepChange(step["name"], step["kind"], [], new_position=index + 1)
    if old_index is None:
        change.marks.append("added")
        change.fields = _field_changes({"config": {}}, step)
        return change
    old = old_steps[old_index]
    change.old_position = old_index + 1
    if old["name"] != step["name"]:
        change.marks.append("renamed")
        change.old_name = old["name"]
    if is_moved:
        change.marks.append("moved")
    change.fields = _field_changes(old, step)
    if old["kind"] != step["kind"]:
        change.fields.insert(0, FieldChange("kind", old["kind"], step["kind"], "Kind"))
    if change.fields:
        change.marks.append("changed")
    return change


def _pairs(
    old_steps: Sequence[dict[str, Any]], new_steps: Sequence[dict[str, Any]]
) -> list[tuple[int, int]]:
    """(old index, new index) of the steps that are the same step, in the new order."""
    free_old = list(range(len(old_steps)))
    pairs: list[tuple[int, int]] = []
    tests = (
        lambda a, b: a["name"] == b["name"],
        lambda a, b: a["kind"] == b["kind"] and a.get("config") == b.get("config"),
        lambda a, b: a["kind"] == b["kind"] and _likeness(a, b) >= LIKE_ENOUGH,
    )
    for test in tests:
        taken_new = {new_index for _, new_index in pairs}
        for new_index, step in enumerate(new_steps):
            if new_index in taken_new:
                continue
            match = next((i for i in free_old if test(old_steps[i], step)), None)
            if match is not None:
                free_old.remove(match)
                pairs.append((match, new_index))
    return sorted(pairs, key=lambda pair: pair[1])


def _likeness(old: dict[str, Any], new: dict[str, Any]) -> float:
    """The share of config entries that are equal in both, 0 to 1."""
    before, after = _flat(_fields_of(old)), _flat(_fields_of(new))
    every = before.keys() | after.keys()
    if not every:
        return 1.0
    return sum(before.get(key) == after.get(key) for key in every) / len(every)


def _moved(pairs: list[tuple[int, int]]) -> set[int]:
    """New indexes of the fewest steps that must have moved: all but a longest rising run."""
    tails: list[int] = []
    tail_at: list[int] = []
    before: list[int | None] = []
    for position, (old_index, _) in enumerate(pairs):
        length = bisect_left(tails, old_index)
        before.append(tail_at[length - 1] if length else None)
        tails[length : length + 1] = [old_index]
        tail_at[length : length + 1] = [position]
    keeps: set[int] = set()
    step = tail_at[-1] if tail_at else None
    while step is not None:
        keeps.add(step)
        step = before[step]
    return {new for position, (_, new) in enumerate(pairs) if position not in keeps}


def _place_of_removed(changes: list[StepChange], old_index: int) -> int:
    """After the last change whose old position comes before, so that the reading order holds."""
    place = 0
    for position, change in enumerate(changes, start=1):
        if change.old_position and change.old_position <= old_index:
            place = position
    return place


def _field_changes(old: dict[str, Any], new: dict[str, Any]) -> list[FieldChange]:
    before, after = _flat(_fields_of(old)), _flat(_fields_of(new))
    titles = _titles(new.get("kind") or old.get("kind", ""))
    paths = [*after, *(path for path in before if path not in after)]
    return [
        _field_change(path, before.get(path, ""), after.get(path, ""), _label(path, titles))
        for path in paths
        if before.get(path) != after.get(path)
    ]


def _fields_of(step: dict[str, Any]) -> dict[str, Any]:
    others = {key: value for key, value in step.items() if key not in {"name", "kind", "config"}}
    return {**step.get("config", {}), **others}


def _titles(kind: str) -> dict[str, str]:
    """Config names to what the form calls them; columns of rows as `headers.name`."""
    try:
        spec = registry.get(kind)
    except registry.UnknownKind:
        return {}
    titles = {each.name: each.title for each in spec.fields}
    for each in spec.fields:
        titles.update({f"{each.name}.{column.name}": column.title for column in each.columns})
    return titles


def _label(path: str, titles: dict[str, str]) -> str:
    """`headers 1.name` → `Headers 1, Name`."""
    head, _, rest = path.partition(".")
    name, _, number = head.partition(" ")
    label = f"{titles.get(name, name)} {number}".rstrip()
    return f"{label}, {titles.get(f'{name}.{rest}', rest)}" if rest else label


def _field_change(path: str, old: str, new: str, label: str) -> FieldChange:
    lines: list[Line] = []
    if "\n" in old or "\n" in new:
        lines = _lines(old, new)
    return FieldChange(path, old, new, label, lines)


def _lines(old: str, new: str) -> list[Line]:
    marks: dict[str, Mark] = {"  ": "same", "- ": "removed", "+ ": "added"}
    compared = difflib.ndiff(old.splitlines(), new.splitlines())
    return [Line(marks[line[:2]], line[2:]) for line in compared if line[:2] in marks]


def _flat(value: Any, path: str = "") -> dict[str, str]:
    """`{"headers": {"X": 1}}` → `{"headers.X": "1"}`; lists of plain values stay one text."""
    if isinstance(value, dict) and (value or not path):
        return {
            key: text
            for name, inner in value.items()
            for key, text in _flat(inner, f"{path}.{name}" if path else str(name)).items()
        }
    if isinstance(value, list) and any(isinstance(inner, dict) for inner in value):
        return {
            key: text
            for number, inner in enumerate(value, start=1)
            for key, text in _flat(inner, f"{path} {number}").items()
        }
    return {path: as_text(value)}


def as_text(value: Any) -> str:
    """A config value as people read it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)
