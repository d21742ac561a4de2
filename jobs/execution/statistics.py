"""Maintained counts: a job's funnel, a project's minutes. Written with the results they count.

The caller holds the job's row, so a job's own funnel is read and written without a race; the
minutes are shared by jobs and are raised by UPDATEs.
"""

import threading
import time
from collections import Counter
from datetime import datetime

from django.db import transaction
from django.db.models import F

from jobs import clock
from jobs.execution.bulk import add_histogram
from jobs.execution.passage import StepDelta
from jobs.execution.program import Program
from jobs.models import Record, RecordMinute, StepCount, StepMinute

FLUSH_SECONDS = 2.0

COLUMNS = {
    "reached": "reached_count", "completed": "passed_count", "failed": "failed_count",
    "skipped": "skipped_count", "waiting": "waiting_count", "uncertain": "uncertain_count",
}  # fmt: skip


def add(program: Program, deltas: dict[int, StepDelta], changes: Counter[str]) -> None:
    """A job's funnel, in the caller's transaction; the minutes of charts wait for the flush."""
    now = clock.now()
    if deltas:
        _add_steps(program.job_id, deltas, now)
    _pending.add(program, deltas, changes, now.replace(second=0, microsecond=0))


ENDED = frozenset({"completed", "failed", "skipped", "cancelled", "uncertain"})


def recount_steps(job_id: int) -> None:
    """The funnel anew from the journeys: after a worker was lost with its last second of it."""
    deltas: dict[int, Counter[str]] = {}
    rows = Record.objects.filter(job_id=job_id).values_list("status", "journey")
    for status, journey in rows.iterator(2_000):
        for entry in journey:
            counts = deltas.setdefault(entry["step"], Counter())
            # Where a record was cancelled as it waited, its step waits no more.
            counts[entry["status"]] += entry["status"] != "waiting" or status == "waiting"
            counts["reached"] += entry["status"] != "skipped"
    for number, counts in deltas.items():
        StepCount.objects.update_or_create(
            job_id=job_id, step=number,
            defaults={column: counts[name] for name, column in COLUMNS.items()},
        )  # fmt: skip


def _add_steps(job_id: int, deltas: dict[int, StepDelta], now: datetime) -> None:
    known = {row.step: row for row in StepCount.objects.filter(job_id=job_id, step__in=deltas)}
    rows = []
    for number, delta in sorted(deltas.items()):
        row = known.get(number) or StepCount(job_id=job_id, step=number, first_started_at=now)
        for name, column in COLUMNS.items():
            setattr(row, column, max(0, getattr(row, column) + delta.counts[name]))
        row.total_ms += delta.total_ms
        row.histogram = add_histogram(row.histogram, delta.histogram)
        row.last_ended_at = now
        rows.append(row)
    StepCount.objects.bulk_create(
        rows, update_conflicts=True, unique_fields=["job", "step"],
        update_fields=[
            *COLUMNS.values(), "total_ms", "histogram", "last_ended_at",
        ],
    )  # fmt: skip


class PendingMinutes:
    """What charts count, gathered for a second or two: a dozen statements less a commit.

    A worker that is killed takes its last seconds of chart with it, and nothing else.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._records: dict[tuple[int, datetime], Counter[str]] = {}
        self._steps: dict[tuple[int, int, str, datetime], StepDelta] = {}
        self._flushed_at = 0.0

    def add(
        self, program: Program, deltas: dict[int, StepDelta], changes: Counter[str],
        minute: datetime,
    ) -> None:  # fmt: skip
        ended = {status: n for status, n in changes.items() if status in ENDED and n > 0}
        with self._lock:
            if ended:
                self._records.setdefault((program.project_id, minute), Counter()).update(ended)
            for number, delta in deltas.items():
                step = program.at(number)
                if step is None or program.pipeline_id is None or not any(delta.histogram):
                    continue
                key = (program.project_id, program.pipeline_id, step.name, minute)
                total = self._steps.setdefault(key, StepDelta())
                total.total_ms += delta.total_ms
                total.histogram = add_histogram(total.histogram, delta.histogram)

    def take(
        self, after_seconds: float
    ) -> tuple[
        dict[tuple[int, datetime], Counter[str]], dict[tuple[int, int, str, datetime], StepDelta]
    ]:
        with self._lock:
            now = time.monotonic()
            if now - self._flushed_at < after_seconds:
                return {}, {}
            self._flushed_at = now
            taken = self._records, self._steps
            self._records, self._steps = {}, {}
            return taken


_pending = PendingMinutes()


def flush_minutes(*, after_seconds: float = FLUSH_SECONDS) -> None:
    """Write what was gathered, unless it was done less than `after_seconds` ago."""
    records, steps = _pending.take(after_seconds)
    if not records and not steps:
        return
    with transaction.atomic():
        for (project_id, minute), ended in sorted(records.items(), key=lambda item: item[0]):
            _add_minute(project_id, minute, ended)
        for key, delta in sorted(steps.items(), key=lambda item: item[0]):
            _add_step_minute(*key, delta)


def _add_minute(project_id: int, minute: datetime, ended: Counter[str]) -> None:
    done, failed = ended["completed"], ended["failed"]
    raised = {
        "done_count": F("done_count") + done, "failed_count": F("failed_count") + failed,
        "other_count": F("other_count") + ended.total() - done - failed,
    }  # fmt: skip
    row = RecordMinute.objects.filter(project_id=project_id, minute=minute)
    if not row.update(**raised):
        RecordMinute.objects.bulk_create(
            [RecordMinute(project_id=project_id, minute=minute)], ignore_conflicts=True
        )
        row.update(**raised)


def _add_step_minute(
    project_id: int, pipeline_id: int, step_name: str, minute: datetime, delta: StepDelta
) -> None:
    named = {
        "project_id": project_id, "pipeline_id": pipeline_id, "step_name": step_name,
        "minute": minute,
    }  # fmt: skip
    rows = StepMinute.objects.filter(**named)
    raised = {
        "count": F("count") + sum(delta.histogram), "total_ms": F("total_ms") + delta.total_ms
    }  # fmt: skip
    if not rows.update(**raised):
        StepMinute.objects.bulk_create([StepMinute(**named)], ignore_conflicts=True)
        rows.update(**raised)
    # The row is locked by the update above until this transaction ends.
    histogram = rows.values_list("histogram", flat=True).get()
    rows.update(histogram=add_histogram(histogram, delta.histogram))
