"""One effect: its request made, its act performed, its errors classed by what may have left."""

import asyncio

from jobs.execution.passage import Passage
from jobs.execution.program import CompiledStep
from jobs.execution.states import RecordState
from jobs.steps.base import Clients, EffectResult, Failed, Prepared, Retry, Uncertain

# Beyond a step's own time: what it says of running out of it is more exact than what is said here.
GRACE_SECONDS = 0.5


def prepare(passage: Passage, state: RecordState, step: CompiledStep) -> Prepared | Failed:
    """The request, in memory; a step's error fails the record alone."""
    entry = state.entry(step.number)
    attempt = (entry["attempts"] if entry else 0) + 1
    try:
        prepared: Prepared | Failed = step.step.prepare(passage.input(state, step.number, attempt))
    except Exception as error:  # noqa: BLE001 -- a step's code may raise anything
        return Failed(f"{type(error).__name__}: {error}", "step_error")
    return prepared


async def perform(
    step: CompiledStep, prepared: Prepared, clients: Clients, *, probing: bool
) -> EffectResult:
    """The act itself. The outer time limit is for steps that do not surely keep their own, and
    says uncertain, since something may have left.
    """
    try:
        if step.step.keeps_time and not probing:
            quick: EffectResult = await step.step.perform(prepared, clients)
            return quick
        async with asyncio.timeout(step.step.timeout_seconds + GRACE_SECONDS):
            if probing and step.step.effect_class == "checkable":
                found: EffectResult | None = await step.step.probe(prepared, clients)
                if found is not None:
                    return found
            done: EffectResult = await step.step.perform(prepared, clients)
            return done
    except TimeoutError:
        error = f"No answer within {step.step.timeout_seconds:g} s."
        if step.step.effect_class == "safe":
            return Retry(error, "provider_error")
        return Uncertain(error)
    except Exception as error:  # noqa: BLE001 -- a step's code may raise anything
        text = f"{type(error).__name__}: {error}"
        if step.step.effect_class == "safe":
            return Failed(text, "step_error")
        return Uncertain(text)
