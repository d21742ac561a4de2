"""Whether a pipeline definition can run, in messages that name step and field."""

import json
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from projects.steps import registry
from projects.steps.fields import Field, StepSpec
from projects.steps.json_body import JsonTemplate
from projects.templating import Template, TemplateProblem, compile_condition, compile_template

MAX_STEPS = 50
MAX_DEFINITION = 512 * 1024  # characters of the definition as JSON
MAX_ROWS = 50
NAME = re.compile(r"^[a-z][a-z0-9_-]{0,59}$")
ROOTS = frozenset({"contact", "values", "job", "secrets", "callback_urls", "key", "now", "today"})


@dataclass(frozen=True, slots=True)
class Problem:
    """`field` is a name in the step's config ("" for the step as a whole), `position` counts
    from 1 (0: the definition as a whole). Only errors keep a draft from being published."""

    step_name: str
    field: str
    message: str
    position: int = 0
    label: str = ""
    level: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        if not self.position:
            return self.message
        where = f"Step {self.position} ({self.step_name})"
        if self.label:
            where += f", field {self.label}"
        return f"{where}: {self.message}."


def errors(problems: list[Problem]) -> list[Problem]:
    return [problem for problem in problems if problem.level == "error"]


def validate(definition: Any, *, secrets: Collection[str] | None = None) -> list[Problem]:
    """Everything that is wrong, in reading order; empty when the definition may be published.

    `secrets` holds the names of the team's secrets; None leaves names of secrets unchecked.
    """
    steps = definition.get("steps") if isinstance(definition, dict) else None
    if not isinstance(steps, list):
        return [Problem("", "", 'A definition is {"steps": [ … ]}.')]
    if not steps:
        return [Problem("", "", "Add at least one step.")]
    if len(steps) > MAX_STEPS:
        return [
            Problem("", "", f"A pipeline has at most {MAX_STEPS} steps; this one {len(steps)}.")
        ]
    text = json.dumps(definition)
    if "\\u0000" in text:
        return [Problem("", "", "A definition holds no NUL characters.")]
    if len(text) > MAX_DEFINITION:
        return [Problem("", "", f"A definition is at most {MAX_DEFINITION // 1024} KB.")]
    found: list[Problem] = []
    for position, step in enumerate(steps, 1):
        found.extend(_StepCheck(position, step, steps, secrets).problems())
    if not found:
        found.extend(_unreachable(steps))
    return found


