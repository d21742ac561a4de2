"""From a step of a published definition to something that runs; once a batch."""

from collections.abc import Callable, Mapping
from typing import Any

from jobs.steps.ai import AiStep
from jobs.steps.base import EffectStep, PureStep
from jobs.steps.custom import CustomEffectStep, CustomPureStep
from jobs.steps.email import EmailStep
from jobs.steps.http import HttpStep
from jobs.steps.pure import ConditionStep, OutcomeStep, SetStep, TemplateStep, WaitStep
from projects.steps import registry

PURE: dict[str, Callable[[dict[str, Any]], PureStep]] = {
    "template": TemplateStep,
    "set": SetStep,
    "condition": ConditionStep,
    "wait": WaitStep,
    "outcome": OutcomeStep,
}


def compile_step(
    step: Mapping[str, Any], *, secrets: Mapping[str, str], effort: str = ""
) -> PureStep | EffectStep:
    """Raises TemplateProblem, registry.UnknownKind, KeyError or ValueError for a step that
    validation would not have let through (or whose Python kind is no longer installed)."""
    kind, config = step["kind"], dict(step.get("config") or {})
    if kind in PURE:
        return PURE[kind](config)
    if kind == "http":
        return HttpStep(config, secrets)
    if kind == "email":
        return EmailStep(config, secrets)
    if kind == "ai":
        return AiStep(config, secrets, effort)
    spec = registry.get(kind)
    if spec.run is None:
        raise registry.UnknownKind(f"There is no step kind {kind!r} that can be run.")
    if spec.is_effect:
        return CustomEffectStep(spec, config, secrets)
    return CustomPureStep(spec, config)
