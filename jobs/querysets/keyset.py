"""Pages by key, never by OFFSET: page 10,000 costs what page 1 costs.

An order is a list of field names as `order_by` takes them ("-id", "position"), the last one
unique. A cursor is the text of a row's values in those fields; one that does not parse is the
first page, so that an old or mangled address still opens.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar

from django.core.exceptions import EmptyResultSet, ValidationError
from django.db import connections
from django.db.models import Q, QuerySet

T = TypeVar("T")
COUNT_CAP = 10_000
SEPARATOR = "~"


@dataclass(slots=True)
class KeysetPage(Generic[T]):
    """`after` and `before` are the cursors of the neighbouring pages, empty at the ends."""

    rows: list[T] = field(default_factory=list)
    after: str = ""
    before: str = ""

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)


def page_of(
    queryset: QuerySet[Any, T],
    order: Sequence[str],
    params: Mapping[str, str],
    *,
    size: int = 50,
    prefix: str = "",
    branches: Sequence[Q] = (),
) -> KeysetPage[T]:
    """The page that `<prefix>after` or `<prefix>before` in the address names. One query.

    Rows need the order's fields as attributes: models, or named tuples of a `values_list`.

    `branches` split the rows into disjoint parts, each with an index in this order (as one
    status of several): each is read for itself and merged by the database, since `IN` alone
    would read the wrong index. Two queries then, the keys and their rows.
    """
    after = _parse(queryset, order, params.get(f"{prefix}after", ""))
    before = _parse(queryset, order, params.get(f"{prefix}before", "")) if after is None else None
    direction = list(order) if before is None else [_flipped(name) for name in order]
    beyond = after or before
    rows = queryset.filter(_beyond(direction, beyond)) if beyond is not None else queryset
    found = _first(rows, direction, size + 1, branches)
    has_more, found = len(found) > size, found[:size]
    if not found:
        return KeysetPage()
    if before is not None:
        found.reverse()
    has_earlier = has_more if before is not None else after is not None
    has_later = True if before is not None else has_more
    return KeysetPage(
        rows=found,
        after=_cursor(found[-1], order) if has_later else "",
        before=_cursor(found[0], order) if has_earlier else "",
    )


def capped_count(
    queryset: QuerySet[Any],
    order: Sequence[str] = (),
    *,
    cap: int = COUNT_CAP,
    branches: Sequence[Q] = (),
) -> int:
    """How many rows there are, counting no further than one past the cap.

    The order keeps the planner on the index the page is read by; without it, it may choose to
    read the whole table for the first ten thousand.
    """
    if not branches:
        return queryset.order_by(*order)[: cap + 1].count()
    parts, params = _parts(queryset.values_list("pk"), order, cap + 1, branches)
    if not parts:
        return 0
    sql = f"SELECT COUNT(*) FROM ({parts} LIMIT %s) AS counted"  # noqa: S608 -- the ORM's own SQL
    return int(_fetched(queryset, sql, [*params, cap + 1])[0][0])


def _first(
    rows: QuerySet[Any, T], order: Sequence[str], count: int, branches: Sequence[Q]
) -> list[T]:
    if not branches:
        return list(rows.order_by(*order)[:count])
    columns = [name.lstrip("-") for name in order]
    selected = ["id", *(name for name in columns if name != "id")]
    parts, params = _parts(rows.values_list(*selected), order, count, branches)
    if not parts:
        return []
    by = ", ".join(
        f"{selected.index(column) + 1} {'DESC' if name.startswith('-') else 'ASC'}"
        for name, column in zip(order, columns, strict=True)
    )
    found = _fetched(rows, f"{parts} ORDER BY {by} LIMIT %s", [*params, count])
    return list(rows.filter(pk__in=[row[0] for row in found]).order_by(*order))


def _parts(
    rows: QuerySet[Any], order: Sequence[str], count: int, branches: Sequence[Q]
) -> tuple[str, list[Any]]:
    """The branches, each in its order and no longer than `count`, as one SELECT."""
    texts: list[str] = []
    params: list[Any] = []
    for number, branch in enumerate(branches):
        part = rows.filter(branch).order_by(*order)[:count]
        try:
            sql, values = part.query.get_compiler(using=rows.db).as_sql()
        except EmptyResultSet:
            continue
        texts.append(f"SELECT * FROM ({sql}) AS part{number}")  # noqa: S608 -- the ORM's own SQL
        params += values
    return " UNION ALL ".join(texts), params


def _fetched(rows: QuerySet[Any], sql: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
    with connections[rows.db].cursor() as cursor:
        cursor.execute(sql, params)
        return cursor.fetchall()


def _flipped(name: str) -> str:
    return name[1:] if name.startswith("-") else f"-{name}"


def _beyond(order: Sequence[str], values: Sequence[Any]) -> Q:
    """Rows that come after `values`; the first field also alone, so that an index bounds the scan."""
    condition = Q()
    for name, value in reversed(list(zip(order, values, strict=True))):
        column, sign = name.lstrip("-"), "lt" if name.startswith("-") else "gt"
        strict = Q(**{f"{column}__{sign}": value})
        condition = (
            Q(**{f"{column}__{sign}e": value}) & (strict | condition) if condition else strict
        )
    return condition


def _cursor(row: Any, order: Sequence[str]) -> str:
    values = (getattr(row, name.lstrip("-")) for name in order)
    return SEPARATOR.join(v.isoformat() if isinstance(v, datetime) else str(v) for v in values)


def _parse(queryset: QuerySet[Any], order: Sequence[str], text: str) -> list[Any] | None:
    parts = text.split(SEPARATOR)
    if not text or len(parts) != len(order):
        return None
    try:
        return [
            queryset.model._meta.get_field(name.lstrip("-")).to_python(part)
            for name, part in zip(order, parts, strict=True)
        ]
    except (ValidationError, ValueError, OverflowError):
        return None
