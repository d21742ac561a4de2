"""Every kind of step there is: those of Spindle, and those a team's own Django app registers.

    # yourapp/spindle_steps.py
    from projects.steps.registry import Field, register

    @register("score", label="Score", fields=[Field(name="bonus", type="number", default=1)])
    def score(record, config):
        return {"score": len(record.contact.get("name", "")) + config["bonus"]}

A pure step returns the values it adds. With `effect=` it is an async function that also gets the
shared clients, and runs only after its intent is durable (docs/steps.md, "Steps in Python").
"""

import inspect
from collections.abc import Callable, Iterable
from typing import Any, Literal

from projects.steps.fields import Field, StepSpec

__all__ = [
    "Field", "RetryLater", "StepFailed", "StepSpec", "UnknownKind", "all_specs", "get", "register",
    "unregister",
]  # fmt: skip

_specs: dict[str, StepSpec] = {}


class UnknownKind(LookupError):
    pass


class StepFailed(Exception):
    """Raised by a Python step: it surely did not happen, and trying again would not help."""

    def __init__(self, message: str, error_type: str = "unknown"):
        super().__init__(message)
        self.error_type = error_type


class RetryLater(Exception):
    """Raised by a Python step: it surely did not happen; try again (after so many seconds)."""

    def __init__(self, message: str, after_seconds: float | None = None):
        super().__init__(message)
        self.after_seconds = after_seconds


def add(spec: StepSpec) -> StepSpec:
    if spec.kind in _specs:
        raise ValueError(f"A step kind named {spec.kind!r} is registered already.")
    _specs[spec.kind] = spec
    return spec


def register(
    kind: str,
    *,
    label: str = "",
    description: str = "",
    fields: Iterable[Field] = (),
    effect: Literal["safe", "unsafe"] | None = None,
    timeout_seconds: float = 30.0,
    max_attempts: int = 3,
    concurrency: int = 50,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make a function a kind of step. `effect`: None for a pure step, which only computes;
    "safe" when doing it twice under the same `record.key` is harmless; else "unsafe"."""

    def decorate(run: Callable[..., Any]) -> Callable[..., Any]:
        if bool(effect) != inspect.iscoroutinefunction(run):
            raise TypeError(
                f"Step {kind!r}: an effect step is an async function, a pure step a plain one."
            )
        add(
            StepSpec(
                kind=kind, label=label or kind.replace("_", " ").replace("-", " ").capitalize(),
                description=description or inspect.getdoc(run) or "", fields=tuple(fields),
                is_effect=effect is not None, effect_class=effect or "", run=run,
                timeout_seconds=timeout_seconds, max_attempts=max_attempts,
                concurrency=concurrency,
            )
        )  # fmt: skip
        return run

    return decorate


def unregister(kind: str) -> None:
    """Take a kind out again (tests)."""
    _specs.pop(kind, None)


def get(kind: str) -> StepSpec:
    """The spec of a kind; raises UnknownKind."""
    from projects.steps import kinds, message_kinds  # noqa: F401  # registers Spindle's own on first use

    try:
        return _specs[kind]
    except KeyError:
        known = ", ".join(sorted(_specs))
        raise UnknownKind(f"There is no step kind {kind!r}. There are: {known}.") from None


def all_specs() -> list[StepSpec]:
    """In the order an "Add step" menu shows them: Spindle's own first, then registered ones."""
    from projects.steps import kinds, message_kinds  # noqa: F401

    return list(_specs.values())
