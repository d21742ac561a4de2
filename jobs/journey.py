"""A record's journey, laid over the steps of the version it ran with."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.utils.dateparse import parse_datetime

from jobs.models import Record
from jobs.statuses import RecordStatus, StepStatus

NOT_REACHED = "not_reached"


@dataclass(slots=True)
class JourneyStep:
    """One step of the pipeline: its latest entry, and what came before it on earlier tries."""

    number: int
    name: str
    kind: str
    status: str = NOT_REACHED
    entry: dict[str, Any] = field(default_factory=dict)
    earlier: list[dict[str, Any]] = field(default_factory=list)
    started_at: datetime | None = None
    ended_at: datetime | None = None
    # Of a skipped step: the condition that led past it, and why.
    skipped_by: str = ""
    skip_reason: str = ""

    @property
    def label(self) -> str:
        if self.status == NOT_REACHED:
            return "Not reached"
        return str(StepStatus(self.status).label) if self.status in StepStatus else self.status

    @property
    def attempts(self) -> int:
        return int(self.entry.get("attempts") or 0)

    @property
    def log(self) -> list[dict[str, Any]]:
        """What each attempt ended with, oldest first, numbered; the last one's error too."""
        ended = list(self.entry.get("log") or [])
        error = self.entry.get("error")
        if error and self.status != StepStatus.SKIPPED:
            last = {"error": error, "at": self.entry.get("ended_at")}
            if len(ended) >= max(1, self.attempts):  # the last try is in the log already
                last["at"] = ended.pop().get("at")
            ended.append(last)
        # The last attempt stands in no log while it is on its way, nor when it went well.
        is_last_told = bool(error) or len(ended) >= self.attempts
        first = max(1, self.attempts - len(ended) + is_last_told)
        return [
            {"number": number, "error": attempt["error"], "at": _moment(attempt.get("at"))}
            for number, attempt in enumerate(ended, start=first)
        ]

    @property
    def shown_output(self) -> dict[str, Any]:
        output = self.entry.get("output") or {}
        if not isinstance(output, dict):
            return {"output": output}
        return {key: value for key, value in output.items() if key != "skipped_by"}

    @property
    def summary(self) -> str:
        """ "POST provider.example.com/messages": what an effect step sent where."""
        shown = self.entry.get("input") or {}
        if not isinstance(shown, dict):
            return ""
        if url := shown.get("url"):
            return f"{shown.get('method', '')} {str(url).partition('://')[2] or url}".strip()
        return str(shown.get("to") or shown.get("model") or "")


def journey_of(record: Record) -> list[JourneyStep]:
    """Every step of the version in order; steps the record never came to are "Not reached"."""
    definitions = record.job.version.steps if record.job.version else record.job.steps
    steps = [
        JourneyStep(number=number, name=step["name"], kind=step["kind"])
        for number, step in enumerate(definitions, start=1)
    ]
    for entry in record.journey:
        if not 1 <= entry["step"] <= len(steps):
            steps.append(JourneyStep(entry["step"], entry.get("name", ""), entry.get("kind", "")))
            step = steps[-1]
        else:
            step = steps[entry["step"] - 1]
        if step.entry:
            step.earlier.append(step.entry)
        step.entry, step.status = entry, entry.get("status", NOT_REACHED)
        step.started_at = _moment(entry.get("started_at"))
        step.ended_at = _end(step.started_at, entry.get("ms"))
    _explain_skips(steps)
    _mark_current(record, steps)
    return steps


def _explain_skips(steps: list[JourneyStep]) -> None:
    by_name = {step.name: step for step in steps}
    for step in steps:
        if step.status != StepStatus.SKIPPED:
            continue
        step.skipped_by = str((step.entry.get("output") or {}).get("skipped_by", ""))
        if condition := by_name.get(step.skipped_by):
            step.skip_reason = str((condition.entry.get("output") or {}).get("reason", ""))


def _mark_current(record: Record, steps: list[JourneyStep]) -> None:
    """The step a record is at may have no entry yet: a wait, or an effect on its way."""
    current = {
        RecordStatus.RUNNING.value: StepStatus.RUNNING.value,
        RecordStatus.WAITING.value: StepStatus.WAITING.value,
    }.get(record.status)
    number = record.intent_step or record.next_step
    if current and 1 <= number <= len(steps) and steps[number - 1].status == NOT_REACHED:
        steps[number - 1].status = current


def _moment(text: Any) -> datetime | None:
    return parse_datetime(text) if isinstance(text, str) else None


def _end(started_at: datetime | None, ms: Any) -> datetime | None:
    return started_at + timedelta(milliseconds=float(ms)) if started_at and ms else None
