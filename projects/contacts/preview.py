"""What an import would do, shown before it begins. Reads a limited number of rows, writes nothing."""

from dataclasses import dataclass, field

from projects.contacts import mapping, upsert
from projects.contacts.csv_reading import UnreadableError
from projects.contacts.receiving import open_table
from projects.contacts.rows import Problem, Row, RowReader, excerpt
from projects.models import ContactImport

ROWS = 5_000
SAMPLE = 6
SHOWN_PROBLEMS = 20


@dataclass(slots=True)
class Column:
    name: str
    target: str
    choices: list[tuple[str, str]]


@dataclass(slots=True)
class Preview:
    columns: list[Column] = field(default_factory=list)
    sample: list[tuple[int, list[str]]] = field(default_factory=list)
    row_count: int = 0
    is_whole: bool = True
    created_count: int = 0
    updated_count: int = 0
    unchanged_count: int = 0
    duplicate_count: int = 0
    bad_count: int = 0
    problems: list[Problem] = field(default_factory=list)
    error: str = ""


def preview(contact_import: ContactImport) -> Preview:
    found = Preview(columns=columns_of(contact_import))
    try:
        mapping.check(contact_import.mapping, contact_import.header)
    except mapping.MappingError as error:
        found.error = str(error)
    try:
        rows = _read(contact_import, found)
    except UnreadableError as error:
        found.error = str(error)
        return found
    if not found.error:
        _compare(contact_import, found, rows)
    return found


def columns_of(contact_import: ContactImport) -> list[Column]:
    taken = set(contact_import.mapping)
    columns = []
    for number, (name, target) in enumerate(
        zip(contact_import.header, contact_import.mapping, strict=True)
    ):
        own = target if target.startswith(mapping.ATTRIBUTE) else ""
        if not own:
            own = mapping.free_attribute(name or f"Column {number + 1}", taken)
        choices = [
            (mapping.IGNORE, "Ignore"),
            *mapping.FIELDS.items(),
            (own, "Attribute " + own[len(mapping.ATTRIBUTE) :]),
        ]
        columns.append(Column(name or f"Column {number + 1}", target, choices))
    return columns


def _read(contact_import: ContactImport, found: Preview) -> list[Row]:
    rows: dict[str, Row] = {}
    reader = RowReader(contact_import.header, contact_import.mapping)
    file, table = open_table(contact_import)
    try:
        for line, values in table:
            if found.row_count == ROWS:
                found.is_whole = False
                break
            found.row_count += 1
            if len(found.sample) < SAMPLE:
                width = len(contact_import.header)
                shown = [excerpt(value) for value in values[:width]]
                found.sample.append((line, shown + [""] * (width - len(shown))))
            if found.error:
                continue
            row = reader.read(line, values)
            if isinstance(row, Row):
                found.duplicate_count += row.key in rows
                rows[row.key] = row
            else:
                found.bad_count += 1
                found.problems += row
    finally:
        table.close()
        file.close()
    return list(rows.values())


def _compare(contact_import: ContactImport, found: Preview, rows: list[Row]) -> None:
    plan = upsert.make_plan(contact_import.project, rows, tag_name=contact_import.tag_name)
    found.created_count = len(plan.created)
    found.updated_count = plan.updated_count
    found.unchanged_count = plan.unchanged_count
    found.bad_count += len(plan.bad)
    found.problems = sorted([*found.problems, *plan.bad], key=lambda p: p.line)[:SHOWN_PROBLEMS]
