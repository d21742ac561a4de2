"""One record while a batch is in a worker's hands: plain values, no ORM object."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from jobs.execution import bulk
from jobs.execution.counting import COLUMNS as COUNTED


@dataclass(slots=True, eq=False)
class RecordState:
    id: int
    position: int
    contact: dict[str, Any]
    contact_gone: bool
    status: str
    next_step: int
    intent_step: int
    resend_number: int
    values: dict[str, Any]
    journey: list[dict[str, Any]]
    started_at: datetime | None
    active_ms: float
    counted_as: str  # the status the job's counters know of
    intent_at: datetime | None = None
    outcome: str = ""
    outcome_metadata: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    error_type: str = ""
    error_step: int = 0
    cause: str = ""
    wait_kind: str = ""
    wait_until: datetime | None = None
    wait_token_hash: str = ""
    wait_prompt: str = ""
    wait_on_timeout: str = ""
    completed_at: datetime | None = None

    def entry(self, step: int) -> dict[str, Any] | None:
        """The journey's entry of a step, if it was reached before."""
        entry: dict[str, Any]
        for entry in reversed(self.journey):
            if entry["step"] == step:
                return entry
            if entry["step"] < step:
                return None
        return None

    def row(self) -> tuple[Any, ...]:
        """(id, *bulk.RECORD_COLUMNS) of this moment: what is nested, as JSON text."""
        return (
            self.id, self.status, self.next_step, self.intent_step, self.intent_at,
            bulk.dumps(self.values), bulk.dumps(self.journey), self.outcome,
            bulk.dumps(self.outcome_metadata), self.error, self.error_type, self.error_step,
            self.cause, self.wait_kind, self.wait_until, self.wait_token_hash, self.wait_prompt,
            self.wait_on_timeout, self.started_at, self.completed_at, self.active_ms,
        )  # fmt: skip


def rows_and_changes(states: Iterable[RecordState]) -> tuple[list[tuple[Any, ...]], Counter[str]]:
    """The rows to write, and by how much the job's counters change; each state then counts as
    what it is."""
    changes: Counter[str] = Counter()
    rows = []
    for state in states:
        if state.counted_as != state.status:
            if state.counted_as in COUNTED:
                changes[state.counted_as] -= 1
            if state.status in COUNTED:
                changes[state.status] += 1
            state.counted_as = state.status
        rows.append(state.row())
    return rows, changes
