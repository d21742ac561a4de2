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
) -> KeysetPage[T]:
    """The page that `<prefix>after` or `<prefix>before` in the address names. One query."""
    after = _parse(queryset, order, params.get(f"{prefix}after", ""))
    before = _parse(queryset, order, params.get(f"{prefix}before", "")) if after is None else None
    if before is not None:
        backwards = [_flipped(name) for name in order]
        found = list(queryset.filter(_beyond(backwards, before)).order_by(*backwards)[: size + 1])
        rows = found[:size][::-1]
        has_earlier, has_later = len(found) > size, True
    else:
        later = queryset.filter(_beyond(order, after)) if after is not None else queryset
        found = list(later.order_by(*order)[: size + 1])
        rows = found[:size]
        has_earlier, has_later = after is not None, len(found) > size
    if not rows:
        return KeysetPage()
    return KeysetPage(
        rows=rows,
        after=_cursor(rows[-1], order) if has_later else "",
        before=_cursor(rows[0], order) if has_earlier else "",
    )


def capped_count(queryset: QuerySet[Any], *, cap: int = COUNT_CAP) -> int:
    """How many rows there are, counting no further than one past the cap."""
    return queryset.order_by()[: cap + 1].count()


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