class _StepCheck:
    def __init__(self, position: int, step: Any, steps: list[Any], secrets: Collection[str] | None):
        self.position, self.step, self.steps, self.secrets = position, step, steps, secrets
        self.name = str(step.get("name", "")) if isinstance(step, dict) else ""
        self.fields: tuple[Field, ...] = ()
        self.config: dict[str, Any] = {}

    def problem(self, message: str, field: Field | None = None, *, level: Any = "error") -> Problem:
        return Problem(
            self.name or "unnamed", field.name if field else "", message.rstrip("."),
            self.position, field.title if field else "", level,
        )  # fmt: skip

    def problems(self) -> Iterator[Problem]:
        if not isinstance(self.step, dict):
            yield self.problem('a step is {"name": …, "kind": …, "config": { … }}')
            return
        yield from self._check_name()
        unknown = sorted(set(self.step) - {"name", "kind", "config"})
        if unknown:
            yield self.problem(f"unknown entry {unknown[0]!r}")
        try:
            spec = registry.get(str(self.step.get("kind", "")))
        except registry.UnknownKind as error:
            yield self.problem(str(error))
            return
        config = self.step.get("config", {})
        if not isinstance(config, dict):
            yield self.problem("config should be an object")
            return
        self.fields, self.config = spec.fields, config
        yield from self._check_config(spec)

    def _check_name(self) -> Iterator[Problem]:
        if not NAME.match(self.name):
            yield self.problem(
                "a name begins with a small letter and holds small letters, digits, - and _ "
                "(at most 60)"
            )
        earlier = [s.get("name") for s in self.steps[: self.position - 1] if isinstance(s, dict)]
        if self.name and self.name in earlier:
            yield self.problem(
                f"the name {self.name!r} is taken by step {earlier.index(self.name) + 1}"
            )

    def _check_config(self, spec: StepSpec) -> Iterator[Problem]:
        known = {field.name for field in spec.fields}
        for name in sorted(set(self.config) - known):
            yield self.problem(f"{_a(spec.kind)} step has no field {name!r}")
        ill_typed = False
        for field in spec.fields:
            if not field.is_shown(self.config, spec.fields):
                continue
            for problem in self._check_value(field, self.config.get(field.name, field.default)):
                ill_typed = True
                yield problem
        if spec.check and not ill_typed:
            for name, message in spec.check(self.config):
                yield self.problem(message, spec.field(name))

    def _check_value(self, field: Field, value: Any) -> Iterator[Problem]:
        if value in ("", None, []) and value is not False:
            if field.is_required:
                yield self.problem("is missing", field)
            return
        if field.type == "rows":
            yield from self._check_rows(field, value)
            return
        message = self._wrong_value(field, value)
        if message:
            yield self.problem(message, field)
            return
        if field.is_template or field.is_expression:
            yield from self._check_template(field, str(value))

    def _wrong_value(self, field: Field, value: Any) -> str:
        if field.type == "number":
            return _wrong_number(field, value)
        if field.type == "flag":
            return "" if isinstance(value, bool) else "should be true or false"
        if not isinstance(value, str):
            return "should be text"
        if len(value) > field.max_length:
            return f"is {len(value):,} characters long; at most {field.max_length:,} fit"
        if field.type == "choice" and value not in dict(field.choices):
            return f"{value!r} should be one of {', '.join(c for c, _ in field.choices)}"
        if field.type == "step":
            return self._wrong_target(value)
        if field.type == "secret":
            return self._wrong_secret(value)
        return ""

    def _wrong_target(self, target: str) -> str:
        names = [s.get("name") if isinstance(s, dict) else None for s in self.steps]
        if target not in names:
            return f"there is no step {target!r}"
        if target not in names[self.position :]:
            return f"step {target!r} does not come later; a condition only skips forward"
        return ""

    def _wrong_secret(self, name: str) -> str:
        if self.secrets is None or name in self.secrets:
            return ""
        return f"there is no secret {name!r}; an admin adds it under Settings, Secrets"

    def _check_rows(self, field: Field, value: Any) -> Iterator[Problem]:
        if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
            yield self.problem("should be a list of objects", field)
            return
        if len(value) > MAX_ROWS:
            yield self.problem(f"has {len(value)} rows; at most {MAX_ROWS} fit", field)
            return
        for number, row in enumerate(value, 1):
            unknown = sorted(set(row) - {column.name for column in field.columns})
            if unknown:
                yield self.problem(f"row {number} has an unknown entry {unknown[0]!r}", field)
            for column in field.columns:
                for problem in self._check_value(column, row.get(column.name, column.default)):
                    label = column.title if column.label else column.name
                    yield self.problem(f"row {number}, {label}: {problem.message}", field)

    def _check_template(self, field: Field, text: str) -> Iterator[Problem]:
        try:
            templates = self._compiled(field, text)
        except TemplateProblem as error:
            yield self.problem(str(error), field)
            return
        paths = [path for template in templates for path in template.paths]
        yield from (self.problem(message, field) for message in self._wrong_secrets(field, paths))
        for path in paths:
            if path[0] not in ROOTS:
                yield self.problem(
                    f"{path[0]!r} is not known here; fields are contact.…, values.… and job.…",
                    field, level="warning",
                )  # fmt: skip

    def _compiled(self, field: Field, text: str) -> list[Template]:
        if field.is_expression:
            return [compile_condition(text)]
        if field.json_when and self.config.get(field.json_when[0]) in field.json_when[1]:
            return JsonTemplate(text).templates
        return [compile_template(text)]

    def _wrong_secrets(self, field: Field, paths: list[tuple[Any, ...]]) -> Iterator[str]:
        for path in paths:
            if path[0] != "secrets":
                continue
            if not field.sees_secrets:
                yield "secrets can be used only where a request is built (URL, headers, body)"
            elif len(path) != 2 or not isinstance(path[1], str) or path[1] == "[…]":
                yield "a secret is used by its name, as in secrets.API_KEY"
            elif message := self._wrong_secret(path[1]):
                yield message


def _a(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' or noun == 'http' else 'a'} {noun}"


def _wrong_number(field: Field, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return "should be a number"
    if field.lowest is not None and value < field.lowest:
        return f"should be at least {field.lowest:g}"
    if field.highest is not None and value > field.highest:
        return f"should be at most {field.highest:g}"
    return ""


def _unreachable(steps: list[dict[str, Any]]) -> Iterator[Problem]:
    """Warnings for steps that no record can come to. Jumps only go forward: one pass is enough."""
    index = {step["name"]: number for number, step in enumerate(steps)}
    reached = {0}
    for number, step in enumerate(steps):
        if number not in reached:
            yield Problem(
                step["name"], "", "no record can reach this step", number + 1, level="warning"
            )
            continue
        reached.update(_next_steps(step, number, index))


def _next_steps(step: dict[str, Any], number: int, index: dict[str, int]) -> Iterator[int]:
    if step["kind"] == "outcome":
        return
    if step["kind"] != "condition":
        yield number + 1
        return
    spec, config = registry.get("condition"), step.get("config", {})
    for side in ("true", "false"):
        action = spec.get(config, f"on_{side}")
        if action == "continue":
            yield number + 1
        elif action == "skip":
            yield index[config[f"on_{side}_step"]]
