"""Questions about the steps of a journey, asked in the database.

Journeys are JSON documents, and the two databases ask them in different words; Django picks the
right one by the method's name, so that no caller needs to know.
"""

from typing import Any

from django.db.models import BooleanField, F, Func


class StepEntryIs(Func):
    """True for records whose latest entry of `step` (from 1) has one of `statuses`."""

    output_field = BooleanField()

    def __init__(self, step: int, statuses: tuple[str, ...]):
        self.step, self.statuses = int(step), tuple(statuses)
        super().__init__(F("journey"))

    def as_postgresql(self, compiler: Any, connection: Any, **extra: Any) -> tuple[str, list[Any]]:
        column, params = compiler.compile(self.source_expressions[0])
        path = f"$[*] ? (@.step == {self.step}).status"
        sql = f"((jsonb_path_query_array({column}, %s::jsonpath) ->> -1) = ANY(%s))"
        return sql, [*params, path, list(self.statuses)]

    def as_sqlite(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        column, params = compiler.compile(self.source_expressions[0])
        marks = ", ".join(["%s"] * len(self.statuses))
        sql = (  # only a compiled column and marks are put in; values are parameters
            f"((SELECT json_extract(entry.value, '$.status') FROM json_each({column}) AS entry"  # noqa: S608
            f" WHERE json_extract(entry.value, '$.step') = %s"
            f" ORDER BY entry.key DESC LIMIT 1) IN ({marks}))"
        )
        return sql, [*params, self.step, *self.statuses]
