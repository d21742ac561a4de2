"""Steps that only compute: template, set, condition, wait, outcome."""

from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from jobs import clock
from jobs.steps.base import Continue, End, Failed, GoTo, Hold, PureResult, StepInput
from jobs.steps.comparisons import compile_rows
from jobs.steps.names import Names
from jobs.steps.values import parse_json
from projects.steps import kinds
from projects.steps.durations import LONGEST, duration_seconds
from projects.templating import TemplateProblem, compile_condition, compile_template

Config = dict[str, Any]


class _Pure:
    """Turns a template's trouble into a failed record; subclasses answer in `compute`."""

    is_effect: ClassVar[bool] = False
    names: Names

    def run(self, record: StepInput) -> PureResult:
        try:
            return self.compute(record)
        except TemplateProblem as problem:
            return Failed(f"The template failed: {problem}.", "configuration")

    def compute(self, record: StepInput) -> PureResult:
        raise NotImplementedError


class TemplateStep(_Pure):
    def __init__(self, config: Config):
        self.template = compile_template(config["template"])
        self.field = config["field"]
        self.names = Names([self.template])

    def compute(self, record: StepInput) -> PureResult:
        made = {self.field: self.template.render(self.names.of(record))}
        return Continue(made, made)


class SetStep(_Pure):
    def __init__(self, config: Config):
        self.rows = [
            (row["name"], compile_template(str(row.get("template", ""))), row.get("type") or "text")
            for row in config["fields"]
        ]
        self.names = Names([template for _, template, _ in self.rows])

    def compute(self, record: StepInput) -> PureResult:
        names = self.names.of(record)
        made: dict[str, Any] = {}
        for name, template, kind in self.rows:
            text = template.render(names)
            try:
                made[name] = text if kind == "text" else as_type(text, kind)
            except ValueError as error:
                return Failed(f"Field {name}: {error}.", "configuration")
        return Continue(made, made)


def as_type(text: str, kind: str) -> Any:
    """A rendered text as number, flag or JSON; empty gives None. ValueError in words."""
    text = text.strip()
    if kind == "flag":
        return text.lower() in ("true", "yes", "1", "on")
    if not text:
        return None
    if kind == "number":
        try:
            return int(text)
        except ValueError:
            pass
        try:
            number = float(text)
            if number - number != 0:  # infinite or not a number: JSON has no word for it
                raise ValueError
        except ValueError:
            raise ValueError(f"{text[:60]!r} is not a number") from None
        return number
    try:
        return parse_json(text)
    except ValueError:
        raise ValueError(f"{text[:60]!r} is not JSON") from None


class ConditionStep(_Pure):
    def __init__(self, config: Config):
        spec = kinds.CONDITION
        if spec.get(config, "by") == "expression":
            expression = config["expression"]
            template = compile_condition(expression)
            self.names = Names([template])
            self.holds = lambda names: template.render(names) == "1"
            self.words = expression.strip()
        else:
            self.holds, templates, self.words = compile_rows(
                config["rows"], is_any=spec.get(config, "match") == "any"
            )
            self.names = Names(templates)
        self.sides = {
            True: self._side(config, "true", f"{self.words} holds"),
            False: self._side(config, "false", f"{self.words} does not hold"),
        }

    def _side(self, config: Config, side: str, reason: str) -> tuple[str, Any, str]:
        action = kinds.CONDITION.get(config, f"on_{side}")
        target: Any = None
        if action == "skip":
            target = config[f"on_{side}_step"]
        elif action == "end":
            target = compile_template(config[f"on_{side}_outcome"])
        return action, target, reason[:300]

    def compute(self, record: StepInput) -> PureResult:
        names = self.names.of(record)
        held = bool(self.holds(names))
        action, target, reason = self.sides[held]
        if action == "skip":
            return GoTo(target, reason, {"holds": held})
        if action == "end":
            return End(target.render(names).strip()[:120], {}, reason)
        return Continue({}, {"holds": held})


class WaitStep(_Pure):
    def __init__(self, config: Config):
        spec = kinds.WAIT
        self.kind = spec.get(config, "for")
        self.prompt = compile_template(str(config.get("prompt") or ""))
        self.until = compile_template(str(config.get("until") or ""))
        give_up = spec.get(config, "give_up_after")
        self.give_up_seconds = duration_seconds(give_up) if give_up else None
        self.on_timeout = spec.get(config, "on_timeout")
        self.names = Names([self.prompt, self.until])

    def compute(self, record: StepInput) -> PureResult:
        names = self.names.of(record)
        now = clock.now()
        if self.kind == "time":
            text = self.until.render(names).strip()
            try:
                return Hold("until", until=moment(text, now), on_timeout="continue")
            except ValueError as error:
                return Failed(f"{error}.", "configuration")
        until = now + timedelta(seconds=self.give_up_seconds) if self.give_up_seconds else None
        prompt = self.prompt.render(names)[:2_000] if self.kind == "approval" else ""
        return Hold(self.kind, until=until, on_timeout=self.on_timeout, prompt=prompt)


def moment(text: str, now: datetime) -> datetime:
    """When `text` is: a length from `now` or an ISO time (UTC without a zone)."""
    seconds = duration_seconds(text)
    if seconds is not None:
        if seconds > LONGEST:
            raise ValueError(f"{text[:60]!r} is longer than a year")
        return now + timedelta(seconds=seconds)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text[:60]!r} is neither a length of time nor a time") from None
    found = found if found.tzinfo else found.replace(tzinfo=UTC)
    if found > now + timedelta(seconds=LONGEST):
        raise ValueError(f"{text[:60]!r} is more than a year away")
    return found.astimezone(UTC)


class OutcomeStep(_Pure):
    def __init__(self, config: Config):
        self.outcome = compile_template(config["outcome"])
        self.metadata = [
            (row["name"], compile_template(str(row.get("value", ""))))
            for row in config.get("metadata") or []
        ]
        self.names = Names([self.outcome, *(template for _, template in self.metadata)])

    def compute(self, record: StepInput) -> PureResult:
        names = self.names.of(record)
        return End(
            self.outcome.render(names).strip()[:120],
            {name: template.render(names) for name, template in self.metadata},
        )
