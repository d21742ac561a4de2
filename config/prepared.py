"""Statements that every page asks, built by the ORM once a process and then only run.

Django builds a statement's text anew each time it is asked: for a wide one with joins 2 to 5 ms,
several times what the database needs to answer (docs/decisions.md, "Statements built once").
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connections
from django.db.models import QuerySet

# Stand for values while the statement is built. The number fits any integer column, and is no
# one's id.
MARK = 2_040_109_000
MOST = 10_000
LONGEST = 4_096
TEXT_MARK = "value of a prepared statement "

TEXT = -1
Value = int | str | Sequence[int]


@dataclass(slots=True, frozen=True)
class _Statement:
    sql: str
    params: tuple[Any, ...]  # marks among them
    names: tuple[str, ...]
    converters: tuple[tuple[int, Any, tuple[Callable[..., Any], ...]], ...]


class Prepared:
    """`build` makes a `values_list` of integers, texts and sequences of integers, given by name.

    A text reaches the statement as it is: by equality, not as a part of a pattern.
    A sequence is what a column must be `__in`: with an empty one there are no rows, and it is
    filled up to a power of two by repeating its last value, so that `build` is called for few
    lengths. One of more than LONGEST values is a ValueError.
    """

    def __init__(self, build: Callable[..., QuerySet[Any, Any]]):
        self.build = build
        self._statements: dict[tuple[object, ...], _Statement] = {}

    def rows(self, **values: Value) -> list[tuple[Any, ...]]:
        """The rows, each a tuple in the order of the `values_list`."""
        return self._run(values)[1]

    def dicts(self, **values: Value) -> list[dict[str, Any]]:
        """The rows, each by the names of the `values_list`."""
        names, rows = self._run(values)
        return [dict(zip(names, row, strict=True)) for row in rows]

    def _run(self, values: dict[str, Value]) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
        flat: list[int | str] = []
        shape: list[tuple[str, int]] = []
        for name, value in values.items():
            if isinstance(value, int | str):
                flat.append(value)
                shape.append((name, 0 if isinstance(value, int) else TEXT))
                continue
            if not value:
                return (), []
            if len(value) > LONGEST:
                raise ValueError(f"{name}: at most {LONGEST:,} values at a time.")
            length = 1 << (len(value) - 1).bit_length()
            flat += [*value, *[value[-1]] * (length - len(value))]
            shape.append((name, length))
        connection = connections["default"]
        key = (connection.vendor, *shape)
        statement = self._statements.get(key)
        if statement is None:
            statement = self._statements[key] = self._build(shape)
        params = [p if (at := _place_of(p)) is None else flat[at] for p in statement.params]
        with connection.cursor() as cursor:
            cursor.execute(statement.sql, params)
            rows = cursor.fetchall()
        if statement.converters:
            rows = [_converted(row, statement.converters, connection) for row in rows]
        return statement.names, rows

    def _build(self, shape: Sequence[tuple[str, int]]) -> _Statement:
        """`shape` is the length of each sequence by name, 0 for one number and TEXT for a text."""
        places = iter(range(MOST))
        marked: dict[str, Any] = {}
        for name, length in shape:
            if length == TEXT:
                marked[name] = f"{TEXT_MARK}{next(places)}"
            elif length:
                marked[name] = [MARK + next(places) for _ in range(length)]
            else:
                marked[name] = MARK + next(places)
        queryset = self.build(**marked)
        compiler = queryset.query.get_compiler(using=queryset.db)
        sql, params = compiler.as_sql()
        used = {place for p in params if (place := _place_of(p)) is not None}
        if used != set(range(next(places))):
            raise TypeError(f"{self.build}: a value does not reach the statement as it is.")
        connection = connections[queryset.db]
        converters = []
        columns = [column for column, _, _ in compiler.select[: compiler.col_count]]
        for position, column in enumerate(columns):
            found = (
                *connection.ops.get_db_converters(column),
                *column.get_db_converters(connection),
            )
            if found:
                converters.append((position, column, found))
        return _Statement(
            sql, tuple(params), tuple(queryset.query.selected or ()), tuple(converters)
        )


def _place_of(param: object) -> int | None:
    """Which of the given values a parameter stands for; None for one of the statement's own."""
    if type(param) is int and MARK <= param < MARK + MOST:
        return param - MARK
    if type(param) is str and param.startswith(TEXT_MARK):
        return int(param.removeprefix(TEXT_MARK))
    return None


def _converted(row: Sequence[Any], converters: Any, connection: Any) -> tuple[Any, ...]:
    values = list(row)
    for position, column, functions in converters:
        value = values[position]
        for function in functions:
            value = function(value, column, connection)
        values[position] = value
    return tuple(values)
