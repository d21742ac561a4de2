"""The way of one record through the steps, in memory: what each result means for its journey.

Nothing here touches the database or the network.
"""

import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from jobs import clock
from jobs.durations import bucket
from jobs.events import EventKind
from jobs.execution.program import CompiledStep, Program
from jobs.execution.states import RecordState
from jobs.failures import normalise_cause
from jobs.steps.base import (
    Continue,
    EffectResult,
    End,
    Failed,
    GoTo,
    Hold,
    PureResult,
    Retry,
    StepInput,
    Uncertain,
)
from jobs.steps.callbacks import hash_token, make_token

INPUT_LIMIT = 4_000  # characters of one value kept in the journey


@dataclass(slots=True)
class StepDelta:
    """What a group of results adds to one step's counters."""

    counts: Counter[str] = field(default_factory=Counter)  # "reached" and step statuses
    total_ms: float = 0.0
    histogram: list[int] = field(default_factory=list)

    def time(self, ms: float) -> None:
        index = bucket(ms)
        if index >= len(self.histogram):
            self.histogram.extend([0] * (index + 1 - len(self.histogram)))
        self.histogram[index] += 1
        self.total_ms += ms


class Passage:
    """Moves the records of one batch; collects what the next commit has to tell."""

    def __init__(self, program: Program):
        self.program = program
        self.deltas: dict[int, StepDelta] = {}
        self.told: list[tuple[str, str, dict[str, Any]]] = []  # a workflow's step events
        self._tells_steps = program.kind == "workflow"

    def take_deltas(self) -> dict[int, StepDelta]:
        deltas, self.deltas = self.deltas, {}
        return deltas

    def take_told(self) -> list[tuple[str, str, dict[str, Any]]]:
        told, self.told = self.told, []
        return told

    # --- What a step sees ---------------------------------------------------------------------

    def key(self, state: RecordState, number: int) -> str:
        """As Record.idempotency_key."""
        suffix = f"-r{state.resend_number}" if state.resend_number else ""
        return f"{self.program.job_id}-{state.position}-{number}{suffix}"

    def input(self, state: RecordState, number: int, attempt: int = 1) -> StepInput:
        return StepInput(
            contact=state.contact, values=state.values, job=self.program.facts,
            key=self.key(state, number), record_id=state.id, attempt=attempt,
        )  # fmt: skip

    # --- Pure steps ---------------------------------------------------------------------------

    def advance(self, state: RecordState) -> bool:
        """Run pure steps until an effect (True: the record stands before it) or the end (False)."""
        if state.contact_gone and self.program.kind == "spinner":
            self.end(state, "skipped", error="The contact was removed during the run.")
            return False
        if state.status == "pending":
            state.status = "running"
        steps, count = self.program.steps, len(self.program.steps)
        while state.next_step <= count:
            step = steps[state.next_step - 1]
            if step.is_effect:
                return True
            began = time.perf_counter()
            entry = self.open(state, step)
            try:
                result: PureResult = step.step.run(self.input(state, step.number))
            except Exception as error:  # noqa: BLE001 -- a step's code may raise anything
                result = Failed(f"{type(error).__name__}: {error}", "step_error")
            ms = (time.perf_counter() - began) * 1000
            if not self._apply_pure(state, step, entry, result, ms):
                return False
        self.end(state, "completed")
        return False

    def _apply_pure(
        self,
        state: RecordState,
        step: CompiledStep,
        entry: dict[str, Any],
        result: PureResult,
        ms: float,
    ) -> bool:
        """True: the record goes on."""
        if isinstance(result, Continue):
            if result.values:
                state.values.update(result.values)
            self.close(state, step, entry, "completed", ms, output=result.output)
            state.next_step += 1
            return True
        if isinstance(result, GoTo):
            output = {**result.output, "went_to": result.step_name}
            if result.reason:
                output["reason"] = result.reason
            self.close(state, step, entry, "completed", ms, output=output)
            return self._go_to(state, step, result.step_name)
        if isinstance(result, End):
            state.outcome, state.outcome_metadata = result.outcome[:120], result.metadata
            output = {"outcome": result.outcome, **result.metadata}
            if result.reason:
                output["reason"] = result.reason
            self.close(state, step, entry, "completed", ms, output=output)
            state.next_step = step.number + 1
            self.end(state, "completed")
            return False
        if isinstance(result, Hold):
            self._hold(state, step, entry, result, ms)
            return False
        self.fail(state, step, entry, result, ms)
        return False

    def _go_to(self, state: RecordState, step: CompiledStep, name: str) -> bool:
        target = self.program.numbers.get(name, 0)
        if target <= step.number:
            error = f"The condition points to {name!r}, which is no later step."
            entry = state.entry(step.number) or {}
            self.fail(state, step, entry, Failed(error, "configuration"), 0)
            return False
        for number in range(step.number + 1, target):
            jumped = self.program.steps[number - 1]
            entry = self.open(state, jumped, reached=False)
            entry["status"] = "skipped"
            entry["output"] = {"skipped_by": step.name}
            self.deltas[number].counts["skipped"] += 1
        state.next_step = target
        return True

    def _hold(
        self, state: RecordState, step: CompiledStep, entry: dict[str, Any], hold: Hold, ms: float
    ) -> None:
        self.close(state, step, entry, "waiting", ms, output={"prompt": hold.prompt})
        state.status = "waiting"
        state.wait_kind, state.wait_until = hold.kind, hold.until
        state.wait_prompt, state.wait_on_timeout = hold.prompt[:300], hold.on_timeout
        if hold.kind == "callback":
            state.wait_token_hash = hash_token(make_token(state.id, step.name))

    def wake(self, state: RecordState) -> bool:
        """The time a record waited for (or until) has come. False: it failed as timed out."""
        step, kind = self.program.at(state.next_step), state.wait_kind
        state.wait_kind, state.wait_until, state.wait_token_hash = "", None, ""
        state.wait_prompt = ""
        if step is None:
            return True
        entry = self.open(state, step)
        now = clock.now()
        # Of no weight in the step's times, but what the journey and the timeline show.
        waited_ms = (now - datetime.fromisoformat(entry["started_at"])).total_seconds() * 1000
        if kind != "until" and state.wait_on_timeout == "fail":
            words = "approval" if kind == "approval" else "answer"
            self.fail(state, step, entry, Failed(f"No {words} came in time.", "timed_out"), 0)
            entry["ms"] = round(waited_ms, 3)
            return False
        output = {"waited_until": now.isoformat(timespec="seconds")}
        self.close(state, step, entry, "completed", 0, output=output, shown_ms=waited_ms)
        state.next_step += 1
        return True

    # --- Effect steps -------------------------------------------------------------------------

    def intend(self, state: RecordState, step: CompiledStep, shown: dict[str, Any]) -> int:
        """Note that the effect may be on its way from the next commit on; returns the attempt."""
        entry = state.entry(step.number)
        if entry is None or entry["status"] not in ("running",):
            entry = self.open(state, step)
        entry["attempts"] += 1
        entry["key"] = self.key(state, step.number)
        if shown:
            entry["input"] = excerpt(shown)
        state.status = "running"
        state.intent_step, state.intent_at = step.number, clock.now()
        return int(entry["attempts"])

    def withdraw(self, state: RecordState, reason: str) -> None:
        """The intent is taken back before anything left: the record is cancelled."""
        state.intent_step, state.intent_at = 0, None
        entry = state.entry(state.next_step)
        step = self.program.at(state.next_step)
        if entry and step and entry["status"] == "running":
            entry["status"] = "cancelled"
            entry["error"] = reason
        self.end(state, "cancelled", error=reason)

    def arrived(
        self, state: RecordState, step: CompiledStep, result: EffectResult, ms: float
    ) -> None:
        """Take an effect's result. A Retry leaves the record where it is (see `log`)."""
        entry = state.entry(step.number) or self.open(state, step)
        state.intent_step, state.intent_at = 0, None
        if isinstance(result, Continue):
            if result.values:
                state.values.update(result.values)
            self.close(state, step, entry, "completed", ms, output=result.output)
            state.next_step = step.number + 1
        elif isinstance(result, Uncertain):
            self.close(
                state, step, entry, "uncertain", ms, output=result.output, error=result.error
            )
            self.end(
                state, "uncertain", error=result.error, error_type=result.error_type,
                error_step=step.number,
            )  # fmt: skip
        elif isinstance(result, Retry):
            self.log(entry, result.error)
        else:
            self.fail(state, step, entry, result, ms)

    def log(self, entry: dict[str, Any], error: str, *, at: datetime | None = None) -> None:
        """Note how an attempt ended, and when: now, where nothing else is said."""
        ended_at = at or clock.now()
        entry["log"].append({"at": ended_at.isoformat(), "error": error[:500]})

    # --- Entries ------------------------------------------------------------------------------

    def open(
        self, state: RecordState, step: CompiledStep, *, reached: bool = True
    ) -> dict[str, Any]:
        """The entry of a step: a new one, or the one a retry goes on with."""
        delta = self.deltas.get(step.number)
        if delta is None:
            delta = self.deltas[step.number] = StepDelta()
        now = clock.now()
        if state.started_at is None:
            state.started_at = now
        entry = state.entry(step.number)
        if entry is None:
            entry = {
                "step": step.number, "name": step.name, "kind": step.kind, "status": "running",
                "started_at": now.isoformat(), "ms": 0, "attempts": 0 if step.is_effect else 1,
                "input": {}, "output": {}, "error": "", "key": "", "log": [],
            }  # fmt: skip
            state.journey.append(entry)
            if reached:
                delta.counts["reached"] += 1
                if self._tells_steps:
                    self._tell(EventKind.STEP_STARTED, step, entry)
            return entry
        delta.counts[entry["status"]] -= 1
        if entry["status"] == "waiting":  # the same attempt goes on
            entry["status"] = "running"
            return entry
        if entry["error"]:
            ended = datetime.fromisoformat(entry["started_at"]) + timedelta(
                milliseconds=entry["ms"]
            )
            self.log(entry, entry["error"], at=ended)
        entry |= {"status": "running", "error": "", "started_at": now.isoformat()}
        if not step.is_effect:
            entry["attempts"] += 1
        return entry

    def close(
        self,
        state: RecordState,
        step: CompiledStep,
        entry: dict[str, Any],
        status: str,
        ms: float,
        *,
        output: dict[str, Any] | None = None,
        error: str = "",
        shown_ms: float | None = None,
    ) -> None:
        entry["status"], entry["ms"] = status, round(ms if shown_ms is None else shown_ms, 3)
        if output:
            entry["output"] = excerpt(output)
        if error:
            entry["error"] = error[:2_000]
        state.active_ms += ms
        delta = self.deltas.get(step.number)
        if delta is None:
            delta = self.deltas[step.number] = StepDelta()
        delta.counts[status] += 1
        delta.time(ms)
        if self._tells_steps:
            kind = EventKind.STEP_FAILED if status == "failed" else EventKind.STEP_COMPLETED
            if status in ("completed", "failed"):
                self._tell(kind, step, entry)

    def fail(
        self,
        state: RecordState,
        step: CompiledStep,
        entry: dict[str, Any],
        failed: Failed,
        ms: float,
    ) -> None:
        if entry["status"] == "completed":  # a condition that closed before it went astray
            self.deltas[step.number].counts["completed"] -= 1
        self.close(state, step, entry, "failed", ms, output=failed.output, error=failed.error)
        self.end(
            state, "failed", error=failed.error, error_type=failed.error_type,
            error_step=step.number,
        )  # fmt: skip

    def end(
        self,
        state: RecordState,
        status: str,
        *,
        error: str = "",
        error_type: str = "",
        error_step: int = 0,
    ) -> None:
        state.status, state.completed_at = status, clock.now()
        if state.started_at is None and status != "skipped":
            state.started_at = state.completed_at
        state.intent_step, state.intent_at = 0, None
        if error:
            state.error, state.error_type = error[:5_000], error_type
            state.error_step, state.cause = error_step, normalise_cause(error)

    def _tell(self, kind: str, step: CompiledStep, entry: dict[str, Any]) -> None:
        words = {"running": "started", "completed": "completed", "failed": "failed"}
        text = f"Step {step.number} ({step.name}) {words.get(entry['status'], entry['status'])}"
        if entry["error"]:
            text += f": {entry['error']}"
        self.told.append(
            (
                kind, text[:500],
                {"phase": "execution", "step": step.number, "name": step.name,
                 "attempts": max(1, entry["attempts"]), "ms": entry["ms"]},
            )
        )  # fmt: skip


def excerpt(values: dict[str, Any]) -> dict[str, Any]:
    """Long texts shortened; everything else as it is."""
    for value in values.values():
        if isinstance(value, str) and len(value) > INPUT_LIMIT:
            break
    else:
        return values
    return {
        key: value[:INPUT_LIMIT] + "…"
        if isinstance(value, str) and len(value) > INPUT_LIMIT
        else value
        for key, value in values.items()
    }
