"""The log of intents: "these records are about to do this", one text a commit.

A call is usually over before anybody could look, so its intent is not written into the record's
row but appended here, which costs a tenth (docs/decisions.md). Only when a lease is taken from a
worker do the last intents without a result become part of the rows, in the same transaction.
"""

import json
from collections.abc import Collection
from typing import Any

from django.db.models import F
from django.utils.dateparse import parse_datetime

from jobs.execution import bulk
from jobs.models import IntentLog, Record

_COLUMNS = ("id", *(name for name, _ in bulk.RECORD_COLUMNS))
_TIMES = tuple(
    number for number, (_, kind) in enumerate(bulk.RECORD_COLUMNS, start=1) if kind == "timestamptz"
)
_INTENT_STEP, _JOURNEY = _COLUMNS.index("intent_step"), _COLUMNS.index("journey")


def append(batch_id: int, fence: int, rows: list[tuple[Any, ...]]) -> None:
    """Within the transaction that holds the batch under its fence."""
    IntentLog.objects.create(batch_id=batch_id, fence=fence, records=bulk.rows_text(rows))


def forget(batch_id: int) -> None:
    IntentLog.objects.filter(batch_id=batch_id).delete()


def restore(batch_ids: Collection[int]) -> int:
    """Write what lost workers were about to do into their records' rows; how many it were.

    The caller's transaction has raised the fences, so nothing can be appended any more.
    """
    count = 0
    for batch_id in batch_ids:
        latest: dict[int, list[Any]] = {}
        logs = IntentLog.objects.filter(batch_id=batch_id, fence=F("batch__fence") - 1)
        for text in logs.order_by("pk").values_list("records", flat=True):
            latest.update((row[0], row) for row in json.loads(text))
        if latest:
            count += _write(batch_id, latest)
        forget(batch_id)
    return count


def _write(batch_id: int, latest: dict[int, list[Any]]) -> int:
    known = Record.objects.filter(
        pk__in=latest, batch_id=batch_id, status__in=("pending", "running")
    ).values_list("pk", "journey")
    rows = []
    for pk, journey in known:
        row = latest[pk]
        step = row[_INTENT_STEP]
        # A row written since this intent knows the attempt: with its result, or still under way.
        if _attempts(journey, step) < _attempts(row[_JOURNEY], step):
            rows.append(_as_written(row))
    return bulk.update_records(batch_id, rows)


def _attempts(journey: list[dict[str, Any]], step: int) -> int:
    return next((entry["attempts"] for entry in reversed(journey) if entry["step"] == step), 0)


def _as_written(row: list[Any]) -> tuple[Any, ...]:
    values = [bulk.dumps(value) if isinstance(value, dict | list) else value for value in row]
    for number in _TIMES:
        values[number] = parse_datetime(values[number]) if values[number] else None
    return tuple(values)
