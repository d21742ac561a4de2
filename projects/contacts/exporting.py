"""Contacts as a CSV file that the import reads back without changing anything."""

from collections.abc import Iterator
from typing import Any

from django.db.models import QuerySet

from projects.contacts import mapping
from projects.contacts.cells import as_text
from projects.contacts.csv_writing import csv_lines
from projects.models import Contact

CHUNK = 2000
COLUMNS = ["external_id", "name", "email", "phone", "tags"]

# id, external id, name, e-mail, phone, attributes
Row = tuple[int, str, str, str, str, dict[str, Any]]


def lines(contacts: QuerySet[Contact]) -> Iterator[str]:
    """The file, piece by piece, in the order the contacts were made; memory stays flat."""
    keys = attribute_keys(contacts)
    yield from csv_lines([*COLUMNS, *map(header_of, keys)], _rows(contacts, keys))


def _rows(contacts: QuerySet[Contact], keys: list[str]) -> Iterator[list[list[str]]]:
    for chunk in chunks(contacts):
        tags = tags_of([row[0] for row in chunk])
        yield [cells_of(row, keys, tags) for row in chunk]


def cells_of(row: Row, keys: list[str], tags: dict[int, list[str]]) -> list[str]:
    pk, external_id, name, email, phone, attributes = row
    fixed = (external_id, name, email, phone, ", ".join(sorted(tags.get(pk, ()))))
    return [*fixed, *(as_text(attributes.get(key)) for key in keys)]


def tags_of(ids: list[int]) -> dict[int, list[str]]:
    through = Contact.tags.through
    tags: dict[int, list[str]] = {}
    for pk, name in through.objects.filter(contact_id__in=ids).values_list(  # type: ignore[attr-defined]
        "contact_id", "tag__name"
    ):
        tags.setdefault(pk, []).append(name)
    return tags


def header_of(key: str) -> str:
    """The attribute's name, marked when the import would take it for something else."""
    plain = mapping.guess_target(key) == mapping.ATTRIBUTE + key
    return key if plain else mapping.ATTRIBUTE + key


def attribute_keys(contacts: QuerySet[Contact]) -> list[str]:
    """Every attribute that one of the contacts has."""
    keys: set[str] = set()
    for attributes in (
        contacts.order_by().values_list("attributes", flat=True).iterator(chunk_size=CHUNK)
    ):
        keys.update(attributes)
    return sorted(keys)


def chunks(contacts: QuerySet[Contact]) -> Iterator[list[Row]]:
    """By key, so that no cursor or transaction stays open while a slow reader takes its time."""
    last = 0
    rows = contacts.order_by("pk").values_list(
        "pk", "external_id", "name", "email", "phone", "attributes"
    )
    while found := list(rows.filter(pk__gt=last)[:CHUNK]):
        yield found
        last = found[-1][0]
