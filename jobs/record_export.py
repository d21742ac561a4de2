"""Records as CSV: one row each, with outcome, last step, error and time (R13)."""

from collections.abc import Iterator, Sequence
from datetime import datetime, tzinfo
from typing import Any

from django.db.models import QuerySet

from jobs.models import Record
from jobs.querysets.keyset import page_of
from projects.contacts.csv_writing import csv_lines

HEADER = [
    "record", "run", "spinner", "version", "contact", "email", "external_id", "status", "outcome",
    "last_step", "error", "cause", "started_at", "ended_at", "active_ms",
]  # fmt: skip
CHUNK = 2_000


def lines(queryset: QuerySet[Record], order: Sequence[str], *, zone: tzinfo) -> Iterator[str]:
    """The file, piece by piece: read by key, so that no cursor stays open for a slow reader.

    `zone` is the reader's: the request's own is gone by the time the pieces are pulled.
    """
    return csv_lines(HEADER, _rows(queryset, order, zone))


def _rows(
    queryset: QuerySet[Record], order: Sequence[str], zone: tzinfo
) -> Iterator[list[list[Any]]]:
    rows = queryset.select_related("job__version", "contact").defer(
        "journey", "values", "job__input", "contact__attributes", "job__version__definition"
    )
    after = ""
    while True:
        page = page_of(rows, order, {"after": after}, size=CHUNK)
        yield [_cells(record, zone) for record in page]
        if not page.after:
            return
        after = page.after


def _cells(record: Record, zone: tzinfo) -> list[Any]:
    job = record.job
    return [
        record.pk, job.pk, job.label, job.version.number if job.version else "",
        record.contact_name, record.contact_email,
        record.contact.external_id if record.contact else "", record.status, record.outcome,
        _last_step(record), record.error, record.cause, _time(record.started_at, zone),
        _time(record.completed_at, zone), round(record.active_ms, 1),
    ]  # fmt: skip


def _last_step(record: Record) -> str:
    """By name: where it stopped, else the last one it came to."""
    steps = record.job.steps
    number = record.error_step or min(record.next_step, len(steps))
    return str(steps[number - 1]["name"]) if 0 < number <= len(steps) else ""


def _time(at: datetime | None, zone: tzinfo) -> str:
    return at.astimezone(zone).isoformat(timespec="milliseconds") if at else ""
