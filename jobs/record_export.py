"""Records as CSV: one row each, with outcome, last step, error and time (R13)."""

import csv
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone

from jobs.models import Record

HEADER = [
    "record", "run", "spinner", "version", "contact", "email", "external_id", "status", "outcome",
    "last_step", "error", "cause", "started_at", "ended_at", "active_ms",
]  # fmt: skip
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\0")
CHUNK = 2_000


class _Echo:
    """A file that hands every line back, so that nothing is kept."""

    def write(self, text: str) -> str:
        return text


def safe_cell(value: Any) -> Any:
    """Text that a spreadsheet would take for a formula gets a quote before it."""
    if isinstance(value, str) and value.startswith(FORMULA_STARTS):
        return f"'{value}"
    return value


def record_rows(queryset: QuerySet[Record], order: Sequence[str]) -> Iterator[str]:
    """Lines of CSV, read from the database as they are sent; memory stays flat."""
    writer = csv.writer(_Echo())
    yield "\ufeff" + writer.writerow(HEADER)
    rows = (
        queryset.order_by(*order)
        .select_related("job__version", "contact")
        .defer("journey", "values", "job__input", "contact__attributes", "job__version__definition")
    )
    for record in rows.iterator(chunk_size=CHUNK):
        yield writer.writerow([safe_cell(cell) for cell in _cells(record)])


def _cells(record: Record) -> list[Any]:
    job = record.job
    return [
        record.pk, job.pk, job.label, job.version.number if job.version else "",
        record.contact_name, record.contact_email,
        record.contact.external_id if record.contact else "", record.status, record.outcome,
        _last_step(record), record.error, record.cause, _time(record.started_at),
        _time(record.completed_at), round(record.active_ms, 1),
    ]  # fmt: skip


def _last_step(record: Record) -> str:
    """By name: where it stopped, else the last one it has behind it."""
    number = record.error_step or min(record.next_step, len(record.job.steps))
    steps = record.job.steps
    return str(steps[number - 1]["name"]) if 0 < number <= len(steps) else ""


def _time(at: datetime | None) -> str:
    return timezone.localtime(at).isoformat(timespec="milliseconds") if at else ""
