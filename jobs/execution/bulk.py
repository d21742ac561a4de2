"""Writes over many rows at once: the only place that knows one database from another.

Everything else speaks through Django. What differs: PostgreSQL takes whole columns as arrays
(`unnest`), SQLite prepares one statement and runs it row after row in C (`executemany`).
"""

import json
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import orjson
from django.db import connection
from django.db.models import QuerySet
from django.db.models.functions import Now

from projects.models import Contact

# (column, PostgreSQL type) in the order of `RecordRow`; jobs/execution/journal.py fills them.
RECORD_COLUMNS: tuple[tuple[str, str], ...] = (
    ("status", "text"),
    ("next_step", "smallint"),
    ("intent_step", "smallint"),
    ("intent_at", "timestamptz"),
    ("values", "jsonb"),
    ("journey", "jsonb"),
    ("outcome", "text"),
    ("outcome_metadata", "jsonb"),
    ("error", "text"),
    ("error_type", "text"),
    ("error_step", "smallint"),
    ("cause", "text"),
    ("wait_kind", "text"),
    ("wait_until", "timestamptz"),
    ("wait_token_hash", "text"),
    ("wait_prompt", "text"),
    ("wait_on_timeout", "text"),
    ("started_at", "timestamptz"),
    ("completed_at", "timestamptz"),
    ("active_ms", "double precision"),
)

_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")


def dumps(value: Any) -> str:
    """JSON text both databases take: what is no Unicode text (NUL, half a pair) is left out."""
    try:
        text = orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:  # half a surrogate pair, a number of more than 64 bits
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
        text = text.encode("utf-8", "replace").decode()
    return _NUL.sub(r"\1", text) if "\\u0000" in text else text


def rows_text(rows: Sequence[tuple[Any, ...]]) -> str:
    """`(id, *RECORD_COLUMNS)` as a JSON list of lists."""
    return dumps([_unwrapped(row) for row in rows])


def _unwrapped(row: tuple[Any, ...]) -> list[Any]:
    """JSON texts as what they stand for."""
    values = list(row)
    for number in _JSON_COLUMNS:
        values[number] = orjson.Fragment(values[number])
    return values


def _quoted(name: str) -> str:
    return f'"{name}"'


def _adapt(value: Any) -> Any:
    """A parameter as SQLite stores it; PostgreSQL's driver takes datetimes as they are."""
    if isinstance(value, datetime):
        return connection.ops.adapt_datetimefield_value(value)
    return value


def update_records(batch_id: int, rows: Sequence[tuple[Any, ...]]) -> int:
    """Write `(id, *RECORD_COLUMNS)` of records that are still in this batch; how many it were.

    jsonb columns come as JSON text (`dumps`).
    """
    if not rows:
        return 0
    if connection.vendor == "postgresql":
        return _update_records_postgresql(batch_id, rows)
    with connection.cursor() as cursor:
        cursor.executemany(
            _UPDATE_EACH,
            [(*(_adapt(value) for value in row[1:]), row[0], batch_id) for row in rows],
        )
        return int(cursor.rowcount)


def _update_records_postgresql(batch_id: int, rows: Sequence[tuple[Any, ...]]) -> int:
    """All rows as one JSON text: psycopg would quote arrays of JSON text in Python, character by
    character, which cost more than everything else together (docs/decisions.md).
    """
    text = dumps([dict(zip(_KEYS, _unwrapped(row), strict=True)) for row in rows])
    import psycopg

    # Bound by the server: Django's cursor would copy the text into the statement, quoted.
    connection.ensure_connection()
    with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
        cursor.execute(_UPDATE_ALL, [text, batch_id])
        return int(cursor.rowcount)


_UPDATE_EACH = (
    "UPDATE jobs_record SET "  # noqa: S608 -- constants
    + ", ".join(f"{_quoted(name)} = %s" for name, _ in RECORD_COLUMNS)
    + " WHERE id = %s AND batch_id = %s"
)
_KEYS = ("id", *(f"c{number}" for number in range(len(RECORD_COLUMNS))))
_JSON_COLUMNS = tuple(
    number for number, (_, kind) in enumerate(RECORD_COLUMNS, start=1) if kind == "jsonb"
)
_UPDATE_ALL = (
    "UPDATE jobs_record r SET "  # noqa: S608 -- constants
    + ", ".join(f"{_quoted(name)} = v.c{number}" for number, (name, _) in enumerate(RECORD_COLUMNS))
    + " FROM json_to_recordset(%s::json) AS v(id bigint, "
    + ", ".join(f"c{number} {kind}" for number, (_, kind) in enumerate(RECORD_COLUMNS))
    + ") WHERE r.id = v.id AND r.batch_id = %s"
)


def insert_batches(
    *, job_id: int, team_id: int, first_number: int, record_counts: Iterable[int]
) -> None:
    """Batches `first_number`, `first_number + 1`, … of one job, due now by the database's clock."""
    from jobs.models import Batch

    Batch.objects.bulk_create(
        Batch(
            job_id=job_id, team_id=team_id, number=number, record_count=count,
            due_at=Now(), created_at=Now(),
        )
        for number, count in enumerate(record_counts, start=first_number)
    )  # fmt: skip


def insert_records(
    contacts: QuerySet[Contact],
    *,
    job_id: int,
    team_id: int,
    project_id: int,
    pipeline_id: int | None,
    first_position: int,
    first_batch_number: int,
    batch_size: int,
    now: datetime,
) -> int:
    """INSERT … SELECT: one pending record for every contact of the (ordered, sliced) query.

    The batches must exist: record `i` of the slice goes to batch `first_batch_number + i //
    batch_size`. Returns how many records were made.
    """
    inner, parameters = contacts.values_list("pk", "name", "email").query.sql_with_params()
    empty = "'{}'::jsonb, '[]'::jsonb, '{}'::jsonb"
    if connection.vendor != "postgresql":
        empty = "'{}', '[]', '{}'"
    statement = f"""
        INSERT INTO jobs_record (
            job_id, team_id, project_id, pipeline_id, batch_id, contact_id, contact_name, contact_email,
            position, created_at, "values", journey, outcome_metadata,
            status, next_step, intent_step, resend_number, outcome, error, error_type, error_step,
            cause, wait_kind, wait_token_hash, wait_prompt, wait_on_timeout, is_corrected, active_ms
        )
        WITH s(id, name, email) AS ({inner})
        SELECT %s, %s, %s, %s, b.id, c.id, c.name, c.email, c.i + %s, %s, {empty},
               'pending', 1, 0, 0, '', '', '', 0, '', '', '', '', '', {_false()}, 0
        FROM (
            SELECT s.id, s.name, s.email, row_number() OVER (ORDER BY s.id) - 1 AS i
            FROM s
        ) AS c
        JOIN jobs_batch b ON b.job_id = %s AND b.number = %s + c.i / %s
    """  # noqa: S608 -- the inner query is Django's, with parameters
    with connection.cursor() as cursor:
        cursor.execute(
            statement,
            [
                *parameters, job_id, team_id, project_id, pipeline_id, first_position, _adapt(now),
                job_id, first_batch_number, batch_size,
            ],
        )  # fmt: skip
        return int(cursor.rowcount)


def _false() -> str:
    return "false" if connection.vendor == "postgresql" else "0"


def add_histogram(current: list[int], delta: list[int]) -> list[int]:
    longest = max(len(current), len(delta))
    return [
        (current[i] if i < len(current) else 0) + (delta[i] if i < len(delta) else 0)
        for i in range(longest)
    ]
