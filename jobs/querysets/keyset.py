"""Pages by key, never by OFFSET: page 10,000 costs what page 1 costs.

An order is a list of field names as `order_by` takes them ("-id", "position"), the last one
unique. A cursor is the text of a row's values in those fields; one that does not parse is the
first page, so that an old or mangled address still opens.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar

from django.core.exceptions import ValidationError
from django.db.models import Model, Q, QuerySet

T = TypeVar("T", bound=Model)
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
    queryset: QuerySet[T],
    order: Sequence[str],
    params: Mapping[str, str],
    *,
    size: int = 50,
    prefix: str = "",
    branches: Sequence[Q] = (),
) -> KeysetPage[T]:
    """The page that `<prefix>after` or `<prefix>before` in the address names. One query.

    `branches` split the rows into disjoint parts, each with an index in this order (as one
    status of several): a query each, merged, since `IN` alone would read the wrong index.
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
    total = 0
    for branch in branches or (Q(),):
        rows = queryset.filter(branch) if branch else queryset
        total += rows.order_by(*order)[: cap + 1 - total].count()
        if total > cap:
            break
    return total


def _first(rows: QuerySet[T], order: Sequence[str], count: int, branches: Sequence[Q]) -> list[T]:
    if not branches:
        return list(rows.order_by(*order)[:count])
    found = [row for branch in branches for row in rows.filter(branch).order_by(*order)[:count]]
    for name in reversed(order):  # a stable sort, the last field first
        found.sort(key=lambda row: getattr(row, name.lstrip("-")), reverse=name.startswith("-"))
    return found[:count]


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


def _cursor(row: Model, order: Sequence[str]) -> str:
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
