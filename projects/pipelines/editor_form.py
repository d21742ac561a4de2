"""The editor's form, drawn from the step kinds' specs: one card a step, one control a field."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from projects.pipelines.editor import as_input
from projects.steps import registry
from projects.steps.fields import Field, StepSpec
from projects.steps.validation import Problem

LONG = 1_000  # characters a field may hold, from which it gets a line of its own


@dataclass(slots=True)
class Control:
    """One input. `id` is unique on the page; `cells` holds a rows field's rows of controls."""

    id: str
    spec: Field
    value: str
    is_on: bool = False
    is_shown: bool = True
    choices: list[tuple[str, str]] = field(default_factory=list)
    rows: list[list["Control"]] = field(default_factory=list)
    errors: list[Problem] = field(default_factory=list)
    shown_when_id: str = ""
    shown_when_values: str = ""
    line_count: int = 3

    @property
    def is_wide(self) -> bool:
        """Whether it takes the whole width: long texts and lists of rows do."""
        is_long = self.spec.type == "text" and self.spec.is_template
        return self.spec.type in ("area", "rows") or (is_long and self.spec.max_length >= LONG)

    @property
    def described_by(self) -> str:
        parts = [f"{self.id}-help"] if self.spec.help else []
        return " ".join([*parts, f"{self.id}-error"] if self.errors else parts)


@dataclass(slots=True)
class EditCard:
    index: int
    name: str
    kind: str
    label: str
    description: str
    is_effect: bool
    is_fresh: bool
    is_first: bool
    is_last: bool
    controls: list[Control] = field(default_factory=list)
    extras: list[Control] = field(default_factory=list)  # seldom changed: folded away
    errors: list[Problem] = field(default_factory=list)
    is_known: bool = True

    @property
    def number(self) -> int:
        return self.index + 1

    @property
    def has_errors(self) -> bool:
        return bool(self.errors or any(control.errors for control in self.controls))


def edit_cards(
    definition: dict[str, Any],
    *,
    problems: Sequence[Problem],
    secret_names: Sequence[str],
    fresh: set[int],
) -> list[EditCard]:
    """A step added since the last save is not scolded for what nobody has filled in yet."""
    steps = definition["steps"]
    cards = []
    for index, step in enumerate(steps):
        later = [other["name"] for other in steps[index + 1 :] if other["name"]]
        found = [p for p in problems if p.position == index + 1 and index not in fresh]
        card = EditCard(
            index, step["name"], step["kind"], step["kind"], "",
            is_effect=False, is_fresh=index in fresh,
            is_first=index == 0, is_last=index == len(steps) - 1,
        )  # fmt: skip
        _fill(card, step["config"], found, later, secret_names)
        cards.append(card)
    return cards


def _fill(
    card: EditCard,
    config: dict[str, Any],
    found: Sequence[Problem],
    later: Sequence[str],
    secret_names: Sequence[str],
) -> None:
    try:
        spec = registry.get(card.kind)
    except registry.UnknownKind:
        card.is_known, card.errors = False, list(found)
        return
    card.label, card.description, card.is_effect = spec.label, spec.description, spec.is_effect
    for each in spec.fields:
        control = _control(
            f"s{card.index}-c-{each.name}", each, config.get(each.name, each.default)
        )
        control.errors = [p for p in found if p.field == each.name]
        control.is_shown = each.is_shown(config, spec.fields)
        if each.shown_when:
            other, wanted = each.shown_when
            control.shown_when_id = f"s{card.index}-c-{other}"
            control.shown_when_values = " ".join(str(value) for value in wanted)
        if each.type in ("step", "secret"):
            control.choices = _named(later if each.type == "step" else secret_names, control)
        is_extra = _is_extra(each, spec, config) and not control.errors
        (card.extras if is_extra else card.controls).append(control)
    names = {each.name for each in spec.fields}
    card.errors = [p for p in found if p.field not in names]


def _is_extra(each: Field, spec: StepSpec, config: dict[str, Any]) -> bool:
    """Optional, as it is by default, and nothing else depends on it."""
    if each.is_required or each.shown_when or each.type == "area" or each in spec.fields[:3]:
        return False
    if any(other.shown_when and other.shown_when[0] == each.name for other in spec.fields):
        return False
    return config.get(each.name, each.default) in (each.default, "", None, [])


def _control(id_: str, each: Field, value: Any) -> Control:
    control = Control(id_, each, as_input(value), is_on=bool(value), choices=list(each.choices))
    if each.type == "choice" and control.value not in dict(each.choices):
        control.choices.append((control.value, f"{control.value} (unknown)"))
    control.line_count = min(16, max(3, control.value.count("\n") + 2))
    if each.type == "rows":
        rows = value if isinstance(value, list) else []
        control.rows = [_row(id_, each, number, row) for number, row in enumerate(rows)]
        # One empty row more, to be filled in; an empty one is not kept.
        control.rows.append(_row(id_, each, len(rows), {}))
    return control


def _row(id_: str, each: Field, number: int, row: Any) -> list[Control]:
    values = row if isinstance(row, dict) else {}
    return [
        _control(f"{id_}-{number}-{c.name}", c, values.get(c.name, c.default)) for c in each.columns
    ]


def _named(names: Sequence[str], control: Control) -> list[tuple[str, str]]:
    choices = [("", "Choose…"), *((name, name) for name in names)]
    if control.value and control.value not in names:
        choices.append((control.value, f"{control.value} (not there)"))
    return choices


def kinds_to_add() -> list[StepSpec]:
    return registry.all_specs()
