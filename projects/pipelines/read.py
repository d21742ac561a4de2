"""Steps for reading: each field that says something, in words."""

from dataclasses import dataclass, field
from typing import Any

from projects.pipelines.diff import as_text
from projects.steps import registry
from projects.steps.fields import Field


@dataclass(slots=True, frozen=True)
class ReadField:
    label: str
    text: str
    is_code: bool

    @property
    def is_long(self) -> bool:
        return "\n" in self.text


@dataclass(slots=True)
class StepCard:
    number: int
    name: str
    kind: str
    label: str
    fields: list[ReadField] = field(default_factory=list)


def step_cards(definition: dict[str, Any]) -> list[StepCard]:
    return [_card(number, step) for number, step in enumerate(definition.get("steps", []), 1)]


def _card(number: int, step: dict[str, Any]) -> StepCard:
    config: dict[str, Any] = step.get("config", {})
    try:
        spec = registry.get(step["kind"])
    except registry.UnknownKind:
        shown = [ReadField(key, as_text(value), is_code=True) for key, value in config.items()]
        return StepCard(number, step["name"], step["kind"], step["kind"], shown)
    card = StepCard(number, step["name"], step["kind"], spec.label)
    for each in spec.fields:
        value = config.get(each.name, each.default)
        if value in ("", None, []) or not each.is_shown(config, spec.fields):
            continue
        card.fields.append(ReadField(each.title, _in_words(each, value), is_code=_is_code(each)))
    return card


def _in_words(each: Field, value: Any) -> str:
    if each.type == "choice":
        return dict(each.choices).get(value, as_text(value))
    if each.type == "rows" and isinstance(value, list):
        return "\n".join(_row_in_words(each, row) for row in value)
    return as_text(value)


def _row_in_words(each: Field, row: Any) -> str:
    if not isinstance(row, dict):
        return as_text(row)
    words = [_in_words(column, row.get(column.name, column.default)) for column in each.columns]
    return "  ".join(word for word in words if word)


def _is_code(each: Field) -> bool:
    return each.is_template or each.is_expression or each.type in ("rows", "step", "secret")
