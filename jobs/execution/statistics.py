"""Maintained counts: a job's funnel, a project's minutes. Written with the results they count.

The caller holds the job's row, so a job's own funnel is read and written without a race; the
minutes are shared by jobs and are raised by UPDATEs.
"""

from collections import Counter
from datetime import datetime

from django.db.models import F
from django.utils import timezone

from jobs.execution.bulk import add_histogram
from jobs.execution.passage import StepDelta
from jobs.execution.program import Program
from jobs.models import RecordMinute, StepCount, StepMinute

COLUMNS = {
    "reached": "reached_count", "completed": "passed_count", "failed": "failed_count",
    "skipped": "skipped_count", "waiting": "waiting_count", "uncertain": "uncertain_count",
}  # fmt: skip


def add(program: Program, deltas: dict[int, StepDelta], changes: Counter[str]) -> None:
    now = timezone.now()
    if deltas:
        _add_steps(program.job_id, deltas, now)
        _add_step_minutes(program, deltas, now.replace(second=0, microsecond=0))
    ended = sum(changes[status] for status in changes if status in ENDED and changes[status] > 0)
    if ended:
        _add_minute(program.project_id, changes, ended, now.replace(second=0, microsecond=0))


ENDED = frozenset({"completed", "failed", "skipped", "cancelled", "uncertain"})


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


def _add_minute(project_id: int, changes: Counter[str], ended: int, minute: datetime) -> None:
    done, failed = max(0, changes["completed"]), max(0, changes["failed"])
    raised = {
        "done_count": F("done_count") + done, "failed_count": F("failed_count") + failed,
        "other_count": F("other_count") + ended - done - failed,
    }  # fmt: skip
    row = RecordMinute.objects.filter(project_id=project_id, minute=minute)
    if not row.update(**raised):
        RecordMinute.objects.bulk_create(
            [RecordMinute(project_id=project_id, minute=minute)], ignore_conflicts=True
        )
        row.update(**raised)


def _add_step_minutes(program: Program, deltas: dict[int, StepDelta], minute: datetime) -> None:
    if program.pipeline_id is None:
        return
    for number, delta in sorted(deltas.items()):
        count = sum(delta.histogram)
        step = program.at(number)
        if not count or step is None:
            continue
        rows = StepMinute.objects.filter(
            project_id=program.project_id, pipeline_id=program.pipeline_id,
            step_name=step.name, minute=minute,
        )  # fmt: skip
        raised = {"count": F("count") + count, "total_ms": F("total_ms") + delta.total_ms}
        if not rows.update(**raised):
            StepMinute.objects.bulk_create(
                [
                    StepMinute(
                        project_id=program.project_id, pipeline_id=program.pipeline_id,
                        step_name=step.name, minute=minute,
                    )
                ],
                ignore_conflicts=True,
            )  # fmt: skip
            rows.update(**raised)
        # The row is locked by the update above until this transaction ends.
        histogram = rows.values_list("histogram", flat=True).get()
        rows.update(histogram=add_histogram(histogram, delta.histogram))
