"""The parts a step's form is drawn from: fields and the step kind's description."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

FieldType = Literal[
    "text",  # one line
    "area",  # several lines
    "number",
    "choice",
    "flag",  # yes or no
    "rows",  # a list of dictionaries; `columns` says of what
    "step",  # the name of a later step
    "secret",  # the name of a secret
]


@dataclass(frozen=True, kw_only=True)
class Field:
    """One entry of a step's `config`, and how an editor asks for it.

    `is_template`: the text may hold Liquid. `sees_secrets`: it may also use `secrets.NAME`.
    `is_expression`: a Liquid condition without braces. `shown_when` = (other field's name, values):
    an editor shows it, and validation looks at it, only when the other has one of these values.
    """

    name: str
    type: FieldType = "text"
    label: str = ""
    help: str = ""
    default: Any = ""
    choices: tuple[tuple[str, str], ...] = ()
    columns: tuple["Field", ...] = ()
    is_required: bool = False
    is_template: bool = False
    is_expression: bool = False
    sees_secrets: bool = False
    lowest: float | None = None
    highest: float | None = None
    max_length: int = 2_000
    shown_when: tuple[str, tuple[Any, ...]] | None = None
    # The text is JSON with templates inside when the other field has one of these values.
    json_when: tuple[str, tuple[Any, ...]] | None = None
    placeholder: str = ""

    @property
    def title(self) -> str:
        return self.label or self.name.replace("_", " ").capitalize()

    def is_shown(self, config: dict[str, Any], fields: tuple["Field", ...]) -> bool:
        if self.shown_when is None:
            return True
        other, wanted = self.shown_when
        return value_of(config, fields, other) in wanted


# What a kind's own check yields: (field name, message).
Finding = tuple[str, str]
Check = Callable[[dict[str, Any]], Iterable[Finding]]


@dataclass(frozen=True, kw_only=True)
class StepSpec:
    """A kind of step: how to describe it, to ask for it, to check it."""

    kind: str
    label: str
    description: str
    fields: tuple[Field, ...] = ()
    is_effect: bool = False
    # Names the step writes into `values`, for completion in the editor.
    check: Check | None = None
    # Steps written in Python: the function, and what it may do (see register()).
    run: Callable[..., Any] | None = field(default=None, compare=False)
    effect_class: str = ""
    timeout_seconds: float = 30.0
    max_attempts: int = 3
    concurrency: int = 50

    def field(self, name: str) -> Field | None:
        return next((f for f in self.fields if f.name == name), None)

    def get(self, config: dict[str, Any], name: str) -> Any:
        return value_of(config, self.fields, name)

    def blank_config(self) -> dict[str, Any]:
        """What a new step of this kind begins with."""
        return {f.name: f.default for f in self.fields if f.default not in ("", None)}


def value_of(config: dict[str, Any], fields: tuple[Field, ...], name: str) -> Any:
    """What the config says, else the field's default."""
    if name in config:
        return config[name]
    return next((f.default for f in fields if f.name == name), None)
